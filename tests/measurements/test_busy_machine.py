"""How much longer a search takes beside processes that keep cores busy, before it and after.

pytest -m slow -n 0 -s tests/measurements/test_busy_machine.py
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT = 2.5
SEARCH = """
[study]
name = "busy"
sampler = "random"
n_trials = 10
[data]
batch_size = 32
[proxies]
cache = "off"
[objectives]
grad_norm = "maximize"
snip = "maximize"
[output]
report = false
"""
ENDLESS = "while True: pass"


def seconds(folder: Path, busy: int, late: float) -> float:
    """Return how long a search takes beside others that begin so much later, or before it."""
    (folder / "search.toml").write_text(SEARCH)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
    command = [sys.executable, "-m", "zc_search", "--config", "search.toml", "--fresh", "--quiet"]
    start = time.perf_counter()
    begin = [sys.executable, "-c", f"import time; time.sleep({late})\n{ENDLESS}"]
    others = [subprocess.Popen(begin) for _ in range(busy)]
    try:
        subprocess.run(command, cwd=folder, env=environment, check=True)
        return time.perf_counter() - start
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.parametrize("late", [0.0, 12.0])
def test_a_search_beside_a_busy_process_is_at_most_so_much_slower(
    tmp_path: Path, late: float
) -> None:
    pairs = [(seconds(tmp_path, 0, 0.0), seconds(tmp_path, 1, late)) for _ in range(2)]
    quiet, busy = (min(times) for times in zip(*pairs, strict=True))
    print(f"\nothers {late:g} s later: quiet {quiet:.1f} s, busy {busy:.1f} s, {busy / quiet:.2f}")
    assert busy < LIMIT * quiet
