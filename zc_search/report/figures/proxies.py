"""What a proxy is worth: against the true accuracy, and beside the other proxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from zc_search.config import ensemble_file
from zc_search.errors import ReportError
from zc_search.evaluation import BASELINES, bootstrap_interval, kendall_tau, spearman
from zc_search.report import style
from zc_search.report.tables import Floats, Trials, as_trials

if TYPE_CHECKING:
    from zc_search.study.record import SearchResult

LEVEL = 0.9

MANY = 11
"""Columns beyond which a heat map is cramped in half a page."""


def plot_proxy_against_accuracy(
    source: SearchResult | pd.DataFrame | Trials, proxy: str
) -> go.Figure:
    """Plot a proxy against the true accuracy, with both rank correlations in the title.

    Correlations are of the values as they are: of a proxy where less is better they are negative.

    Args:
        source: A result or a table of trials.
        proxy: Its column.

    Raises:
        ReportError: No such column, no accuracies, or no architecture with both.
    """
    trials = as_trials(source)
    rows = trials.scored
    score, accuracy = trials.numbers(proxy, rows), trials.true(rows)
    both = np.isfinite(score) & np.isfinite(accuracy)
    if not both.any():
        raise ReportError(f"no feasible trial has both {proxy} and a true accuracy")
    rows, score, accuracy = rows[both], score[both], accuracy[both]
    tau, rho = _signed(kendall_tau(score, accuracy)), _signed(spearman(score, accuracy))
    hover = "%{x:.5g}, %{y:.2f} %"
    axes = {"xaxis": style.axis(score), "yaxis": style.axis(accuracy)}
    marker = {"size": 6, "color": style.BLUE, "opacity": 0.6}
    trace = style.points(
        score, accuracy, rows.index, trials.names(rows), hover, marker=marker, showlegend=False
    )
    return style.figure(
        [trace],
        title=f"{proxy}: tau {tau}, Spearman {rho}",
        alt=f"{proxy} against the true accuracy of {len(score):,} distinct functions: "
        f"Kendall's tau {tau}, Spearman {rho}.",
        caption=style.OUTSIDE,
        height=260,
        **style.xy(style.label(proxy), "accuracy (%)", **axes),
    )


def plot_kendall_tau(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Rank the proxies by Kendall's tau with the true accuracy, with bootstrap intervals.

    Parameters and FLOPs stand among them: a proxy that does not beat them is not worth its price.

    Raises:
        ReportError: No accuracies, or fewer than three architectures with one.
    """
    info = get_kendall_info(as_trials(source))
    cost = info["baseline"].to_numpy()
    parts = {
        "proxy": (info[~cost], style.BLUE, "circle"),
        "cost, the baseline": (info[cost], style.VERMILION, "square"),
    }
    predicted = ", ".join(name for name in info["proxy"] if ensemble_file(name))
    return style.figure(
        style.parted_marks(parts, "kendall_tau", "proxy"),
        title="Kendall's tau with the true accuracy",
        alt="Kendall's tau with the true accuracy: "
        + ", ".join(f"{r.proxy} {r.kendall_tau:+.2f}" for r in info[::-1].itertuples())
        + ".",
        caption=f"Over {int(info['n'].iloc[-1]):,} distinct functions of this search, which are no "
        f"random sample; bars hold {100 * LEVEL:.0f} % of bootstrap resamples. "
        + (
            f"{predicted}: predicted, maybe by a fit to these very accuracies. The "
            "others were computed without an accuracy."
            if predicted
            else "Every value was computed without an accuracy, so nothing here is in-sample."
        ),
        height=110 + 30 * len(info),
        xaxis={"title": {"text": "Kendall's tau"}, "zeroline": True},
        yaxis=style.rows(info["proxy"]),
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


def plot_rank_correlations(
    source: SearchResult | pd.DataFrame | Trials, columns: Sequence[str] | None = None
) -> go.Figure:
    """Draw a heat map of the proxies' rank correlations among themselves and with accuracy.

    Columns are ordered by average-linkage clustering on ``1 - |rho|``, so that proxies that say
    the same, in either direction, stand together.

    Args:
        source: A result or a table of trials.
        columns: What to correlate; all proxies and the accuracy unless named.

    Raises:
        ReportError: Fewer than two columns that vary over the same three architectures.
    """
    names, matrix = _get_rank_correlations(as_trials(source), columns)
    many = len(names) > MANY
    texts = [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in matrix]
    if many:
        texts = [[text.replace("0.", ".", 1) for text in row] for row in texts]
    trace = go.Heatmap(
        x=names,
        y=names,
        z=matrix,
        zmin=-1,
        zmax=1,
        colorscale=style.CORRELATION_SCALE,
        text=texts,
        texttemplate="%{text}",
        textfont={"size": 9 if many else 11},
        xgap=2,
        ygap=2,
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
        height=140 + 34 * len(names),
        min_width=180 + 30 * len(names),
        xaxis={"tickangle": -40, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False},
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
    for i, first in enumerate(names):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = spearman(values[first], values[names[j]])
    if np.isnan(matrix[np.triu_indices_from(matrix, 1)]).all():
        raise ReportError("no two columns have values for the same three architectures")
    distance = 1 - abs(np.nan_to_num(matrix))
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform(distance, checks=False), "average"))
    return tuple(names[i] for i in order), matrix[np.ix_(order, order)]


def _signed(value: float) -> str:
    return f"{value:+.2f}" if np.isfinite(value) else "undefined"
