"""How the cores are shared out between processes and threads."""

import os
from pathlib import Path

import pytest
import torch

from zc_search._utils import cores
from zc_search.scoring import parallel
from zc_search.scoring.scorer import Scorer

ALL = 4


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the kernel's file of a machine of six cores, four of which are ours."""
    clocks, seconds = tmp_path / "stat", [0.0]
    monkeypatch.setattr(cores, "_CLOCKS", clocks)
    monkeypatch.setattr(cores, "available_cores", lambda: ALL)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cores.time, "monotonic", lambda: seconds[0])
    ticks = os.sysconf("SC_CLK_TCK")

    def sleep(given: float) -> None:
        seconds[0] += given
        shares = [float(share) for share in (tmp_path / "shares").read_text().split()]
        write([1000 + round(share * seconds[0] * ticks) for share in shares])

    def write(idle: list[int]) -> None:
        lines = [f"cpu{n} 5 5 5 {value} 7 0 0 0 0 0" for n, value in enumerate(idle)]
        clocks.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 9", *lines, "intr 1 2"]))

    monkeypatch.setattr(cores.time, "sleep", sleep)
    write([1000] * 6)
    return tmp_path / "shares"


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ("1 1 1 1 1 1", 4),
        ("0 0 0 0 1 1", 1),  # those of others do not help
        ("1 1 0 0 1 1", 2),
        ("1 .95 .9 .1 0 0", 3),
    ],
)
def test_idle_cores_are_those_that_others_leave(machine: Path, shares: str, expected: int) -> None:
    machine.write_text(shares)
    assert cores.idle_cores() == expected
    assert cores.threads_each() == expected


@pytest.mark.parametrize(("processes", "threads"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_processes_share_them(machine: Path, processes: int, threads: int) -> None:
    machine.write_text("1 1 1 1 1 1")
    assert cores.threads_each(processes) == threads


@pytest.mark.parametrize("text", [None, "cpu0 0 0 0 0 0", "cpu0 x", "cpu0", "\n"])
def test_all_cores_are_taken_where_nothing_is_known(machine: Path, text: str | None) -> None:
    if text is None:
        cores._CLOCKS.unlink()
    else:
        cores._CLOCKS.write_text(text)
    assert cores.idle_cores() == ALL


def test_a_setting_of_the_users_own_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    cores.let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    cores.let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "active"


@pytest.mark.parametrize(("idle", "before", "within"), [(1, 3, 1), (2, 3, 2), (4, 3, 3), (4, 1, 1)])
def test_threads_are_as_many_as_idle_cores_and_put_back(
    monkeypatch: pytest.MonkeyPatch, scorer: Scorer, idle: int, before: int, within: int
) -> None:
    monkeypatch.setattr(parallel, "threads_each", lambda: idle)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(before)
        with parallel.scoring_here(scorer):
            assert torch.get_num_threads() == within
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def scorer() -> Scorer:
    from zc_search.images import load_batch

    return Scorer((), load_batch("noise", batch_size=2), channels=2, cells=1)
