"""The notebooks: kept clean, and executed from top to bottom by nbmake."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_they_are_all_there() -> None:
    assert NAMES == [
        "01_first_search",
        "02_proxies_and_accuracy",
        "03_random_search_against_evolution",
        "04_ensembles",
        "05_your_own_images",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_outputs_are_of_no_machine_and_links_lead_somewhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert all(out.get("name") != "stderr" for out in cell.outputs)
            assert all(out.output_type != "error" for out in cell.outputs)
            said = " ".join(str(out.get("text", out.get("data"))) for out in cell.outputs)
            assert not re.search(r"(?<![\w.:/])/(tmp|root|home|work|usr)/", said)
        else:
            for link in cell.source.split("](")[1:]:
                target = link.partition(")")[0]
                assert target.startswith("https://") or (FOLDER / target).exists()
    assert notebook.cells[0].source.startswith("# ")
    assert path.stat().st_size < 500_000


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_they_run(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", "-q", str(path)],
        capture_output=True,
        text=True,
        # Two threads on a core that another test has wait longer than they compute.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout
