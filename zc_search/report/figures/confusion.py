"""Which class the best of those trained takes for which."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from zc_search._utils.text import counted
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.answer import trained_confusion
from zc_search.spaces import compact
from zc_search.study.record import SearchResult, class_accuracies, confusion_matrix

_MANY = 20
"""Classes beyond which no number fits into a square."""


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
    many, side = len(names) > _MANY, max(14, 34 - len(names) // 2)
    texts = [[str(count or "") for count in row] for row in matrix]
    trace = go.Heatmap(
        x=names,
        y=names,
        z=shares,
        zmin=0,
        zmax=100,
        colorscale=style.CORRELATION_SCALE[2:],
        text=texts,
        texttemplate=None if many else "%{text}",
        xgap=0 if many else 2,
        ygap=0 if many else 2,
        colorbar=style.colorbar("% of the class"),
        hovertemplate="%{y} taken for %{x}: %{z:.1f} %, %{text} images<extra></extra>",
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
        height=150 + side * len(names),
        min_width=200 + side * len(names),
        xaxis={"type": "category", "tickangle": -40, "showgrid": False, "title": "taken for"},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
    )
