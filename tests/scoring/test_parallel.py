"""Proxies that hang, die or run out of memory, in real processes."""

import math
import os
import pickle
import signal
import time
from concurrent.futures import Future

import pytest
import torch

from zc_search.images import load_batch
from zc_search.proxies import Probe, proxy, resolve_proxies
from zc_search.scoring.parallel import (
    WORKER_DIED,
    Attempt,
    score_group,
    scoring_processes,
    too_long,
)
from zc_search.scoring.scorer import Scorer, Scores, evaluate_proxies
from zc_search.scoring.workers import TaskTimeoutError, WorkerDiedError
from zc_search.spaces import Architecture, CellSpace
from zc_search.study.trials import scoring

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


@pytest.mark.thorough
def test_who_brings_its_process_down_has_no_value_and_the_others_have_theirs() -> None:
    """The same for a search and for a sweep, and for the architectures beside it."""
    dies = f"{__name__}:deadly"
    runner = scorer("snip", dies, "params")
    with scoring_processes(runner, 1, 1) as submit:
        (found,), (other,) = (submit((a,), None).result() for a in (MARKED, HARMLESS))
    assert found.failures == {dies: f"{WORKER_DIED} (exit code -9)"}
    assert list(found.values) == ["snip", dies, "params"]
    assert math.isnan(found.values[dies])
    alone = scorer("snip", "params").score(MARKED).values
    assert {n: found.values[n] for n in alone} == pytest.approx(alone)
    assert other.failures == {}
    assert other.values[dies] == 2.0


@pytest.mark.thorough
def test_who_hangs_has_no_value_and_the_others_have_theirs() -> None:
    hangs = f"{__name__}:hanging"
    with scoring(scorer("snip", hangs, "params"), 1, timeout=10.0) as submit:
        (found,) = submit((MARKED,), None).result()
    assert found.failures == {hangs: "no value within 10 s, which is proxies.timeout"}
    assert math.isfinite(found.values["snip"])
    assert math.isfinite(found.values["params"])


class PaperCrew:
    """Meets its fate with given proxies in hand: too slow, or dead as many times as it says."""

    def __init__(self, runner: Scorer, *slow: str | None, **deaths: int) -> None:
        self.runner, self.slow, self.deaths = runner, slow, deaths

    def submit(self, function: object, group, known, given_up, timeout, tries) -> Future:
        future: Future[list[Scores]] = Future()
        for name in self.slow:
            if name not in given_up:
                future.set_exception(TaskTimeoutError(name))
                return future
        for name, left in self.deaths.items():
            if left and name not in given_up:
                self.deaths[name] -= 1
                future.set_exception(WorkerDiedError("exit code -9", name))
                return future
        future.set_result(score_group(self.runner, group, known, given_up))
        return future


def attempted(architecture: Architecture, *slow, known=None, **deaths: int) -> Scores:
    runner = scorer("snip", "l2_norm", "params", "flops")
    crew = PaperCrew(runner, *slow, **deaths)
    (scores,) = Attempt(crew, runner, (architecture,), known, 2.0).begin().result()
    return scores


def test_proxies_are_given_up_one_by_one() -> None:
    first, second = [a for a in CellSpace() if a.function_key == "nor_conv_3x3(x)"][:2]
    given_up = dict.fromkeys(("snip", "flops"), too_long(2.0))
    scores = attempted(first, "flops", "snip")
    assert scores.failures == given_up
    assert {name for name, value in scores.values.items() if math.isnan(value)} == set(given_up)
    # Of its function the other one knows already, of its own dead edges it does not.
    assert attempted(second, known=scores).failures == {"snip": too_long(2.0)}
    nothing = attempted(first, None)
    assert set(nothing.failures.values()) == {too_long(2.0)}
    assert nothing.failures.keys() == nothing.values.keys()


def test_one_death_is_nobodys_fault_and_two_are_of_the_proxy_in_hand() -> None:
    assert attempted(HARMLESS, snip=1, flops=1).failures == {}
    assert attempted(HARMLESS, snip=1, flops=2).failures == {
        "flops": f"{WORKER_DIED} (exit code -9)"
    }


def test_a_scorer_travels_without_what_it_knows() -> None:
    runner = scorer("snip", "params")
    runner.score(HARMLESS)
    travelled = pickle.loads(pickle.dumps(runner))
    assert not travelled.knows(HARMLESS)
    assert runner.knows(HARMLESS)
    assert travelled.score(MARKED).values == runner.score(MARKED).values


# Memory ------------------------------------------------------------------------------------------


def greedy(probe: Probe) -> float:
    """A user's proxy that needs more memory than there is."""
    return float(torch.empty(2**60).sum())


def broke(probe: Probe) -> float:
    """One that has no memory for Python's own objects."""
    raise MemoryError


def test_who_runs_out_of_memory_is_told_of_smaller_batches() -> None:
    names = [f"{__name__}:{name}" for name in ("greedy", "broke")]
    found = scorer("snip", *names, "params").score(HARMLESS)
    assert math.isfinite(found.values["snip"])
    assert all(math.isnan(found.values[name]) for name in names)
    said = "out of memory with 4 images; a smaller data.batch_size may do"
    assert found.failures == dict.fromkeys(names, said)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (RuntimeError("shapes differ"), False),
        (OSError("out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
    ],
    ids=str,
)
def test_other_errors_are_no_lack_of_memory(error: Exception, *, memory: bool) -> None:
    def raises(probe: Probe) -> float:
        raise error

    probe = Probe(torch.nn.Flatten(), torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))
    _, failures = evaluate_proxies([proxy("raises", maximize=True, paper="")(raises)], probe)
    assert failures["raises"].startswith("out of memory") is memory


# Threads -----------------------------------------------------------------------------------------


@pytest.mark.thorough
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
        tables.append(
            [dict(f.result()[0].values) for f in [submit((a,), None) for a in architectures]]
        )
    for table in tables[1:]:
        for row, expected in zip(table, tables[0], strict=True):
            assert row == pytest.approx(expected, rel=1e-4, nan_ok=True)
