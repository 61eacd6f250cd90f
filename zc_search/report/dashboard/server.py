"""The web server around Optuna's dashboard: a free port, no chatter, a clean end."""

import errno
import logging
import socket
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore
from optuna.storages import BaseStorage

from zc_search.errors import ZcSearchError

logger = logging.getLogger("zc_search")

TRIES = 100
"""Ports to look at before giving up."""


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
    storage: BaseStorage, host: str, port: int, artifacts: Path | None = None
) -> WSGIServer:
    """Return a server of Optuna's dashboard that listens; ``serve_forever`` starts it.

    Args:
        storage: What it shows.
        host: Address to listen on.
        port: The first port to try; where it is taken, the next free one is used. 0: any.
        artifacts: Folder of files that studies refer to.

    Raises:
        ZcSearchError: The address cannot be had.
    """
    from optuna_dashboard import wsgi

    store = FileSystemArtifactStore(artifacts) if artifacts is not None else None
    app = wsgi(storage, artifact_store=store)
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
