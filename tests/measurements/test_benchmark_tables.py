"""Opening, asking and scanning a converted table, against the benchmark's own API.

pytest -m slow -s tests/measurements/test_benchmark_tables.py
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import nas_201_api
import nasbench201_fixture as fixture
import numpy as np
import pyarrow as pa
import pytest

from zc_search.benchmarks import TrialBenchmark
from zc_search.benchmarks.converted import FIGURES, KEYS, ORDER
from zc_search.benchmarks.files import convert, load_official
from zc_search.benchmarks.files.table import About, write_table
from zc_search.spaces import Architecture

pytestmark = pytest.mark.slow

CELLS = 5**6


def seconds(function, repeat=5):
    """The best of some, in seconds, and the last result."""
    best, result = float("inf"), None
    for _ in range(repeat):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def per_call(function, arguments):
    return seconds(lambda: [function(argument) for argument in arguments])[0] / len(arguments)


def whole_table(path: Path) -> Path:
    """A table as the official file's: 15,625 cells, 4 data sets, 2 budgets, 1 to 3 seeds."""
    rng = np.random.default_rng(0)
    seeds = rng.integers(1, 4, CELLS)
    cells = np.repeat(np.arange(CELLS), seeds)
    place = np.concatenate([np.arange(count) for count in seeds])
    rows = [
        (cells, np.full_like(cells, dataset), np.full_like(cells, epochs), 777 + 111 * place)
        for dataset in range(4)
        for epochs in (12, 200)
    ]
    keys = [np.concatenate(column) for column in zip(*rows, strict=True)]
    order = [Architecture.from_string(text).index for text in fixture.official_strings()]
    columns = {
        name: pa.array(key, kind) for key, (name, kind) in zip(keys, KEYS.items(), strict=True)
    }
    columns |= {name: pa.array(rng.uniform(1, 90, len(keys[0]))) for name in FIGURES}
    about = About("NAS-Bench-201-v1_1-made-up", "NAS-Bench-201 v1.1")
    write_table(path, about, columns, {ORDER: np.asarray(order, "<i4").tobytes()})
    return path


def test_the_whole_table_opens_at_once(tmp_path):
    path = whole_table(tmp_path / "NAS-Bench-201-v1_1.arrow")
    opening, benchmark = seconds(lambda: TrialBenchmark(path, "cifar10"))
    strings = random.Random(0).sample(fixture.official_strings(), 2000)  # noqa: S311
    first = seconds(lambda: TrialBenchmark(path, "cifar10").query(strings[0]), 3)[0]
    asking = per_call(benchmark.query, strings)
    one = per_call(lambda text: benchmark.query(text, metrics=["val_accuracy"]), strings)
    seeded = per_call(lambda text: benchmark.query(text, seed=0), strings)

    def scan():
        fresh = TrialBenchmark(path, "cifar10")
        return fresh.column("val_accuracy"), fresh.best("test_accuracy")

    scanning = seconds(scan)[0]
    table = seconds(benchmark.table, 2)[0]
    print(
        f"\n{path.stat().st_size / 1e6:.0f} MB: open {opening * 1e3:.1f} ms, with a first query "
        f"{first * 1e3:.1f} ms; query of all metrics {asking * 1e6:.1f} us, of one "
        f"{one * 1e6:.1f} us, of one seed {seeded * 1e6:.1f} us; open and scan "
        f"{scanning * 1e3:.1f} ms; all metrics of all as a table {table * 1e3:.0f} ms"
    )
    assert opening < 1
    assert asking < 50e-6
    assert scanning < 0.1


def test_against_the_api(tmp_path):
    indexes = range(150)
    file = fixture.save_official(tmp_path, fixture.official(indexes))
    converting, done = seconds(lambda: convert(file), 1)
    theirs, content = seconds(lambda: load_official(file), 1)
    making, api = seconds(lambda: nas_201_api.NASBench201API(content, verbose=False), 1)
    opening, benchmark = seconds(lambda: TrialBenchmark(done.table, "cifar100"))
    strings = fixture.official_strings()[:150]
    ours = per_call(benchmark.query, strings)
    asked = per_call(
        lambda text: api.get_more_info(text, "cifar100", hp="200", is_random=False), strings
    )
    best = seconds(lambda: benchmark.best("test_accuracy"))[0]
    found = seconds(lambda: api.find_best("cifar100", "x-test", hp="200"), 1)[0]
    print(
        f"\n{file.stat().st_size / 1e6:.0f} MB, 150 cells: convert {converting:.1f} s; open "
        f"{opening * 1e3:.1f} ms against {theirs:.1f} s to load and {making:.1f} s for the API, "
        f"{(theirs + making) / opening:,.0f} times; query {ours * 1e6:.0f} us against "
        f"{asked * 1e6:,.0f} us, {asked / ours:.0f} times; best {best * 1e6:.0f} us against "
        f"{found * 1e3:.0f} ms, {found / best:,.0f} times"
    )
    assert opening < theirs + making
    assert ours < asked


PEAK = """
import re
from pathlib import Path
{code}
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak(code: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PEAK.format(code=code)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return float(done.stdout.splitlines()[-1]) / 1e3


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says the peak")
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for count in (40, 160):
        folder = tmp_path / str(count)
        folder.mkdir()
        file = fixture.save_official(folder, fixture.official(range(count)))
        ours = peak(f"from zc_search.benchmarks.files import convert\nconvert(Path({str(file)!r}))")
        theirs = peak(f"from zc_search.benchmarks.files import open_api\nopen_api({str(file)!r})")
        peaks.append((file.stat().st_size / 1e6, ours, theirs))
    print()
    for size, ours, theirs in peaks:
        print(f"file {size:.0f} MB: converting peaks at {ours:.0f} MB, the API at {theirs:.0f} MB")
    (small, ours_small, theirs_small), (large, ours_large, theirs_large) = peaks
    grown = large - small
    print(
        f"a further MB of file costs {(ours_large - ours_small) / grown:.2f} MB here, "
        f"{(theirs_large - theirs_small) / grown:.1f} MB there"
    )
    assert (ours_large - ours_small) < 0.2 * (theirs_large - theirs_small)
