"""How the cores are shared out between processes and threads."""

import os
import warnings

import psutil
import pytest
import torch

from zc_search.cli import app
from zc_search.images import load_batch
from zc_search.scoring import scorer as scoring

ALL = 4


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return what is idle of each core of a machine of six, of which the first four are ours."""
    shares = [1.0] * 6
    monkeypatch.setattr(scoring, "cpu_count", lambda: ALL)
    monkeypatch.setattr(psutil, "cpu_percent", lambda *_, **__: [100 * (1 - s) for s in shares])
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: [0, 1, 2, 3], raising=False)
    return shares


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([1, 1, 1, 1, 1, 1], 4),
        ([0, 0, 0, 0, 1, 1], 1),  # those of others do not help
        ([1, 0.95, 0.9, 0.1, 0, 0], 3),
        ([], ALL),  # where nothing is known
    ],
)
def test_idle_cores_are_those_that_others_leave(
    idle: list[float], shares: list[float], expected: int
) -> None:
    idle[:] = shares
    assert scoring.idle_cores() == scoring.threads_each() == expected


@pytest.mark.parametrize(("processes", "threads"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_processes_share_them(idle: list[float], processes: int, threads: int) -> None:
    assert scoring.threads_each(processes) == threads


def test_a_setting_of_the_users_own_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "app", lambda: None)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    for before, within in ((None, "passive"), ("active", "active")):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        if before is not None:
            monkeypatch.setenv("OMP_WAIT_POLICY", before)
        app.main()
        assert os.environ["OMP_WAIT_POLICY"] == within


@pytest.mark.parametrize(("free", "before", "within"), [(1, 3, 1), (2, 3, 2), (4, 3, 3), (4, 1, 1)])
def test_threads_are_as_many_as_idle_cores_and_put_back(
    monkeypatch: pytest.MonkeyPatch, free: int, before: int, within: int
) -> None:
    scorer = scoring.Scorer((), load_batch("noise", batch_size=2), channels=2, cells=1)
    monkeypatch.setattr(scoring, "threads_each", lambda: free)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(before)
        with scoring.scoring_here(scorer):
            assert torch.get_num_threads() == within
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(threads)
