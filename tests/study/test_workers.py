"""Several processes on one study: who is alive, what is taken up, who may join."""

import ast
import json
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import TrialState
from typer.testing import CliRunner

import zc_search
from zc_search.cli.app import app
from zc_search.cli.worker import help_run
from zc_search.config import Config, parse_config
from zc_search.errors import StudyError
from zc_search.proxies import Probe
from zc_search.study import CONFIG, VERSIONS, TrialRecord, identity, open_storage, presence, turns
from zc_search.study.identity import Identity, has_ended, this_process
from zc_search.study.joining import custom_code, join_study
from zc_search.study.presence import WORKER, Presence
from zc_search.study.run_folder import RunFolder
from zc_search.study.study import open_study

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
    }


def configured(folder: Path, **study: object) -> Config:
    study.setdefault("storage", str(folder / "s.journal"))
    return parse_config({**settings(**study), "output": {"folder": str(folder / "runs")}})


# Who is alive ------------------------------------------------------------------------------------


class Clock:
    """Stands for the clock of the machine that looks on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(presence.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def study() -> Study:
    return optuna.create_study(storage=InMemoryStorage())


def says(study: Study, name: str, **what: object) -> None:
    study.set_user_attr(WORKER + name, {"beat": 1, "trials": [], **what})


def test_trials_of_nobody_are_taken_at_once_where_nobody_else_is_alive(study: Study) -> None:
    for _ in range(3):
        study.ask()
    study.tell(1, 0.0)
    with Presence(study) as me:
        assert [t.number for t in me.abandoned()] == [0, 2]
        me.hold([2])
        assert [t.number for t in me.abandoned()] == [0]


def test_another_is_alive_as_long_as_it_beats(study: Study, clock: Clock) -> None:
    me = Presence(study, grace=45)
    says(study, "elsewhere:1:a")
    assert me.others() == ["elsewhere:1:a"]
    clock.now += 40
    says(study, "elsewhere:1:a", beat=2)
    assert me.others() == ["elsewhere:1:a"]
    clock.now += 44
    assert me.others() == ["elsewhere:1:a"]
    clock.now += 3
    assert me.others() == []
    says(study, "elsewhere:1:a", beat=3)
    clock.now += 3
    assert me.others() == ["elsewhere:1:a"]


def test_a_clock_that_is_set_back_changes_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    me = Presence(study, grace=45)
    says(study, "elsewhere:1:a")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert me.others() == ["elsewhere:1:a"]
    clock.now += 50
    assert me.others() == []


def test_what_the_living_have_in_hand_is_left_to_them(study: Study, clock: Clock) -> None:
    me = Presence(study, grace=45)
    study.ask()
    study.ask()
    says(study, "elsewhere:1:a", trials=[0])
    assert me.abandoned() == []  # 1 may be a trial of the last seconds
    clock.now += 40
    says(study, "elsewhere:1:a", trials=[0], beat=2)
    assert me.abandoned() == []
    clock.now += 10
    says(study, "elsewhere:1:a", trials=[0], beat=3)
    assert [t.number for t in me.abandoned()] == [1]
    clock.now += 46
    assert [t.number for t in me.abandoned()] == [0, 1]


def test_a_process_of_this_machine_that_died_or_left_is_known_at_once(study: Study) -> None:
    here = this_process()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    says(study, "gone", process={**here, "pid": process.pid})
    says(study, "left", left=True)
    says(study, "ended by an error", process=here)
    study.set_user_attr(f"{WORKER}junk", 7)
    me = Presence(study)
    assert me.others() == []
    with Presence(study) as other:
        assert me.others(within=0) == [other.name]
    assert me.others(within=0) == []


LINUX = {
    **this_process(),
    "host": "h",
    "boot": "b",
    "namespace": "pid:[4026531836]",
    "machine": "m",
}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("differs", "ended"),
    [
        ({}, False),
        ({"started": "1"}, True),  # its number was given again
        ({"pid": 2**22 + 1}, True),
        ({"pid": 2**22 + 1, "host": "i", "machine": "k"}, True),  # containers share the kernel
        ({"pid": 2**22 + 1, "namespace": "o"}, None),  # where that number may be another's
        ({"boot": "c"}, True),  # the machine was started anew
        ({"boot": "c", "pid": 1}, True),
        ({"boot": "c", "machine": "k"}, None),  # another one, which has the name too
        ({"boot": "c", "machine": None}, None),
        ({"boot": "c", "namespace": "n"}, None),  # in a container that has the name of its image
        ({"boot": None, "pid": 2**22 + 1}, None),  # where /proc is another namespace's
        ({"boot": "c", "host": "i"}, None),
        ({"boot": None, "host": "i"}, None),
        ({"pid": "1"}, None),
    ],
)
def test_a_process_is_known_by_more_than_its_number(differs: Identity, ended: bool | None) -> None:
    other = {k: v for k, v in {**LINUX, **differs}.items() if v is not None}
    assert has_ended(other, LINUX) is ended


def test_without_proc_a_number_on_the_same_host_is_looked_for() -> None:
    here = {"host": "h", "pid": os.getpid()}
    assert has_ended(here, here) is None  # it may be another one of the same number
    assert has_ended({"host": "h", "pid": 2**22 + 1}, here)
    assert has_ended({"host": "i", "pid": 2**22 + 1}, here) is None
    assert has_ended("junk", here) is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_waits_for_its_parent_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        deadline = time.monotonic() + 20
        while not has_ended({**this_process(), "pid": process.pid}, this_process()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.returncode is None  # so its number is still there


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs namespaces")
def test_processes_that_cannot_see_each_other_wait_for_the_beats() -> None:
    code = "from zc_search.study.identity import *; print(dict(this_process()))"
    said = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        pytest.skip(f"namespaces are not allowed here: {said.stderr}")
    other = ast.literal_eval(said.stdout)
    assert other["pid"] == 1
    assert has_ended(other, this_process()) is None  # though it has, and 1 is another here


def test_a_search_waits_for_those_that_it_cannot_see(
    study: Study, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.now += seconds
        if len(waited) == beats_after:
            says(study, "elsewhere:1:a", beat=2)

    monkeypatch.setattr(presence.time, "sleep", sleep)
    beats_after = 7
    Presence(study).settle()  # nobody is there
    says(study, "elsewhere:1:a")
    Presence(study).settle()  # nothing is in anybody's hands
    assert not waited
    study.ask()
    says(study, "here:2:b", process=this_process() | {"pid": os.getppid(), "started": parent()})
    me = Presence(study)
    me.settle()  # until it beats
    assert sum(waited) == 7
    assert me.others() == ["elsewhere:1:a", "here:2:b"]
    (said,) = caplog.messages
    assert said.startswith("waiting up to 45 s for a sign of life from elsewhere:1, where trials ")
    waited.clear()
    beats_after = -1
    me = Presence(study)
    me.settle()  # until it is clear that it is dead
    assert sum(waited) == 46
    assert me.others() == []
    waited.clear()
    Presence(study).settle()  # which is known from then on
    assert not waited


def parent() -> str | None:
    return identity._started(os.getppid()) if sys.platform == "linux" else None


def test_what_a_machine_that_is_gone_had_in_hand_is_taken_up_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zc_search.run_search(configured(tmp_path, n_trials=3))
    config = configured(tmp_path, n_trials=6)
    study = optuna.load_study(study_name="s", storage=open_storage(str(config.study.storage)))
    study.set_user_attr(f"{WORKER}gone:1:a", {"beat": 7, "trials": [3]})
    study.ask()  # by that one, which was killed
    monkeypatch.setattr(Presence.__init__, "__kwdefaults__", {"every": 10.0, "grace": 1.0})
    zc_search.run_search(config)
    told = [t.datetime_complete for t in study.get_trials(deepcopy=False)]
    assert len(told) == 6
    assert told == sorted(told)


def test_it_beats_and_says_what_it_has_in_hand(study: Study) -> None:
    with Presence(study, every=0.01) as me:
        me.hold([3, 4])
        deadline = time.monotonic() + 20
        said = {"beat": 5, "trials": [3, 4], "process": this_process()}
        while study.user_attrs[WORKER + me.name] != said:
            assert time.monotonic() < deadline
            time.sleep(0.001)


# Many on one study -------------------------------------------------------------------------------


def states(study: Study) -> Counter[str]:
    return Counter(t.state.name for t in study.get_trials(deepcopy=False))


def test_who_asks_at_the_same_moment_gives_the_surplus_back(tmp_path: Path) -> None:
    config = configured(tmp_path)
    zc_search.run_search(config)
    study = optuna.load_study(study_name="s", storage=open_storage(str(config.study.storage)))
    late = study.ask()
    assert turns._is_surplus(study, late, 6)
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
        name = next((n for n in names if f":{worker.pid}:" in n), "")
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
            "output": {"folder": str(tmp_path)},
        }
    )
    trials = zc_search.run_search(config).trials
    assert trials["repeat_of"].notna().any()
    assert trials["architecture"].nunique() > trials["function_key"].nunique()
    assert (trials[f"{__name__}:in_a_worker"] == 1.0).all()


def test_seeds_differ_between_workers(tmp_path: Path) -> None:
    config = configured(tmp_path, sampler="nsgaii")
    storage = open_storage(str(config.study.storage))
    asked = []
    for _ in range(3):  # as three processes would, each with a sampler of its own
        study = open_study(config, storage, "fingerprint")
        trial = study.ask()
        space = dict(config.space.choices)
        asked.append(tuple(trial.suggest_categorical(n, v) for n, v in space.items()))
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
            "output": {"folder": str(folder)},
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
    from importlib.metadata import version

    versions = {"zc-search": version("zc-search"), "torch": "1.0"}
    with caplog.at_level(logging.WARNING):
        join_study(altered(begun, tmp_path, VERSIONS, versions), "s", allow_code=True)
    assert "was begun with torch 1.0, here is" in caplog.text


def test_other_images_are_refused(begun: Path, tmp_path: Path) -> None:
    address = altered(begun, tmp_path, "zc_search_data", "f" * 64)
    with pytest.raises(StudyError, match="begun with other images"):
        join_study(address, "s", allow_code=True)


@pytest.mark.parametrize("text", ["[study]\nnam = 1", "no TOML", 7, None])
def test_settings_that_cannot_be_read_are_explained(
    begun: Path, tmp_path: Path, text: object
) -> None:
    address = altered(begun, tmp_path, CONFIG, text)
    with pytest.raises(StudyError, match=r"is of another version|is not of zc-search"):
        join_study(address, "s", allow_code=True)


def test_a_study_that_is_not_there(begun: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="unknown study 't'; Allowed: s"):
        join_study(str(begun / "s.journal"), "t")
    with pytest.raises(StudyError, match="the storage has no study yet; begin 't'"):
        join_study(str(tmp_path / "new.journal"), "t")


def test_a_second_process_may_help_when_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = f"output.folder={tmp_path / 'runs'}"
    with pytest.raises(StudyError, match=r"study\.storage: cannot open 'sqlite:///"):
        help_run(parse_config(settings(), [folder]))
    zc_search.run_search(parse_config(settings(n_trials=2), [folder]))
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
    assert done.exit_code == 2
    assert "name the storage: --storage URL, or $ZC_SEARCH_STORAGE" in done.output
