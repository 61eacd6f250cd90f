"""A thousand workers, simulated: threads that wait as long as a network and a database would.

Each call of the storage takes as long as the five statements that it is on average, at a
millisecond each; one that writes also holds the one database for as long as a commit takes. Scoring
is sleeping. What stays real is Optuna and the number of calls.

Run: pytest -m slow -n 0 -s tests/measurements/test_thousand_workers.py
"""

import sys
import time
from threading import Event, Lock, Thread
from typing import Any

import optuna
import pytest
from test_storage_throughput import trial

from zc_search.study.storage import PatientStorage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CALL = 5e-3
COMMIT = 0.5e-3
SCORING = 6.0
SECONDS = 30.0


class Far(PatientStorage):
    """A storage in memory that takes the time of one elsewhere."""

    def __init__(self) -> None:
        super().__init__(optuna.storages.InMemoryStorage(), 0)  # type: ignore[abstract]
        self._database = Lock()
        self.calls = 0

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        time.sleep(CALL)
        if name.startswith(("set", "create")):
            with self._database:
                time.sleep(COMMIT)
        return super()._call(name, *args, **kwargs)


@pytest.mark.parametrize("workers", [10, 100, 300, 1000])
def test_trials_a_second(workers: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = Far()
    optuna.create_study(study_name="s", storage=storage, directions=["minimize", "maximize"])
    over = Event()
    told: list[float] = []

    def work(place: int) -> None:
        sampler = optuna.samplers.RandomSampler(place)
        study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        over.wait(SCORING * place / workers)  # they do not all begin at once
        while not over.wait(SCORING):
            trial(study)
            told.append(time.monotonic())

    threads = [Thread(target=work, args=(place,), daemon=True) for place in range(workers)]
    for thread in threads:
        thread.start()
    time.sleep(3 * SCORING)
    begin, calls = time.monotonic(), storage.calls
    time.sleep(SECONDS)
    end = time.monotonic()
    calls = storage.calls - calls
    count = sum(begin <= moment < end for moment in told)
    over.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(
        f"\n{workers:5} workers: {count / SECONDS:6.1f} trials/s of {workers / SCORING:6.1f}, "
        f"{calls / count:.1f} calls a trial\n"
    )
    assert count
