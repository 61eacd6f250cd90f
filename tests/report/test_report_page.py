"""The page: whole, self-contained, safe, and honest where something is missing."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_runs import PROXIES, made_up_run

from zc_search.ensemble import fit_ensemble, learning_curve
from zc_search.errors import StudyError
from zc_search.report import render_report, style, write_report
from zc_search.report.answer import answer, difference_of_ensembles, duration
from zc_search.report.figures.search import plot_progress
from zc_search.report.page import embed, figure_json, page_data
from zc_search.report.run import as_trials, plain
from zc_search.study.record import SearchResult

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, scripts, and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._inside != "style":
            self.text += data

    def data(self) -> dict[str, object]:
        found = [text for attrs, text in self.scripts if attrs.get("id") == "zc-data"]
        assert len(found) == 1
        parsed: dict[str, object] = json.loads(found[0])
        return parsed

    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.elements if "id" in attrs]


def page(result: SearchResult) -> Page:
    return Page(render_report(result))


@pytest.fixture(scope="module")
def plain_page() -> Page:
    return page(made_up_run())


# What is in it ------------------------------------------------------------------------------------


def test_it_stands_alone(plain_page: Page) -> None:
    shown = plain_page
    for tag, attrs in shown.elements:
        for name in ("src", "href", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, attrs)
    policy = [a["content"] for t, a in shown.elements if "http-equiv" in a]
    assert len(policy) == 1
    assert "default-src 'none'" in str(policy[0])
    plotly = [text for _, text in shown.scripts if "plotly.js v" in text]
    assert len(plotly) == 1


def test_it_can_be_read_without_seeing_it(plain_page: Page) -> None:
    shown = plain_page
    levels = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    canvases = [attrs for _, attrs in shown.elements if attrs.get("class") == "canvas"]
    assert len(canvases) > 15
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in canvases)
    assert len(shown.ids()) == len(set(shown.ids()))
    buttons = [attrs for tag, attrs in shown.elements if tag == "button"]
    assert all(attrs.get("type") == "button" for attrs in buttons)


def test_the_answer_comes_first_and_says_what_it_rests_on(plain_page: Page) -> None:
    result = made_up_run()
    assert result.best is not None
    text = plain_page.text
    assert text.index("Best architecture by prediction") < text.index("Pareto front")
    assert f"The ensemble predicts {result.best.predicted:.2f} %" in text
    assert "place 181 of 15,625, in the best 1.2 %" in text
    assert "True accuracies: Made up, with 1 seed." in text
    assert "In-sample: this architecture is among the" in text
    assert "Fitted without it, in cross-validation, the prediction was" in text


def test_an_architecture_that_is_not_drawn_is_named_all_the_same(plain_page: Page) -> None:
    result = made_up_run()
    assert result.best is not None
    sizes = replace(result, best=replace(result.best, architecture="24:32:48:64:64"))
    for shown, found in ((result, plain_page), (sizes, page(sizes))):
        assert shown.best is not None
        text = found.text.partition("Pareto front")[0]
        assert text.count(shown.best.architecture) == 1


def test_a_ranking_that_was_trained_is_not_called_unchecked(tmp_path: Path) -> None:
    run = made_up_run(benchmark=False, folder=tmp_path)
    first = run.trials[run.trials["feasible"]].head(1)
    run = replace(run, ranking=first.assign(aggregate=1.0))
    assert "has not been checked" in answer(run, None).summary
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "notes.json").write_text("{}")
    assert "The notes say what the first few reached in training" in answer(run, None).summary
    assert "has not been checked" not in answer(run, None).summary


def test_whether_a_prediction_was_held_out_is_said_with_and_without_its_ensemble() -> None:
    result = made_up_run()
    assert result.best is not None
    unseen = replace(result, best=replace(result.best, in_sample=False))
    for run in (unseen, replace(unseen, ensemble=None)):
        (first, *_) = answer(run, None).caveats
        assert "its prediction is held out" in first
    # A model of the user's own leaves no ensemble.toml, and its run is loaded without one.
    (first, *_) = answer(replace(result, ensemble=None), None).caveats
    assert first.startswith("In-sample: this architecture is among those")


def test_both_ensembles_are_shown_with_what_sets_them_apart() -> None:
    result = made_up_run()
    trials = result.trials.assign(pareto=result.trials["feasible"])
    front = fit_ensemble(trials, PROXIES, fit_on="pareto", repeats=1, n_bootstrap=5)
    both = replace(result, pareto_ensemble=front)
    shown = page(both)
    difference = difference_of_ensembles(both)
    assert difference is not None
    assert f"fitted to the {front.rows} Pareto trials alone" in difference
    assert difference in shown.text
    assert "How well the ensemble of the front ranks, held out" in shown.text
    assert "front-weights" in shown.ids()
    assert difference_of_ensembles(result) is None


def test_a_better_one_among_those_looked_at_is_not_hidden() -> None:
    result = made_up_run()
    assert result.best is not None
    lesser = replace(result, best=replace(result.best, true=80.0))
    top = result.trials.loc[result.trials["feasible"], "val_accuracy"].max()
    expected = f"the feasible ones looked at is {top:.2f} %, {top - 80:.2f} points above"
    assert any(expected in text for text in answer(lesser, None).caveats)


def test_figures_stand_in_the_sections_of_their_subject(plain_page: Page) -> None:
    order = ["answer", "front", "pareto", "parallel", "proxies", "tau", "correlations", "proxy-0"]
    order += ["ensemble", "weights", "predicted", "residuals", "search", "progress"]
    order += ["hypervolume", "distinct", "time", "trials", "settings"]
    places = [plain_page.ids().index(name) for name in order]
    assert places == sorted(places)


def test_settings_and_versions_are_folded_away(plain_page: Page) -> None:
    shown = plain_page
    assert sum(tag == "details" for tag, _ in shown.elements) == 2
    assert 'sampler = "nsgaii"' in shown.text
    assert "zc-search" in shown.text


def test_a_learning_curve_is_shown_where_there_is_one(plain_page: Page) -> None:
    result = made_up_run()
    curve = learning_curve(result.trials, PROXIES[:2], [10], n_draws=1)
    assert "learning" in Page(render_report(result, learning_curve=curve)).ids()
    assert "learning" not in plain_page.ids()


# What may be missing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ensemble": False}, "There is no ensemble, so nothing is predicted."),
        ({"benchmark": False}, "Best architecture by naswot_relu"),
        ({"feasible": False}, "None of the 60 trials was feasible."),
        ({"rows": 30, "objectives": 7, "ensemble": False}, "Sampled with 32,768 points"),
        ({"rows": 1, "objectives": 1, "ensemble": False}, "1 objective: naswot_relu"),
    ],
    ids=["no ensemble", "no benchmark", "none feasible", "seven", "one row"],
)
def test_it_copes_with_what_is_missing(options: dict[str, object], said: str) -> None:
    shown = page(made_up_run(**options))  # type: ignore[arg-type]
    assert said in shown.text
    json.dumps(shown.data(), allow_nan=False)


def test_a_run_without_trials_has_a_page_too() -> None:
    empty = replace(
        made_up_run(ensemble=False), trials=pd.DataFrame(), pareto=pd.DataFrame(), seconds={}
    )
    shown = page(empty)
    assert "None of the 0 trials was feasible." in shown.text
    assert "form" in [tag for tag, _ in shown.elements]


def test_a_user_proxy_is_a_name_like_any_other() -> None:
    names = ("jacov", "my.module:proxy", "snip")
    shown = page(made_up_run(20, 2, proxies=names, ensemble=False))
    assert "my.module:proxy: tau" in shown.text


# Safety -------------------------------------------------------------------------------------------


def attacked(text: str = ATTACK) -> SearchResult:
    result = made_up_run()
    study = result.config.study.model_copy(update={"name": text})
    trials = result.trials.copy()
    trials["reason"] = trials["reason"].fillna(text)
    trials["state"] = "<b>complete</b>"
    return replace(
        result,
        config=result.config.model_copy(update={"study": study}),
        trials=trials.rename(columns={"snip": text}),
        ensemble=None,
        notes=(text,),
    )


def test_text_from_outside_stays_text() -> None:
    honest, hostile = page(attacked("harmless")), page(attacked())
    assert len(hostile.scripts) == len(honest.scripts)
    assert "img" not in [tag for tag, _ in hostile.elements]
    assert not any("onerror" in attrs for _, attrs in hostile.elements)
    assert ATTACK in hostile.text
    assert hostile.data()["name"] == ATTACK


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_embedded_json_round_trips_and_ends_no_script(value: object) -> None:
    try:
        text = embed(value)
    except ValueError:  # an infinity, which JSON does not have
        return
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_numbers_that_json_lacks_are_named() -> None:
    assert plain(float("nan")) is None
    assert plain(pd.NA) is None
    assert plain(np.float64("inf")) == "Infinity"
    assert plain(-np.inf) == "-Infinity"
    assert plain(np.int64(3)) == 3
    assert plain(np.True_) is True


# Data ---------------------------------------------------------------------------------------------


def test_the_page_holds_every_cell_of_the_table_exactly() -> None:
    result = made_up_run()
    data = page_data(as_trials(result), "made-up")
    for column in data["columns"]:
        values = result.trials[column["name"]]
        back = pd.Series(column["values"], index=values.index)
        pd.testing.assert_series_equal(
            back.astype(object).where(back.notna(), None),
            values.astype(object).where(values.notna(), None),
            check_names=False,
            check_dtype=False,
        )


@pytest.mark.parametrize("values", [[1.5, 0.0, np.nan, np.inf], [4e41, 1 / 3], [-1e-50, 1.0]])
def test_packed_numbers_keep_every_bit(values: list[float]) -> None:
    figure = style.figure([go.Scatter(x=np.array(values))], title="", alt="", caption="")
    packed = figure_json(figure)["data"][0]["x"]
    back = np.frombuffer(base64.b64decode(packed["bdata"]), f"<{packed['dtype']}")
    np.testing.assert_array_equal(back, values)


def test_points_lead_to_their_trials() -> None:
    figure = plot_progress(made_up_run())
    spec = figure_json(figure)
    assert "hovertext" not in spec["data"][0]
    assert spec["data"][0]["customdata"]["dtype"] in ("i1", "i2", "i4")
    assert "template" not in spec["layout"]
    assert spec["layout"]["height"] < figure.layout.height


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.42, "0.4 s"), (91, "91 s"), (840, "14 min"), (36000, "10.0 h")]
)
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# Files --------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_thousand_trials_stay_under_eight_megabytes(tmp_path: Path) -> None:
    path = write_report(made_up_run(1000), tmp_path / "report.html")
    assert path.stat().st_size < 8e6


def test_it_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_report(made_up_run(1, 1, ensemble=False), str(path)) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_where_it_cannot_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"nowhere.*cannot be written"):
        write_report(made_up_run(1, 1, ensemble=False), tmp_path / "nowhere" / "r.html")
