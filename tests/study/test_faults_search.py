"""A search and what happens to it: signals, disks, storages, clocks, passwords."""

import datetime
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

import zc_search
from zc_search._utils.text import stripped
from zc_search.config import Config, config_to_toml, parse_config
from zc_search.errors import StudyError
from zc_search.proxies import Probe
from zc_search.spaces import Architecture
from zc_search.study import open_storage
from zc_search.study import storage as storages
from zc_search.study.storage import PatientStorage, RunFolder, journal_path


def slow(probe: Probe) -> float:
    """A user's proxy that leaves time to be stopped."""
    time.sleep(0.1)
    return 1.0


def configured(folder: Path, *overrides: str, **study: object) -> Config:
    return parse_config(
        {
            "study": {"name": "s", "n_trials": 5, "sampler": "random", **study},
            "space": {"channels": 2, "cells": 1},
            "data": {"source": "noise", "batch_size": 4},
            "proxies": {"cache": "off"},
            "objectives": {"snip": "maximize", "params": "minimize"},
            "benchmark": {"name": "none"},
            "output": {"folder": str(folder), "report": False},
        },
        overrides,
    )


# Signals -----------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_is_stopped_writes_the_tables_and_says_how_to_go_on(
    tmp_path: Path, number: int, code: int
) -> None:
    config = parse_config(
        {
            **json.loads(configured(Path("runs"), n_trials=500).model_dump_json(include={"space"})),
            "study": {"name": "s", "n_trials": 500, "storage": "s.journal", "sampler": "random"},
            "data": {"source": "noise", "batch_size": 4},
            "objectives": {"params": "minimize", f"{__name__}:slow": "maximize"},
            "benchmark": {"name": "none"},
            "output": {"report": False},
        }
    )
    (tmp_path / "search.toml").write_text(config_to_toml(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "zc_search", "-c", "search.toml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "runs/s/run.log"
    while not log.exists() or log.read_text().count("INFO trial") < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert "stopped; the same command goes on from here" in said
    assert "Traceback" not in said
    trials = pd.read_csv(tmp_path / "runs/s/trials.csv")
    study = optuna.load_study(study_name="s", storage=open_storage(str(tmp_path / "s.journal")))
    told = [t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()]
    assert trials["number"].tolist() == told
    assert json.loads((tmp_path / "runs/s/manifest.json").read_text())["trials"] == len(told)
    assert not list((tmp_path / "runs/s").glob(".*.*"))


# Disks -------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB of its own, where a report takes 5."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("mounting a small disk takes the rights of root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("left", [0, 2_000_000], ids=["for the study", "for the tables"])
@pytest.mark.thorough
def test_a_full_disk_is_said_and_what_is_told_is_kept(disk: Path, left: int) -> None:
    config = configured(disk, "output.report=true", n_trials=4)
    ballast = disk / "ballast"

    def fill() -> None:
        with ballast.open("ab") as file:
            while (free := shutil.disk_usage(disk).free - left) > 0:
                file.write(bytes(min(free, 2**16)))
                file.flush()

    def filling(progress: Any) -> None:
        if progress.done == 2:
            fill()

    with pytest.raises(StudyError, match=r"No space left|disk is full"):
        zc_search.run_search(config, on_progress=filling)
    ballast.unlink()
    again = zc_search.run_search(config)
    assert again.trials["number"].tolist() == [0, 1, 2, 3]
    assert not list((disk / "s").glob(".*.*"))


def test_a_disk_that_is_read_only_is_said_before_anything_is_computed(disk: Path) -> None:
    config = configured(disk)
    RunFolder(disk / "s")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StudyError, match=r"output\.folder: cannot write to .*Read-only file"):
        zc_search.run_search(config)


# Storages ----------------------------------------------------------------------------------------


def away(*arguments: object) -> StorageInternalError:
    error = StorageInternalError("an exception is raised during the commit")
    error.__cause__ = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("gone away"))
    return error


class Flaky(InMemoryStorage):
    """Answers nothing for a while; some calls that it does not answer are carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, int] = {}
        self.carried_out: set[str] = set()

    def _fail(self, name: str, call: Any) -> Any:
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            if name in self.carried_out:
                call()
            raise away()
        return call()

    def set_trial_state_values(self, *args: Any, **kwargs: Any) -> bool:
        parent = super().set_trial_state_values
        done: bool = self._fail("tell", lambda: parent(*args, **kwargs))
        return done

    def create_new_trial(self, *args: Any, **kwargs: Any) -> int:
        parent = super().create_new_trial
        number: int = self._fail("ask", lambda: parent(*args, **kwargs))
        return number


@pytest.fixture
def nap(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, in a time that passes by waiting alone."""
    naps: list[float] = []
    monkeypatch.setattr(storages.time, "sleep", naps.append)
    monkeypatch.setattr(storages.time, "monotonic", lambda: sum(naps))
    return naps


def test_a_storage_that_is_back_in_time_costs_nothing(nap: list[float]) -> None:
    flaky = Flaky()
    study = optuna.create_study(storage=PatientStorage(flaky, patience=10))
    flaky.failures = {"ask": 5}
    trial = study.ask()
    assert 2 < sum(nap) < 10
    flaky.failures, flaky.carried_out = {"tell": 1}, {"tell"}
    study.tell(trial, 1.0)  # the first try was carried out, its answer lost
    assert [(t.state, t.value) for t in study.trials] == [(TrialState.COMPLETE, 1.0)]


@pytest.mark.parametrize(
    "error",
    [
        OSError(116, "Stale file handle"),
        sqlalchemy.exc.PendingRollbackError("can't reconnect"),
        sqlalchemy.exc.TimeoutError("queue pool limit"),
        away(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_is_told_from_what_does_not(error: Exception) -> None:
    assert storages.is_away(error)
    full = StorageInternalError("an exception is raised during the commit")
    full.__cause__ = sqlalchemy.exc.OperationalError("", {}, Exception("disk is full"))
    assert not storages.is_away(full)
    assert not storages.is_away(OSError(28, "No space left on device"))
    assert not storages.is_away(ValueError("shapes"))


def test_a_storage_that_stays_away_is_given_up_after_what_was_stated(nap: list[float]) -> None:
    flaky = Flaky()
    study = optuna.create_study(storage=PatientStorage(flaky, patience=7))
    flaky.failures = {"ask": 10**6}
    with pytest.raises(StudyError, match=r"failed for 7 s, which is study\.patience .*gone away"):
        study.ask()
    assert 5 <= sum(nap) <= 7


def test_what_waiting_does_not_cure_is_said_at_once(nap: list[float]) -> None:
    flaky = Flaky()
    study = optuna.create_study(storage=PatientStorage(flaky, patience=7))
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        study._storage.set_trial_user_attr(trial._trial_id, "a", 1)
    with pytest.raises(KeyError):
        study._storage.get_trial(99)
    assert nap == []


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [0.3, pytest.param(10.0, marks=pytest.mark.slow)])
def test_a_journal_whose_folder_goes_away_and_comes_back(tmp_path: Path, seconds: float) -> None:
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    there.mkdir()
    config = configured(tmp_path / "runs", n_trials=6, storage=str(there / "s.journal"))

    back: list[threading.Timer] = []

    def moving(progress: Any) -> None:
        if progress.done == 3:
            there.rename(elsewhere)
            back.append(threading.Timer(seconds, elsewhere.rename, [there]))
            back[0].start()

    trials = zc_search.run_search(config, on_progress=moving).trials
    assert back
    whole = zc_search.run_search(configured(tmp_path / "whole", n_trials=6)).trials
    assert trials["architecture"].equals(whole["architecture"])


@pytest.mark.thorough
@pytest.mark.parametrize("seconds", [0.3, pytest.param(10.0, marks=pytest.mark.slow)])
def test_a_database_that_another_program_keeps_locked(tmp_path: Path, seconds: float) -> None:
    config = configured(tmp_path / "runs", n_trials=6)
    release: list[threading.Timer] = []

    def locking(progress: Any) -> None:
        if progress.done == 3:
            (database,) = (tmp_path / "runs").rglob("study.db")
            other = sqlite3.connect(database, check_same_thread=False)
            other.execute("BEGIN EXCLUSIVE")
            release.append(threading.Timer(seconds, other.close))
            release[0].start()

    trials = zc_search.run_search(config, on_progress=locking).trials
    assert release
    whole = zc_search.run_search(configured(tmp_path / "whole", n_trials=6)).trials
    assert trials["architecture"].equals(whole["architecture"])


def test_a_journal_is_mended_by_its_last_bytes_alone(tmp_path: Path) -> None:
    journal = tmp_path / "j"
    for text, kept in ((b"", 0), (b"half", 0), (b"one\n", 4), (b"one\ntw", 4), (b"a\nb\n", 4)):
        journal.write_bytes(text)
        storages._mend_journal(journal)
        assert journal.read_bytes() == text[:kept]
    with journal.open("wb") as file:  # a gigabyte, of which next to nothing is read
        file.seek(2**30)
        file.write(b"\nhalf")
    storages._mend_journal(journal)
    assert journal.stat().st_size == 2**30 + 1


def test_half_a_line_at_the_end_of_a_journal_is_dropped(tmp_path: Path) -> None:
    journal = tmp_path / "s.journal"
    config = configured(tmp_path, n_trials=2, storage=str(journal))
    zc_search.run_search(config)
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    again = zc_search.run_search(configured(tmp_path, n_trials=3, storage=str(journal)))
    assert again.trials["number"].tolist() == [0, 1, 2]


def test_a_clock_that_is_set_back_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = datetime.datetime

    class Back(real):
        calls = 0

        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            cls.calls += 1
            return real.now(tz) - datetime.timedelta(days=cls.calls)

    monkeypatch.setattr("optuna.storages.journal._storage.datetime", Back)
    config = configured(tmp_path, storage=str(tmp_path / "s.journal"))
    result = zc_search.run_search(config)
    assert Back.calls >= 10
    assert len(result.trials) == 5
    assert result.trials["duration"].isna().all()
    assert "manifest.json" in {p.name for p in result.folder.iterdir()}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("study.db", "cannot open 'study.db': it is no storage's address; Allowed: an SQLAlchemy"),
        ("nosuch://h/d", "Can't load plugin: sqlalchemy.dialects:nosuch"),
        ("mysql+pymysql://u:secret@h/d", "package 'pymysql': pip install pymysql"),
        ("mysql://u:secret@h/d", "package 'MySQLdb': pip install mysqlclient"),
        ("grpc:///x", "names no host; Allowed: such as 'grpc://host:13000'"),
        ("/proc/none/s.journal", "cannot open '/proc/none/s.journal'"),
        ("sqlite:////proc/none/s.db", "unable to open database file"),
    ],
)
def test_addresses_that_lead_nowhere(address: str, message: str) -> None:
    with pytest.raises(StudyError, match=r"^study\.storage: cannot open") as failure:
        open_storage(address)
    assert message in str(failure.value)
    assert "secret" not in str(failure.value)


def test_where_a_journal_is(tmp_path: Path) -> None:
    assert journal_path("journal:///a/b.log") == Path("/a/b.log")
    assert journal_path("b.journal") == Path("b.journal").absolute()
    assert journal_path("sqlite:///b.journal") is None
    assert journal_path("b.db") is None


# Passwords ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "rest"),
    [
        ("postgresql://ada:lovelace@host/db?sslpassword=x&a=1", "postgresql://ada@host/db?a=1"),
        ("pg://u:p@h/db?password=x", "pg://u@h/db"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("pg://h/db?a=1&b=2", "pg://h/db?a=1&b=2"),
    ],
)
def test_an_address_for_others_has_no_password(address: str, rest: str) -> None:
    assert stripped(address) == rest


def test_no_password_is_written_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = "postgresql+psycopg://ada:lovelace@nowhere.invalid:5432/zc"
    real = storages._connect
    journal = str(tmp_path / "s.journal")
    monkeypatch.setattr(storages, "_connect", lambda a: real(journal if a == address else a))
    for seconds in (1, 2):  # begun, and gone on with
        zc_search.run_search(
            configured(tmp_path, f"study.patience={seconds}", n_trials=2, storage=address)
        )
    other = address.replace("lovelace", "byron")
    monkeypatch.setattr(storages, "_connect", lambda a: real(journal))
    result = zc_search.run_search(configured(tmp_path, n_trials=3, storage=other))
    assert len(result.trials) == 3
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"config.toml", "manifest.json", "run.log"} <= {p.name for p in files}
    for path in files:
        for secret in (b"lovelace", b"byron"):
            assert secret not in path.read_bytes(), path
    assert "lovelace" not in caplog.text
    kept = parse_config((tmp_path / "s/config.toml").read_text()).study.storage
    assert kept == "postgresql+psycopg://ada@nowhere.invalid:5432/zc"


def test_no_password_is_in_the_message_of_a_storage_that_cannot_be_had() -> None:
    pytest.importorskip("psycopg", reason="needs the extra 'postgresql'")
    with pytest.raises(StudyError, match=r"cannot open 'postgresql\+psycopg://ada:\*\*\*@") as said:
        open_storage("postgresql+psycopg://ada:lovelace@127.0.0.1:1/zc?connect_timeout=2")
    assert "lovelace" not in str(said.value)


# The same seed -----------------------------------------------------------------------------------


@pytest.mark.thorough
def test_scores_do_not_depend_on_the_process_that_computes_them() -> None:
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "from zc_search import score_architectures\n"
        "t = score_architectures(['%s'], ['snip', 'jacov', 'synflow'], 'noise', 4, "
        "channels=2, cells=1)\n"
        "print(t.to_numpy().tolist()[0])"
    )
    cell = str(Architecture.from_index(4321))
    done = subprocess.run(
        [sys.executable, "-c", code % cell], capture_output=True, text=True, check=True
    )
    names = ["snip", "jacov", "synflow"]
    here = zc_search.score_architectures([cell], names, "noise", 4, channels=2, cells=1)
    np.testing.assert_allclose(json.loads(done.stdout), here.to_numpy()[0], rtol=1e-5)
