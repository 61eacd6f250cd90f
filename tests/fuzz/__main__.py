"""``python -m tests.fuzz --cases 1000000``: more cases than the ordinary tests have time for."""

import argparse
import gc
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from types import FunctionType

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.running import FaultError, fuzz
from fuzz.targets import TARGETS, watch_for_code


def main() -> int:
    """Run the engine that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument(
        "--engine",
        choices=("random", "hypothesis", "atheris"),
        default="random",
        help="hypothesis shrinks what it finds; atheris, if installed, follows the branches taken",
    )
    given = parser.parse_args()
    watch_for_code()
    start = time.monotonic()
    if given.engine == "atheris":
        return _atheris(given.target or "config", given.cases)
    if given.engine == "hypothesis":
        return _hypothesis(given.target or "config", given.cases)
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


def _hypothesis(name: str, cases: int) -> int:
    import hypothesis
    from hypothesis import strategies as st

    from fuzz.mutation import mutate

    target = TARGETS[name]
    corpus = target.corpus()

    @hypothesis.settings(max_examples=cases, deadline=None)
    @hypothesis.given(st.randoms(use_true_random=False))
    def run(random: object) -> None:
        target.check(mutate(random, corpus, target.tokens))  # type: ignore[arg-type]

    run()
    return 0


def _atheris(name: str, cases: int) -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris")
        return 2
    target = TARGETS[name]
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and "zc_search" in str(found.__module__):
            atheris.instrument_func(found)
    corpus = target.corpus()
    folder = Path(mkdtemp())
    for number, data in enumerate(corpus):
        (folder / str(number)).write_bytes(data)
    longest = f"-max_len={2 * max(map(len, corpus))}"
    atheris.Setup(
        [sys.argv[0], f"-runs={cases}", longest, str(folder)],
        lambda data: target.check(data) and None,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
