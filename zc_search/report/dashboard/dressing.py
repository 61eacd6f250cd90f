"""What makes a study readable in Optuna's dashboard: a note, our figures, and the report.

All of it is stored where the dashboard's own functions store it, beside the study's attributes
and not among them: plain Optuna does not notice.
"""

from importlib.util import find_spec
from io import BytesIO

import optuna
import plotly.graph_objects as go
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

from zc_search.errors import ReportError
from zc_search.report.answer import answer
from zc_search.report.dashboard.note import write_note
from zc_search.report.drawings import held_out_or_none, run_drawings
from zc_search.report.tables import Trials, as_trials
from zc_search.study.result import SearchResult

ARTIFACTS = "artifacts"
"""The folder within a run's that the dashboard serves files from."""

_FILES = ("report.html", "ensemble.toml")
_FIGURES = ("pareto", "progress", "tau", "predicted", "weights")


def is_installed() -> bool:
    """Return whether the package ``optuna-dashboard`` is there; it is an extra."""
    return find_spec("optuna_dashboard") is not None


def dress_study(study: optuna.Study, result: SearchResult) -> None:
    """Give a study its note, figures and artifacts, or renew them.

    What a user has written into the note stays. Needs ``optuna-dashboard``.

    Args:
        study: Of the search.
        result: What it found; report and ensemble are taken from its folder.
    """
    trials, held_out = as_trials(result), held_out_or_none(result)
    links = _upload(study, result)
    write_note(study, result, answer(result, trials, held_out), links)
    _save_figures(study, result, trials)


def _upload(study: optuna.Study, result: SearchResult) -> dict[str, str]:
    """Store report and ensemble as artifacts; return the dashboard's path to each."""
    from optuna_dashboard.artifact import get_artifact_path

    kept = result.folder / ARTIFACTS
    kept.mkdir(exist_ok=True)
    store = FileSystemArtifactStore(kept)
    known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(study)}
    links = {}
    for name in _FILES:
        path = result.folder / name
        if not path.exists() or (name == "ensemble.toml" and result.ensemble is None):
            if identity := known.get(name):  # of an earlier end: Optuna can take none back
                store.write(identity, BytesIO(b"# This run no longer has such a file.\n"))
            continue
        if identity := known.get(name):
            with path.open("rb") as file:
                store.write(identity, file)
        else:
            identity = upload_artifact(
                artifact_store=store, file_path=str(path), study_or_trial=study
            )
        links[name] = get_artifact_path(study, identity)
    return links


def _save_figures(study: optuna.Study, result: SearchResult, trials: Trials) -> None:
    from optuna_dashboard import save_plotly_graph_object

    drawings = run_drawings(result, held_out_or_none(result))
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
