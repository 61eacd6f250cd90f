"""Proxies that hang, die or run out of memory, in real processes."""

import math
import os
import signal
import time
from concurrent.futures import TimeoutError as Timeout
from pathlib import Path

import pytest
import torch

from zc_search.images import load_batch
from zc_search.proxies import Probe, resolve_proxies
from zc_search.scoring.crew import Crew, WorkerDiedError, WorkerNeverBeganError
from zc_search.scoring.memory import is_out_of_memory
from zc_search.scoring.scorer import Scorer
from zc_search.scoring.sweep import WORKER_DIED
from zc_search.spaces import Architecture
from zc_search.study.workers import scoring

HARMLESS = Architecture.from_index(4321)
MARKED = Architecture.from_string("|avg_pool_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|")
"""No network of it has any convolution in its cells."""


def is_marked(probe: Probe) -> bool:
    return not probe.network.cells[0].state_dict()


def hanging(probe: Probe) -> float:
    """A user's proxy that never ends, on some networks."""
    while is_marked(probe):
        time.sleep(0.1)
    return 1.0


def deadly(probe: Probe) -> float:
    """A user's proxy that brings its process down, on some networks."""
    if is_marked(probe):
        os.kill(os.getpid(), signal.SIGKILL)
    return 2.0


def scorer(*names: str) -> Scorer:
    batch = load_batch("noise", batch_size=4)
    return Scorer(resolve_proxies(names), batch, channels=2, cells=1)


def test_who_brings_its_process_down_has_no_value_and_the_others_have_theirs() -> None:
    dies = f"{__name__}:deadly"
    with scoring(scorer("snip", dies, "params"), 1, timeout=200.0) as submit:
        marked, harmless = submit(MARKED, None), submit(HARMLESS, None)
        found, other = marked.result(), harmless.result()
    assert found.failures == {dies: f"GivenUpError: {WORKER_DIED} (exit code -9)"}
    assert math.isnan(found.values[dies])
    alone = scorer("snip", "params").score(MARKED).values
    assert {n: found.values[n] for n in alone} == pytest.approx(alone)
    assert other.failures == {}
    assert other.values[dies] == 2.0


@pytest.mark.slow
def test_who_hangs_has_no_value_and_the_others_have_theirs() -> None:
    hangs = f"{__name__}:hanging"
    with scoring(scorer("snip", hangs, "params"), 1, timeout=10.0) as submit:
        found = submit(MARKED, None).result()
    assert found.failures == {hangs: "GivenUpError: no value within 10 s, which is proxies.timeout"}
    assert math.isfinite(found.values["snip"])
    assert math.isfinite(found.values["params"])


# A crew ------------------------------------------------------------------------------------------


def nothing(*arguments: object) -> None:
    """Prepare a process that needs to know nothing."""


def no_way() -> None:
    raise RuntimeError("there is no such device")


def leave() -> None:
    os._exit(3)


def fail() -> None:
    raise KeyError("of mine")


def test_a_crew_outlives_whatever_its_tasks_do(tmp_path: Path) -> None:
    with Crew(2, 1, nothing, 7) as crew:
        first = crew.submit(os.getpid)
        with pytest.raises(KeyError, match="of mine"):
            crew.submit(fail).result()
        with pytest.raises(WorkerDiedError, match="exit code 3"):
            crew.submit(leave).result()
        late = crew.submit(time.sleep, 60, timeout=0.2)
        with pytest.raises(Timeout):
            late.result()
        assert crew.submit(torch.get_num_threads).result() == 1
        pid = first.result()
        left = crew.submit(time.sleep, 60)
        dropped = [crew.submit(time.sleep, 60) for _ in range(3)]
        started = time.monotonic()
    assert time.monotonic() - started < 30
    assert left.cancelled() or isinstance(left.exception(), WorkerDiedError)
    assert all(task.cancelled() or task.exception() for task in dropped)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_crew_that_cannot_begin_says_why() -> None:
    with Crew(1, 1, no_way) as one, Crew(1, 1, leave) as other:
        said, silent = one.submit(os.getpid), other.submit(os.getpid)
        with pytest.raises(RuntimeError, match="there is no such device"):
            said.result()
        with pytest.raises(WorkerNeverBeganError):
            silent.result()


# Memory ------------------------------------------------------------------------------------------


def greedy(probe: Probe) -> float:
    """A user's proxy that needs more memory than there is, for more than two images."""
    if len(probe.images) > 2:
        torch.empty(2**60)
    return 5.0


def greedier(probe: Probe) -> float:
    """One that always does."""
    return float(torch.empty(2**60).sum())


def broke(probe: Probe) -> float:
    """One that has no memory for Python's own objects."""
    raise MemoryError


def test_who_runs_out_of_memory_is_tried_on_half_the_batch_and_marked() -> None:
    names = [f"{__name__}:{name}" for name in ("greedy", "greedier", "broke")]
    found = scorer("snip", *names, "params").score(HARMLESS)
    assert math.isfinite(found.values["snip"])
    assert all(math.isnan(found.values[name]) for name in names)
    assert found.failures[names[0]] == (
        "out of memory with 4 images; 2 fit (data.batch_size), but a value from fewer images "
        "cannot be compared with the others"
    )
    assert found.failures[names[1]].startswith(
        "out of memory with 4 images, and no value with 2 (RuntimeError: "
    )
    assert found.failures[names[2]] == (
        "out of memory with 4 images, and no value with 2 (MemoryError)"
    )


def test_other_errors_are_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(OSError("out of memory"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))


# Threads -----------------------------------------------------------------------------------------


def test_scores_agree_between_one_worker_and_many_and_other_thread_counts() -> None:
    names = ("snip", "jacov", "synflow", "zico", "naswot_relu", "grasp")
    architectures = [Architecture.from_index(i) for i in (4321, 77, 9000)]
    batch = load_batch("noise", batch_size=4)
    everything = Scorer(resolve_proxies(names), batch, channels=4, cells=1)
    threads = torch.get_num_threads()
    try:
        tables = []
        for count in (1, 2):
            torch.set_num_threads(count)
            fresh = Scorer(resolve_proxies(names), batch, channels=4, cells=1)
            tables.append([dict(fresh.score(a).values) for a in architectures])
    finally:
        torch.set_num_threads(threads)
    with scoring(everything, 2) as submit:
        tables.append([dict(f.result().values) for f in [submit(a, None) for a in architectures]])
    for table in tables[1:]:
        for row, expected in zip(table, tables[0], strict=True):
            assert row == pytest.approx(expected, rel=1e-4, nan_ok=True)
