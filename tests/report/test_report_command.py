"""``zc-search report``: pages and pictures of runs that are there, and what mistakes are told."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from report_runs import made_up_run, written
from typer.testing import CliRunner

from zc_search._utils.text import without_passwords
from zc_search.cli.app import app
from zc_search.ensemble import learning_curve
from zc_search.errors import StudyError, ZcSearchError
from zc_search.report import load_result, plot_weights, write_report
from zc_search.report.comparison import comparison_drawings
from zc_search.report.page import (
    Drawing,
    run_drawings,
    write_pictures,
)
from zc_search.report.run import held_out_or_none


@pytest.fixture(scope="module")
def written_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "runs"
    folder.mkdir()
    written(made_up_run(30), folder / "one", report=True)
    written(made_up_run(30, seed=1, name="two"), folder / "two")
    return folder


@pytest.fixture
def runs(written_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written_runs, tmp_path / "runs")
    return tmp_path


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["report", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_one_run_gives_its_report_anew(runs: Path) -> None:
    page = runs / "runs" / "one" / "report.html"
    page.unlink()
    assert run("runs/one") == "wrote runs/one/report.html\n"
    assert page.exists()
    assert run("runs/one", "--out", "elsewhere.html") == "wrote elsewhere.html\n"
    assert (runs / "elsewhere.html").exists()


def test_several_runs_are_compared(runs: Path) -> None:
    assert run("runs/one", "runs/two") == "wrote comparison.html\n"
    text = (runs / "comparison.html").read_text(encoding="utf-8")
    assert "2 runs side by side" in text
    assert "made-up · two" in text


@pytest.mark.thorough
def test_a_learning_curve_is_shown_where_the_folder_has_one(runs: Path) -> None:
    assert 'id="learning"' not in (runs / "runs/one/report.html").read_text(encoding="utf-8")
    result = load_result("runs/one")
    assert result.ensemble is not None
    curve = learning_curve(result.trials, result.ensemble.proxies, [8], n_draws=1)
    (runs / "runs" / "one" / "curve").mkdir()
    curve.to_csv(runs / "runs" / "one" / "curve" / "draws.csv", index=False)
    run("runs/one")
    assert 'id="learning"' in (runs / "runs/one/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/on"], r"'runs/on' is no finished run: it has no manifest.json; there are runs/one"),
        (["one"], r"'one' is no finished run: .*; there are runs/one, runs/two"),
        (["runs/one", "runs/two", "-o", "no/where.html"], r"where.html.*cannot be written"),
    ],
)
def test_mistakes_are_named(runs: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ZcSearchError, match=message):
        run(*arguments)


def test_a_run_that_goes_on_has_no_report_yet(runs: Path) -> None:
    (runs / "runs" / "one" / "manifest.json").unlink()
    (runs / "runs" / "one" / "study.db").touch()
    with pytest.raises(StudyError, match="going on or was cut off"):
        run("runs/one")


def test_settings_show_no_password(runs: Path) -> None:
    result = made_up_run(20, ensemble=False, storage="postgresql://ada:lovelace@host/db")
    page = write_report(result, runs / "page.html").read_text(encoding="utf-8")
    assert "postgresql://ada:***@host/db" in page
    assert "lovelace" not in page


# Pictures -----------------------------------------------------------------------------------------

HAS_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.thorough
@pytest.mark.skipif(not HAS_BROWSER, reason="Chromium is not installed")
def test_pictures_are_written_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("kaleido", reason="pip install kaleido")
    result = made_up_run(30, folder=tmp_path)
    drawings = run_drawings(result, held_out_or_none(result))
    chosen = [drawings[name] for name in ("weights", "proxy-1", "progress")]
    files = write_pictures(chosen, tmp_path / "new" / "png")
    assert [path.name for path in files] == [
        "weights.png",
        "proxy-jacov.png",
        "progress-trials.png",
        "progress-accuracies.png",
        "progress-simulated-training.png",
        "progress-trial-seconds.png",
    ]
    with Image.open(files[0]) as picture:
        assert picture.size == (2000, 2 * plot_weights(result).layout.height)
        assert len(set(picture.convert("L").tobytes())) > 20  # it is not blank


def test_what_cannot_be_drawn_has_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaleido, errors = ModuleType("kaleido"), ModuleType("choreographer.errors")
    asked: list[dict[str, object]] = []
    kaleido.write_fig_from_object_sync = lambda specs, **more: asked.extend(specs)  # type: ignore[attr-defined]
    errors.BrowserFailedError = errors.ChromeNotFoundError = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kaleido", kaleido)
    monkeypatch.setitem(sys.modules, "choreographer", ModuleType("choreographer"))
    monkeypatch.setitem(sys.modules, "choreographer.errors", errors)
    poor = made_up_run(30, benchmark=False)
    files = write_pictures(run_drawings(poor, None).values(), tmp_path)
    assert {"pareto.png", "hypervolume.png"} <= {path.name for path in files}
    assert not {"weights.png", "tau.png"} & {path.name for path in files}
    assert [spec["path"] for spec in asked] == files
    compared = comparison_drawings([poor, made_up_run(30)])
    assert len(write_pictures(compared, tmp_path)) == 6

    def refuse(*args: object, **more: object) -> None:
        raise RuntimeError

    kaleido.write_fig_from_object_sync = refuse  # type: ignore[attr-defined]
    with pytest.raises(ZcSearchError, match=r"apt-get install chromium\), or .* BROWSER_PATH"):
        write_pictures(compared, tmp_path)


def test_pictures_say_what_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Drawing("weights", "Weights", {"": lambda: plot_weights(made_up_run(20))})
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(ZcSearchError, match=r'pip install "optuna-zc-search\[png\]"'):
        write_pictures([weights], tmp_path)
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(ZcSearchError, match=r"file: cannot be written"):
        write_pictures([replace(weights)], tmp_path / "file")


@pytest.mark.parametrize("command", ["report", "train", "evaluate", "ensemble fit"])
def test_a_storages_address_is_no_folder(command: str) -> None:
    address = "postgresql+psycopg://ada:love@host/db"
    result = CliRunner().invoke(app, [*command.split(), address])
    told = str(result.exception)
    assert isinstance(result.exception, ZcSearchError)
    assert "a study is no folder: name the folder of a run" in told
    assert "zc-search dashboard" in told
    assert "love" not in without_passwords(told)
