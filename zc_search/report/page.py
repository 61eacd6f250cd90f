"""The report: one self-contained HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from zc_search._utils.files import write_atomically, writing
from zc_search._utils.passwords import without_passwords
from zc_search.config import config_to_toml
from zc_search.errors import ArchitectureError, ReportError, StudyError
from zc_search.report import style
from zc_search.report.answer import answer, difference_of_ensembles
from zc_search.report.drawings import Drawing, held_out_or_none, run_drawings
from zc_search.report.figures.front import default_axes, study_front
from zc_search.report.run import about_run
from zc_search.report.tables import BOOKKEEPING, Trials, as_trials, plain
from zc_search.spaces import Architecture, compact, legend
from zc_search.spaces.nasbench201.drawing import NAMES, dead_edges, drawing_or_none

if TYPE_CHECKING:
    from zc_search.study.record import SearchResult

# None of these ends a script element, starts a comment in one, or breaks a line of JavaScript.
_UNSAFE = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_report(
    result: SearchResult,
    path: str | Path,
    *,
    learning_curve: pd.DataFrame | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a run; an older file is replaced at once.

    Args:
        result: Of the search.
        path: Of the HTML file.
        learning_curve: See `render_report`.
        about: See `render_report`.

    Raises:
        StudyError: The file cannot be written.
    """
    html = render_report(result, learning_curve=learning_curve, about=about)
    with writing(f"the report {str(path)!r}", StudyError):
        return write_atomically(Path(path), html)


def render_report(
    result: SearchResult,
    *,
    learning_curve: pd.DataFrame | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """Return the report of a run as one HTML page that loads nothing from anywhere.

    Args:
        result: Of the search; ensemble, benchmark and feasible trials may be missing.
        learning_curve: From `zc_search.ensemble.learning_curve`, to be shown with the ensemble.
        about: The run's manifest; by default read from its folder.
    """
    trials, held_out = as_trials(result), held_out_or_none(result)
    found = answer(result, held_out)
    drawings = run_drawings(result, held_out, learning_curve)
    panels = {identity: panel(drawing) for identity, drawing in drawings.items()}
    try:
        axes = default_axes(trials)
    except ReportError:
        axes = None
    both = (result.ensemble, result.pareto_ensemble)
    return render(
        "report.html.j2",
        title=result.config.study.name,
        data=page_data(trials, result.config.study.name),
        config=result.config,
        answer=found,
        cell=Markup(drawing_or_none(found.architecture or "") or ""),  # noqa: S704  our drawing
        axes=axes,
        panels=panels,
        proxies=[p for p in panels.values() if p["layout"] == "small"],
        qualities=[e.quality.to_dict("records") for e in both if e is not None],
        difference=difference_of_ensembles(result),
        legend=legend(result.trials.get("architecture", ())),
        notes=result.notes,
        settings=without_passwords(config_to_toml(result.config)),
        manifest=about_run(result.folder, about),
    )


def render(template: str, *, data: Mapping[str, Any], **values: Any) -> str:
    """Fill a template; text is escaped, and only what `embed` made goes into scripts."""
    loader = PackageLoader("zc_search.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def asset(name: str) -> Markup:
        return Markup(loader.get_source(environment, name)[0])  # noqa: S704  our own file

    colours = {
        "templates": {"light": style.LIGHT, "dark": style.DARK},
        "brighter": style.BRIGHTER,
    }
    return environment.get_template(template).render(
        asset=asset,
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704  a library
        data=embed({**colours, **data}),
        version=version("zc-search"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **values,
    )


def panel(drawing: Drawing) -> dict[str, Any]:
    """Return what the page says of a figure, or of several to choose from, of which one speaks.

    Its keys: ``id, title, caption, alt, layout, height, min_width``, ``specs`` by button, and
    ``message``: why there is nothing to see, where none can be drawn.
    """
    shown = {"id": drawing.id, "layout": drawing.layout}
    try:
        made = drawing.figures()
    except ReportError as error:
        message = f"{error}."
        message = message[:1].upper() + message[1:]
        return shown | {"title": drawing.title, "message": message, "specs": {}}
    specs = {label: figure_json(figure) for label, figure in made.items()}
    layout = next(iter(made.values())).layout
    return shown | {
        "title": str(layout.title.text),
        "caption": layout.meta["caption"] if drawing.layout != "small" else "",
        "alt": layout.meta["alt"],
        "min_width": layout.meta["min_width"],
        "height": next(iter(specs.values()))["layout"]["height"],
        "specs": {label: embed(spec) for label, spec in specs.items()},
    }


def figure_json(made: go.Figure) -> dict[str, Any]:
    """Return a figure for the page, which adds template, title and what is hovered over."""
    spec = made.to_plotly_json()
    named = [trace for trace in spec["data"] if trace.get("showlegend", True)]
    saved = style.TITLE - (34 if len(named) > 1 else 10)
    layout = {k: v for k, v in spec["layout"].items() if k not in ("template", "title", "meta")}
    layout["margin"] = layout["margin"] | {"t": layout["margin"]["t"] - saved}
    layout["height"] -= saved
    for trace in spec["data"]:
        if "customdata" in trace:
            for key in ("hovertext", "hovertemplate"):
                trace.pop(key, None)
    shown: dict[str, Any] = json.loads(to_json_plotly({"data": spec["data"], "layout": layout}))
    return shown


def embed(value: Any) -> Markup:
    """Return JSON that may stand in a script element, whatever text is in it.

    Floats must be finite; see `plain`.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in _UNSAFE.items():
        text = text.replace(character, escaped)
    return Markup(text)  # noqa: S704  nothing in it can end the element


def page_data(trials: Trials, name: str) -> dict[str, Any]:
    """Return what the page's script needs to know of the trials."""
    table, distinct = trials.table, trials.distinct
    cells = table["architecture"].astype(str) if "architecture" in table else pd.Series(dtype=str)
    return {
        "name": name,
        "rows": len(table),
        "columns": [_column(table[column]) for column in table.columns],
        "short": [compact(cell) for cell in cells],
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
    }


def _group(trials: Trials, axis: str) -> str:
    if axis in trials.objectives:
        return "Objectives"
    return "Other proxies" if axis in trials.proxies else "What training gave"


def _column(column: pd.Series) -> dict[str, Any]:
    if pd.api.types.is_bool_dtype(column):
        kind = "flag"
    elif pd.api.types.is_numeric_dtype(column) or not column.notna().any():
        kind = "number"
    else:
        kind = "text"
    return {
        "name": str(column.name),
        "kind": kind,
        "scored": column.name not in BOOKKEEPING,
        "values": [plain(value) for value in column.tolist()],
    }


def _dead(cell: str) -> int:
    """Return the dead edges as bits, the first edge the lowest; -1 for what is no cell."""
    try:
        flags = dead_edges(Architecture.from_string(cell))
    except ArchitectureError:
        return -1
    return sum(flag << place for place, flag in enumerate(flags))
