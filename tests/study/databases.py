"""A PostgreSQL of the tests' own, where one is installed: started, restarted and thrown away."""

import gc
import os
import pwd
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


def _program(name: str) -> str:
    places = [shutil.which(name), *map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    for place in places:
        if place and Path(place).exists():
            return place
    pytest.skip(f"PostgreSQL is not installed: no {name}")


def _user() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    pytest.skip("there is no user that PostgreSQL would run as")


@dataclass
class Postgres:
    """A server that listens on this machine alone.

    Attributes:
        url: For SQLAlchemy, with its password.
    """

    folder: Path
    port: int
    url: str

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """End it at once, whoever is connected."""
        self._control("stop", "-m", "fast")

    def _control(self, what: str, *options: str) -> None:
        subprocess.run(
            [_program("pg_ctl"), what, "-w", "-D", str(self.folder / "data"), *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **_user(),
        )


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Yield a new server; skip where there is none to be had."""
    pytest.importorskip("psycopg", reason="needs the extra 'postgresql'")
    initdb = _program("initdb")
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "password").write_text("lovelace")
        (folder / "password").chmod(0o644)
        subprocess.run(
            [
                *(initdb, "-D", str(folder / "data"), "-U", "ada", "--no-sync", "-A", "password"),
                *("--pwfile", str(folder / "password"), "-E", "UTF8"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **_user(),
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"postgresql+psycopg://ada:lovelace@127.0.0.1:{port}/postgres"
        server = Postgres(folder, port, url)
        server.start()
        try:
            yield server
        finally:
            server.stop()
            with warnings.catch_warnings():
                # Connections that a restart broke are never closed, here as elsewhere.
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
