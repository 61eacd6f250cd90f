"""Search files and notebooks reach who installed the package, from a wheel or a checkout."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from zc_search.cli import start as command
from zc_search.cli.app import app
from zc_search.config import load_config
from zc_search.errors import UsageError

ROOT = Path(__file__).parents[2]
NAMES = [*sorted(ROOT.glob("configs/*.toml")), *sorted(ROOT.glob("notebooks/*.ipynb"))]


def test_all_are_listed_with_what_they_are() -> None:
    lines = CliRunner().invoke(app, ["examples"]).output.splitlines()
    for line, path in zip(lines[:-1], NAMES, strict=True):
        name, _, about = line.partition("  ")
        assert name == path.relative_to(ROOT).as_posix()
        assert len(about.strip()) > 7
    assert lines[-1] == "copy them out: zc-search examples --to FOLDER"


def test_they_are_copied_out_once(tmp_path: Path) -> None:
    to = tmp_path / "mine"
    done = CliRunner().invoke(app, ["examples", "--to", str(to)])
    assert f"wrote {len(NAMES)} files" in done.output
    for path in NAMES:
        assert (to / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert load_config(to / "configs" / "search.toml").objectives
    done = CliRunner().invoke(app, ["examples", "--to", str(to)])
    assert isinstance(done.exception, UsageError)
    assert "is there already" in str(done.exception)


def test_a_wheel_has_them_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "zc_search"
    (package / "_examples" / "configs").mkdir(parents=True)
    (package / "_examples" / "configs" / "own.toml").write_text("# Mine. More.\n")
    monkeypatch.setattr(command.zc_search, "__file__", str(package / "__init__.py"))
    assert CliRunner().invoke(app, ["examples"]).output.startswith("configs/own.toml  Mine\n")
    (package / "_examples" / "configs" / "own.toml").unlink()
    done = CliRunner().invoke(app, ["examples"])
    assert "has no examples; install it again" in str(done.exception)
