"""The ensemble: its weights, and how well it did on architectures it had not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zc_search.errors import ReportError
from zc_search.evaluation import kendall_tau, spearman
from zc_search.report import style
from zc_search.report.predictions import CROSS_VALIDATED, NOT_FITTED_TO, held_out_predictions
from zc_search.report.tables import Floats, short

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble
    from zc_search.study.result import SearchResult

_LOOKS = {
    CROSS_VALIDATED: (style.BLUE, "circle"),
    NOT_FITTED_TO: (style.ORANGE, "diamond"),
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
    traces = [
        go.Scatter(
            x=part[value],
            y=part["feature"],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": part["high"] - part[value],
                "arrayminus": part[value] - part["low"],
                "thickness": 2,
                "width": 0,
            },
            mode="markers",
            name=name,
            marker={"size": 10, "color": color, "symbol": symbol},
            text=[f"{r.low:.3f} to {r.high:.3f}" for r in part.itertuples()],
            hovertemplate="%{y}: %{x:.3f} (%{text})<extra></extra>",
        )
        for name, color, symbol, part in (
            ("sign is settled", style.BLUE, "circle", info[certain]),
            ("interval includes 0", style.GREY, "circle-open", info[~certain]),
        )
        if len(part)
    ]
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
    return style.figure(
        traces,
        title="Weights" if linear else "Importance of the features",
        alt=f"{value.capitalize()}s of the ensemble: "
        + ", ".join(f"{r.feature} {getattr(r, value):+.3g}" for r in info[::-1].itertuples())
        + ".",
        caption=caption,
        height=120 + 30 * len(info),
        xaxis={"title": {"text": value}, "zeroline": True, "range": shown},
        yaxis={"categoryorder": "array", "categoryarray": list(info["feature"]), "ticksuffix": " "},
    )


def _get_weights(source: SearchResult | Ensemble | pd.DataFrame) -> pd.DataFrame:
    """Return the weights with ``low`` and ``high``, the heaviest last."""
    if isinstance(source, pd.DataFrame):
        table = source
    else:
        ensemble = getattr(source, "ensemble", source)
        if not hasattr(ensemble, "weights"):
            raise ReportError("there is no ensemble, so there are no weights")
        table = ensemble.weights
    if "importance" in table:
        spread = table["standard_deviation"]
        table = table.assign(low=table["importance"] - spread, high=table["importance"] + spread)
    heaviest = table["weight" if "weight" in table else "importance"].abs()
    return table.loc[heaviest.sort_values(kind="stable").index].reset_index(drop=True)


class PredictedInfo(NamedTuple):
    """Predictions of architectures that were held out, and how they rank them.

    Attributes:
        table: See `held_out_predictions`.
        quality: By ``how``: rows, Kendall's tau, Spearman, mean absolute error in percent.
    """

    table: pd.DataFrame
    quality: pd.DataFrame


def plot_predicted_against_true(source: SearchResult | pd.DataFrame) -> go.Figure:
    """Plot predicted against true accuracy of architectures that no fit had seen.

    Args:
        source: A result, or a table with ``predicted``, ``true`` and ``how`` it was held out.

    Raises:
        ReportError: Nothing was held out.
    """
    info = _get_predicted_info(source)
    table = info.table
    ends = _ends(np.concatenate([table["true"], table["predicted"]]))
    diagonal = go.Scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": style.GREY, "dash": "dot", "width": 1.5},
        name="predicted = true",
        hoverinfo="skip",
    )
    said = [
        f"{how}: {int(q.rows)} architectures, Kendall's tau {q.kendall_tau:+.2f}, Spearman "
        f"{q.spearman:+.2f}, mean absolute error {q.error:.2f} points"
        for how, q in info.quality.iterrows()
    ]
    return style.figure(
        [diagonal, *_points(table, "true", table["predicted"], "predicted %{y:.2f}")],
        title="Predicted against true, held out",
        alt=f"Predicted against true accuracy; {'; '.join(said)}.",
        caption=f"No point was predicted by a fit that had seen it. {_capital('; '.join(said))}."
        " Within each fold's own fit the ranking can be a little better than over all points.",
        height=440,
        xaxis={"title": {"text": "true accuracy (%)"}},
        yaxis={"title": {"text": "predicted accuracy (%)"}},
    )


def plot_residuals(source: SearchResult | pd.DataFrame) -> go.Figure:
    """Plot true minus predicted accuracy against the prediction, for held-out architectures.

    Args:
        source: See `plot_predicted_against_true`.

    Raises:
        ReportError: Nothing was held out.
    """
    table = _get_predicted_info(source).table
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
        xaxis={"title": {"text": "predicted accuracy (%)"}},
        yaxis={"title": {"text": "true minus predicted"}, "zeroline": True},
    )


def _points(table: pd.DataFrame, x: str, y: pd.Series, say: str) -> list[go.Scatter]:
    cells = table["architecture"] if "architecture" in table else pd.Series("", table.index)
    return [
        go.Scatter(
            x=table.loc[mask, x],
            y=y[mask],
            mode="markers",
            name=how,
            marker={
                "size": 7,
                "color": _LOOKS.get(str(how), (style.GREEN, "square"))[0],
                "symbol": _LOOKS.get(str(how), (style.GREEN, "square"))[1],
                "opacity": 0.7,
            },
            customdata=table.index.to_numpy()[mask],
            hovertext=[short(str(cell)) for cell in cells[mask]],
            hovertemplate=f"%{{hovertext}}<br>{say} %<extra></extra>",
        )
        for how in table["how"].unique()
        for mask in [(table["how"] == how).to_numpy()]
    ]


def _get_predicted_info(source: SearchResult | pd.DataFrame) -> PredictedInfo:
    if isinstance(source, pd.DataFrame):
        missing = {"predicted", "true"} - set(source.columns)
        if missing:
            raise ReportError(f"the table has no column {sorted(missing)[0]!r}")
        table = source.assign(how=source.get("how", "as given"))
    else:
        table = held_out_predictions(source)
    table = table[np.isfinite(table["predicted"]) & np.isfinite(table["true"])]
    if table.empty:
        raise ReportError("no held-out architecture has both a prediction and a true accuracy")
    quality = {
        how: {
            "rows": len(rows),
            "kendall_tau": kendall_tau(rows["predicted"], rows["true"]),
            "spearman": spearman(rows["predicted"], rows["true"]),
            "error": float((rows["predicted"] - rows["true"]).abs().mean()),
        }
        for how, rows in table.groupby("how", sort=False)
    }
    return PredictedInfo(table, pd.DataFrame.from_dict(quality, orient="index"))


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
        color = style.PALETTE[place % len(style.PALETTE)]
        dash = ("solid", "dash", "dot", "dashdot")[place % 4]
        fitted = not part["baseline"].any()
        spread = {"type": "data", "array": part["spread"], "thickness": 1.5, "width": 4}
        traces.append(
            go.Scatter(
                x=part["size"],
                y=part["mean"],
                error_y=spread if fitted else None,
                mode="lines+markers" if fitted else "lines",
                name=str(name),
                line={"color": color, "dash": dash, "width": 2.5 if fitted else 1.8},
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
        xaxis={"title": {"text": "accuracies seen"}},
        yaxis={"title": {"text": "Kendall's tau, held out"}},
    )


def _get_learning_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Return ``name, size, mean, spread, baseline``, the ensembles first."""
    missing = {"predictor", "size", "kendall_tau"} - set(curve.columns)
    if missing or curve.empty:
        raise ReportError("a learning curve is the table of zc_search.ensemble.learning_curve")
    names = curve["predictor"].astype(str)
    for column in ("model", "feature_set"):
        if column in curve and curve[column].nunique() > 1:
            names = names + curve[column].map(lambda v: "" if pd.isna(v) else f", {v}")
    named = curve.assign(name=names, baseline=curve["predictor"] != "ensemble")
    named = named.sort_values("baseline", kind="stable")
    grouped = named.groupby(["name", "size", "baseline"], sort=False)["kendall_tau"]
    return grouped.agg(mean="mean", spread="std").fillna({"spread": 0}).reset_index()


def _ends(values: Floats) -> list[float]:
    return [float(values.min()), float(values.max())]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
