"""The dashboard in a real browser: it opens, shows what the study carries, and stays at home."""

import shutil
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from browsers import Watched, browser

from zc_search.report.dashboard import make_dashboard, open_source, readable_storage
from zc_search.study.record import SearchResult

pytest.importorskip("optuna_dashboard", reason="pip install optuna-dashboard")

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def served(
    finished_run: SearchResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SearchResult, str]]:
    folder = tmp_path_factory.mktemp("runs") / "small"
    shutil.copytree(finished_run.folder, folder)
    opened = open_source(str(folder))
    storage = readable_storage(opened.storage)
    with make_dashboard(storage, "127.0.0.1", 0, opened.folder) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield finished_run, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    watched = Watched(browser)
    yield watched
    watched.close()
    assert watched.troubles == []


def test_figures_are_shown(watched: Watched, served: tuple[SearchResult, str]) -> None:
    _, address = served
    page = watched.open(f"{address}/dashboard/studies/1")
    for title in ("Kendall's tau with the true accuracy", "Best so far", "Weights"):
        page.locator(f".gtitle >> text={title}").wait_for(state="attached")


def test_the_note_leads_to_the_report(watched: Watched, served: tuple[SearchResult, str]) -> None:
    result, address = served
    assert result.best is not None
    page = watched.open(f"{address}/dashboard/studies/1/note")
    page.locator("h1 >> text=Best architecture by prediction").wait_for()
    assert page.locator(f"code >> text={result.best.architecture}").count() == 1
    link = page.locator("a >> text=report.html").first
    shown = watched.open(f"{address}{link.get_attribute('href')}")
    shown.locator("#table tbody tr").first.wait_for()
    assert shown.text_content("h1") == "Best architecture by prediction"


def test_a_trial_shows_its_cell_and_accuracy(
    watched: Watched, served: tuple[SearchResult, str]
) -> None:
    result, address = served
    accuracy = float(f"{result.trials['val_accuracy'].iloc[0]:.6g}")
    page = watched.open(f"{address}/dashboard/studies/1/trials?numbers=0")
    page.locator(f"text=val_accuracy {accuracy:g}").first.wait_for()
    assert page.locator(f"text=architecture {result.trials['architecture'].iloc[0]}").count() == 1
