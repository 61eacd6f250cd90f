"""What makes a study readable in Optuna's dashboard: a note with the answer, and our figures.

All of it is stored where the dashboard's own functions store it, beside the study's attributes
and not among them: plain Optuna does not notice.
"""

import re
from importlib.util import find_spec

import optuna
import plotly.graph_objects as go

from zc_search.errors import ReportError
from zc_search.report.answer import Answer, answer
from zc_search.report.drawings import held_out_or_none, run_drawings
from zc_search.report.tables import Trials, as_trials
from zc_search.spaces import compact
from zc_search.study.record import SearchResult

FILES = ("report.html", "ensemble.toml", "ensemble-pareto.toml")
"""Of a run's folder, which the dashboard's server hands out under ``/run/``."""

END = "*zc-search renews what stands above this line; what you write below it stays.*"
"""The last line of what is written into a note."""

_FIGURES = ("pareto", "progress", "tau", "predicted", "weights")


def is_installed() -> bool:
    """Return whether the package ``optuna-dashboard`` is there; it is an extra."""
    return find_spec("optuna_dashboard") is not None


def dress_study(study: optuna.Study, result: SearchResult) -> None:
    """Give a study its note and figures, or renew them; needs ``optuna-dashboard``.

    What a user has written into the note stays.
    """
    from optuna_dashboard import get_note, save_note, save_plotly_graph_object

    trials, held_out = as_trials(result), held_out_or_none(result)
    before = get_note(study)
    _, ours, users = before.partition(END)
    users = (users if ours else before).strip()
    save_note(study, f"{note(result, answer(result, held_out))}\n\n{END}\n\n{users}".rstrip())
    drawings = run_drawings(result, held_out)
    for name in _FIGURES:
        try:
            figure = next(iter(drawings[name].figures().values()))
        except ReportError:
            continue  # the report says why it cannot be drawn
        save_plotly_graph_object(study, _slim(figure, trials), graph_object_id=f"zc_search_{name}")


def _slim(figure: go.Figure, trials: Trials) -> go.Figure:
    """Let points say their trial's number instead of its cell: a text a point is most of a figure.

    A study's attributes are stored in pieces of two kilobytes, and the dashboard asks for all of
    them every few seconds.
    """
    numbers = trials.table["number"].to_numpy()
    for trace in figure.data:
        if trace.customdata is not None:
            trace.update(
                customdata=numbers[trace.customdata],
                hovertext=None,
                hovertemplate="trial %{customdata}<br>%{x:.5g}, %{y:.5g}<extra></extra>",
            )
    # The dashboard's cards are of one height, and half a page wide.
    figure.update_layout(height=450, legend={"y": -0.2, "yanchor": "top"})
    return figure


def note(result: SearchResult, found: Answer) -> str:
    """Return the answer as Markdown."""
    parts = [f"# {_plain(found.heading)}"]
    if found.architecture is not None:
        parts += [f"**{_plain(compact(found.architecture))}**", f"`{found.architecture}`"]
    facts = [
        f"- {_plain(name)}: **{_plain(value)}**" + (f", {_plain(more)}" if more else "")
        for name, value, more in (*found.facts, *found.effort)
    ]
    parts += [_plain(found.summary), "\n".join(facts)]
    sections = {"Before you believe it": found.caveats, "What was noticed": result.notes}
    for heading, sentences in sections.items():
        if sentences:
            parts += [f"## {heading}", "\n".join(f"- {_plain(text)}" for text in sentences)]
    links = [f"[{name}](/run/{name})" for name in FILES if (result.folder / name).exists()]
    listed = f"{', '.join(links)}: for `zc-search dashboard {result.folder}`. " if links else ""
    parts += ["## Everything else", f"{listed}All files are in `{result.folder.resolve()}`."]
    return "\n\n".join(part for part in parts if part)


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", text)
