"""How many processor cores there are, and how what computes shares them: one policy.

A process gets its share of the cores that nobody else keeps busy when it begins, and by default
there are as many processes as cores, so each has one thread. Where there are more threads than
free cores they wait for each other, and OpenMP's spin while they do, which takes their cores from
those they wait for; the command lets them sleep.
"""

import os
import time
from pathlib import Path

_CLOCKS = Path("/proc/stat")  # of Linux: how long each core was busy and idle, in 10 ms


def available_cores() -> int:
    """Return the cores that affinity and a container's quota leave, at least 1."""
    from joblib import cpu_count  # slow to import, and not everyone who imports this asks

    return max(1, int(cpu_count()))


def idle_cores(seconds: float = 0.2) -> int:
    """Return how many of them others leave idle now, at least 1; all where that is not known."""
    before = _idle()
    if not any(before.values()) or available_cores() == 1:
        return available_cores()
    start = time.monotonic()
    time.sleep(seconds)
    spent = sum(_idle().values()) - sum(before.values())
    ticks = os.sysconf("SC_CLK_TCK") * (time.monotonic() - start)
    return max(1, min(available_cores(), round(spent / ticks)))


def threads_each(processes: int = 1) -> int:
    """Return the threads of each of so many processes that compute."""
    return max(1, idle_cores() // processes) if processes < available_cores() else 1


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait; before torch is loaded, which reads it once."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _idle() -> dict[str, int]:
    """Return by core that this process may run on how long it was idle, in ticks."""
    try:
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = _CLOCKS.read_text(encoding="ascii").splitlines()
        fields = (line.split() for line in lines if line.startswith("cpu"))
        return {core: int(times[3]) for core, *times in fields if core in mine}
    except (OSError, AttributeError, ValueError, IndexError):
        return {}
