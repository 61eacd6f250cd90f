"""Cases for all targets, one after another, with a limit on the time of each."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

from fuzz.mutation import mutate
from fuzz.targets import TARGETS, Target, _assert_not_attacked

LIMIT = 20.0
"""Seconds that one case may take on a busy machine; usual are microseconds."""


class FaultError(Exception):
    """A case that was not treated as it should be, with all that is needed to repeat it."""


def fuzz(
    cases: int,
    seed: int = 0,
    only: str | None = None,
    on_thousand: Callable[[str, int], None] = lambda name, done: None,
) -> dict[str, Counter[bool]]:
    """Run cases, shared out between the targets; return how many were accepted, by target.

    Raises:
        FaultError: At the first case that ends in anything but acceptance or a sentence.
    """
    targets = {only: TARGETS[only]} if only else TARGETS
    total = sum(target.share for target in targets.values())
    found = {}
    for name, target in targets.items():
        found[name] = counts = Counter[bool]()
        for done, accepted in enumerate(
            _cases(name, target, round(cases * target.share / total), seed), 1
        ):
            counts[accepted] += 1
            if done % 1000 == 0:
                on_thousand(name, done)
    _assert_not_attacked()
    return found


def _cases(name: str, target: Target, count: int, seed: int) -> Iterator[bool]:
    corpus = target.corpus()
    random = Random(f"{name}:{seed}")  # noqa: S311
    with _alarm():
        for number in range(count):
            data = mutate(random, corpus, target.tokens)
            signal.setitimer(signal.ITIMER_REAL, LIMIT)
            start = time.perf_counter()
            try:
                yield target.check(data)
            except GeneratorExit:
                raise
            except BaseException as error:
                took = time.perf_counter() - start
                raise FaultError(
                    f"{name}, seed {seed}, case {number}, {took:.1f} s: {type(error).__name__}: "
                    f"{error}\n{data!r}"
                ) from error


@contextmanager
def _alarm() -> Iterator[None]:
    def hangs(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still busy after {LIMIT:g} s")

    before = signal.signal(signal.SIGALRM, hangs)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
