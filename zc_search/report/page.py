"""The report: one self-contained HTML file."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from zc_search._utils.files import write_atomically
from zc_search._utils.passwords import without_passwords
from zc_search.config import config_to_toml
from zc_search.errors import ReportError, StudyError
from zc_search.report.answer import answer
from zc_search.report.drawings import Drawing, held_out_or_none, run_drawings
from zc_search.report.pareto import default_axes
from zc_search.report.payload import embed, figure_json, page_data
from zc_search.report.tables import Trials, as_trials
from zc_search.spaces.nasbench201.drawing import drawing_or_none

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult


@dataclass(frozen=True)
class Panel:
    """A figure on the page, or the sentence that stands in its place.

    Attributes:
        id: Of its element, and the name of a saved picture.
        title: Heading.
        caption: What to make of it.
        alt: For readers who cannot see it.
        specs: One figure, or several to choose from, by label.
        message: Why there is nothing to see.
        layout: ``wide``, ``half`` or ``small``: its share of the page's width.
        height: In pixels.
        min_width: Below which it scrolls, in pixels.
    """

    id: str
    title: str
    caption: str = ""
    alt: str = ""
    specs: Mapping[str, Markup] = field(default_factory=dict)
    message: str = ""
    layout: str = "wide"
    height: int = 0
    min_width: int = 0


def write_report(
    result: SearchResult, path: str | Path, *, learning_curve: pd.DataFrame | None = None
) -> Path:
    """Write the report of a run; an older file is replaced at once.

    Args:
        result: Of the search.
        path: Of the HTML file.
        learning_curve: See `render_report`.

    Raises:
        StudyError: The file cannot be written.
    """
    html = render_report(result, learning_curve=learning_curve)
    try:
        return write_atomically(Path(path), html)
    except OSError as error:
        raise StudyError(f"cannot write the report {str(path)!r}: {error.strerror}") from error


def render_report(result: SearchResult, *, learning_curve: pd.DataFrame | None = None) -> str:
    """Return the report of a run as one HTML page that loads nothing from anywhere.

    Args:
        result: Of the search; ensemble, benchmark and feasible trials may be missing.
        learning_curve: From `zc_search.ensemble.learning_curve`, to be shown with the ensemble.
    """
    trials = as_trials(result)
    held_out = held_out_or_none(result)
    found = answer(result, trials, held_out)
    quality = result.ensemble.quality if result.ensemble is not None else pd.DataFrame()
    drawings = run_drawings(result, held_out, learning_curve)
    panels = {identity: panel(drawing) for identity, drawing in drawings.items()}
    return render(
        "report.html.j2",
        title=result.config.study.name,
        data=page_data(trials, result.config.study.name),
        config=result.config,
        answer=found,
        cell=Markup(drawing_or_none(found.architecture or "") or ""),  # noqa: S704
        axes=_axes(trials),
        panels=panels,
        proxies=[p for p in panels.values() if p.layout == "small"],
        quality=quality.to_dict("records"),
        notes=result.notes,
        settings=without_passwords(config_to_toml(result.config)),
        manifest=_manifest(result.folder),
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

    return environment.get_template(template).render(
        asset=asset,
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704  a library
        data=embed(data),
        version=version("zc-search"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **values,
    )


def panel(drawing: Drawing) -> Panel:
    """Draw a figure, or several to choose from, of which the first one speaks for all.

    Where none can be drawn, keep the sentence that says why.
    """
    try:
        made = drawing.figures()
    except ReportError as error:
        message = f"{error}."
        return Panel(
            drawing.id,
            drawing.title,
            message=message[:1].upper() + message[1:],
            layout=drawing.layout,
        )
    first = next(iter(made.values()))
    specs = {label: figure_json(figure) for label, figure in made.items()}
    return Panel(
        drawing.id,
        str(first.layout.title.text),
        caption=first.layout.meta["caption"] if drawing.layout != "small" else "",
        alt=first.layout.meta["alt"],
        specs={label: embed(spec) for label, spec in specs.items()},
        layout=drawing.layout,
        min_width=first.layout.meta["min_width"],
        height=next(iter(specs.values()))["layout"]["height"],
    )


def _axes(trials: Trials) -> tuple[str, str] | None:
    try:
        return default_axes(trials)
    except ReportError:
        return None


_PACKAGES = ("zc-search", "optuna", "torch", "numpy", "pandas", "scikit-learn", "scipy", "plotly")


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what the run wrote of versions, seeds and machine; else today's versions."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if isinstance(manifest.get("versions"), dict):
            kept = ("versions", "machine", "seeds", "fingerprints")
            return {key: manifest[key] for key in kept if isinstance(manifest.get(key), dict)}
    except (OSError, ValueError, AttributeError):
        pass  # the report of a run that has not written it yet
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": versions}
