"""Ensembles as documents: TOML or JSON, sealed with a checksum, written whole or not at all."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError

from zc_search._utils.files import write_atomically
from zc_search.errors import EnsembleError, unknown_name

SUFFIXES = (".toml", ".json")
_KIND = "zc-search ensemble"


def seal(content: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Return a document: kind, schema version and checksum, then the content."""
    # Through JSON once, so that tuples are lists on both sides of the checksum.
    plain = json.loads(json.dumps(content, allow_nan=False))
    head = {"kind": _KIND, "schema_version": version}
    return {**head, "checksum": _checksum({**head, **plain}), **plain}


def unseal(document: Mapping[str, Any], version: int, source: str) -> dict[str, Any]:
    """Return the content of a document.

    Args:
        document: As made by `seal`, whatever has happened to it since.
        version: The latest schema version that can be read.
        source: What to call the document in an error.

    Raises:
        EnsembleError: It is no ensemble, is of a later version, or was changed.
    """
    if document.get("kind") != _KIND:
        raise EnsembleError(
            f"{source} is no ensemble: its kind is {document.get('kind')!r}, not {_KIND!r}"
        )
    found = document.get("schema_version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise EnsembleError(f"{source}: schema_version is {found!r}, not a whole number above 0")
    if found > version:
        raise EnsembleError(
            f"{source} has schema_version {found}, written by a later zc-search; this one reads "
            f"versions up to {version}: upgrade it"
        )
    content = {key: value for key, value in document.items() if key != "checksum"}
    if document.get("checksum") != _checksum(content):
        raise EnsembleError(
            f"{source} was changed after it was written (its checksum does not match); its "
            "weights, intervals and quality no longer belong together: fit and save it again"
        )
    return {key: value for key, value in content.items() if key not in ("kind", "schema_version")}


def explain(error: ValidationError, source: str) -> EnsembleError:
    """Say in one sentence what is wrong with a document, by its first fault."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    return EnsembleError(f"{source} is no consistent ensemble: {place}: {first['msg']}")


def write(document: Mapping[str, Any], path: str | Path) -> None:
    """Write a document as TOML or JSON, by suffix; an older file is replaced in one step.

    Raises:
        EnsembleError: Another suffix, or the file cannot be written.
    """
    path = Path(path)
    if suffix_of(path) == ".toml":
        text = tomlkit.dumps(document)
    else:
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    try:
        write_atomically(path, text)
    except OSError as error:
        raise EnsembleError(f"cannot write the ensemble to {path}: {error}") from error


def read(path: str | Path) -> dict[str, Any]:
    """Read a TOML or JSON file, by suffix.

    Raises:
        EnsembleError: Another suffix, no such file, or no valid TOML or JSON table.
    """
    path = Path(path)
    suffix = suffix_of(path)
    try:
        text = path.read_text(encoding="utf-8")
        # Not tomlkit: no comment is kept here, and it needs seconds for a large covariance.
        document = tomllib.loads(text) if suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise EnsembleError(f"cannot read the ensemble {path}: {error}") from error
    except ValueError as error:
        raise EnsembleError(f"{path} is no valid {suffix[1:].upper()} file: {error}") from error
    if not isinstance(document, dict):
        raise EnsembleError(f"{path} is no ensemble: it holds no table of keys")
    return document


def suffix_of(path: Path) -> str:
    """Return a path's suffix, which says how a document is written.

    Raises:
        EnsembleError: It is none of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise EnsembleError(f"{path}: {unknown_name('suffix', path.suffix, SUFFIXES)}")
    return path.suffix


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
