"""``python -m tests.fuzz --cases 1000000``: cases for all targets, each with a limit of time."""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.mutation import mutate
from fuzz.targets import TARGETS, Target, _assert_not_attacked, watch_for_code

LIMIT = 20.0
"""Seconds that one case may take on a busy machine; usual are microseconds."""


class FaultError(Exception):
    """A case that was not treated as it should be, with all that is needed to repeat it."""


def fuzz(cases: int, seed: int = 0, only: str | None = None) -> dict[str, Counter[bool]]:
    """Run cases, shared out between the targets; return how many were accepted, by target.

    Raises:
        FaultError: At the first case that ends in anything but acceptance or a sentence.
    """
    targets = {only: TARGETS[only]} if only else TARGETS
    total = sum(target.share for target in targets.values())
    found: dict[str, Counter[bool]] = {}
    for name, target in targets.items():
        found[name] = Counter(_cases(name, target, round(cases * target.share / total), seed))
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


def main() -> int:
    """Run as many cases as the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS))
    given = parser.parse_args()
    watch_for_code()
    start = time.monotonic()
    try:
        found = fuzz(given.cases, given.seed, given.target)
    except FaultError as fault:
        print(fault)
        return 1
    for name, counts in found.items():
        print(f"{name:20}{counts.total():>12,} cases{counts[True]:>12,} accepted")
    total = sum(counts.total() for counts in found.values())
    print(f"{total:,} cases in {time.monotonic() - start:.0f} s, no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
