"""The study in Optuna's dashboard: what it carries, how it is shown, how the command behaves."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import optuna
import pytest
from report_runs import made_up_run
from typer.testing import CliRunner

from zc_search._utils.text import without_passwords
from zc_search.cli.app import app
from zc_search.errors import StudyError, ZcSearchError
from zc_search.report.dashboard import (
    END,
    dress_if_installed,
    dress_study,
    make_dashboard,
    open_source,
    readable,
    readable_storage,
)
from zc_search.study import RECORD, TrialRecord, open_storage
from zc_search.study.record import SearchResult
from zc_search.study.storage import RunFolder

optuna_dashboard = pytest.importorskip("optuna_dashboard", reason="pip install optuna-dashboard")


@pytest.fixture(scope="module")
def result(finished_run: SearchResult, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """A copy of the run that all tests share, to be written to."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return replace(finished_run, folder=shutil.copytree(finished_run.folder, folder))


def study_of(result: SearchResult) -> optuna.Study:
    return optuna.load_study(
        study_name=result.config.study.name, storage=f"sqlite:///{result.folder}/study.db"
    )


CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"

# What a study carries -----------------------------------------------------------------------------


def test_a_finished_run_carries_note_and_figures(finished_run: SearchResult) -> None:
    study = study_of(finished_run)
    note = optuna_dashboard.get_note(study)
    assert finished_run.best is not None
    assert f"`{finished_run.best.architecture}`" in note
    assert f"predicts {finished_run.best.predicted:.2f} %" in note
    assert str(finished_run.folder.resolve()) in note
    assert "(/run/report.html)" in note
    assert "(/run/ensemble.toml)" in note


def test_the_server_shows_figures_and_hands_out_the_files_of_the_note(result: SearchResult) -> None:
    with serving(result) as address:
        shown = json.loads(fetched(f"{address}/api/studies/1?after=0"))
        for name in ("report.html", "ensemble.toml"):
            assert fetched(f"{address}/run/{name}") == (result.folder / name).read_bytes()
        with pytest.raises(urllib.error.HTTPError):
            fetched(f"{address}/run/study.db")
    assert set(shown["plotly_graph_objects"][0]) == {"id", "graph_object"}
    assert {graph["id"] for graph in shown["plotly_graph_objects"]} == {
        f"zc_search_{name}" for name in ("pareto", "progress", "tau", "predicted", "weights")
    }
    assert shown["objective_names"] == ["naswot_relu", "params"]
    columns = {column["key"]: column["sortable"] for column in shown["union_user_attrs"]}
    assert columns["val_accuracy"] is True
    assert columns["cell"] is False
    assert RECORD not in columns


def test_plain_optuna_finds_nothing_odd(result: SearchResult) -> None:
    study = study_of(result)
    assert all(key.startswith("zc_search") for key in study.user_attrs)
    assert study.metric_names == ["naswot_relu", "params"]
    assert all(set(trial.user_attrs) == {RECORD} for trial in study.trials)
    frame = study.trials_dataframe()
    assert len(frame) == 12
    assert "values_naswot_relu" in frame
    assert optuna.visualization.plot_pareto_front(study).data
    study.optimize(lambda trial: (0.0, 0.0), n_trials=0)


def test_dressing_again_renews_and_adds_nothing(result: SearchResult) -> None:
    study = study_of(result)
    before = study._storage.get_study_system_attrs(study._study_id)
    dress_study(study, result)
    after = study._storage.get_study_system_attrs(study._study_id)
    assert set(after) == set(before)


def test_what_a_user_wrote_into_the_note_stays() -> None:
    study = optuna.create_study()
    run = made_up_run(ensemble=False)
    optuna_dashboard.save_note(study, "Mine, **first**.")
    dress_study(study, run)
    written = optuna_dashboard.get_note(study)
    assert written.startswith("# Best architecture by")
    assert written.endswith(f"{END}\n\nMine, **first**.")
    optuna_dashboard.save_note(study, written + "\n\nAnd second.")
    dress_study(study, run)
    assert optuna_dashboard.get_note(study) == written + "\n\nAnd second."


def test_a_run_does_not_end_over_its_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(study: optuna.Study, result: SearchResult) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("zc_search.report.dashboard.dress_study", refuse)
    dress_if_installed(optuna.create_study(), made_up_run(20, folder=tmp_path))
    assert "no note and figures for Optuna's dashboard: the disk is full" in caplog.text


@pytest.mark.parametrize(
    "options", [{"benchmark": False}, {"feasible": False}], ids=["no benchmark", "none feasible"]
)
def test_a_poor_run_is_dressed_as_far_as_it_goes(options: dict[str, bool], tmp_path: Path) -> None:
    study = optuna.create_study()
    dress_study(study, made_up_run(30, folder=tmp_path, **options))
    assert "/run/" not in optuna_dashboard.get_note(study)
    assert END in optuna_dashboard.get_note(study)


def test_markdown_of_names_stays_text(tmp_path: Path) -> None:
    study = optuna.create_study()
    attack = "[x](javascript:alert(1)) <img src=x> `*_"
    dress_study(study, replace(made_up_run(30, folder=tmp_path), notes=(attack,)))
    note = optuna_dashboard.get_note(study)
    assert r"\[x\](javascript:alert(1)) \<img src=x\> \`\*\_" in note


def test_figures_stay_small(tmp_path: Path) -> None:
    study = optuna.create_study()
    dress_study(study, made_up_run(1000, folder=tmp_path))
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert sum(len(str(value)) for value in attributes.values()) < 300_000


# How it is shown ----------------------------------------------------------------------------------


def test_a_trial_shows_its_parts_and_keeps_its_record(result: SearchResult) -> None:
    storage = optuna.storages.get_storage(f"sqlite:///{result.folder}/study.db")
    identity = storage.get_study_id_from_name("small")
    shown = readable_storage(storage)
    for own, other in zip(
        storage.get_all_trials(identity), shown.get_all_trials(identity), strict=True
    ):
        record = TrialRecord.of(own)
        assert record is not None
        assert RECORD not in other.user_attrs
        assert other.user_attrs["architecture"] == record.architecture
        assert other.user_attrs["val_accuracy"] == pytest.approx(
            record.benchmark["val_accuracy"], rel=1e-5
        )
        assert shown.get_trial(own._trial_id).user_attrs == other.user_attrs
        assert (other.values, other.params) == (own.values, own.params)
        assert set(own.user_attrs) == {RECORD}


def test_everything_else_is_the_storages_own() -> None:
    storage = optuna.storages.InMemoryStorage()
    shown = readable_storage(storage)
    study = optuna.create_study(storage=shown, study_name="other")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    study.set_user_attr("a", 1)
    own = optuna.load_study(study_name="other", storage=storage)
    assert [t.values for t in own.trials] == [t.values for t in study.trials]
    assert own.user_attrs == {"a": 1}
    assert shown.get_n_trials(study._study_id) == 3
    optuna.delete_study(study_name="other", storage=shown)
    assert storage.get_all_studies() == []


def test_a_trial_in_place_of_a_deleted_one_shows_its_own() -> None:
    record = {"architecture": CELL, "function_key": "", "proxies": {"jacov": 1.0}}
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study.add_trial(optuna.trial.create_trial(value=0.0, user_attrs={RECORD: record}))
    shown = readable_storage(storage)
    assert shown.get_trial(0).user_attrs["jacov"] == 1.0
    storage._get_trial(0).user_attrs[RECORD] = {**record, "proxies": {"jacov": 2.0}}
    assert shown.get_trial(0).user_attrs["jacov"] == 2.0


def test_a_record_that_is_none_of_ours_is_shown_as_it_is() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    study.add_trial(optuna.trial.create_trial(value=0.0, user_attrs={RECORD: {"theirs": 1}}))
    (trial,) = readable_storage(storage).get_all_trials(study._study_id)
    assert trial.user_attrs == {RECORD: {"theirs": 1}}


def test_what_is_not_finite_is_named() -> None:
    record = TrialRecord(
        CELL,
        "",
        proxies={"snip": float("inf"), "jacov": 1 / 3},
        infeasible="cut off",
        repeat_of=2,
    )
    assert readable(record) == {
        "cell": "-|--|---",
        "infeasible": "cut off",
        "repeat of": 2,
        "snip": "inf",
        "jacov": 0.333333,
        "architecture": record.architecture,
    }


# The server ---------------------------------------------------------------------------------------


@contextmanager
def serving(result: SearchResult) -> Iterator[str]:
    opened = open_source(str(result.folder))
    storage = readable_storage(opened.storage)
    with make_dashboard(storage, "127.0.0.1", 0, opened.folder) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310  our own server
        content: bytes = answer.read()
    return content


def test_a_port_that_is_taken_is_passed_over(result: SearchResult) -> None:
    storage = optuna.storages.InMemoryStorage()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with make_dashboard(storage, "127.0.0.1", port) as server:
            assert port < server.server_port < port + 100


def test_an_address_that_cannot_be_had_is_refused() -> None:
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(ZcSearchError, match=r"--host 192.0.2.1 --port 8080: cannot listen there"):
        make_dashboard(storage, "192.0.2.1", 8080)


# What is opened -----------------------------------------------------------------------------------


def test_runs_that_are_not_there_are_answered_with_those_that_are(result: SearchResult) -> None:
    with pytest.raises(StudyError, match=r"no folder of a run: .*; there are .*small"):
        open_source(str(result.folder.parent / "smal"))
    with pytest.raises(StudyError, match=r"is a file: name the run's folder, '.*small'"):
        open_source(str(result.folder / "study.db"))
    missing = result.folder / "missing.db"
    with pytest.raises(StudyError, match=r"there is no file '.*missing.db'"):
        open_source(f"sqlite:///{missing}")
    assert not missing.exists()


def test_a_journal_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    with pytest.raises(StudyError, match=r"there is no file '.*s.journal'"):
        open_source(str(path))
    optuna.create_study(study_name="s", storage=open_storage(str(path)))
    assert [*open_source(str(path)).studies] == ["s"]


def test_a_database_without_studies_is_not_filled(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StudyError, match=r"cannot open 'sqlite:.*empty.db'"):
        open_storage(f"sqlite:///{empty}", create=False)
    assert empty.stat().st_size == 0


def test_a_study_of_another_name_is_missed(tmp_path: Path, result: SearchResult) -> None:
    other = tmp_path / "other"
    other.mkdir()
    text = (result.folder / "config.toml").read_text().replace('name = "small"', 'name = "o"')
    (other / "config.toml").write_text(text)
    (other / "study.db").write_bytes((result.folder / "study.db").read_bytes())
    with pytest.raises(StudyError, match=r"has no study 'o'"):
        open_source(str(other))


def test_a_search_that_goes_on_is_shown_and_left_alone(result: SearchResult) -> None:
    with RunFolder(result.folder).locked():
        (said,) = open_source(str(result.folder)).notes
    assert said.startswith("Note and figures are those of the last end of the search: another")
    manifest = result.folder / "manifest.json"
    text = manifest.read_text()
    manifest.unlink()
    try:
        assert open_source(str(result.folder)).notes == (
            "The search is not finished: note and figures come with its end.",
        )
    finally:
        manifest.write_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:love@host:5432/db", "postgresql://ada:***@host:5432/db"),
        ("mysql+pymysql://ada:l@ve/2@host/db?x=1", "mysql+pymysql://ada:***@host/db?x=1"),
        ("redis://:love@host:6379", "redis://:***@host:6379"),
        ("pg://h/db?password=love&x=1&sslpassword=l", "pg://h/db?password=***&x=1&sslpassword=***"),
        ('storage = "pg://a:love@h/d"\nname = "a"', 'storage = "pg://a:***@h/d"\nname = "a"'),
        ("sqlite:///runs/a@b/study.db", "sqlite:///runs/a@b/study.db"),
        ("http://127.0.0.1:8080/dashboard", "http://127.0.0.1:8080/dashboard"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


# The command --------------------------------------------------------------------------------------


def command(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zc_search", "dashboard", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.thorough
def test_ctrl_c_ends_it_without_a_traceback(result: SearchResult) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = command(str(result.folder), "--port", str(port))
        assert process.stdout is not None
        first, second, third = (process.stdout.readline() for _ in range(3))
    assert first == f"storage  sqlite:///{result.folder}/study.db\n"
    address = re.fullmatch(r"study    small: (http://127\.0\.0\.1:(\d+)/\S*studies/1)\n", second)
    assert address is not None
    assert int(address[2]) > port
    with urllib.request.urlopen(address[1], timeout=30) as page:  # noqa: S310  our own server
        assert b"<title>" in page.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert third + out == "Ctrl-C ends it\n\nstopped\n"
    assert err == f"port {port} is taken, so it is {address[2]}\n"


def test_a_password_is_not_printed_when_the_storage_cannot_be_reached() -> None:
    with pytest.raises(StudyError) as caught:
        open_source("mysql+nodriver://ada:lovelace@127.0.0.1:1/db?password=augusta")
    message = str(caught.value)
    assert "cannot open 'mysql+nodriver://ada:***@127.0.0.1:1/db?password=***'" in message
    assert "lovelace" not in message
    assert "augusta" not in message


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zc_search.report.dashboard.is_installed", lambda: False)
    done = CliRunner().invoke(app, ["dashboard", "runs/x"])
    assert isinstance(done.exception, ZcSearchError)
    assert 'pip install "optuna-zc-search[dashboard]"' in str(done.exception)
