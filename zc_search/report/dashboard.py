"""Optuna's dashboard: what a study carries for it, how trials are shown, the server around it.

Note and figures are stored where the dashboard's own functions store them, beside the study's
attributes and not among them: plain Optuna does not notice.
"""

import copy
import errno
import logging
import math
import mimetypes
import re
import socket
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
import plotly.graph_objects as go
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from zc_search._utils.text import without_passwords
from zc_search.config import Config, load_config
from zc_search.errors import ReportError, StudyError, ZcSearchError
from zc_search.report.answer import Answer, answer
from zc_search.report.page import run_drawings
from zc_search.report.run import Trials, as_trials, held_out_or_none, load_result, no_run
from zc_search.spaces import compact
from zc_search.study.record import RECORD, SearchResult, TrialRecord
from zc_search.study.storage import RunFolder, StorageProxy, journal_path, open_storage, storage_url

logger = logging.getLogger("zc_search")

FILES = ("report.html", "ensemble.toml", "ensemble-pareto.toml")
"""Of a run's folder, which the dashboard's server hands out under ``/run/``."""

END = "*zc-search renews what stands above this line; what you write below it stays.*"
"""The last line of what is written into a note."""

TRIES = 100
"""Ports to look at before giving up."""

# What a study carries -----------------------------------------------------------------------------


def is_installed() -> bool:
    """Return whether the package ``optuna-dashboard`` is there; it is an extra."""
    return find_spec("optuna_dashboard") is not None


def dress_if_installed(study: optuna.Study, result: SearchResult) -> None:
    """Give a study its note and figures, or say why not: all that counts is written elsewhere."""
    if is_installed():
        try:
            dress_study(study, result)
        except (OSError, optuna.exceptions.StorageInternalError) as error:
            logger.warning("no note and figures for Optuna's dashboard: %s", error)


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
    for name in ("pareto", "progress", "tau", "predicted", "weights"):
        try:
            figure = next(iter(drawings[name].figures().values()))
        except ReportError:
            continue  # the report says why it cannot be drawn
        save_plotly_graph_object(study, _slim(figure, trials), graph_object_id=f"zc_search_{name}")


def _slim(figure: go.Figure, trials: Trials) -> go.Figure:
    """Let points say their trial's number instead of its cell, which is most of a stored figure."""
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


# How trials are shown -----------------------------------------------------------------------------


class _ReadableStorage(StorageProxy):
    """See `readable_storage`; everything is read from and written to the storage given."""

    def __init__(self, storage: BaseStorage) -> None:
        super().__init__(storage)
        self._readable: dict[int, tuple[Any, dict[str, Any]]] = {}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `BaseStorage`."""
        return self._shown(self.storage.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See `BaseStorage`."""
        return [self._shown(t) for t in self.storage.get_all_trials(study_id, deepcopy, states)]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        record = trial.user_attrs.get(RECORD)
        # A storage gives the number of a trial that was deleted to another.
        before, parts = self._readable.get(trial._trial_id, (None, {}))
        if before != record:
            try:
                found = TrialRecord.of(trial)
            except StudyError:  # it is shown as its writer left it
                found = None
            parts = readable(found) if found else {}
            self._readable[trial._trial_id] = record, parts
        if not parts:
            return trial
        others = {key: value for key, value in trial.user_attrs.items() if key != RECORD}
        shown = copy.copy(trial)
        shown.user_attrs = {**parts, **others}
        return shown


def readable_storage(storage: BaseStorage) -> BaseStorage:
    """Return the same storage, its trials with a user attribute for each thing known of them.

    A trial is stored with one attribute, since each costs about as much as drawing a parameter.
    In a table, and to sort by, its parts are wanted one by one.
    """
    return cast("BaseStorage", _ReadableStorage(storage))


def readable(record: TrialRecord) -> dict[str, Any]:
    """Return what is known of a trial by name: cell, accuracies and proxies, of six digits each."""
    parts: dict[str, Any] = {"cell": compact(record.architecture)}
    exceptions = {"infeasible": record.infeasible, "repeat of": record.repeat_of}
    parts |= {name: value for name, value in exceptions.items() if value is not None}
    for name, value in {**record.benchmark, **record.proxies}.items():
        parts[name] = float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return parts | {"architecture": record.architecture}


# The server ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A storage, its address without a password, and the numbers of its studies by name."""

    storage: BaseStorage
    shown: str
    studies: dict[str, int]
    folder: Path | None = None
    notes: tuple[str, ...] = ()


def open_source(source: str) -> Opened:
    """Open a run's folder, a journal or a storage's URL; a finished run's study is dressed anew."""
    folder = None
    if "://" in source or journal_path(source) is not None:
        url = source
    else:
        folder = Path(source)
        if folder.is_file():
            hint = str(folder.parent)
            raise StudyError(
                f"{source!r} is a file: name the run's folder, {hint!r}, "
                f"or a storage as a URL, 'sqlite:///{source}'",
                given=source,
                hint=hint,
            )
        if not (folder / "config.toml").is_file():
            raise no_run(folder, "folder of a run: it has no config.toml", "study.db")
        config = load_config(folder / "config.toml")
        url = storage_url(config, folder)
    storage, shown = open_storage(url, create=False), without_passwords(url)
    studies = {study.study_name: study._study_id for study in storage.get_all_studies()}
    if folder is None:
        return Opened(storage, shown, studies)
    name = config.study.name
    if name not in studies:
        raise StudyError(f"{shown} has no study {name!r}", given=name, allowed=studies)
    return Opened(storage, shown, {name: studies[name]}, folder, _dress(storage, config, folder))


def _dress(storage: BaseStorage, config: Config, folder: Path) -> tuple[str, ...]:
    """Renew note and figures where that can be done; else say why it was not."""
    if not (folder / "manifest.json").exists():
        return ("The search is not finished: note and figures come with its end.",)
    try:
        with RunFolder(folder).locked():
            study = optuna.load_study(study_name=config.study.name, storage=storage)
            dress_study(study, load_result(folder))
    except (ZcSearchError, optuna.exceptions.StorageInternalError) as error:
        first = without_passwords(str(error)).splitlines()[0]
        return (f"Note and figures are those of the last end of the search: {first}",)
    return ()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_port = False  # where it is true, a port that is taken does not look so

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("a browser went away", exc_info=True)


class _SixServer(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        logger.debug(format, *args)


def make_dashboard(
    storage: BaseStorage, host: str, port: int, folder: Path | None = None
) -> WSGIServer:
    """Return a server of Optuna's dashboard that listens; ``serve_forever`` starts it.

    Where the port is taken the next free one is used; 0 is any. Of a run's folder `FILES` are
    served too.
    """
    from optuna_dashboard import wsgi

    app = _with_files(wsgi(storage), folder) if folder else wsgi(storage)
    server = _SixServer if ":" in host else _Server
    for candidate in range(port, min(port + TRIES, 2**16)):
        try:
            return make_server(host, candidate, app, server, _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ZcSearchError(
                    f"--host {host} --port {candidate}: cannot listen there ({error.strerror})"
                ) from error
    raise ZcSearchError(
        f"--port {port}: this port and those after it are taken; name another, 0 takes any"
    )


def _with_files(dashboard: Any, folder: Path) -> Callable[..., Iterable[bytes]]:
    """Serve the few files of a run beside the dashboard."""
    served = {f"/run/{name}": folder / name for name in FILES}

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = served.get(environ["PATH_INFO"])
        if path is None or not path.is_file():
            found: Iterable[bytes] = dashboard(environ, start_response)
            return found
        kind = mimetypes.guess_type(path.name)[0] or "text/plain"
        start_response("200 OK", [("Content-Type", f"{kind}; charset=utf-8")])
        return [path.read_bytes()]

    return app
