"""How many processor cores there are, and how what computes shares them: one policy.

A process gets its share of the cores that nobody else keeps busy when it begins. With more threads
than free cores they wait for each other, and OpenMP's spin while they do unless they may sleep.
"""

import os


def available_cores() -> int:
    """Return the cores that affinity and a container's quota leave, at least 1."""
    from joblib import cpu_count  # slow to import, and not everyone who imports this asks

    return max(1, int(cpu_count()))


def idle_cores(seconds: float = 0.2) -> int:
    """Return how many of them others leave idle now, at least 1; all where that is not known."""
    if (cores := available_cores()) == 1:
        return cores
    import psutil

    busy = psutil.cpu_percent(seconds, percpu=True)
    ask = getattr(psutil.Process(), "cpu_affinity", None)  # not everywhere
    mine = {*ask()} if ask else {*range(len(busy))}
    idle = [1 - share / 100 for core, share in enumerate(busy) if core in mine]
    return max(1, min(cores, round(sum(idle)))) if idle else cores


def threads_each(processes: int = 1) -> int:
    """Return the threads of each of so many processes that compute."""
    return max(1, idle_cores() // processes) if processes < available_cores() else 1


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait; before torch is loaded, which reads it once."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
