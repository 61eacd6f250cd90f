"""Which figures a run has, and what is written of them: one self-contained HTML file, pictures."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from zc_search._utils.files import write_atomically, writing
from zc_search._utils.text import VERSION, install_hint, without_passwords
from zc_search.config import config_to_toml, parse_config, public
from zc_search.config.settings import tables
from zc_search.ensemble import Ensemble
from zc_search.errors import ArchitectureError, EnsembleError, ReportError, StudyError
from zc_search.report import style
from zc_search.report.answer import answer, difference_of_ensembles, trained_confusion, trained_rows
from zc_search.report.figures.accuracy import (
    MANY,
    plot_confusion,
    plot_kendall_tau,
    plot_learning_curve,
    plot_predicted_against_true,
    plot_proxy_against_accuracy,
    plot_rank_correlations,
    plot_residuals,
    plot_weights,
)
from zc_search.report.figures.search import (
    choices,
    default_axes,
    plot_distinct,
    plot_hypervolume,
    plot_parallel_coordinates,
    plot_pareto,
    plot_progress,
    plot_time,
)
from zc_search.report.run import (
    BOOKKEEPING,
    Trials,
    about_run,
    as_trials,
    held_out_or_none,
    make_manifest,
    plain,
    stored_learning_curve,
    trained_since,
)
from zc_search.spaces import Architecture, compact, legend
from zc_search.spaces.nasbench201.architecture import NAMES, dead_edges, drawing_or_none
from zc_search.study.record import SearchResult, read_confusion
from zc_search.study.storage import RunFolder, copy_study, sampler_of_optuna, storage_url

Draw = Callable[[], go.Figure]
Layout = Literal["wide", "half", "small"]

WIDTHS = {"wide": 1000, "half": 640, "small": 480}
"""Of a picture, in pixels of a page; files have twice as many."""

# None of these ends a script element, starts a comment in one, or breaks a line of JavaScript.
_UNSAFE = {c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}

# Figures ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawing:
    """A figure that may be drawn, or several to choose from."""

    id: str
    title: str
    """Its heading where none of them can be drawn."""
    draws: Draw | Mapping[str, Draw]
    """How it is made, or each of them by what a button says."""
    layout: Layout = "wide"
    """Its share of a page's width."""

    @property
    def file(self) -> str:
        """What its file is called, without an ending."""
        if self.layout != "small":
            return self.id
        return f"proxy-{re.sub(r'[^A-Za-z0-9_-]+', '-', self.title)}"

    def figures(self) -> dict[str, go.Figure]:
        """Draw what can be drawn; a `ReportError` says why the first cannot where none can."""
        made, first = {}, None
        draws = {"": self.draws} if callable(self.draws) else self.draws
        for name, draw in draws.items():
            try:
                made[name] = draw()
            except ReportError as error:
                first = first or error
        if first is not None and not made:
            raise first
        return made


def run_drawings(
    result: SearchResult, held_out: pd.DataFrame | None, curve: pd.DataFrame | None = None
) -> dict[str, Drawing]:
    """Return the figures of a run by id, in order; `curve` is by default the run's own."""
    trials, optimum = as_trials(result), result.optimum
    curve = stored_learning_curve(result.folder) if curve is None else curve
    accuracies = trials.metric is not None and not trials.distinct.empty
    proxies = trials.proxies if accuracies else ()
    beside: Layout = "half" if len(trials.proxies) < MANY else "wide"
    labels = choices(result.config.study.workers).items()
    progress = {label: partial(plot_progress, trials, key, optimum) for key, label in labels}
    title = "Kendall's tau with the true accuracy"
    correlations = partial(plot_rank_correlations, trials)
    predicted = partial(plot_predicted_against_true, held_out)
    drawings = [
        Drawing("pareto", "Two or three columns", partial(plot_pareto, trials)),
        Drawing("parallel", "All proxies side by side", partial(plot_parallel_coordinates, trials)),
        Drawing("tau", title, partial(plot_kendall_tau, trials), beside),
        Drawing("correlations", "Which proxies say the same", correlations, beside),
        *(
            Drawing(f"proxy-{n}", p, partial(plot_proxy_against_accuracy, trials, p), "small")
            for n, p in enumerate(proxies)
        ),
        Drawing("weights", "Weights", partial(plot_weights, result)),
        Drawing("predicted", "Predicted against true, held out", predicted, "half"),
        Drawing("residuals", "Residuals, held out", partial(plot_residuals, held_out), "half"),
        Drawing("progress", "Best so far", progress),
        Drawing("hypervolume", "Hypervolume", partial(plot_hypervolume, trials), "half"),
        Drawing("distinct", "Distinct architectures", partial(plot_distinct, trials), "half"),
        Drawing("time", "Where the time went", partial(plot_time, result)),
    ]
    if (front := result.pareto_ensemble) is not None:
        title = "Weights of the ensemble of the front"
        drawings.append(Drawing("front-weights", title, partial(plot_weights, front)))
    if splits := list(dict.fromkeys(trained_confusion(result).get("split", ()))):
        draws = {f"{split} images": partial(plot_confusion, result, split) for split in splits}
        drawings.append(Drawing("confusion", "Which class is taken for which", draws))
    if curve is not None:
        title = "What more accuracies would buy"
        drawings.append(Drawing("learning", title, partial(plot_learning_curve, curve)))
    return {drawing.id: drawing for drawing in drawings}


def write_pictures(drawings: Iterable[Drawing], folder: str | Path) -> list[Path]:
    """Write every figure that can be drawn as PNG, by Kaleido and an installed Chromium."""
    try:
        import kaleido
        from choreographer.errors import BrowserFailedError, ChromeNotFoundError
    except ImportError:
        hint = install_hint("png")
        raise ReportError(f"pictures need the package kaleido: {hint}", hint=hint) from None
    folder = Path(folder)
    with writing(str(folder), ReportError):
        folder.mkdir(parents=True, exist_ok=True)
    specs = []
    for drawing in drawings:
        try:
            figures = drawing.figures()
        except ReportError:
            continue
        for name, figure in figures.items():
            path = folder / f"{'-'.join(filter(None, (drawing.file, *name.split())))}.png"
            size = {"width": WIDTHS[drawing.layout], "height": figure.layout.height, "scale": 2}
            specs.append({"fig": figure, "path": path, "opts": {"format": "png", **size}})
    try:
        # MathJax would be fetched from the network.
        kaleido.write_fig_from_object_sync(specs, cancel_on_error=True, kopts={"mathjax": False})
    except (BrowserFailedError, ChromeNotFoundError) as error:
        raise ReportError(
            "pictures need Chrome or Chromium, and none could be started: install one "
            "(apt-get install chromium), or name it in the environment variable BROWSER_PATH"
        ) from error
    return [spec["path"] for spec in specs]


# The page and the tables --------------------------------------------------------------------------


def save_result(result: SearchResult, folder: str | Path, *, fresh: bool = False) -> SearchResult:
    """Write what a search in any study found as a run, which all commands that take one read.

    Tables, ensembles, settings, manifest and report are written, and the study's finished trials
    are copied to ``study.db`` there. `load_result` reads all but the study back.

    Args:
        result: Of `zc_search.conclude`, for one.
        folder: Where to; empty, or not there yet.
        fresh: Set what is there aside, as ``--fresh`` does.

    Returns:
        The result as it stands in that folder: `config` and `folder` are the run's.

    Raises:
        ConfigError: The folder has a name that no study may have.
        StudyError: It holds something, or cannot be written to.
    """
    path = Path(folder)
    settings = tables(result.config)
    settings["study"] |= {"name": path.resolve().name, "n_trials": max(1, len(result.trials))}
    settings["study"] |= sampler_of_optuna(result.study)
    settings["study"].pop("storage", None)
    settings["output"]["folder"] = str(path.parent)
    config = parse_config(settings, source=str(path))
    run = RunFolder(path)
    with run.locked(), writing(str(path), StudyError):
        if fresh:
            run.set_aside()
        elif any(entry.name != ".lock" for entry in path.iterdir()):
            message = f"{str(path)!r} holds something already; choose another folder, or set it "
            raise StudyError(f"{message}aside with fresh=True", key="folder", given=str(path))
        run.write_text("config.toml", config_to_toml(public(config)))
        if result.study is not None:
            copy_study(result.study, config, storage_url(config, path))
        return write_outputs(replace(result, config=config, folder=path), run)


def write_outputs(result: SearchResult, folder: RunFolder) -> SearchResult:
    """Write all that a run came to, with a report if it is to have one; return what was written."""
    notes = _save(result.ensemble, folder.path / "ensemble.toml")
    _save(result.pareto_ensemble, folder.path / "ensemble-pareto.toml")
    trained = trained_since(folder.path)
    confusion = read_confusion(folder.path / "training")
    result = replace(result, notes=(*result.notes, *notes), trained=trained, confusion=confusion)
    folder.write_table("trials.csv", result.trials)
    folder.write_table("pareto.csv", result.pareto)
    folder.write_table("ranking.csv", result.ranking)
    folder.write_json("manifest.json", make_manifest(result))
    page = folder.path / "report.html"
    if result.config.output.report:
        write_report(result, page)
    else:
        page.unlink(missing_ok=True)  # of an earlier, shorter search
    return result


def _save(ensemble: Ensemble | None, path: Path) -> list[str]:
    """Write an ensemble in place of that of an earlier end of this run; say why there is none."""
    notes = []
    try:
        if ensemble is not None:
            ensemble.save(path)
            return []
    except EnsembleError as error:  # a regressor of scikit-learn's has no weights to write
        notes = [f"No {path.name}: {error}"]
    path.unlink(missing_ok=True)
    return notes


def write_report(
    result: SearchResult, path: str | Path, *, learning_curve: pd.DataFrame | None = None
) -> Path:
    """Write `render_report` to an HTML file; an older one is replaced at once.

    Raises:
        StudyError: The file cannot be written.
    """
    html = render_report(result, learning_curve=learning_curve)
    with writing(f"the report {str(path)!r}", StudyError):
        return write_atomically(Path(path), html)


def render_report(result: SearchResult, *, learning_curve: pd.DataFrame | None = None) -> str:
    """Return the report of a run as one HTML page that loads nothing from anywhere.

    Args:
        result: Of the search; ensemble, benchmark and feasible trials may be missing.
        learning_curve: From `zc_search.ensemble.learning_curve`, to be shown with the ensemble;
            by default the one in the run's folder, if there is one.
    """
    trials, held_out = as_trials(result), held_out_or_none(result)
    found = answer(result, held_out)
    drawings = run_drawings(result, held_out, learning_curve)
    panels = {identity: panel(drawing) for identity, drawing in drawings.items()}
    axes = None
    with suppress(ReportError):
        axes = default_axes(trials)
    both = (result.ensemble, result.pareto_ensemble)
    return render(
        "report.html.j2",
        title=result.config.study.name,
        data=page_data(trials, result.config.study.name),
        config=result.config,
        answer=found,
        best_seen=result.best_seen,
        pick=result.pick,
        trained=(trained := trained_rows(result)),
        trained_legend=legend(row["architecture"] for row in trained),
        compact=compact,
        cell=_drawing(result, found.architecture or ""),
        axes=axes,
        panels=panels,
        proxies=[p for p in panels.values() if p["layout"] == "small"],
        qualities=[e.quality.to_dict("records") for e in both if e is not None],
        difference=difference_of_ensembles(result),
        legend=legend(result.trials.get("architecture", ())),
        notes=result.notes,
        settings=without_passwords(config_to_toml(result.config)),
        manifest=about_run(result.folder),
    )


def _drawing(result: SearchResult, architecture: str) -> Markup:
    """Return the drawing of a cell, or as an image, where no script runs, what a builder drew."""
    if architecture not in result.drawings:
        return Markup(drawing_or_none(architecture) or "")  # noqa: S704  our drawing
    content = b64encode(result.drawings[architecture].encode()).decode()
    image = '<img class="modules" alt="The modules of {}" src="data:image/svg+xml;base64,{}">'
    return Markup(image).format(architecture, content)  # noqa: S704  which escapes


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

    templates = {"light": style.LIGHT, "dark": style.DARK}
    return environment.get_template(template).render(
        asset=asset,
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704  a library
        data=embed({"templates": templates, "brighter": style.BRIGHTER, **data}),
        version=VERSION,
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
        message = str(error)
        message = f"{message[:1].upper()}{message[1:]}."
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
            trace.pop("hovertext", None)
            trace.pop("hovertemplate", None)
    shown: dict[str, Any] = json.loads(to_json_plotly({"data": spec["data"], "layout": layout}))
    return shown


def embed(value: Any) -> Markup:
    """Return JSON, all its floats finite, that may stand in a script element, whatever is in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escaped in _UNSAFE.items():
        text = text.replace(character, escaped)
    return Markup(text)  # noqa: S704  nothing in it can end the element


def page_data(trials: Trials, name: str) -> dict[str, Any]:
    """Return what the page's script needs to know of the trials."""
    table, distinct = trials.table, trials.distinct
    groups = dict.fromkeys(trials.proxies, "Other proxies")
    groups |= dict.fromkeys(trials.objectives, "Objectives")
    cells = table["architecture"].astype(str) if "architecture" in table else pd.Series(dtype=str)
    return {
        "name": name,
        "rows": len(table),
        "columns": [
            {
                "name": str(name),
                "kind": _kind(column),
                "scored": name not in BOOKKEEPING,
                "values": [plain(value) for value in column.tolist()],
            }
            for name, column in table.items()
        ],
        "short": [compact(cell) for cell in cells],
        "dead": [_dead(cell) for cell in cells],
        "operations": NAMES,
        "metric": trials.metric,
        "objectives": list(trials.optimised),
        "distinct": distinct.index.tolist(),
        "front": distinct.index[trials.on_front(distinct)].tolist(),
        "axes": {
            axis: {
                "label": style.label(axis),
                "direction": trials.direction(axis),
                "group": groups.get(axis, "What training gave"),
                "axis": style.axis(trials.numbers(axis, distinct)),
            }
            for axis in trials.axes
        },
    }


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "flag"
    numeric = pd.api.types.is_numeric_dtype(column) or not column.notna().any()
    return "number" if numeric else "text"


def _dead(cell: str) -> int:
    """Return the dead edges as bits, the first edge the lowest; -1 for what is no cell."""
    try:
        flags = dead_edges(Architecture.from_string(cell))
    except ArchitectureError:
        return -1
    return sum(flag << place for place, flag in enumerate(flags))
