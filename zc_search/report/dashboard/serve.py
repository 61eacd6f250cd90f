"""The web server around Optuna's dashboard: what it shows, a free port, no chatter, a clean end."""

import errno
import logging
import mimetypes
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.storages import BaseStorage

from zc_search._utils.passwords import without_passwords
from zc_search.config import Config, load_config
from zc_search.errors import StudyError, ZcSearchError
from zc_search.report.dashboard.dress import FILES, dress_study
from zc_search.report.run import load_result, no_run
from zc_search.study.run_folder import RunFolder, storage_url
from zc_search.study.storage import journal_path, open_storage

logger = logging.getLogger("zc_search")

TRIES = 100
"""Ports to look at before giving up."""


@dataclass(frozen=True)
class Opened:
    """A storage, and what to say of it."""

    storage: BaseStorage
    shown: str
    """Its address, without a password."""
    studies: dict[str, int]
    """The numbers that Optuna gave its studies, by name."""
    folder: Path | None = None
    notes: tuple[str, ...] = ()


def open_source(source: str) -> Opened:
    """Open a run's folder, a journal or a storage's URL; a finished run's study is dressed anew."""
    if "://" in source or journal_path(source) is not None:
        storage = open_storage(source, create=False)
        return Opened(storage, without_passwords(source), _studies(storage))
    folder = Path(source)
    if folder.is_file():
        raise StudyError(
            f"{source!r} is a file: name the run's folder, {str(folder.parent)!r}, "
            f"or a storage as a URL, 'sqlite:///{source}'",
            given=source,
            hint=str(folder.parent),
        )
    if not (folder / "config.toml").is_file():
        raise no_run(folder, "folder of a run: it has no config.toml", "study.db")
    config = load_config(folder / "config.toml")
    url = storage_url(config, folder)
    storage, shown, name = (
        open_storage(url, create=False),
        without_passwords(url),
        config.study.name,
    )
    studies = _studies(storage)
    if name not in studies:
        raise StudyError(f"{shown} has no study {name!r}", given=name, allowed=studies)
    notes = _dress(storage, config, folder)
    return Opened(storage, shown, {name: studies[name]}, folder, notes)


def _studies(storage: BaseStorage) -> dict[str, int]:
    return {study.study_name: study._study_id for study in storage.get_all_studies()}


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
