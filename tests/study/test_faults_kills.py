"""kill -9 at random moments, again and again, over one search and one sweep; `--kills 50`."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from zc_search.config import config_to_toml, parse_config
from zc_search.proxies import Probe
from zc_search.scoring.scores_file import load_scores

TIMING = ["seconds_proxies", "seconds_benchmark", "duration"]


def slow(probe: Probe) -> float:
    """A user's proxy that leaves time to be killed."""
    time.sleep(0.05)
    return 1.0


def begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "zc_search", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_again_and_again(folder: Path, kills: int, seed: int, *arguments: str) -> int:
    """Start, kill, start again; after all kills let it end. Return how often it was killed.

    Moments are drawn from start to what an undisturbed run would take, so that some fall into
    the imports, some into the trials and some into the writing of the tables.
    """
    chance = random.Random(seed)  # noqa: S311
    done = 0
    longest = 0.0
    for _ in range(kills):
        started = time.monotonic()
        process = begin(folder, *arguments)
        moment = chance.uniform(0.2, max(6.0, 1.1 * longest))
        while process.poll() is None and time.monotonic() - started < moment:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        else:
            longest = time.monotonic() - started
            assert process.returncode == 0, process.communicate()
        process.communicate()
    process = begin(folder, *arguments)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return done


def search_file(kills: int) -> str:
    return config_to_toml(
        parse_config(
            {
                "study": {"name": "s", "n_trials": 10 * kills, "sampler": "nsgaii"},
                "space": {"channels": 2, "cells": 1},
                "data": {"source": "noise", "batch_size": 4},
                "proxies": {"cache": "cache"},
                "objectives": {"snip": "maximize", f"{__name__}:slow": "maximize"},
            }
        )
    )


@pytest.mark.thorough
def test_a_search_killed_again_and_again_is_the_undisturbed_one(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills = pytestconfig.getoption("--kills")
    folders = [tmp_path / "whole", tmp_path / "cut"]
    for folder in folders:
        folder.mkdir()
        (folder / "search.toml").write_text(search_file(kills))
    whole, cut = folders
    assert kill_again_and_again(whole, 0, 0, "-c", "search.toml", "-q") == 0
    killed = kill_again_and_again(cut, kills, 1, "-c", "search.toml", "-q")
    assert killed > kills / 2
    tables = [pd.read_csv(f / "runs/s/trials.csv").drop(columns=TIMING) for f in folders]
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["number"].tolist() == list(range(10 * kills))
    with sqlite3.connect(cut / "runs/s/study.db") as database:
        states = database.execute("SELECT state, COUNT(*) FROM trials GROUP BY state").fetchall()
    assert {state for state, _ in states} <= {"COMPLETE", "PRUNED"}
    leftovers = [p.name for p in cut.rglob(".*") if p.name != ".lock"]
    # What the kill kept from being renamed is a name that begins with a dot, and nothing else.
    assert len(leftovers) <= killed
    assert not (cut / "runs/s/study.db-journal").exists()


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_is_the_undisturbed_one(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills = pytestconfig.getoption("--kills")
    folders = [tmp_path / "whole", tmp_path / "cut"]
    command = (
        *("score", "--sample", str(40 * kills), "--workers", "2", "--out", "scores.parquet"),
        *("--set", "space.channels=2", "--set", "space.cells=1", "--set", "data.batch_size=4"),
        *("--proxies", f"snip,jacov,{__name__}:slow", "--set", "data.source=noise"),
        *("--set", "proxies.cache=off"),
    )
    for folder in folders:
        folder.mkdir()
    whole, cut = folders
    assert kill_again_and_again(whole, 0, 0, *command) == 0
    assert kill_again_and_again(cut, kills, 2, *command) > kills / 2
    tables = [load_scores(f / "scores.parquet")[0].drop(columns="seconds") for f in folders]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert [p.name for p in cut.iterdir()] == ["scores.parquet"]
