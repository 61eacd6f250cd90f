"""The ensemble: its weights, and how well it did on architectures it had not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zc_search.errors import ReportError
from zc_search.evaluation import kendall_tau, spearman
from zc_search.report import style
from zc_search.report.predictions import held_out_predictions
from zc_search.spaces import compact

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble
    from zc_search.study.record import SearchResult

_MARKS = {
    "cross-validated": (style.BLUE, "circle"),
    "not fitted to": (style.ORANGE, "diamond"),
}


def plot_weights(source: SearchResult | Ensemble | pd.DataFrame) -> go.Figure:
    """Plot the ensemble's weights with their 90% intervals, the heaviest on top.

    Args:
        source: A result, an ensemble, or its `weights`.

    Raises:
        ReportError: There is no ensemble.
    """
    info = _get_weights(source)
    linear = "weight" in info
    value = "weight" if linear else "importance"
    certain = (info["low"] > 0) | (info["high"] < 0)
    parts = {
        "sign is settled": (info[certain], style.BLUE, "circle"),
        "interval includes 0": (info[~certain], style.GREY, "circle-open"),
    }
    traces = style.parted_marks(parts, value, "feature")
    unit = getattr(getattr(source, "ensemble", source), "unit", "for a standard deviation")
    caption = (
        f"In {unit}. Bars are 90 % intervals; proxies that say the same share their weight, so "
        "that only its sum is settled."
        if linear
        else "What shuffling a feature costs in Kendall's tau; bars are a standard deviation."
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
        traces,
        title="Weights" if linear else "Importance of the features",
        alt=f"{value.capitalize()}s of the ensemble: {listed}.",
        caption=caption,
        height=120 + 30 * len(info),
        xaxis={"title": {"text": value}, "zeroline": True, "range": shown},
        yaxis=style.rows(info["feature"]),
    )


def _get_weights(source: SearchResult | Ensemble | pd.DataFrame) -> pd.DataFrame:
    """Return the weights with ``low`` and ``high``, the heaviest last."""
    table = source if isinstance(source, pd.DataFrame) else None
    if table is None:
        table = getattr(getattr(source, "ensemble", source), "weights", None)
    if table is None:
        raise ReportError("there is no ensemble, so there are no weights")
    if "importance" in table:
        spread = table["standard_deviation"]
        table = table.assign(low=table["importance"] - spread, high=table["importance"] + spread)
    heaviest = table["weight" if "weight" in table else "importance"].abs()
    return table.loc[heaviest.sort_values(kind="stable").index].reset_index(drop=True)


def plot_predicted_against_true(source: SearchResult | pd.DataFrame | None) -> go.Figure:
    """Plot predicted against true accuracy of architectures that no fit had seen.

    Args:
        source: A result, or a table with ``predicted``, ``true`` and ``how`` it was held out;
            None where nothing was.

    Raises:
        ReportError: Nothing was held out.
    """
    table = _get_held_out(source)
    both = np.concatenate([table["true"], table["predicted"]])
    ends = [float(both.min()), float(both.max())]
    diagonal = go.Scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": style.GREY, "dash": "dot", "width": 1.5},
        name="predicted = true",
        hoverinfo="skip",
    )
    judged = "; ".join(
        f"{how}: {len(rows)} architectures, Kendall's tau "
        f"{kendall_tau(rows['predicted'], rows['true']):+.2f}, Spearman "
        f"{spearman(rows['predicted'], rows['true']):+.2f}, mean absolute error "
        f"{(rows['predicted'] - rows['true']).abs().mean():.2f} points"
        for how, rows in table.groupby("how", sort=False)
    )
    capital = judged[:1].upper() + judged[1:]
    return style.figure(
        [diagonal, *_points(table, "true", table["predicted"], "predicted %{y:.2f}")],
        title="Predicted against true, held out",
        alt=f"Predicted against true accuracy; {judged}.",
        caption=f"No point was predicted by a fit that had seen it. {capital}."
        " Within each fold's own fit the ranking can be a little better than over all points.",
        height=440,
        **style.xy("true accuracy (%)", "predicted accuracy (%)"),
    )


def plot_residuals(source: SearchResult | pd.DataFrame | None) -> go.Figure:
    """Plot true minus predicted accuracy against the prediction, for held-out architectures.

    Args:
        source: See `plot_predicted_against_true`.

    Raises:
        ReportError: Nothing was held out.
    """
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
    for how in table["how"].unique():
        mask = (table["how"] == how).to_numpy()
        rows = table[mask]
        color, symbol = _MARKS.get(str(how), (style.GREEN, "square"))
        cells = rows["architecture"] if "architecture" in rows else [""] * len(rows)
        marker = {"size": 7, "color": color, "symbol": symbol, "opacity": 0.7}
        shown = {"hover": f"{hovered} %", "name": how, "marker": marker}
        names = [compact(str(cell)) for cell in cells]
        traces.append(style.points(rows[x], y[mask], rows.index, names, **shown))
    return traces


def _get_held_out(source: SearchResult | pd.DataFrame | None) -> pd.DataFrame:
    """Return ``true``, ``predicted`` and ``how`` of at least one row, both finite."""
    if source is None:
        raise ReportError("no architecture was held out, so nothing honest can be shown")
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
    """Plot Kendall's tau on unseen architectures against the accuracies seen.

    Args:
        curve: From `zc_search.ensemble.learning_curve`.

    Raises:
        ReportError: The table is empty or has not its columns.
    """
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
    last = info[info["size"] == info["size"].max()]
    return style.figure(
        traces,
        title="What more accuracies would buy",
        alt=f"Kendall's tau on unseen architectures after {info['size'].max()} accuracies: "
        + ", ".join(f"{r.name} {r.mean:.2f}" for r in last.itertuples(index=False))
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
