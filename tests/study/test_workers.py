"""Several processes on one study: who is alive, what is taken up, who may join."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState
from typer.testing import CliRunner

import zc_search
from zc_search.cli.app import app
from zc_search.cli.search import help_run
from zc_search.config import Config, parse_config
from zc_search.errors import StudyError, UsageError
from zc_search.proxies import Probe
from zc_search.samplers import sampler_of
from zc_search.study import Objective, TrialRecord, open_storage, open_study, trials
from zc_search.study.record import ACCURACIES
from zc_search.study.storage import CONFIG, VERSIONS, RunFolder
from zc_search.study.trials import WORKER, Presence, Queue, has_ended, this_process
from zc_search.study.worker import custom_code
from zc_search.study.worker import join_study as join

join_study = partial(join, sampler_of=sampler_of)

COMMAND = [sys.executable, "-m", "zc_search"]


def slow(probe: Probe) -> float:
    """A user's proxy that leaves time for others."""
    time.sleep(0.1)
    return 1.0


def settings(**study: object) -> dict[str, dict[str, object]]:
    return {
        "study": {"name": "s", "n_trials": 6, "sampler": "random", **study},
        "space": {"channels": 2, "cells": 1},
        "data": {"source": "noise", "batch_size": 4},
        "objectives": {"snip": "maximize", "params": "minimize"},
        "ensemble": {"folds": 2, "repeats": 1},
    }


def configured(folder: Path, **study: object) -> Config:
    study.setdefault("storage", str(folder / "s.journal"))
    return parse_config(
        {**settings(**study), "output": {"folder": str(folder / "runs"), "report": False}}
    )


# Who is alive ------------------------------------------------------------------------------------


class Clock:
    """Stands for the clock of the machine that looks on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(trials.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def study() -> Study:
    return optuna.create_study(storage=InMemoryStorage())


def says(study: Study, name: str, **what: object) -> None:
    study.set_user_attr(WORKER + name, {"id": name, "beat": 1, "trials": [], **what})


def seen(me: Presence, within: float = 2.0) -> list[object]:
    return [beat["id"] for beat in me.others(within)]


def test_trials_of_nobody_are_taken_at_once_where_nobody_else_is_alive(study: Study) -> None:
    for _ in range(3):
        study.ask()
    study.tell(1, 0.0)
    with Presence(study) as me:
        assert [t.number for t in me.abandoned()] == [0, 2]
        me.hold([2])
        assert [t.number for t in me.abandoned()] == [0]


def test_another_is_alive_as_long_as_it_beats(study: Study, clock: Clock) -> None:
    me = Presence(study)
    says(study, "elsewhere")
    assert seen(me) == ["elsewhere"]
    clock.now += 40
    says(study, "elsewhere", beat=2)
    assert seen(me) == ["elsewhere"]
    clock.now += 44
    assert seen(me) == ["elsewhere"]
    clock.now += 3
    assert seen(me) == []
    says(study, "elsewhere", beat=3)
    clock.now += 3
    assert seen(me) == ["elsewhere"]


def test_a_clock_that_is_set_back_changes_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    me = Presence(study)
    says(study, "elsewhere")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert seen(me) == ["elsewhere"]
    clock.now += 50
    assert seen(me) == []


def test_what_the_living_have_in_hand_is_left_to_them(study: Study, clock: Clock) -> None:
    me = Presence(study)
    study.ask()
    study.ask()
    says(study, "elsewhere", trials=[0])
    assert me.abandoned() == []  # 1 may be a trial of the last seconds
    clock.now += 40
    says(study, "elsewhere", trials=[0], beat=2)
    assert me.abandoned() == []
    clock.now += 10
    says(study, "elsewhere", trials=[0], beat=3)
    assert [t.number for t in me.abandoned()] == [1]
    clock.now += 46
    assert [t.number for t in me.abandoned()] == [0, 1]


def gone() -> dict[str, object]:
    """A process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return {**this_process(), "pid": process.pid}


def test_a_process_of_this_machine_that_died_or_left_is_known_at_once(study: Study) -> None:
    says(study, "gone", process=gone())
    study.set_user_attr(f"{WORKER}junk", 7)
    me = Presence(study)
    assert me.others() == []
    with Presence(study, "main") as other:
        assert [beat["process"] for beat in me.others(within=0)] == [this_process()]
        assert other.key == f"{WORKER}main"
    assert me.others(within=0) == []


def test_who_left_or_died_leaves_its_key_to_the_next(study: Study) -> None:
    for _ in range(5):  # of which each one dies
        me = Presence(study)
        me.__enter__()
        me._over.set()
        said = study.user_attrs[me.key]
        study.set_user_attr(me.key, {**said, "process": gone()})
    for _ in range(5):
        with Presence(study):
            pass
    (key,) = (k for k in study.user_attrs if k.startswith(WORKER))
    assert study.user_attrs[key] is None


def test_of_two_with_one_key_one_takes_another(study: Study) -> None:
    first, second = Presence(study), Presence(study)
    second.key = first.key
    second._write()
    first._write()
    assert first.key != second.key
    assert len(first.others(within=0)) == len(second.others(within=0)) == 1


def test_who_holds_a_lock_comes_in_place_of_what_it_was(study: Study) -> None:
    """A container that is started again has another name, and its folder's lock."""
    says(study, "main", process={**this_process(), "host": "elsewhere"}, trials=[0])
    study.ask()
    with Presence(study, "main") as me:
        assert [t.number for t in me.abandoned()] == [0]


@pytest.mark.parametrize(
    ("differs", "ended"),
    [
        ({}, False),
        ({"started": 1.0}, True),  # its number was given again, or the machine started anew
        ({"pid": 2**22 + 1}, True),
        ({"pid": 2**22 + 1, "host": "another, or a container"}, False),
        ({"pid": "one"}, False),
        ({"started": None}, False),
    ],
)
def test_a_process_is_known_by_more_than_its_number(
    differs: dict[str, object], ended: bool
) -> None:
    assert has_ended({**this_process(), **differs}) is ended
    assert has_ended("junk") is False


@pytest.mark.skipif(sys.platform == "win32", reason="has no such processes")
def test_a_process_that_waits_for_its_parent_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        deadline = time.monotonic() + 20
        while not has_ended({**this_process(), "pid": process.pid, "started": None}):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.returncode is None  # so its number is still there


def test_what_a_machine_that_is_gone_had_in_hand_is_taken_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zc_search.run_search(configured(tmp_path, n_trials=3))
    config = configured(tmp_path, n_trials=6)
    study = optuna.load_study(study_name="s", storage=open_storage(str(config.study.storage)))
    says(study, "gone", trials=[3])
    study.ask()  # by that one, which was killed
    monkeypatch.setattr(Presence.__init__, "__kwdefaults__", {"every": 10.0, "grace": 0.3})
    monkeypatch.setattr(trials, "_PAUSE", 0.05)
    zc_search.run_search(config)
    assert states(study).keys() <= {"COMPLETE", "PRUNED"}
    assert len(study.trials) == 6


def test_it_beats_and_says_what_it_has_in_hand(study: Study) -> None:
    with Presence(study, every=0.01) as me:
        me.hold([3, 4])
        deadline = time.monotonic() + 20
        while (said := study.user_attrs[me.key])["beat"] < 5 or said["trials"] != [3, 4]:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert said["process"] == this_process()


# Many on one study -------------------------------------------------------------------------------


def states(study: Study) -> Counter[str]:
    return Counter(t.state.name for t in study.get_trials(deepcopy=False))


def test_who_asks_at_the_same_moment_gives_the_surplus_back(tmp_path: Path) -> None:
    config = configured(tmp_path)
    zc_search.run_search(config)
    study = optuna.load_study(study_name="s", storage=open_storage(str(config.study.storage)))
    late = study.ask()
    queue = Queue(study, Objective(config), Presence(study), lambda *_: Future(), lambda *_: None)
    assert queue._is_surplus(late)
    study.tell(late, state=TrialState.FAIL)
    more = zc_search.run_search(configured(tmp_path, n_trials=8))
    assert more.trials["number"].tolist() == [0, 1, 2, 3, 4, 5, 7, 8]


def test_a_worker_finishes_what_was_begun_and_others_go_on(tmp_path: Path) -> None:
    config = configured(tmp_path, n_trials=3)
    zc_search.run_search(config)
    study = optuna.load_study(study_name="s", storage=open_storage(str(config.study.storage)))
    left = study.ask()
    seen: list[int] = []
    own = configured(tmp_path, n_trials=6)
    finished = join_study(
        str(config.study.storage), "s", own=own, on_trial=lambda number, _: seen.append(number)
    )
    assert finished == 6
    assert seen == [left.number, 4, 5]
    assert states(study) == {"COMPLETE": 6} or states(study)["PRUNED"]
    whole = zc_search.run_search(configured(tmp_path / "whole", n_trials=6)).trials
    again = zc_search.run_search(own).trials
    names = ["number", "architecture", "snip", "params"]
    assert again[names].equals(whole[names])


def run_in(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.thorough
def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    config = parse_config(
        {
            **settings(n_trials=24, storage="sqlite:///s.db"),
            "objectives": {"snip": "maximize", f"{__name__}:slow": "maximize"},
        }
    )
    (tmp_path / "search.toml").write_text(zc_search.config.config_to_toml(config))
    main = run_in(tmp_path, "--config", "search.toml", "--quiet")
    database = f"sqlite:///{tmp_path / 's.db'}"
    while not (tmp_path / "runs/s/config.toml").exists():  # which is written when all is ready
        assert main.poll() is None, main.communicate()
        time.sleep(0.05)
    worker = run_in(tmp_path, "worker", "--storage", database, "--study", "s", "--allow-code")
    study = optuna.load_study(study_name="s", storage=open_storage(database))
    name = ""
    while not name:  # until it has announced itself
        assert worker.poll() is None, worker.communicate()
        names = [k for k in study.user_attrs if k.startswith(WORKER)]
        pids = {n: (study.user_attrs[n] or {}).get("process", {}).get("pid") for n in names}
        name = next((n for n, pid in pids.items() if pid == worker.pid), "")
        time.sleep(0.01)
    time.sleep(0.4)
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    said, _ = main.communicate(timeout=120)
    assert main.returncode == 0, said
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    assert len(finished) == 24
    assert all(TrialRecord.of(t) for t in finished)
    assert set(states(study)) <= {"COMPLETE", "PRUNED", "FAIL"}
    assert states(study)["FAIL"] <= 1  # of a trial that both asked for last


def in_a_worker(probe: Probe) -> float:
    """A user's proxy, computed for isomorphs too."""
    return float(multiprocessing.parent_process() is not None)


@pytest.mark.thorough
def test_isomorphs_are_scored_by_workers_too(tmp_path: Path) -> None:
    """There a proxy that hangs can be given up, and nothing else waits for it."""
    config = parse_config(
        {
            **settings(n_trials=8, workers=2),
            "space": {
                **settings()["space"],
                **{f"op_{e}": ["none"] for e in ("2_0", "2_1", "3_1")},
                "op_1_0": ["none", "skip_connect", "nor_conv_1x1"],
                "op_3_0": ["skip_connect"],
            },
            "proxies": {"cache": "off"},
            "objectives": {"snip": "maximize", f"{__name__}:in_a_worker": "maximize"},
            "output": {"folder": str(tmp_path), "report": False},
        }
    )
    table = zc_search.run_search(config).trials
    assert table["repeat_of"].notna().any()
    assert table["architecture"].nunique() > table["function_key"].nunique()
    assert (table[f"{__name__}:in_a_worker"] == 1.0).all()


def test_seeds_differ_between_workers(tmp_path: Path) -> None:
    config = configured(tmp_path, sampler="nsgaii")
    storage = open_storage(str(config.study.storage))
    objective = Objective(config)
    asked = []
    for _ in range(3):  # as three processes would, each with a sampler of its own
        study = open_study(objective, storage, sampler_of(config, objective.space))
        asked.append(objective.space.suggest(study.ask()))
    assert len(set(asked)) == 3


# Who may join ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study with a proxy of the user's own."""
    folder = tmp_path_factory.mktemp("begun")
    config = parse_config(
        {
            **settings(n_trials=1, storage=str(folder / "s.journal")),
            "objectives": {"snip": "maximize", f"{__name__}:slow": "maximize"},
            "output": {"folder": str(folder), "report": False},
        }
    )
    zc_search.run_search(config)
    return folder


def test_code_that_a_study_names_is_not_loaded_unless_allowed(begun: Path) -> None:
    address = str(begun / "s.journal")
    with pytest.raises(StudyError, match=f"names code.*: {__name__}:slow; .*--allow-code"):
        join_study(address, "s")
    assert join_study(address, "s", allow_code=True) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"study": {"sampler": "evil.module:Sampler"}},
        {"study": {"sampler_options": {"model": {"deep": ["evil.module:Model"]}}}},
        {"proxies": {"compute": ["evil.module:f[power=2]"]}},
        {"ensemble": {"model": "evil.module:Model"}},
        {"data": {"source": "evil.module:images"}},
    ],
)
def test_code_is_found_wherever_settings_may_name_it(change: dict[str, object]) -> None:
    plain = {"objectives": {"snip": "maximize"}, "benchmark": {"name": "none"}}
    (name,) = custom_code(parse_config({**plain, **change}))
    assert name.startswith("evil.module:")
    plain = {"study": {"storage": "a:b"}, "output": {"folder": "c:d"}, "data": {"path": "e:f"}}
    objectives = {"snip": "maximize", "ensemble:my.toml": "maximize"}
    assert custom_code(parse_config({**plain, "objectives": objectives})) == []


def altered(begun: Path, tmp_path: Path, key: str, value: object) -> str:
    address = str(tmp_path / "copy.journal")
    Path(address).write_bytes((begun / "s.journal").read_bytes())
    study = optuna.load_study(study_name="s", storage=open_storage(address))
    study.set_user_attr(key, value)
    return address


def test_another_version_is_refused(begun: Path, tmp_path: Path) -> None:
    address = altered(begun, tmp_path, VERSIONS, {"zc-search": "9.9"})
    with pytest.raises(StudyError, match=r"begun by zc-search 9\.9, here is .*: install the same"):
        join_study(address, "s", allow_code=True)


def test_another_torch_is_said(
    begun: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from zc_search._utils.text import VERSION

    versions = {"zc-search": VERSION, "torch": "1.0"}
    with caplog.at_level(logging.WARNING):
        join_study(altered(begun, tmp_path, VERSIONS, versions), "s", allow_code=True)
    assert "was begun with torch 1.0, here is" in caplog.text


def test_other_accuracies_are_refused(begun: Path, tmp_path: Path) -> None:
    address = altered(begun, tmp_path, ACCURACIES, {"fingerprint": "0", "provenance": "elsewhere"})
    with pytest.raises(StudyError, match=r"accuracies of another table \('elsewhere'"):
        join_study(address, "s", allow_code=True)


def test_other_images_are_refused(begun: Path, tmp_path: Path) -> None:
    address = altered(begun, tmp_path, "zc_search_data", "f" * 64)
    with pytest.raises(StudyError, match="begun with other images"):
        join_study(address, "s", allow_code=True)


@pytest.mark.parametrize("text", ["[study]\nnam = 1", "no TOML", 7, None])
def test_settings_that_cannot_be_read_are_explained(
    begun: Path, tmp_path: Path, text: object
) -> None:
    address = altered(begun, tmp_path, CONFIG, text)
    with pytest.raises(StudyError, match=r"by another version|is not of zc-search"):
        join_study(address, "s", allow_code=True)


def test_a_study_that_is_not_there(begun: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="unknown study 't'; Allowed: s"):
        join_study(str(begun / "s.journal"), "t")
    with pytest.raises(StudyError, match="there is no file"):
        join_study(str(tmp_path / "new.journal"), "t")


def test_a_second_process_may_help_when_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = f"output.folder={tmp_path / 'runs'}"
    without = "output.report=false"
    with pytest.raises(UsageError, match="--join: there is no run in"):
        help_run(parse_config(settings(), [folder]))
    zc_search.run_search(parse_config(settings(n_trials=2), [folder, without]))
    with RunFolder(tmp_path / "runs/s").locked():
        help_run(parse_config(settings(n_trials=4), [folder]))
    said = capsys.readouterr().out.splitlines()
    database = f"sqlite:///{tmp_path / 'runs/s/study.db'}"
    assert said == [
        f"working on 's' in {database}: 2 trials so far, 4 in all",
        "'s' has 4 finished trials; 2 of them since this worker came",
    ]
    assert json.loads((tmp_path / "runs/s/manifest.json").read_text())["trials"] == 2
    with pytest.raises(StudyError, match=r"data\.seed: absent before|data\.seed: 0 before, 1 now"):
        help_run(parse_config(settings(n_trials=4), [folder, "data.seed=1"]))


def test_a_worker_needs_a_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZC_SEARCH_STORAGE", raising=False)
    done = CliRunner().invoke(app, ["worker"])
    assert isinstance(done.exception, UsageError)  # which the command ends in exit code 2
    assert "--storage URL, or $ZC_SEARCH_STORAGE" in str(done.exception)
