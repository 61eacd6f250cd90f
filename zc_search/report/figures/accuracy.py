"""What proxies, the ensemble and what was trained are worth, and beside one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from zc_search._utils.text import counted
from zc_search.config import ensemble_file
from zc_search.ensemble import Ensemble
from zc_search.errors import ReportError
from zc_search.evaluation import BASELINES, bootstrap_interval, kendall_tau, spearman
from zc_search.report import style
from zc_search.report.answer import trained_confusion
from zc_search.report.run import Floats, Source, Trials, as_trials, held_out_predictions
from zc_search.spaces import compact
from zc_search.study.record import SearchResult, class_accuracies, confusion_matrix

LEVEL = 0.9

MANY = 11
"""Columns beyond which a heat map is cramped in half a page."""

_MANY_CLASSES = 20
"""Classes beyond which no number fits into a square."""

_MARKS = {"cross-validated": (style.BLUE, "circle"), "not fitted to": (style.ORANGE, "diamond")}

# Proxies ------------------------------------------------------------------------------------------


def plot_proxy_against_accuracy(source: Source, proxy: str) -> go.Figure:
    """Plot a column of scores against the true accuracy, with both rank correlations in the title.

    Correlations are of the values as they are: of a proxy where less is better they are negative.
    """
    trials = as_trials(source)
    rows = trials.scored
    score, accuracy = trials.numbers(proxy, rows), trials.true(rows)
    both = np.isfinite(score) & np.isfinite(accuracy)
    if not both.any():
        raise ReportError(f"no feasible trial has both {proxy} and a true accuracy")
    rows, score, accuracy = rows[both], score[both], accuracy[both]
    tau, rho = (
        f"{value:+.2f}" if np.isfinite(value) else "undefined"
        for value in (kendall_tau(score, accuracy), spearman(score, accuracy))
    )
    look = {"marker": {"size": 6, "color": style.BLUE, "opacity": 0.6}, "showlegend": False}
    names, hover = trials.names(rows), "%{x:.5g}, %{y:.2f} %"
    axes = {"xaxis": style.axis(score), "yaxis": style.axis(accuracy)}
    return style.figure(
        [style.points(score, accuracy, rows.index, names, hover, **look)],
        title=f"{proxy}: tau {tau}, Spearman {rho}",
        alt=f"{proxy} against the true accuracy of {len(score):,} distinct functions: "
        f"Kendall's tau {tau}, Spearman {rho}.",
        caption=style.OUTSIDE,
        height=260,
        **style.xy(style.label(proxy), "accuracy (%)", **axes),
    )


def plot_kendall_tau(source: Source) -> go.Figure:
    """Rank the proxies by Kendall's tau with the true accuracy, with bootstrap intervals.

    Parameters and FLOPs stand among them: a proxy that does not beat them is not worth its price.
    """
    info = get_kendall_info(as_trials(source))
    cost = info["baseline"].to_numpy()
    parts = {
        "proxy": (info[~cost], style.BLUE, "circle"),
        "cost, the baseline": (info[cost], style.VERMILION, "square"),
    }
    listed = ", ".join(f"{r.proxy} {r.kendall_tau:+.2f}" for r in info[::-1].itertuples())
    unseen = "Every value was computed without an accuracy, so nothing here is in-sample."
    if predicted := ", ".join(name for name in info["proxy"] if ensemble_file(name)):
        unseen = (
            f"{predicted}: predicted, maybe by a fit to these very accuracies. The others were "
            "computed without an accuracy."
        )
    return style.figure(
        style.interval_marks(parts, "kendall_tau", "proxy"),
        title="Kendall's tau with the true accuracy",
        alt=f"Kendall's tau with the true accuracy: {listed}.",
        caption=f"Over {int(info['n'].iloc[-1]):,} distinct functions of this search, which are no "
        f"random sample; bars hold {100 * LEVEL:.0f} % of bootstrap resamples. {unseen}",
        height=110 + 30 * len(info),
        **style.rows("Kendall's tau", info["proxy"], zeroline=True),
    )


def get_kendall_info(trials: Trials) -> pd.DataFrame:
    """Return ``proxy, baseline, n, kendall_tau, low, high``, ascending."""
    rows, found = trials.scored, []
    accuracy = trials.true(rows)
    resamples = 300 if len(rows) <= 2000 else 100  # beyond, each one is ranked anew
    for proxy in trials.proxies:
        score = trials.numbers(proxy, rows)
        tau = kendall_tau(score, accuracy)
        if np.isfinite(tau):
            interval = bootstrap_interval(kendall_tau, score, accuracy, n=resamples, level=LEVEL)
            pairs = int((np.isfinite(score) & np.isfinite(accuracy)).sum())
            found.append((proxy, proxy in BASELINES, pairs, tau, *interval))
    if not found:
        raise ReportError("no proxy has three architectures with a true accuracy to rank")
    columns = ["proxy", "baseline", "n", "kendall_tau", "low", "high"]
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values("kendall_tau", kind="stable", ignore_index=True)


def plot_rank_correlations(source: Source, columns: Sequence[str] | None = None) -> go.Figure:
    """Draw a heat map of Spearman's rank correlations of proxies, with one another and accuracy.

    Columns are ordered by average-linkage clustering on ``1 - |rho|``, so that proxies that say
    the same, in either direction, stand together. All proxies are shown unless some are named.
    """
    names, matrix = _get_rank_correlations(as_trials(source), columns)
    many = len(names) > MANY
    texts = [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in matrix]
    texts = [[text.replace("0.", ".", 1) for text in row] for row in texts] if many else texts
    trace = style.heatmap(
        names,
        matrix,
        texts,
        style.CORRELATION_SCALE,
        zmin=-1,
        zmax=1,
        textfont={"size": 9 if many else 11},
        colorbar=style.colorbar("Spearman"),
        hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
    )
    upper = np.where(np.triu(np.ones(matrix.shape), 1) > 0, matrix, np.nan)
    first, second = np.unravel_index(np.nanargmax(abs(upper)), upper.shape)
    return style.figure(
        [trace],
        title="Which proxies say the same",
        alt=f"Heat map of Spearman correlations of {', '.join(names)}. The closest pair is "
        f"{names[first]} and {names[second]}, {matrix[first, second]:+.2f}.",
        caption="Spearman's rank correlation over distinct functions. Columns are clustered: "
        "neighbours say the same and add little to each other in an ensemble.",
        min_width=180 + 30 * len(names),
        **style.square(names, 34, 140),
    )


def _get_rank_correlations(
    trials: Trials, columns: Sequence[str] | None
) -> tuple[tuple[str, ...], Floats]:
    """Return names in clustered order, and Spearman's rho of every two, NaN if undefined."""
    rows = trials.scored
    if columns is None:
        columns = [*trials.proxies, *([trials.metric] if trials.metric else [])]
    values = {name: trials.numbers(name, rows) for name in dict.fromkeys(columns)}
    names = [name for name, v in values.items() if np.unique(v[np.isfinite(v)]).size > 1]
    if len(names) < 2 or len(rows) < 3:
        raise ReportError("rank correlations need two columns that vary, over three architectures")
    matrix = np.eye(len(names))
    for i, j in zip(*np.tril_indices(len(names), -1), strict=True):
        matrix[i, j] = matrix[j, i] = spearman(values[names[i]], values[names[j]])
    if np.isnan(matrix[np.triu_indices_from(matrix, 1)]).all():
        raise ReportError("no two columns have values for the same three architectures")
    distance = 1 - abs(np.nan_to_num(matrix))
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform(distance, checks=False), "average"))
    return tuple(names[i] for i in order), matrix[np.ix_(order, order)]


# The ensemble -------------------------------------------------------------------------------------


def plot_weights(source: SearchResult | Ensemble | pd.DataFrame) -> go.Figure:
    """Plot the weights of an ensemble, or its `weights`, with 90% intervals, the heaviest on top.

    Of a model without weights, permutation importances with a standard deviation are shown.
    """
    ensemble = source.ensemble if isinstance(source, SearchResult) else source
    info = _get_weights(ensemble)
    linear = "weight" in info
    value = "weight" if linear else "importance"
    certain = (info["low"] > 0) | (info["high"] < 0)
    parts = {
        "sign is settled": (info[certain], style.BLUE, "circle"),
        "interval includes 0": (info[~certain], style.GREY, "circle-open"),
    }
    caption = "What shuffling a feature costs in Kendall's tau; bars are a standard deviation."
    if linear:
        caption = (
            f"In {getattr(ensemble, 'unit', 'for a standard deviation')}. Bars are 90 % intervals; "
            "proxies that say the same share their weight, so that only its sum is settled."
        )
    shown = style.axis(np.concatenate([info[value], info["low"], info["high"]])).get("range")
    if shown is not None:
        # What is settled is never cut off; collinear proxies can have intervals beyond all bounds.
        pad = 0.06 * (shown[1] - shown[0])
        shown = [
            min([shown[0], *(info["low"][certain] - pad)]),
            max([shown[1], *(info["high"][certain] + pad)]),
        ]
        beyond = info[(info["low"] < shown[0]) | (info["high"] > shown[1])]["feature"]
        if len(beyond):
            caption += f" {', '.join(beyond)} reach beyond the axis; double-click shows all."
    listed = ", ".join(f"{r.feature} {getattr(r, value):+.3g}" for r in info[::-1].itertuples())
    return style.figure(
        style.interval_marks(parts, value, "feature"),
        title="Weights" if linear else "Importance of the features",
        alt=f"{value.capitalize()}s of the ensemble: {listed}.",
        caption=caption,
        height=120 + 30 * len(info),
        **style.rows(value, info["feature"], zeroline=True, range=shown),
    )


def _get_weights(source: Ensemble | pd.DataFrame | None) -> pd.DataFrame:
    """Return the weights with ``low`` and ``high``, the heaviest last."""
    if source is None:
        raise ReportError("there is no ensemble, so there are no weights")
    table = source.weights if isinstance(source, Ensemble) else source
    if "importance" in table:
        spread = table["standard_deviation"]
        table = table.assign(low=table["importance"] - spread, high=table["importance"] + spread)
    heaviest = table["weight" if "weight" in table else "importance"].abs()
    return table.loc[heaviest.sort_values(kind="stable").index].reset_index(drop=True)


def plot_predicted_against_true(source: SearchResult | pd.DataFrame | None) -> go.Figure:
    """Plot predicted against true accuracy of architectures that no fit had seen.

    Of a result, or a table with ``predicted``, ``true`` and ``how``; None where nothing was held
    out.
    """
    table = _get_held_out(source)
    both = np.concatenate([table["true"], table["predicted"]])
    ends = [float(both.min()), float(both.max())]
    look = {"color": style.GREY, "dash": "dot", "width": 1.5}
    diagonal = style.steps("predicted = true", ends, ends, look)
    judged = "; ".join(
        f"{how}: {counted(len(rows), 'architecture')}, Kendall's tau "
        f"{kendall_tau(rows['predicted'], rows['true']):+.2f}, Spearman "
        f"{spearman(rows['predicted'], rows['true']):+.2f}, mean absolute error "
        f"{(rows['predicted'] - rows['true']).abs().mean():.2f} points"
        for how, rows in table.groupby("how", sort=False)
    )
    return style.figure(
        [diagonal, *_points(table, "true", table["predicted"], "predicted %{y:.2f}")],
        title="Predicted against true, held out",
        alt=f"Predicted against true accuracy; {judged}.",
        caption="No point was predicted by a fit that had seen it. "
        f"{judged[:1].upper()}{judged[1:]}."
        " Within each fold's own fit the ranking can be a little better than over all points.",
        height=440,
        **style.xy("true accuracy (%)", "predicted accuracy (%)"),
    )


def plot_residuals(source: SearchResult | pd.DataFrame | None) -> go.Figure:
    """Plot true minus predicted accuracy of what `plot_predicted_against_true` shows."""
    table = _get_held_out(source)
    residuals = table["true"] - table["predicted"]
    low, middle, high = np.quantile(residuals, [0.05, 0.5, 0.95])
    return style.figure(
        _points(table, "predicted", residuals, "off by %{y:+.2f}"),
        title="Residuals, held out",
        alt=f"Residuals against predictions of {len(table)} held-out architectures: median "
        f"{middle:+.2f} percentage points, 90 % between {low:+.2f} and {high:+.2f}.",
        caption="True minus predicted accuracy, in percentage points. A bend or a funnel says "
        f"that a straight line is the wrong shape. Median {middle:+.2f}; 90 % lie between "
        f"{low:+.2f} and {high:+.2f}.",
        height=440,
        **style.xy("predicted accuracy (%)", "true minus predicted", yaxis={"zeroline": True}),
    )


def _points(table: pd.DataFrame, x: str, y: pd.Series, hovered: str) -> list[go.Scatter]:
    traces = []
    for how, rows in table.groupby("how", sort=False):
        color, symbol = _MARKS.get(str(how), (style.GREEN, "square"))
        marker = {"size": 7, "color": color, "symbol": symbol, "opacity": 0.7}
        names = [compact(str(c)) for c in rows.get("architecture", [""] * len(rows))]
        own, hover = y[rows.index], f"{hovered} %"
        traces.append(style.points(rows[x], own, rows.index, names, hover, name=how, marker=marker))
    return traces


def _get_held_out(source: SearchResult | pd.DataFrame | None) -> pd.DataFrame:
    """Return ``true``, ``predicted`` and ``how`` of at least one row, both finite."""
    if source is None:
        raise ReportError("no architecture was held out to judge predictions by")
    if isinstance(source, pd.DataFrame):
        if missing := {"predicted", "true"} - set(source.columns):
            raise ReportError(f"the table has no column {min(missing)!r}")
        table = source.assign(how=source.get("how", "as given"))
    else:
        table = held_out_predictions(source)
    table = table[np.isfinite(table["predicted"]) & np.isfinite(table["true"])]
    if table.empty:
        raise ReportError("no held-out architecture has both a prediction and a true accuracy")
    return pd.DataFrame(table)


def plot_learning_curve(curve: pd.DataFrame) -> go.Figure:
    """Plot `zc_search.ensemble.learning_curve`: Kendall's tau on what no fit has seen."""
    info = _get_learning_curve(curve)
    traces = []
    for place, (name, part) in enumerate(info.groupby("name", sort=False)):
        fitted = not part["baseline"].any()
        spread = {"type": "data", "array": part["spread"], "thickness": 1.5, "width": 4}
        traces.append(
            go.Scatter(
                x=part["size"],
                y=part["mean"],
                error_y=spread if fitted else None,
                mode="lines+markers" if fitted else "lines",
                name=str(name),
                line={**style.line(place), "width": 2.5 if fitted else 1.8},
                marker={"size": 8},
                hovertemplate="%{x} accuracies: %{y:.3f}<extra></extra>",
            )
        )
    most = info["size"].max()
    last = info[info["size"] == most].itertuples(index=False)
    return style.figure(
        traces,
        title="What more accuracies would buy",
        alt=f"Kendall's tau on unseen architectures after {most} accuracies: "
        + ", ".join(f"{r.name} {r.mean:.2f}" for r in last)
        + ".",
        caption="Kendall's tau on architectures that no fit has seen, mean over draws; bars are a "
        "standard deviation over the draws. What is beside the ensemble needs few accuracies or "
        "none.",
        **style.xy("accuracies seen", "Kendall's tau, held out"),
    )


def _get_learning_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Return ``name, size, mean, spread, baseline``, the ensembles first."""
    if curve.empty or not {"predictor", "size", "kendall_tau"} <= set(curve.columns):
        raise ReportError("a learning curve is the table of zc_search.ensemble.learning_curve")
    names = curve["predictor"].astype(str)
    for column in ("model", "feature_set"):
        if column in curve and curve[column].nunique() > 1:
            names = names + curve[column].map(lambda v: "" if pd.isna(v) else f", {v}")
    named = curve.assign(name=names, baseline=curve["predictor"] != "ensemble")
    named = named.sort_values("baseline", kind="stable")
    grouped = named.groupby(["name", "size", "baseline"], sort=False)["kendall_tau"]
    return grouped.agg(mean="mean", spread="std").fillna({"spread": 0}).reset_index()


# Classes -----------------------------------------------------------------------------------------


def plot_confusion(result: SearchResult, split: str = "validation") -> go.Figure:
    """Draw a heat map of the images of each class by what the best trained takes them for.

    ``split`` is ``validation`` or ``test``. Colours are shares of a class, numbers are images,
    summed over the trainings of that architecture.
    """
    table = trained_confusion(result)
    table = table[table["split"] == split] if len(table) else table
    if not len(table):
        raise ReportError(f"nothing was trained and judged by {split} images")
    names, matrix = confusion_matrix(table)
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    worst, trainings = class_accuracies(table), table["seed"].nunique()
    many, side = len(names) > _MANY_CLASSES, max(14, 34 - len(names) // 2)
    texts = [[str(count or "") for count in row] for row in matrix]
    trace = style.heatmap(
        names,
        shares,
        texts,
        style.CORRELATION_SCALE[2:],
        zmin=0,
        zmax=100,
        colorbar=style.colorbar("% of the class"),
        hovertemplate="%{y} taken for %{x}: %{z:.1f} %, %{text} images<extra></extra>",
        **({"texttemplate": None, "xgap": 0, "ygap": 0} if many else {}),
    )
    first, trained = worst.iloc[0], compact(table["architecture"].iloc[0])
    summed = f", summed over {trainings} trainings" if trainings > 1 else ""
    return style.figure(
        [trace],
        title="Which class is taken for which",
        alt=f"Heat map of {counted(int(matrix.sum()), f'{split} image')} by true and predicted "
        f"class. The worst class is {worst.index[0]}, {first['accuracy']:.1f} % of it recognised.",
        caption=f"{split.capitalize()} images of {trained}{summed}: rows are true "
        "classes, columns what they are taken for; off the diagonal are the mistakes.",
        min_width=200 + side * len(names),
        **style.square(
            names,
            side,
            150,
            xaxis={"type": "category", "title": "taken for"},
            yaxis={"type": "category"},
        ),
    )
