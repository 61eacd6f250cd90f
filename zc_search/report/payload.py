"""What the page's script reads: the trials once, and each figure; safe inside a script element."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from zc_search.errors import ArchitectureError
from zc_search.report import style
from zc_search.report.pareto import study_front
from zc_search.report.tables import BOOKKEEPING, Trials, plain, short
from zc_search.spaces import Architecture
from zc_search.spaces.nasbench201.drawing import NAMES, dead_edges

# None of these ends a script element, starts a comment in one, or breaks a line of JavaScript.
_UNSAFE = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def embed(value: Any) -> Markup:
    """Return JSON that may stand in a script element, whatever text is in it.

    Raises:
        ValueError: A float is not finite; see `plain`.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in _UNSAFE.items():
        text = text.replace(character, escaped)
    return Markup(text)  # noqa: S704  nothing in it can end the element


def figure_json(made: go.Figure) -> dict[str, Any]:
    """Return a figure for the page, which adds template, title and what is hovered over.

    Numbers are packed, single-precision where that can hold them: a quarter of their digits' size.
    """
    spec = _packed(made.to_plotly_json())
    margin = spec["layout"]["margin"]
    named = [trace for trace in spec["data"] if trace.get("showlegend", True)]
    saved = style.TITLE - (34 if len(named) > 1 else 10)
    margin["t"] -= saved
    spec["layout"]["height"] -= saved
    for key in ("template", "title", "meta"):
        spec["layout"].pop(key, None)
    for trace in spec["data"]:
        if "customdata" in trace:
            for key in ("hovertext", "hovertemplate"):
                trace.pop(key, None)
    return {"data": spec["data"], "layout": spec["layout"]}


def _packed(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "bdata" in value and "shape" not in value:  # Plotly has packed it, in full precision
            return _packed(np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]))
        return {key: _packed(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.dtype.kind == "f":
            kind = "f4" if _fits_single(value) else "f8"
            return _base64(value.astype(f"<{kind}"), kind)
        if value.ndim == 1 and value.dtype.kind in "iu":
            return _base64(value.astype("<i4"), "i4")
        return _packed(value.tolist())
    if isinstance(value, list | tuple):
        return [_packed(inner) for inner in value]
    return plain(value)


def _fits_single(values: np.ndarray[Any, Any]) -> bool:
    """Whether single precision makes none of the numbers infinite or zero."""
    sizes, single = abs(values[np.isfinite(values) & (values != 0)]), np.finfo(np.float32)
    return bool(((sizes >= single.tiny) & (sizes <= single.max)).all())


def _base64(array: np.ndarray[Any, Any], dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode()}


def page_data(trials: Trials, name: str) -> dict[str, Any]:
    """Return what the page's script needs to know of the trials."""
    table, distinct = trials.table, trials.distinct
    cells = table["architecture"].astype(str) if "architecture" in table else pd.Series(dtype=str)
    return {
        "name": name,
        "rows": len(table),
        "columns": [_column(trials, str(column)) for column in table.columns],
        "short": [short(cell) for cell in cells],
        "dead": [_dead(cell) for cell in cells],
        "operations": NAMES,
        "metric": trials.metric,
        "objectives": [n for n in trials.objectives if n in table],
        "distinct": distinct.index.tolist(),
        "front": distinct.index[study_front(trials, distinct)].tolist(),
        "axes": {
            axis: {
                "label": style.label(axis),
                "direction": trials.direction(axis),
                "group": _group(trials, axis),
                "axis": style.axis(trials.numbers(axis, distinct)),
            }
            for axis in trials.axes
        },
        "templates": {"light": style.LIGHT, "dark": style.DARK},
        "brighter": style.BRIGHTER,
    }


def _group(trials: Trials, axis: str) -> str:
    if axis in trials.objectives:
        return "Objectives"
    return "Other proxies" if axis in trials.proxies else "What training gave"


def _column(trials: Trials, name: str) -> dict[str, Any]:
    column = trials.table[name]
    if pd.api.types.is_bool_dtype(column):
        kind = "flag"
    elif pd.api.types.is_numeric_dtype(column) or not column.notna().any():
        kind = "number"
    else:
        kind = "text"
    return {
        "name": name,
        "kind": kind,
        "scored": name not in BOOKKEEPING,
        "values": [plain(value) for value in column.tolist()],
    }


def _dead(cell: str) -> int:
    """Return the dead edges as bits, the first edge the lowest; -1 for what is no cell."""
    try:
        flags = dead_edges(Architecture.from_string(cell))
    except ArchitectureError:
        return -1
    return sum(flag << place for place, flag in enumerate(flags))
