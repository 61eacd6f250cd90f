"""Eight workers on a real PostgreSQL; two are killed, and the server is restarted under load."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from databases import postgres

from zc_search.config import config_to_toml, parse_config
from zc_search.proxies import Probe
from zc_search.study import TrialRecord, open_storage

pytestmark = pytest.mark.slow

TRIALS = 200


def slow(probe: Probe) -> float:
    """A user's proxy that leaves time to be killed."""
    time.sleep(0.2)
    return 1.0


def begin(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zc_search", *arguments],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(study: optuna.Study, trials: int) -> None:
    while sum(t.state.is_finished() for t in study.get_trials(deepcopy=False)) < trials:
        time.sleep(0.1)


@pytest.mark.timeout(1500)
def test_every_trial_is_accounted_for(tmp_path: Path) -> None:
    config = parse_config(
        {
            "study": {"name": "s", "n_trials": TRIALS, "sampler": "random"},
            "space": {"channels": 2, "cells": 1},
            "data": {"source": "noise", "batch_size": 4},
            "objectives": {"snip": "maximize", f"{__name__}:slow": "maximize"},
        }
    )
    (tmp_path / "search.toml").write_text(config_to_toml(config))
    with postgres() as server:
        main = begin(tmp_path, "-c", "search.toml", "-q", "--set", f"study.storage={server.url}")
        while not (tmp_path / "runs/s/config.toml").exists():
            assert main.poll() is None, main.communicate()
            time.sleep(0.05)
        workers = [
            begin(tmp_path, "worker", "--study", "s", "--allow-code", ZC_SEARCH_STORAGE=server.url)
            for _ in range(8)
        ]
        study = optuna.load_study(study_name="s", storage=open_storage(server.url, patience=60))
        wait_for(study, 40)
        for victim in workers[:2]:
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
        wait_for(study, 80)
        server.stop()
        time.sleep(10)
        server.start()
        said, _ = main.communicate()
        assert main.returncode == 0, said
        for worker in workers[2:]:
            said, _ = worker.communicate()
            assert worker.returncode == 0, said
        trials = study.get_trials(deepcopy=False)
        del study  # so that its connections can be forgotten before the server is
    states = Counter(trial.state.name for trial in trials)
    assert states["COMPLETE"] + states["PRUNED"] == TRIALS
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"}
    assert states["FAIL"] <= 8, "no more than one surplus trial a process"
    assert all(TrialRecord.of(t) for t in trials if t.state.name != "FAIL")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"lovelace" not in path.read_bytes(), path
