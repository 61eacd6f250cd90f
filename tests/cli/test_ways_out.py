"""Mistakes that users made: a sentence each, with the way out."""

import json
from pathlib import Path

import pytest
from small_search import config_in
from typer.testing import CliRunner

import zc_search
from zc_search.cli.app import app
from zc_search.config import config_to_toml, load_config, parse_config
from zc_search.config.settings import tables
from zc_search.errors import ConfigError, DataError, StudyError, UsageError, ZcSearchError
from zc_search.images import load_batch
from zc_search.report.run import load_result
from zc_search.report.text import result_document


def problem(*arguments: str) -> ZcSearchError:
    """What a command ends with."""
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ZcSearchError), done.output + repr(done.exception)
    assert "Errno" not in str(done.exception)
    return done.exception


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("serach", "zc-search --config FILE"),
        ("search.toml", "zc-search --config FILE"),
        ("trian", "zc-search train"),
        ("xyzzy", "zc-search --help"),
    ],
)
def test_a_command_that_is_not_there_has_one_near_it(given: str, hint: str) -> None:
    error = problem(given)
    assert isinstance(error, UsageError)
    assert error.hint == hint
    assert f"there is no command {given!r}; `{hint}`" in str(error)


def test_a_file_is_no_run_and_its_folder_may_be_one(tmp_path: Path) -> None:
    (tmp_path / "study.db").touch()
    error = problem("report", str(tmp_path / "study.db"))
    assert isinstance(error, StudyError)
    assert error.hint == str(tmp_path)


def test_a_worker_makes_no_storage(tmp_path: Path) -> None:
    journal = tmp_path / "nofile.journal"
    assert f"there is no file '{journal}'" in str(problem("worker", "--storage", str(journal)))
    assert not any(tmp_path.iterdir())


def test_nobody_can_join_what_was_not_begun(tmp_path: Path) -> None:
    file = tmp_path / "search.toml"
    file.write_text(config_to_toml(config_in(tmp_path / "runs")))
    error = problem("--config", str(file), "--join")
    assert str(error).endswith("to help; begin it without --join")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("source", ["noise", "patches"])
def test_a_batch_larger_than_the_memory_is_refused_before_it_is_made(source: str) -> None:
    with pytest.raises(DataError, match="100,000,000 images need 1,144 GiB of memory") as error:
        load_batch(source, batch_size=100_000_000)
    assert error.value.key == "data.batch_size"


def test_files_of_windows_are_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write / for") as error:
        parse_config('[data]\npath = "C:\\Users\\me"\n')
    assert "single quotes" in str(error.value.hint)
    file = tmp_path / "search.toml"
    file.write_text("[study]", encoding="utf-16")
    with pytest.raises(ConfigError, match="UTF-16, and TOML has to be UTF-8; save it anew"):
        load_config(file)


def test_a_search_for_accuracy_alone_names_its_best(tmp_path: Path) -> None:
    settings = tables(config_in(tmp_path))
    settings |= {"objectives": {"val_accuracy": "maximize"}, "proxies": {"compute": []}}
    result = zc_search.run_search(parse_config(settings))
    assert result.best is None
    feasible = result.trials[result.trials["feasible"]]
    for found in (result, load_result(result.folder)):
        document = json.loads(result_document(found))
        assert document["best"]["true"] == feasible["val_accuracy"].max()
        assert document["best"]["predicted"] is None
        assert document["best"]["rank"] >= 1
    json.loads(
        (result.folder / "manifest.json").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
