"""Figures: the numbers they show, what they say of themselves, and what they refuse."""

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import PROXIES, made_up_run, trials_table
from scipy import stats

from zc_search.compare.page import plot_ends
from zc_search.ensemble import fit_ensemble, learning_curve
from zc_search.errors import ArchitectureError, ReportError
from zc_search.report import (
    held_out_predictions,
    plot_distinct,
    plot_kendall_tau,
    plot_learning_curve,
    plot_parallel_coordinates,
    plot_pareto,
    plot_predicted_against_true,
    plot_progress,
    plot_proxy_against_accuracy,
    plot_rank_correlations,
    plot_residuals,
    plot_time,
    plot_weights,
)
from zc_search.report.page import run_drawings
from zc_search.report.run import Trials, as_trials
from zc_search.report.style import accuracy_range, axis
from zc_search.spaces import Architecture
from zc_search.spaces.nasbench201.architecture import dead_edges, describe_cell, draw_cell

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"

# The cell -----------------------------------------------------------------------------------------


def test_dead_edges_are_none_and_what_leads_nowhere() -> None:
    # 1 <- 0 and 2 <- 1 are operations, but nothing leaves node 2.
    assert dead_edges(Architecture.from_string(CELL)) == (True, True, True, False, True, True)


@given(st.integers(0, 5**6 - 1))
def test_an_edge_is_dead_exactly_if_replacing_it_by_none_keeps_the_function(index: int) -> None:
    cell = Architecture.from_index(index)
    for edge, dead in enumerate(dead_edges(cell)):
        ops = list(cell.ops)
        ops[edge] = "none"
        assert (Architecture(tuple(ops)).function_key == cell.function_key) == dead


@given(st.integers(0, 5**6 - 1))
def test_a_drawing_is_svg_that_names_every_edge(index: int) -> None:
    cell = Architecture.from_index(index)
    drawing = draw_cell(cell)
    root = ElementTree.fromstring(drawing)  # noqa: S314  our own drawing
    edges = root.findall("{*}g[@class='edge']")
    assert [edge.attrib["data-op"] for edge in edges] == list(cell.ops)
    assert tuple("data-dead" in edge.attrib for edge in edges) == dead_edges(cell)
    assert root.attrib["aria-label"] == describe_cell(cell)
    assert drawing == drawing._repr_svg_() == draw_cell(str(cell))


def test_a_cell_is_described_in_words() -> None:
    said = describe_cell(CELL)
    assert "node 0 to node 1 conv 3\N{MULTIPLICATION SIGN}3, no effect" in said
    assert "node 0 to node 3 skip;" in said


def test_a_drawing_refuses_what_is_no_cell() -> None:
    with pytest.raises(ArchitectureError, match="not an architecture string: 'nonsense'"):
        draw_cell("nonsense")


# Axes and colours ---------------------------------------------------------------------------------


def test_axes_are_logarithmic_for_wide_positive_values_only() -> None:
    assert axis([1, 10, 1000]) == {"type": "log"}
    assert axis([0, 10, 1000])["type"] == "linear"
    assert axis([]) == axis([1.0]) == axis([2, 2, 2, 2]) == {"type": "linear"}


def test_a_few_outliers_are_left_outside() -> None:
    shown = axis([*np.linspace(-40, -30, 50), -1000])
    assert shown["range"][0] > -42
    assert shown["range"][1] < -28
    assert axis(np.linspace(-40, -30, 50)) == {"type": "linear"}


def test_colours_span_the_upper_nine_tenths() -> None:
    low, high = accuracy_range([10.0] * 5 + [*np.linspace(80, 90, 95)])
    assert 80 < low < 81
    assert high == 90
    assert accuracy_range([np.nan]) == (0, 100)
    assert accuracy_range([70.0, 70.0]) == (69.5, 70.5)


# Pareto -------------------------------------------------------------------------------------------


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_the_front_is_of_the_axes_shown_in_their_directions() -> None:
    table = pd.DataFrame(
        {
            "architecture": [str(Architecture.from_index(i)) for i in range(4)],
            "snip": [1.0, 2.0, 3.0, 0.5],
            "params": [1.0, 1.5, 3.0, 2.0],
            "pareto": [False, False, False, True],
            "val_accuracy": [80.0, 85.0, 90.0, 70.0],
        }
    )
    parts = traces(plot_pareto(table, "snip", "params"))
    front = parts["front of the axes shown"]
    assert list(front.x) == [1, 2, 3]
    assert list(front.customdata) == [0, 1, 2]
    assert front.line.shape == "vh"  # to be maximised along x
    assert list(front.marker.color) == [80, 85, 90]
    assert list(parts["on the study's front"].x) == [0.5]
    assert len(parts["dominated"].x) == 0
    turned = traces(plot_pareto(table, "params", "snip"))["front of the axes shown"]
    assert turned.line.shape == "hv"


def test_infeasible_trials_and_repeats_are_not_shown() -> None:
    trials = as_trials(made_up_run())
    shown = sum(len(trace.x) for trace in plot_pareto(made_up_run()).data)
    assert shown == trials.feasible["function_key"].nunique() < len(made_up_run().trials)


def test_a_third_axis_makes_it_a_space() -> None:
    figure = plot_pareto(made_up_run(), z="val_accuracy")
    assert {trace.type for trace in figure.data} == {"scatter3d"}
    assert figure.layout.scene.zaxis.title.text == "Validation accuracy (%)"


def test_default_axes_are_the_objectives_else_what_there_is() -> None:
    assert plot_pareto(made_up_run()).layout.title.text == "naswot_relu and jacov"
    priced = as_trials(
        made_up_run().trials,
        objectives={"snip": "maximize", "jacov": "maximize", "params": "minimize"},
    )
    assert plot_pareto(priced).layout.title.text == "Parameters (M) and snip"
    one = made_up_run(objectives=1)
    assert plot_pareto(one).layout.title.text == "naswot_relu and Validation accuracy (%)"
    bare = made_up_run(objectives=1, benchmark=False)
    assert plot_pareto(bare).layout.title.text == "naswot_relu and Parameters (M)"


def test_without_accuracies_colour_means_nothing_and_it_says_so() -> None:
    figure = plot_pareto(made_up_run(benchmark=False))
    assert "no accuracies to colour by" in figure.layout.meta["caption"]
    assert figure.data[0].marker.color is None


def test_a_wrong_axis_is_answered_with_the_nearest() -> None:
    with pytest.raises(ReportError, match="unknown column 'jacobi'; did you mean 'jacov'"):
        plot_pareto(made_up_run(), "jacobi")
    with pytest.raises(ReportError, match="column 'state' holds no numbers"):
        plot_pareto(made_up_run(), "state")
    with pytest.raises(ReportError, match="column 'jacov' has no finite value"):
        plot_pareto(made_up_run().trials.assign(jacov=np.nan), "jacov")
    with pytest.raises(ReportError, match="a front needs two columns"):
        plot_pareto(pd.DataFrame({"snip": [1.0]}))
    with pytest.raises(ReportError, match="SearchResult or a table of trials, got int"):
        plot_pareto(3)  # type: ignore[arg-type]


def test_parallel_coordinates_leave_out_what_is_not_finite_and_say_so() -> None:
    table = made_up_run().trials.copy()
    row = as_trials(table).distinct.index[0]
    table.loc[row, "jacov"] = np.inf
    figure = plot_parallel_coordinates(table)
    names = [dimension.label for dimension in figure.data[0].dimensions]
    assert names == [*PROXIES, "val_accuracy"]
    assert "1 without a finite value are left out" in figure.layout.meta["caption"]
    snip = next(d for d in figure.data[0].dimensions if d.label == "snip")
    values = np.asarray(as_trials(table).distinct["snip"].drop(row))
    np.testing.assert_allclose(snip["values"], np.log10(values))


def test_parallel_coordinates_need_two_columns() -> None:
    with pytest.raises(ReportError, match="parallel coordinates need two columns"):
        plot_parallel_coordinates(made_up_run(), ["snip"])


def test_an_isomorph_on_the_front_is_shown_in_place_of_an_earlier_one() -> None:
    table = pd.DataFrame(
        {
            "architecture": ["dear", "cheap", "other"],
            "function_key": ["f", "f", "g"],
            "pareto": [False, True, True],
            "params": [2.0, 1.0, 0.5],
            "snip": [3.0, 3.0, 1.0],
        }
    )
    assert as_trials(table).distinct["architecture"].tolist() == ["cheap", "other"]
    assert sorted(np.concatenate([t.x for t in plot_pareto(table, "params", "snip").data])) == [
        0.5,
        1.0,
    ]


# Proxies ------------------------------------------------------------------------------------------


def test_titles_hold_the_rank_correlations_of_distinct_functions() -> None:
    rows = as_trials(made_up_run()).distinct
    tau = stats.kendalltau(rows["jacov"], rows["val_accuracy"]).statistic
    rho = stats.spearmanr(rows["jacov"], rows["val_accuracy"]).statistic
    figure = plot_proxy_against_accuracy(made_up_run(), "jacov")
    assert figure.layout.title.text == f"jacov: tau {tau:+.2f}, Spearman {rho:+.2f}"
    assert len(figure.data[0].x) == len(rows)


def test_kendall_tau_is_ranked_with_the_costs_marked() -> None:
    parts = traces(plot_kendall_tau(made_up_run()))
    assert set(parts["cost, the baseline"].y) == {"params", "flops"}
    assert list(parts["proxy"].x) == sorted(parts["proxy"].x)
    assert (np.asarray(parts["proxy"].error_x.array) >= 0).all()


def test_no_accuracies_no_correlation() -> None:
    bare = made_up_run(benchmark=False)
    with pytest.raises(ReportError, match="no feasible trial has both jacov and a true accuracy"):
        plot_proxy_against_accuracy(bare, "jacov")
    with pytest.raises(ReportError, match="no proxy has three architectures"):
        plot_kendall_tau(bare)


def test_alike_columns_stand_together() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 50))
    noise = 0.05 * random.normal(size=(2, 50))
    table = pd.DataFrame({"a": a, "b": b, "c": -a + noise[0], "d": b + noise[1], "flat": 1.0})
    names = list(plot_rank_correlations(table).data[0].x)
    assert "flat" not in names
    assert abs(names.index("a") - names.index("c")) == 1
    assert abs(names.index("b") - names.index("d")) == 1
    matrix = plot_rank_correlations(table).data[0].z
    place = names.index("a"), names.index("c")
    assert matrix[place[0]][place[1]] == pytest.approx(
        stats.spearmanr(table["a"], table["c"]).statistic
    )
    with pytest.raises(ReportError, match="rank correlations need two columns"):
        plot_rank_correlations(table, ["a", "flat"])


def test_columns_that_share_no_three_architectures_are_refused() -> None:
    table = pd.DataFrame({"architecture": list("abc"), "p": [1, 2, None], "q": [None, 1, 2]})
    with pytest.raises(ReportError, match="no two columns have values for the same three"):
        plot_rank_correlations(table)


def test_values_that_an_ensemble_predicted_are_not_called_unseen() -> None:
    assert "nothing here is in-sample" in plot_kendall_tau(made_up_run()).layout.meta["caption"]
    table = made_up_run().trials.rename(columns={"jacov": "ensemble:e.toml"})
    caption = plot_kendall_tau(table).layout.meta["caption"]
    assert "ensemble:e.toml: predicted, maybe by a fit to these very accuracies" in caption
    assert "in-sample" not in caption


# Ensemble -----------------------------------------------------------------------------------------


def test_weights_stand_with_the_heaviest_on_top() -> None:
    assert made_up_run().ensemble is not None
    figure = plot_weights(made_up_run())
    weights = made_up_run().ensemble.weights.set_index("feature")["weight"]
    order = figure.layout.yaxis.categoryarray
    assert list(order) == list(weights.abs().sort_values().index)
    assert (
        figure.data
        == plot_weights(made_up_run().ensemble).data
        == plot_weights(made_up_run().ensemble.weights).data
    )
    assert "percent accuracy" in figure.layout.meta["caption"]


def test_weights_that_are_not_settled_at_all_do_not_hide_the_others() -> None:
    table = pd.DataFrame({"feature": list("abcdefgh"), "weight": [1.0, 2, 3, 2, 1, 2, 3, -900]})
    table = table.assign(low=table["weight"] - 1, high=table["weight"] + 1)
    table.loc[7, ["low", "high"]] = [-9000.0, 8000.0]
    figure = plot_weights(table)
    assert figure.layout.xaxis.range[0] > -10
    assert " h reach beyond the axis" in figure.layout.meta["caption"]
    assert plot_weights(table.iloc[:7]).layout.xaxis.range is None


def test_importances_are_named_as_such() -> None:
    table = pd.DataFrame(
        {"feature": ["a", "b"], "importance": [0.1, 0.3], "standard_deviation": [0.1, 0.1]}
    )
    figure = plot_weights(table)
    assert figure.layout.title.text == "Importance of the features"
    assert list(figure.layout.yaxis.categoryarray) == ["a", "b"]


def test_held_out_predictions_are_those_of_the_first_repetition() -> None:
    """The quality on record is the mean over folds of the very same predictions."""
    assert made_up_run().ensemble is not None
    table = held_out_predictions(made_up_run())
    fitted = table[table["how"] == "cross-validated"]
    assert len(fitted) == made_up_run().ensemble.rows
    # Residuals on record are quantiles of all held-out rows; extremes must agree.
    residuals = fitted["true"] - fitted["predicted"]
    assert residuals.min() == pytest.approx(made_up_run().ensemble.residuals[0])
    assert residuals.max() == pytest.approx(made_up_run().ensemble.residuals[-1])
    assert not fitted["function_key"].duplicated().any()


def test_rows_that_were_not_fitted_to_are_predicted_by_the_ensemble() -> None:
    trials = trials_table(150)
    trials["pareto"] = trials["feasible"] & (trials["number"] % 3 == 0)
    ensemble = fit_ensemble(trials, PROXIES, repeats=1, n_bootstrap=5)
    assert ensemble.fit_on == "pareto"
    table = held_out_predictions(replace(made_up_run(), trials=trials, ensemble=ensemble))
    others = table[table["how"] == "not fitted to"]
    np.testing.assert_allclose(others["predicted"], ensemble.predict(trials.loc[others.index]))
    fitted = table[table["how"] == "cross-validated"]
    assert not np.isin(others["function_key"], fitted["function_key"]).any()
    assert set(traces(plot_predicted_against_true(table))) == {
        "predicted = true",
        "cross-validated",
        "not fitted to",
    }


def test_predictions_and_residuals_of_a_table() -> None:
    table = pd.DataFrame({"true": [1.0, 2.0, 3.0], "predicted": [1.5, 2.0, 2.0]})
    points = plot_predicted_against_true(table).data[1]
    assert points.name == "as given"
    assert list(plot_residuals(table).data[0].y) == [-0.5, 0.0, 1.0]
    with pytest.raises(ReportError, match="the table has no column 'true'"):
        plot_residuals(table.drop(columns="true"))


def test_without_an_ensemble_there_is_nothing_to_show() -> None:
    bare = made_up_run(ensemble=False)
    with pytest.raises(ReportError, match="there is no ensemble"):
        plot_weights(bare)
    with pytest.raises(ReportError, match="there is no ensemble"):
        plot_predicted_against_true(bare)


def test_a_learning_curve_is_the_mean_over_draws() -> None:
    curve = learning_curve(made_up_run().trials, PROXIES, [10, 20], n_draws=2)
    figure = plot_learning_curve(curve)
    ensemble = traces(figure)["ensemble"]
    own = curve[curve["predictor"] == "ensemble"].groupby("size")["kendall_tau"].mean()
    np.testing.assert_allclose(ensemble.y, own)
    assert figure.data[0].name == "ensemble"
    assert [trace.name for trace in figure.data if trace.error_y.array is not None] == ["ensemble"]
    with pytest.raises(ReportError, match="a learning curve is the table of"):
        plot_learning_curve(curve.drop(columns="size"))


# Search -------------------------------------------------------------------------------------------


def test_progress_counts_distinct_accuracies_and_simulated_hours_once() -> None:
    table = trials_table(4)
    table = pd.concat([table, table.iloc[:1]], ignore_index=True)  # a repeated architecture
    by_accuracies = traces(plot_progress(table, "accuracies"))["each trial"]
    assert list(by_accuracies.x) == [1, 2, 3, 4, 4]
    hours = traces(plot_progress(table, "simulated_seconds"))["each trial"].x
    assert hours[-1] == hours[-2] == pytest.approx(table["train_seconds"][:4].sum() / 3600)
    seconds = traces(plot_progress(table, "seconds"))["each trial"].x
    np.testing.assert_allclose(seconds, table["duration"].cumsum())


def test_best_so_far_never_falls_and_ends_at_the_best() -> None:
    best = traces(plot_progress(made_up_run(), optimum=91.607))
    line = np.asarray(best["best so far"].y)
    assert (np.diff(line) >= 0).all()
    feasible = made_up_run().trials[made_up_run().trials["feasible"]]
    assert line[-1] == feasible["val_accuracy"].max()
    # Drawn as steps from the points that change it, it is the running maximum at every trial.
    x, running = np.asarray(best["best so far"].x), feasible["val_accuracy"].cummax()
    drawn = line[np.searchsorted(x, running.index + 1, side="right") - 1]
    np.testing.assert_array_equal(drawn, running)
    assert best["best so far"].line.shape == "hv"
    assert "best of the benchmark, 91.61" in best


def test_an_infeasible_trial_takes_time_and_is_never_the_best() -> None:
    table = trials_table(6).assign(feasible=[True, False, True, True, True, True])
    table.loc[1, "val_accuracy"] = 99.0
    parts = traces(plot_progress(table, "accuracies"))
    assert list(parts["each trial"].x) == [1, 3, 4, 5, 6]
    assert max(parts["best so far"].y) < 99
    with pytest.raises(ReportError, match="no feasible trial has a finite val_accuracy"):
        plot_progress(table.assign(feasible=False))


def test_several_workers_leave_out_the_clock_that_adds_their_waiting() -> None:
    several = run_drawings(made_up_run(20, workers=2), None)["progress"]
    assert set(several.figures()) < set(run_drawings(made_up_run(20), None)["progress"].figures())


def test_progress_of_a_search_by_an_ensemble_does_not_say_it_saw_proxies_alone() -> None:
    predicted = Trials(made_up_run().trials, {"ensemble:e.toml": "maximize"}, "val_accuracy")
    assert "it looked at proxies" in plot_progress(made_up_run()).layout.meta["caption"]
    assert "it looked at proxies" not in plot_progress(predicted).layout.meta["caption"]


def test_progress_without_accuracies_follows_the_first_objective() -> None:
    figure = plot_progress(made_up_run(benchmark=False))
    assert figure.layout.yaxis.title.text == "naswot_relu"
    assert "There are no accuracies" in figure.layout.meta["caption"]


def test_progress_refuses_what_it_cannot_follow() -> None:
    with pytest.raises(ReportError, match="unknown x axis 'second'; did you mean 'seconds'"):
        plot_progress(made_up_run(), "second")  # type: ignore[arg-type]
    with pytest.raises(ReportError, match="neither"):
        plot_progress(pd.DataFrame({"snip": [1.0]}))
    with pytest.raises(ReportError, match="unknown column 'duration'"):
        plot_progress(made_up_run().trials.drop(columns="duration"), "seconds")


def test_distinct_counts_architectures_and_functions() -> None:
    table = trials_table(30)
    parts = traces(plot_distinct(table))
    assert parts["distinct architectures"].y[-1] == 30
    assert parts["distinct functions"].y[-1] == table["function_key"].nunique()
    with pytest.raises(ReportError, match="no trial names an architecture"):
        plot_distinct(pd.DataFrame({"snip": [1.0]}))


@pytest.mark.parametrize(
    ("seeds", "said"), [(3, "One point a seed."), (60, "Points are seeds far")]
)
def test_the_points_beside_a_box_are_named_as_they_are_drawn(seeds: int, said: str) -> None:
    looks = pd.DataFrame(
        {"algorithm": "random", "dataset": "d", "seed": range(seeds), "best": range(seeds)}
    )
    assert plot_ends(looks, "d").layout.meta["caption"].startswith(said)


def test_time_adds_up() -> None:
    figure = plot_time(made_up_run())
    spent = dict(zip(figure.data[0].y, figure.data[0].x, strict=True))
    assert spent["proxies"] == pytest.approx(made_up_run().trials["seconds_proxies"].sum())
    trials = spent["proxies"] + spent["benchmark"] + spent["waiting, sampler and storage"]
    assert trials == pytest.approx(made_up_run().trials["duration"].sum())
    assert "search" not in spent
    with pytest.raises(ReportError, match="no trial has its times"):
        plot_time(replace(made_up_run(), trials=pd.DataFrame(), seconds={}))


def test_every_figure_says_in_words_what_it_shows() -> None:
    for figure in (
        plot_pareto(made_up_run()),
        plot_kendall_tau(made_up_run()),
        plot_weights(made_up_run()),
        plot_time(made_up_run()),
    ):
        assert re.search(r"\d", figure.layout.meta["alt"])
        assert figure.layout.title.text
