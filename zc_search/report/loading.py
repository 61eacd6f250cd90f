"""A finished run back from its folder."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import EmptyDataError

from zc_search.config import load_config
from zc_search.ensemble import Ensemble
from zc_search.errors import StudyError
from zc_search.study.result import Best, SearchResult

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
    manifest = _manifest(folder)
    config = load_config(folder / "config.toml")
    trials, pareto, ranking = (
        read_table(folder / f"{n}.csv") for n in ("trials", "pareto", "ranking")
    )
    known = {field.name for field in fields(Best)}
    best = manifest.get("best")
    return SearchResult(
        config=config,
        folder=folder,
        trials=trials,
        pareto=pareto,
        ensemble=_ensemble(folder, config.ensemble.model) if best else None,
        ranking=ranking,
        best=Best(**{k: v for k, v in best.items() if k in known}) if best else None,
        notes=(*manifest.get("notes", ()), *_training_notes(folder)),
        seconds=dict(manifest.get("seconds", {})),
    )


def stored_learning_curve(folder: Path) -> pd.DataFrame | None:
    """Return what ``zc-search ensemble curve RUN --out RUN/curve`` left in a run's folder, if any.

    Raises:
        StudyError: It cannot be read.
    """
    path = folder / "curve" / "draws.csv"
    return read_table(path) if path.exists() else None


def _ensemble(folder: Path, model: str) -> Ensemble | None:
    """Return the ensemble of a run, None where none was saved or only one of an earlier model."""
    path = folder / "ensemble.toml"
    loaded = Ensemble.load(path) if path.exists() else None
    return loaded if loaded is not None and loaded.model == model else None


def _training_notes(folder: Path) -> tuple[str, ...]:
    """Return what ``zc-search train`` found, in sentences; nothing where it was not run."""
    try:
        notes = json.loads((folder / "training" / "notes.json").read_text(encoding="utf-8"))
        return tuple(map(str, notes["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(_unfinished(folder)) from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise StudyError(f"{path} is no manifest of a run")
    return manifest


def _unfinished(folder: Path) -> str:
    said = f"{str(folder)!r} is no finished run: it has no manifest.json"
    if (folder / "study.db").exists():
        return (
            f"{said}; its search is going on or was cut off, and the same command goes on with it"
        )
    near = {p.parent for g in ("*", "runs/*") for p in folder.parent.glob(f"{g}/manifest.json")}
    return f"{said}; there are {', '.join(sorted(map(str, near)))}" if near else said


def read_table(path: Path) -> pd.DataFrame:
    """Return a table that a run wrote, with the types it had.

    Raises:
        StudyError: It is not there or cannot be read.
    """
    try:
        # Python's parser gives back what was written; pandas' own was an ulp off before 3.1.
        table = pd.read_csv(path, engine="python")
    except EmptyDataError:
        return pd.DataFrame()
    except FileNotFoundError:
        raise StudyError(f"the run in {str(path.parent)!r} has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read: {error}") from error
    if "function_key" in table:  # the zero function's key is the empty string
        table = table.assign(function_key=table["function_key"].fillna(""))
    return table.astype({name: kind for name, kind in _TYPES.items() if name in table})
