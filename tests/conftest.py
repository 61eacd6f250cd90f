"""Settings shared by all tests."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from zc_search import SearchResult
    from zc_search.config import Config

# A user's own scores are no business of the tests, nor of the commands that they start.
os.environ["ZC_SEARCH_SCORES"] = "off"

# The same cases in every run, and no limit that a busy machine could exceed.
for name, examples in (("ordinary", 25), ("thorough", 300)):
    hypothesis.settings.register_profile(
        name, deadline=None, derandomize=True, max_examples=examples
    )
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ordinary"))

# Commands that a test interrupts inherit what is set here; under nohup it would be "ignore".
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=3,
        help="faults: how often a search and a sweep are killed and started again (default: 3)",
    )
    parser.addoption(
        "--peer",
        metavar="FOLDER",
        help="benchmarks: time a checkout of SamsungLabs/zero-cost-nas, not our naive code",
    )
    parser.addoption(
        "--threads",
        type=int,
        default=os.cpu_count(),
        help="benchmarks: torch's threads (default: one a core)",
    )
    parser.addoption(
        "--published",
        metavar="CSV",
        help="benchmarks: published proxy values, columns arch, snip, jacov, ...",
    )
    parser.addoption(
        "--repetitions",
        type=int,
        default=10,
        help="benchmarks: how often a search on one's own images is repeated",
    )
    parser.addoption(
        "--cifar10",
        metavar="FOLDER",
        help="benchmarks: the folder cifar-10-batches-py, to compare with published values too",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, the notebooks, so that none is left to one worker in the end."""
    items.sort(key=lambda item: "test_notebooks.py" not in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def _undisturbed() -> None:
    """Spare the tests what takes time and tests nothing; no import of it delays the workers."""
    import alembic.util
    import sqlalchemy
    import torch
    import typer.testing

    # Two threads on a core that another test has wait for each other longer than they compute.
    torch.set_num_threads(1)

    # A search of twelve trials commits two hundred times, and waits each time for the disk.
    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def wait_for_no_disk(connection: object, record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    # Optuna reads its migrations anew for each database that it opens.
    read = alembic.util.load_python_file
    once = cache(read)
    alembic.util.load_python_file = lambda folder, name: (
        read(folder, name) if name == "env.py" else once(folder, name)
    )

    # Typer makes its commands anew each time that a test asks for one.
    typer.testing._get_command = cache(typer.testing._get_command)


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def small_config(tmp_path: Path) -> "Callable[..., Config]":
    """The settings of a search in the test's own folder, changed: see `small_search.config_in`."""
    from small_search import config_in

    return partial(config_in, tmp_path)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SearchResult]":
    """A search that is done, with ensemble and report, of `small_search.SMALL`: to be looked at.

    Its folder is ``.folder``. Who writes to it asks for `copied_run`.
    """
    from small_search import config_in

    import zc_search

    folder = tmp_path_factory.mktemp("finished") / "runs"
    result = zc_search.run_search(config_in(folder, output={"report": True}))
    before = _contents(folder)
    yield result
    assert _contents(folder) == before, "a test wrote to the run that all tests share"


@pytest.fixture
def copied_run(finished_run: "SearchResult", tmp_path: Path) -> Path:
    """A copy of the folder of `finished_run`, ``runs/small`` in the test's own folder."""
    return shutil.copytree(finished_run.folder, tmp_path / "runs" / "small")


def _contents(folder: Path) -> dict[Path, tuple[int, int]]:
    # SQLite and locks leave files beside what is only read.
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
