"""Trials a second with instant objectives: SQLite, journal, PostgreSQL, gRPC; 1, 4, 8 workers.

Run: pytest -m slow -n 0 -s tests/measurements/test_storage_throughput.py
"""

import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from databases import postgres

from zc_search.study import RECORD, open_storage
from zc_search.study.storage import PatientStorage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SECONDS = 10.0
"""How long each figure is measured."""

SPACE = {f"op_{edge}": list("abcde") for edge in ("1_0", "2_0", "2_1", "3_0", "3_1", "3_2")}
NOTHING = {"architecture": "a" * 80, "proxies": {f"proxy{n}": 0.5 for n in range(8)}}


def trial(study: optuna.Study) -> None:
    """Do with the storage what a trial of a search does."""
    asked = study.ask()
    for name, choices in SPACE.items():
        asked.suggest_categorical(name, choices)
    asked.set_user_attr(RECORD, NOTHING)
    asked.set_constraint("feasible", 0.0)
    study.tell(asked, [0.0, 0.0])


def load(address: str) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler()
    return optuna.load_study(study_name="s", storage=open_storage(address, 60), sampler=sampler)


def work(address: str, begin: Barrier, done: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = load(address)
    begin.wait()
    end = time.monotonic() + SECONDS
    count = 0
    while time.monotonic() < end:
        trial(study)
        count += 1
    done.put(count)


def serve(address: str, port: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.get_storage(address)
    optuna.storages.run_grpc_proxy_server(storage, host="127.0.0.1", port=port)


@contextmanager
def storage_of(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 's.db'}"
    elif kind == "journal":
        yield str(folder / "s.journal")
    elif kind == "postgresql":
        with postgres() as server:
            yield server.url
    else:
        pytest.importorskip("grpc", reason="needs the extra 'grpc'")
        with postgres() as server, socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            free.close()
            process = get_context("spawn").Process(target=serve, args=(server.url, port))
            process.start()
            try:
                yield f"grpc://127.0.0.1:{port}"
            finally:
                process.kill()
                process.join()


@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize("kind", ["sqlite", "journal", "postgresql", "grpc"])
def test_throughput(kind: str, workers: int, tmp_path: Path) -> None:
    context = get_context("spawn")
    with storage_of(kind, tmp_path) as address:
        optuna.create_study(
            study_name="s", storage=open_storage(address), directions=["minimize", "maximize"]
        )
        begin, done = context.Barrier(workers + 1), context.SimpleQueue()
        processes = [
            context.Process(target=work, args=(address, begin, done)) for _ in range(workers)
        ]
        for process in processes:
            process.start()
        begin.wait()
        start = time.monotonic()
        counts = [done.get() for _ in processes]
        seconds = time.monotonic() - start
        for process in processes:
            process.join()
        study = load(address)
        assert len(study.get_trials(deepcopy=False)) == sum(counts)
    sys.stdout.write(f"\n{kind:11} {workers} workers: {sum(counts) / seconds:7.1f} trials/s\n")


def test_calls_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often a trial of a search asks its storage: what bounds a search of many workers."""
    calls: Counter[str] = Counter()
    call = PatientStorage._call

    def counting(self: PatientStorage, name: str, /, *args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return call(self, name, *args, **kwargs)

    storage = PatientStorage(optuna.storages.InMemoryStorage(), 0)
    study = optuna.create_study(
        storage=storage,
        directions=["minimize", "maximize"],
        sampler=optuna.samplers.RandomSampler(),
    )
    monkeypatch.setattr(PatientStorage, "_call", counting)
    for _ in range(100):
        trial(study)
    for name, count in calls.most_common():
        sys.stdout.write(f"\n{name:32} {count / 100:5.1f} a trial")
    writes = sum(n for name, n in calls.items() if name.startswith(("set", "create")))
    assert writes / 100 == pytest.approx(11, abs=2)


def test_statements_of_a_trial(tmp_path: Path) -> None:
    """What these calls are to a database: round trips, one after another."""
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path / 's.db'}",
        directions=["minimize", "maximize"],
        sampler=optuna.samplers.RandomSampler(),
    )
    statements: Counter[str] = Counter()
    engine = study._storage._backend.engine  # type: ignore[attr-defined]

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements[statement.split()[0]] += 1

    @sqlalchemy.event.listens_for(engine, "commit")
    def committed(connection: Any) -> None:
        statements["COMMIT"] += 1

    for _ in range(100):
        trial(study)
    for name, count in statements.most_common():
        sys.stdout.write(f"\n{name:32} {count / 100:5.1f} a trial")
    assert statements.total() / 100 == pytest.approx(72, abs=10)
