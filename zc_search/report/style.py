"""How figures look: colours that all readers can tell apart, labels with units, one template."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

# Okabe and Ito 2008, Color Universal Design; black and yellow left out, as one of them is
# invisible on either background.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = PALETTE
GREY = "#8a929c"

ACCURACY_SCALE = ["#482475", "#355f8d", "#21918c", "#44bf70", "#e8d52a"]
"""Viridis, cut where it would vanish on black or on white."""

CORRELATION_SCALE = ["#b35806", "#f1a340", "#f7f7f7", "#67a9cf", "#0b559f"]
"""Diverging from brown to blue, which colour-blind readers tell apart."""

BRIGHTER = {
    BLUE: "#58aee8",
    GREEN: "#2ec299",
    VERMILION: "#f0893a",
    "#482475": "#8467c4",
    "#355f8d": "#5a8fc4",
    "#21918c": "#2fa8a2",
}
"""Colours that are too dark on a dark background, and what the page draws there instead."""

OUTLINE = {"width": 0.6, "color": "rgba(110,118,129,0.75)"}

LABELS = {
    "val_accuracy": "Validation accuracy (%)",
    "test_accuracy": "Test accuracy (%)",
    "params": "Parameters (M)",
    "flops": "FLOPs (M)",
    "train_seconds": "Training time (s)",
    "latency_seconds": "Latency (s)",
    "model_size": "Model size (M)",
}

TITLE = 64
"""Height of title and legend, in pixels; the page has headings of its own."""

FONT = (
    'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, '
    '"Liberation Sans", sans-serif'
)


def _template(ink: str, muted: str, grid: str, paper: str) -> dict[str, Any]:
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zerolinecolor": grid,
        "tickcolor": grid,
        "ticks": "",
        "tickfont": {"color": muted, "size": 12},
        "title": {"font": {"color": muted, "size": 13}, "standoff": 8},
        "automargin": True,
        "zeroline": False,
    }
    space = {**axis, "backgroundcolor": "rgba(0,0,0,0)", "showbackground": False}
    del space["automargin"], space["ticks"]
    space["title"] = {"font": {"color": muted, "size": 12}}
    return {
        "layout": {
            "font": {"family": FONT, "color": ink, "size": 13},
            "paper_bgcolor": paper,
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(PALETTE),
            "margin": {"l": 8, "r": 12, "t": 16, "b": 8},
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": space, "yaxis": space, "zaxis": space},
            "legend": {
                "orientation": "h",
                "yanchor": "bottom",
                "y": 1,
                "x": 0,
                "font": {"size": 12, "color": muted},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hoverlabel": {"font": {"family": FONT}},
            "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 12}},
        }
    }


LIGHT = _template("#1c2128", "#57606a", "#e4e7eb", "#ffffff")
DARK = _template("#e6e9ed", "#9aa4af", "#2e343c", "#161b21")
"""Templates for the page, which swaps them; a notebook gets the light one."""


def figure(
    traces: Sequence[Any],
    *,
    title: str,
    alt: str,
    caption: str = "",
    height: int = 380,
    min_width: int = 0,
    **layout: Any,
) -> go.Figure:
    """Return a figure that knows what to say of itself.

    `alt` is what a reader who cannot see it should know: numbers, not looks. `caption` is what to
    make of it. Below `min_width` pixels a page should scroll rather than squeeze it.
    """
    place = {"x": 0, "xref": "paper", "y": 1, "yanchor": "top", "pad": {"t": 14}}
    own = {
        "template": LIGHT,
        "title": {"text": title, **place, "font": {"size": 16}},
        "meta": {"alt": alt, "caption": caption, "min_width": min_width},
        "height": height,
        "margin": {"t": TITLE},
    }
    # Handed to the constructor: `update_layout` takes thirty times as long over a template.
    return go.Figure(list(traces), layout=own | layout)


def xy(x: str, y: str, **more: dict[str, Any]) -> dict[str, Any]:
    """Return titles of both axes; `more` is by axis, such as ``xaxis``."""
    titles = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    return {axis: own | more.get(axis, {}) for axis, own in titles.items()}


def label(name: str) -> str:
    """Return what to write on the axis of a column."""
    return LABELS.get(name, name)


def axis(values: ArrayLike) -> dict[str, Any]:
    """Return type and range of an axis: what shows most values well.

    Positive values that span more than two orders are logarithmic. Otherwise values farther than
    four interquartile ranges from the middle half are left outside, where there are any: a few
    degenerate cells would else press all the others into one corner.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if finite.size < 2:
        return {"type": "linear"}
    least, low, high, most = np.quantile(finite, [0, 0.25, 0.75, 1]).tolist()
    if least > 0 and most > 100 * least:
        return {"type": "log"}
    bottom, top = low - 4 * (high - low), high + 4 * (high - low)
    if high == low or (bottom <= least and top >= most):
        return {"type": "linear"}
    inside = finite[(finite >= bottom) & (finite <= top)]
    pad = 0.06 * float(np.ptp(inside))
    return {"type": "linear", "range": [float(inside.min()) - pad, float(inside.max()) + pad]}


OUTSIDE = "Where a few values would stretch an axis they lie outside; double-click shows all."


def accuracy_range(accuracies: ArrayLike) -> tuple[float, float]:
    """Return what a colour scale spans; the worst tenth, such as of 10 %, shares a colour."""
    known = np.asarray(accuracies, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 100.0
    low, high = float(np.quantile(known, 0.1)), float(known.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def accuracy_scale(accuracies: ArrayLike, span: tuple[float, float]) -> dict[str, Any]:
    """Return the colours of markers or a line by accuracy."""
    low, high = span
    return {"color": accuracies, "colorscale": ACCURACY_SCALE, "cmin": low, "cmax": high}


def accuracy_bar(span: tuple[float, float]) -> dict[str, Any]:
    """Return the colour bar of an `accuracy_scale`."""
    ticks = np.linspace(*span, 4).tolist()
    texts = [f"{tick:.1f}" for tick in ticks]
    texts[0] = f"\N{LESS-THAN OR EQUAL TO} {texts[0]}"
    return colorbar("accuracy %") | {"tickvals": ticks, "ticktext": texts}


def colorbar(title: str) -> dict[str, Any]:
    """Return a thin colour bar, named along its side."""
    named = {"text": title, "font": {"size": 12}, "side": "right"}
    return {"title": named, "thickness": 10, "outlinewidth": 0}


def line(place: int) -> dict[str, str]:
    """Return colour and dash of the n-th of several lines."""
    dashes = ("solid", "dash", "dot", "dashdot", "longdash")
    return {"color": PALETTE[place % len(PALETTE)], "dash": dashes[place % len(dashes)]}


def steps(name: str, x: Any, y: Any, look: Mapping[str, Any], hover: str = "") -> go.Scatter:
    """Return a line, such as `line` looks; without a text for a point nothing is hovered over."""
    shown = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    return go.Scatter(x=x, y=y, mode="lines", name=name, line={"width": 2.5, **look}, **shown)


def heatmap(names: Sequence[str], z: ArrayLike, text: Any, scale: Any, **more: Any) -> go.Heatmap:
    """Return a square of values of every name by every other, each with its text."""
    look = {"xgap": 2, "ygap": 2, "texttemplate": "%{text}"}
    return go.Heatmap(x=names, y=names, z=z, text=text, colorscale=scale, **(look | more))


def square(names: Sequence[str], side: int, above: int, **axes: Any) -> dict[str, Any]:
    """Return the layout of a `heatmap`, the first name at the top; a row is `side` pixels high."""
    x, y = ({"showgrid": False, **axes.get(key, {})} for key in ("xaxis", "yaxis"))
    return {
        "height": above + side * len(names),
        "xaxis": {"tickangle": -40, **x},
        "yaxis": {"autorange": "reversed", **y},
    }


def points(
    x: ArrayLike, y: ArrayLike, rows: pd.Index, names: Sequence[str], hover: str, **more: Any
) -> go.Scatter:
    """Return points that lead to their trials: `rows` of the table, called `names`."""
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        customdata=rows.to_numpy(),
        hovertext=names,
        hovertemplate=f"%{{hovertext}}<br>{hover}<extra></extra>",
        **more,
    )


def interval_marks(
    parts: Mapping[str, tuple[pd.DataFrame, str, str]], x: str, y: str
) -> list[go.Scatter]:
    """Return a mark a row of each part (table, colour, symbol), with a bar of its interval."""
    return [
        go.Scatter(
            x=table[x],
            y=table[y],
            mode="markers",
            name=name,
            marker={"size": 10, "color": color, "symbol": symbol},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": table["high"] - table[x],
                "arrayminus": table[x] - table["low"],
                "thickness": 1.5,
                "width": 0,
            },
            text=[f"{row.low:.3f} to {row.high:.3f}" for row in table.itertuples()],
            hovertemplate="%{y}: %{x:.3f} (%{text})<extra></extra>",
        )
        for name, (table, color, symbol) in parts.items()
        if len(table)
    ]


def rows(x: str, order: Iterable[str], **xaxis: Any) -> dict[str, Any]:
    """Return the axes of a figure with a row a name, the first at the bottom, and `x` along it."""
    names = {"categoryorder": "array", "categoryarray": list(order), "ticksuffix": " "}
    return {"xaxis": {"title": {"text": x}, **xaxis}, "yaxis": names}
