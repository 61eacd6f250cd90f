"""The page of a comparison of search algorithms: what they find, when, and for what price."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zc_search._utils.text import counted
from zc_search.compare.outcomes import Outcomes
from zc_search.compare.run import SPACE, ZERO_COST, algorithms_of, table_of
from zc_search.compare.settings import Comparison
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.page import Drawing, panel, render
from zc_search.samplers import FLOW_AGGREGATE, gather

CLOCKS = {
    "accuracies": "accuracies looked at",
    "simulated_seconds": "simulated seconds of training",
}

_DASHES = ("solid", "dash", "dot")
_POINTS = 50  # beyond, a point a seed would hide the box


def search_drawings(outcomes: Outcomes) -> list[Drawing]:
    """Return the figures of a comparison of algorithms, those of one data set together."""
    drawings = []
    for dataset in dict.fromkeys(outcomes.summary["dataset"]):
        slug = str(dataset).lower()
        progress = {
            said: partial(plot_trajectories, outcomes.trajectories, dataset, clock)
            for clock, said in CLOCKS.items()
        }
        ends = partial(plot_ends, outcomes.looks, dataset)
        ranks = partial(plot_ranks, outcomes.ranks, dataset)
        tests = partial(plot_tests, outcomes.tests, dataset)
        drawings += [
            Drawing(f"progress-{slug}", f"Best so far, {dataset}", progress),
            Drawing(f"ends-{slug}", f"Found at the end, {dataset}", {"": ends}, "half"),
            Drawing(f"ranks-{slug}", f"Mean rank, {dataset}", {"": ranks}, "half"),
            Drawing(f"tests-{slug}", f"Pairs of algorithms, {dataset}", {"": tests}),
        ]
    return drawings


def plot_trajectories(trajectories: pd.DataFrame, dataset: str, clock: str) -> go.Figure:
    """Plot the best so far against a clock: median over the seeds, and their middle half."""
    own = _of(trajectories, dataset)
    lines = {name: _line(place) for place, name in enumerate(dict.fromkeys(own["algorithm"]))}
    own = own[own["clock"] == clock]
    if own.empty:
        raise ReportError("no search looked at an accuracy in time")
    # One whose first accuracy came when the axis had ended has no line.
    by_name = {name: rows for name in lines if len(rows := own[own["algorithm"] == name])}
    ends = [f"{name} {rows['median'].iloc[-1]:.2f}" for name, rows in by_name.items()]
    floor = [float(np.quantile(rows["low"], 0.1)) for rows in by_name.values()]
    top = float(own["high"].max())
    bottom = max(float(np.median(floor)), top - 20.0)
    pad = 0.04 * (top - bottom) or 0.5
    return style.figure(
        [trace for name, rows in by_name.items() for trace in _band(name, rows, lines[name])],
        title=f"Best so far, {dataset}",
        alt=f"Median validation accuracy of the best so far at the end, {dataset}: "
        f"{'; '.join(ends)}.",
        caption="Median over the seeds; the band holds their middle half. A name in the legend "
        "switches its line off, a double click all others.",
        height=520,
        # Ticks at 1, 2 and 5.
        xaxis={"title": {"text": CLOCKS[clock].capitalize()}, "type": "log", "dtick": "D2"},
        yaxis={"title": {"text": style.label("val_accuracy")}, "range": [bottom, top + pad]},
        legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"},
        hovermode="x unified",
    )


def _band(name: str, rows: pd.DataFrame, line: dict[str, str]) -> list[go.Scatter]:
    red, green, blue = (int(line["color"][at : at + 2], 16) for at in (1, 3, 5))
    common = {"x": rows["at"], "legendgroup": name, "mode": "lines", "line_shape": "hv"}
    edge = {**common, "line_width": 0, "hoverinfo": "skip", "showlegend": False}
    fill = {"fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},0.07)"}
    hover = "%{y:.2f}<extra>" + name + "</extra>"
    median = {"name": name, "line": line, "line_width": 2.2, "hovertemplate": hover}
    return [
        go.Scatter(y=rows["low"], **edge),
        go.Scatter(y=rows["high"], **fill, **edge),
        go.Scatter(y=rows["median"], **median, **common),
    ]


def plot_ends(looks: pd.DataFrame, dataset: str) -> go.Figure:
    """Plot what each algorithm found at the end: a box over the seeds."""
    own = _of(looks, dataset)
    names = list(dict.fromkeys(own["algorithm"]))
    ends = own.drop_duplicates(["algorithm", "seed"], keep="last")
    found = {name: ends["best"][ends["algorithm"] == name] for name in names}
    all_points = max(map(len, found.values())) <= _POINTS
    points = "One point a seed" if all_points else "Points are seeds far from the rest"
    traces = [
        go.Box(
            x=found[name],
            y=[name] * len(found[name]),
            name=name,
            orientation="h",
            boxpoints="all" if all_points else "outliers",
            jitter=0.6,
            pointpos=0,
            marker={"color": _line(names.index(name))["color"], "size": 4, "opacity": 0.6},
            line_width=1.3,
            showlegend=False,
        )
        for name in reversed(found)
    ]
    said = [f"{name} {values.median():.2f}" for name, values in found.items()]
    low = float(min(values.quantile(0.05) for values in found.values()))
    high = float(ends["best"].max())
    pad = 0.05 * (high - low) or 0.5
    return style.figure(
        traces,
        title=f"Found at the end, {dataset}",
        alt=f"Median over the seeds of the best found, {dataset}: {'; '.join(said)}.",
        caption=f"{points}. {style.OUTSIDE}",
        height=110 + 34 * len(found),
        xaxis={"title": {"text": style.label("val_accuracy")}, "range": [low - pad, high + pad]},
        yaxis={"ticksuffix": " "},
    )


def plot_ranks(ranks: pd.DataFrame, dataset: str) -> go.Figure:
    """Plot the mean rank of each algorithm with its interval, the best at the top."""
    own = _of(ranks, dataset).sort_values("rank")
    said = [f"{name} {rank:.1f}" for name, rank in zip(own["algorithm"], own["rank"], strict=True)]
    bars = "one seed gives no interval" if own["high"].isna().any() else "bars are 95 % intervals"
    return style.figure(
        style.interval_marks({"mean rank": (own, style.BLUE, "circle")}, "rank", "algorithm"),
        title=f"Mean rank, {dataset}",
        alt=f"Mean rank over the seeds, {dataset}: {'; '.join(said)}.",
        caption=f"In each seed the best is 1, and equals share a rank; {bars}.",
        height=110 + 34 * len(own),
        **style.rows("Mean rank (1 is best)", own["algorithm"][::-1]),
    )


def plot_tests(tests: pd.DataFrame, dataset: str) -> go.Figure:
    """Plot which algorithm is better than which, where that is more than luck."""
    own = _of(tests, dataset)
    names = list(dict.fromkeys((*own["first"], *own["second"])))
    winner = np.where(own["p_holm"] < _SIGNIFICANT, np.sign(own["wins"] - own["losses"]), 0)
    pairs = own.assign(sign=winner)
    mirrored = own.assign(sign=-winner).rename(columns={"first": "second", "second": "first"})
    both = pd.concat([pairs, mirrored])
    sign, p = (
        both.pivot(index="first", columns="second", values=key).loc[names, names]
        for key in ("sign", "p_holm")
    )
    scale = [[0, style.ORANGE], [0.5, "rgba(138,146,156,0.15)"], [1, style.SKY]]
    hover = "%{y} against %{x}: p %{text}<extra></extra>"
    shown = {"zmin": -1, "zmax": 1, "showscale": False, "hovertemplate": hover}
    trace = style.heatmap(names, sign, p.map(_p_value), scale, **shown)
    said = [f"{name} better than {count}" for name, count in (sign > 0).sum(axis=1).items()]
    return style.figure(
        [trace],
        title=f"Pairs of algorithms, {dataset}",
        alt=f"Significantly better than how many others, {dataset}: {'; '.join(said)}.",
        caption="p of Wilcoxon's signed-rank test of what was found at the end, seed by seed, "
        "after Holm's correction. Blue: the algorithm of the row is better than that of the "
        f"column (p < {_SIGNIFICANT}); orange: worse.",
        min_width=90 + 70 * len(names),
        **style.square(names, 30, 190, yaxis={"ticksuffix": " "}),
    )


def _of(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    own = table[table["dataset"] == dataset] if len(table) else table
    if own.empty:
        raise ReportError(f"there is nothing to compare on {dataset}")
    return own


def _line(place: int) -> dict[str, str]:
    turn, colour = divmod(place, len(style.PALETTE))
    return {"color": style.PALETTE[colour], "dash": _DASHES[turn % len(_DASHES)]}


def _p_value(p: float) -> str:
    if np.isnan(p):
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


_SIGNIFICANT = 0.05
_RULES = (
    "An accuracy costs the training of one run over 200 epochs, in the seconds that the benchmark "
    "measured; a cell looked at again costs nothing.",
    "Published results of NAS-Bench-201 at 12,000 s (CIFAR-10: random search 90.93 with a standard "
    "deviation of 0.36, regularized evolution 91.19 with 0.31) are of searches that trained for 12 "
    "epochs and were guided by the accuracy after those, which the packaged table does not have. "
    "12,000 s of such trainings are as many trainings as 200,000 s of 200 epochs.",
    "Two cells that compute the same function count as one: no search looks at both, where it is "
    "not set to distinct = false.",
    "What predictors see of a cell's flow, width and noise of their models, and how far they trust "
    "them, were chosen on these tables, mostly on CIFAR-10: on another benchmark they may do less "
    "well.",
)


def render_searches(outcomes: Outcomes, comparison: Comparison) -> str:
    """Return the page of a comparison, which loads nothing from anywhere."""
    panels: dict[str, list[Any]] = {}
    for drawing in search_drawings(outcomes):
        panels.setdefault(drawing.id.partition("-")[2], []).append(panel(drawing))
    datasets = [str(dataset) for dataset in dict.fromkeys(outcomes.summary["dataset"])]
    return render(
        "searches.html.j2",
        title=comparison.compare.name,
        data={"name": "searches"},
        sections=[
            {
                "dataset": dataset,
                "id": dataset.lower(),
                "answer": answer(outcomes.summary, dataset),
                "table": shown_summary(outcomes.summary, dataset),
                "panels": panels[dataset.lower()],
            }
            for dataset in datasets
        ],
        rules=rules(comparison),
        settings={
            "Every search": {key: _written(value) for key, value in comparison.compare},
            "Algorithms": {
                label: ", ".join(f"{key} = {value}" for key, value in options.items()) or "defaults"
                for label, options in comparison.algorithms.items()
            },
        },
    )


def _written(value: object) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def answer(summary: pd.DataFrame, dataset: str) -> str:
    """Say in a sentence who found most on a data set, and how soon."""
    own = summary[summary["dataset"] == dataset].sort_values(
        ["mean", "nearly_accuracies"], ascending=[False, True]
    )
    best = own.iloc[0]
    text = f"{best['algorithm']} found {best['mean']:.2f} % on average"
    if best["accuracies"]:
        text += f" with {best['accuracies']:.0f} accuracies"
    text += (
        f", and the optimum in {round(best['optimum'] * best['seeds'])} of {best['seeds']} seeds"
    )
    if not pd.isna(best["nearly_accuracies"]):
        text += f"; half of them had 99.9 % of it after {best['nearly_accuracies']:.0f}"
    return text + "."


def shown_summary(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return a data set's results as a reader wants them: texts, the best mean first."""
    own = summary[summary["dataset"] == dataset].sort_values("mean", ascending=False)
    own = own.set_index("algorithm")
    shares = (100 * own[["optimum", "nearly"]]).map("{:.0f} %".format)
    middle = own[["median", "low", "high"]].itertuples(index=False)
    shown = own[["accuracies"]].map("{:.0f}".format).set_axis(["looked at"], axis=1)
    shown["mean"] = _with_deviations(own["mean"], own["sd"])
    shown["median [middle half]"] = [f"{m:.2f} [{low:.2f}, {high:.2f}]" for m, low, high in middle]
    if "test_mean" in own:
        shown["test"] = _with_deviations(own["test_mean"], own["test_sd"])
    shown[["optimum", "99.9 % of it"]] = shares
    shown["after accuracies"] = own["nearly_accuracies"].map("{:,.0f}".format)
    shown["after seconds"] = own["nearly_seconds"].map("{:,.0f}".format)
    for column in own.columns[own.columns.str.startswith("at ")]:
        shown[column] = own[column].map("{:.2f}".format)
    return shown.replace("nan", "\N{EN DASH}")


def _with_deviations(means: pd.Series, deviations: pd.Series) -> list[str]:
    """Return texts; of one search there is no deviation."""
    return [
        f"{mean:.2f}" + ("" if pd.isna(sd) else f" \N{PLUS-MINUS SIGN} {sd:.2f}")
        for mean, sd in zip(means, deviations, strict=True)
    ]


def few_seeds(seeds: int) -> list[str]:
    """Say it where no difference between algorithms can be significant, whatever they find."""
    least = min(1.0, 2.0 ** (1 - seeds))  # p of Wilcoxon's test if all seeds agree
    if least <= _SIGNIFICANT:
        return []
    return [
        f"{counted(seeds, 'seed')} cannot show a difference: if all agree, Wilcoxon's test has "
        f"p = {least:.2g}. Run at least 6, and more where there are many algorithms."
    ]


def rules(comparison: Comparison) -> list[str]:
    """Return the rules of a comparison, those that matter most first."""
    race = comparison.compare
    tables = {dataset: table_of(dataset) for dataset in race.datasets}
    test = "test accuracy is that of the cell it chose, and nothing is chosen by it."
    if all(table.test is None for table in tables.values()):
        test = "the packaged table has no test accuracies."
    seen = (
        "the accuracy of one training run of a cell, drawn at random; what it chose is reported "
        "with the mean of all runs."
        if race.one_training
        else "the mean accuracy of a cell's two or three training runs, which is less noisy than "
        "the one run that training would give it."
    )
    return [
        *few_seeds(race.seeds),
        f"A search sees validation accuracies and chooses by them; {test}",
        f"A search sees {seen}",
        *_RULES,
        *(text for dataset in race.datasets for text in _knowledge(comparison, dataset)),
        *(f"{dataset}: {table.benchmark.provenance}" for dataset, table in tables.items()),
    ]


def _knowledge(comparison: Comparison, dataset: str) -> Iterator[str]:
    """Say for each algorithm that knows something beforehand what that is."""
    for algorithm in algorithms_of(comparison, dataset):
        who = f"{algorithm.label} on {dataset}"
        scores = algorithm.options.get("scores")
        if algorithm.kind == ZERO_COST:
            among = ", ".join(algorithm.options.get("aggregate") or FLOW_AGGREGATE)
            source = f"the proxies in {scores}" if scores else f"{among}, which the string says"
            yield f"{who} looks at no accuracy and chooses by {source}."
        elif algorithm.guided:
            options = algorithm.options
            wanted = {"proxies": options.get("proxies"), "among": options.get("aggregate")}
            known = gather(SPACE, scores, cell=options.get("cell", True), **wanted)
            yield f"{who} knows {known.source}, before it looks at an accuracy."
