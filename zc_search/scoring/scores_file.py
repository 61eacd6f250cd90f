"""Scores as a value: from a scores file, whose content is not trusted, a run, or a plain table."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zc_search._utils.text import address_hint
from zc_search.config import METRIC_DIRECTIONS, Config, load_config, parse_config
from zc_search.errors import EnsembleError, ScoresError, nearest
from zc_search.evaluation import BASELINES
from zc_search.proxies.catalogue import default_direction, split_options
from zc_search.scoring.packaged import PACKAGED, located, of_dataset
from zc_search.spaces import read_architecture

KEY = b"zc_search"
"""Where in a file's metadata stands what it says of itself, as JSON."""

TEXTS = ("architecture", "function_key", "failures")
"""Columns of text; all others are float64."""

_SAID = {"settings": dict, "proxies": dict, "config": str}
_COLUMNS = ("architecture", "function_key", "seconds", "failures")


def load_scores(path: str | PathLike[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the file that `score_space` wrote, or for ``packaged:cifar10`` the package's own.

    Returns:
        The table, indexed by architecture string, sorted by `Architecture.index`, and what the
        file says of itself: ``settings``, ``proxies`` (name to direction), ``seeds``,
        ``versions``, ``config`` (TOML).

    Raises:
        ScoresError: No such file, or one that is damaged or was not written by `score_space`.
    """
    path = located(path)
    if not path.exists():
        raise ScoresError(_missing(path, "file"), given=str(path))
    table, said = read_part(path, path)
    return to_frame(table), said


def packaged_scores(dataset: str = "cifar10") -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the scores of all of NAS-Bench-201 that come with the package, as `load_scores` does.

    For the networks of ``cifar10``, ``cifar100`` or ``ImageNet16-120``, on patches of photographs;
    which proxies, and all settings, are in what the file says. Values that vary from cell to cell
    are rounded to float32.

    >>> scores, about = packaged_scores("cifar100")  # doctest: +SKIP
    >>> scores["jacov"].corr(scores["synflow"], method="kendall")  # doctest: +SKIP

    Raises:
        ScoresError: There are none for that data set.
    """
    return load_scores(of_dataset(PACKAGED, dataset))


def parts_of(path: Path) -> Path:
    """Return the folder of the parts that a scores file grows from."""
    return path.with_name(f"{path.name}.parts")


def read_part(source: Path | BytesIO, path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a scores file or a part of one, which an error calls `path`.

    The table has the columns `_COLUMNS` and one a proxy; `TEXTS` are strings, the others float64.
    """
    try:
        return _read(source, path)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"{path} is no Parquet file, or damaged ({reason})"
        raise ScoresError(message, given=str(path)) from error


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table of `read_part` for pandas, indexed by architecture string."""
    # Even ignored, pandas' own metadata would be decoded.
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame.set_index("architecture")


def _read(source: Path | BytesIO, path: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = pq.read_table(
        source, page_checksum_verification=True, partitioning=None, pre_buffer=False
    )
    said = _said(table.schema.metadata or {})
    wanted = {*_COLUMNS, *said.get("proxies", ())}
    if not said or not wanted <= set(table.column_names):
        raise ScoresError(
            f"{path} is a Parquet file, but not one of `zc-search score`: it does not say which "
            "proxies, images and seeds it holds",
            given=str(path),
        )
    kinds = {name: pa.string() if name in TEXTS else pa.float64() for name in table.column_names}
    arrays = {name: table[name].cast(kind) for name, kind in kinds.items() if name in wanted}
    checked = pa.table(arrays, metadata=table.schema.metadata)
    checked.validate(full=True)
    for name in ("architecture", "function_key"):
        if checked[name].null_count:
            raise ValueError(f"rows without {name}")
    return checked, said


def _said(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return what a file says of itself; nothing of one of something else."""
    try:
        said = json.loads(metadata[KEY])
        known = all(isinstance(said[name], kind) for name, kind in _SAID.items())
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return said if known else {}


COSTLY = (*BASELINES, "latency")
"""Proxies that are minimised as objectives although more of them promises accuracy."""

COMPARED = (
    *("space.channels", "space.cells", "data.source", "data.batch_size", "data.seed"),
    *("proxies.repeats", "proxies.seed"),
)
"""Settings that proxies' values depend on, whatever the data set."""


def accuracy_directions(announced: Mapping[str, str]) -> dict[str, str]:
    """Return which way proxies point at accuracy, by those that they have as objectives.

    Costs, whatever their options, have none: what costs more is not for that reason worse. An
    empty text is a direction that is not known, which it is of every built-in proxy.
    """
    known = {name: default_direction(name) or said for name, said in announced.items()}
    return {n: said for n, said in known.items() if said and split_options(n)[0] not in COSTLY}


def settings_of(config: Config) -> dict[str, Any]:
    """Return what proxies' values depend on, by dotted key."""
    compared = {key: attrgetter(key)(config) for key in COMPARED}
    return {"space.name": config.space.name, "space.dataset": config.dataset, **compared}


def same_dataset(one: str, other: str) -> bool:
    """Whether two names mean one data set; the benchmark has two for CIFAR-10."""
    names = {"cifar10-valid": "cifar10"}
    return names.get(one, one) == names.get(other, other)


@dataclass(frozen=True)
class Provenance:
    """What the values of proxies depend on; values are comparable where definitions agree."""

    name: str  # ``ensemble``, or the name of a file or run
    settings: Mapping[str, Any]  # see `settings_of`
    definitions: Mapping[str, str] | None = None  # by proxy; None where they are not known

    def differences(self, other: "Provenance", proxies: Sequence[str]) -> list[str]:
        """Compare what is fitted to with other scores, a sentence for each difference.

        What one side does not say, or a search space does not have, is no difference; another
        definition of a proxy is an error.
        """
        notes = self._undefined(other, proxies)
        differing = {}
        for key in ("space.name", "space.dataset", *COMPARED):
            then, now = self.settings.get(key), other.settings.get(key)
            alike = key == "space.dataset" and same_dataset(str(then), str(now))
            if None not in (then, now) and then != now and not alike:
                differing[key] = then, now
        if space := differing.pop("space.name", None):
            notes.append(
                f"Another search space: fitted to architectures of {space[0]}, and those of "
                f"{other.name} are of {space[1]}. Whether the order carries over is not known; "
                f"predicted percentages and their intervals are {space[0]}'s."
            )
        if differing:
            found = [
                f"{key} {now!r} (fitted with {then!r})" for key, (then, now) in differing.items()
            ]
            notes.append(
                f"Scores of {other.name} are computed otherwise than those fitted to: "
                f"{', '.join(found)}. Values may lie elsewhere, and predictions with them."
            )
        return notes

    def _undefined(self, other: "Provenance", proxies: Sequence[str]) -> list[str]:
        fitted, now = self.definitions or {}, other.definitions or {}
        unchecked = [proxy for proxy in proxies if proxy not in fitted or proxy not in now]
        for proxy in proxies:
            if proxy not in unchecked and fitted[proxy] != now[proxy]:
                raise EnsembleError(
                    f"proxy {proxy!r} is not the one that was fitted to: its definition was "
                    f"{fitted[proxy]!r}, and is {now[proxy]!r} now; score the architectures as "
                    "then, or fit anew",
                    key=proxy,
                    given=now[proxy],
                    allowed=(fitted[proxy],),
                )
        if not unchecked:
            return []
        silent = f"{self.name} does" if set(unchecked) - set(fitted) else "scores do"
        return [
            f"The {silent} not say how {', '.join(unchecked)} "
            f"{'is' if len(unchecked) == 1 else 'are'} defined, so it could not be checked that "
            "the proxies mean the same as in the fit."
        ]


@dataclass(frozen=True)
class ScoresTable:
    """Scores of architectures, and what is known of them.

    The table has a row an architecture or trial: ``architecture``, ``function_key``, ``feasible``,
    a column a proxy; of a run also ``pareto`` and the benchmark's figures.
    """

    path: Path  # the run's folder or the file
    table: pd.DataFrame
    proxies: tuple[str, ...]  # columns
    directions: Mapping[str, str]  # see `accuracy_directions`
    config: Config  # the defaults for a table that says nothing of itself
    settings: Mapping[str, Any]  # see `settings_of`
    definitions: Mapping[str, str] | None = None  # see `Provenance`

    @property
    def dataset(self) -> str:
        """The data set that the scores were computed for."""
        return self.config.dataset

    @property
    def is_run(self) -> bool:
        """Whether these are the trials of a run."""
        return self.path.is_dir()

    @property
    def provenance(self) -> Provenance:
        """What the values depend on, under the name of the file or run."""
        return Provenance(self.path.name, self.settings, self.definitions)

    @classmethod
    def of_trials(
        cls,
        config: Config,
        folder: Path,
        table: pd.DataFrame,
        announced: Mapping[str, str],
        definitions: Mapping[str, str] | None,
        fingerprint: str | None,
    ) -> Self:
        """Return the trials of a search, a row each.

        `announced` are the directions of what is computed, `fingerprint` is that of the images.
        """
        settings = settings_of(config)
        if fingerprint:
            settings["data.fingerprint"] = fingerprint
        directions = accuracy_directions(announced)
        return cls(folder, table, tuple(announced), directions, config, settings, definitions)

    @classmethod
    def read(cls, path: str | Path, dataset: str | None = None) -> Self:
        """Read a run's folder, a file of `zc-search score`, or a CSV or JSON table.

        ``packaged`` is the package's own file, for `dataset`, ``packaged:cifar100`` whatever it is.
        """
        path = located(path, dataset)
        if path.is_dir():
            return cls._read_run(path)
        if not path.exists():
            raise ScoresError(_missing(path, "run folder or scores file"), given=str(path))
        if path.suffix in (".csv", ".json"):
            return cls._read_plain(path)
        table, said = read_part(path, path)
        config = parse_config(said["config"], source=f"settings in {path}")
        frame = to_frame(table).reset_index()
        # A cell whose output is always zero has no key, and nothing to score.
        frame["feasible"] = frame["function_key"] != ""
        settings = {"space.name": config.space.name} | said["settings"]
        directions, names = accuracy_directions(said["proxies"]), tuple(said["proxies"])
        return cls(path, frame, names, directions, config, settings, said.get("definitions"))

    @classmethod
    def _read_run(cls, folder: Path) -> Self:
        if not (folder / "config.toml").exists() or not (folder / "trials.csv").exists():
            near = sorted(file.parent.name for file in folder.glob("*/trials.csv"))
            inside = f"; in it are the runs {', '.join(near)}" if near else ""
            raise ScoresError(
                f"{str(folder)!r} is no finished run: it has no config.toml or no trials.csv"
                f"{inside}",
                given=str(folder),
                allowed=near,
            )
        config = load_config(folder / "config.toml")
        table = _read_csv(folder / "trials.csv")
        if missing := {"architecture", "function_key"} - set(table):
            raise ScoresError(f"{folder / 'trials.csv'} has no column {min(missing)!r}")
        table["function_key"] = table["function_key"].fillna("")  # that of the zero function
        told = None
        with suppress(OSError, ValueError):
            told = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        directions, fingerprints, definitions = (
            told[key] if isinstance(told, dict) and isinstance(told.get(key), dict) else {}
            for key in ("directions", "fingerprints", "definitions")
        )
        known = {o.name: str(o.direction) for o in config.objectives} | directions
        announced = {name: known.get(name, "") for name in config.proxies_to_compute}
        batch = fingerprints.get("batch")
        return cls.of_trials(config, folder, table, announced, definitions or None, batch)

    @classmethod
    def _read_plain(cls, path: Path) -> Self:
        """Read a table that says nothing of itself but architectures and numbers."""
        try:
            table = (
                _read_csv(path) if path.suffix == ".csv" else pd.read_json(path, precise_float=True)
            )
            keys = [read_architecture(str(text)).function_key for text in table["architecture"]]
        except (KeyError, OSError, ValueError) as error:
            raise ScoresError(
                f"{path} is no table with a column 'architecture' ({error})", given=str(path)
            ) from error
        if "function_key" not in table:
            table["function_key"] = keys
        if "feasible" not in table:
            table["feasible"] = table["function_key"].fillna("") != ""
        columns = table.select_dtypes("number").columns
        proxies = [name for name in columns if name not in (*METRIC_DIRECTIONS, "number")]
        directions = accuracy_directions(dict.fromkeys(proxies, ""))
        defaults = parse_config({"objectives": {"naswot_relu": "maximize"}})  # one there must be
        return cls(path, table, tuple(proxies), directions, defaults, {})


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        # Python's parser gives back what was written; pandas' own was an ulp off before 3.1.
        return pd.read_csv(path, engine="python")
    except (OSError, ValueError) as error:
        raise ScoresError(f"{path} cannot be read: {error}", given=str(path)) from error


def _missing(path: Path, what: str) -> str:
    if parts_of(path).exists():
        return f"{path} is not finished; run the command that began it once more"
    folder = path.parent
    near = nearest(path.name, [p.name for p in folder.iterdir()]) if folder.is_dir() else None
    hint = f"; did you mean {str(folder / near)!r}?" if near else ""
    return f"{path}: no such {what}{hint}{address_hint(path)}"
