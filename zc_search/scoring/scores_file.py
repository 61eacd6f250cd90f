"""Scores as a value: from a scores file, whose content is not trusted, a run, or a plain table."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
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
from zc_search.images.datasets import DATASETS
from zc_search.proxies.catalogue import default_direction, split_options
from zc_search.spaces import read_architecture

PACKAGED = "packaged"
"""What the package's own scores are called wherever a file is taken, or ``packaged:cifar100``."""

FOLDER = Path(str(files("zc_search.scoring") / "tables"))

KEY = b"zc_search"
"""Where in a file's metadata stands what it says of itself, as JSON."""

TEXTS = ("architecture", "function_key", "failures")
"""Columns of text; all others are float64."""

_SAID = {"settings": dict, "proxies": dict, "config": str}


# The package's own --------------------------------------------------------------------------------


def file_of(dataset: str) -> Path:
    """Return where the package's scores for a data set lie, or would."""
    name = "cifar10" if dataset == "cifar10-valid" else dataset
    return FOLDER / f"nasbench201-{name}.parquet"


def available() -> tuple[str, ...]:
    """Return the data sets whose networks' scores are in this package."""
    return tuple(name for name in DATASETS if file_of(name).exists() and name != "cifar10-valid")


def of_dataset(source: str | PathLike[str], dataset: str | None) -> str:
    """Return a source of scores as it is, and ``packaged`` with the data set meant."""
    text = str(source)
    return f"{PACKAGED}:{dataset or 'cifar10'}" if text == PACKAGED else text


def located(source: str | PathLike[str], dataset: str | None = None) -> Path:
    """Return the path that a source of scores means: in this package for `PACKAGED`."""
    named, _, wanted = of_dataset(source, dataset).partition(":")
    if named != PACKAGED:
        return Path(source)
    if wanted not in DATASETS:
        raise ScoresError.unknown("data set", wanted, DATASETS, key=PACKAGED)
    if not (path := file_of(wanted)).exists():
        there = available()
        hint = f"zc-search score --all --set space.dataset={wanted} --out all.parquet"
        others = f", but for {', '.join(there)}" if there else ""
        message = f"{PACKAGED}: this package has no scores for {wanted}{others}; {hint} makes some"
        raise ScoresError(message, key=PACKAGED, given=wanted, allowed=there, hint=hint)
    return path


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


# Scores files -------------------------------------------------------------------------------------


def load_scores(path: str | PathLike[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the file that `score_space` wrote, or for ``packaged:cifar10`` the package's own.

    Returns:
        The table, indexed by architecture string, sorted by `Architecture.index`, and what the
        file says of itself: ``settings``, ``proxies`` (name to direction), ``seeds``,
        ``versions``, ``config`` (TOML).

    Raises:
        ScoresError: No such file, or one that is damaged or was not written by `score_space`.
    """
    path = _existing(located(path), "file")
    table, said = read_part(path, path)
    return to_frame(table), said


def parts_of(path: Path) -> Path:
    """Return the folder of the parts that a scores file grows from."""
    return path.with_name(f"{path.name}.parts")


def read_part(source: Path | BytesIO, path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a scores file or a part of one, which an error calls `path`."""
    try:
        table = pq.read_table(
            source, page_checksum_verification=True, partitioning=None, pre_buffer=False
        )
        said = _said(table.schema.metadata or {})
        wanted = {*TEXTS, "seconds", *said.get("proxies", ())}
        if not said or not wanted <= set(table.column_names):
            message = f"{path} is a Parquet file, but not one of `zc-search score`: it does not "
            message += "say which proxies, images and seeds it holds"
            raise ScoresError(message, given=str(path))
        kinds = {name: kind_of(name) for name in table.column_names if name in wanted}
        arrays = {name: table[name].cast(kind) for name, kind in kinds.items()}
        checked = pa.table(arrays, metadata=table.schema.metadata)
        checked.validate(full=True)
        _require_texts(checked)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"{path} is no Parquet file, or damaged ({reason})"
        raise ScoresError(message, given=str(path)) from error
    return checked, said


def _require_texts(table: pa.Table) -> None:
    for name in TEXTS[:2]:
        if table[name].null_count:
            raise ValueError(f"rows without {name}")


def kind_of(column: str) -> pa.DataType:
    """Return the type of a column of a scores file."""
    return pa.string() if column in TEXTS else pa.float64()


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table of `read_part` for pandas, indexed by architecture string."""
    # Even ignored, pandas' own metadata would be decoded.
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame.set_index("architecture")


def _said(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return what a file says of itself; nothing of one of something else."""
    with suppress(KeyError, TypeError, ValueError, RecursionError):
        said: dict[str, Any] = json.loads(metadata[KEY])
        if all(isinstance(said[name], kind) for name, kind in _SAID.items()):
            return said
    return {}


def _existing(path: Path, what: str) -> Path:
    if path.exists():
        return path
    if parts_of(path).exists():
        message = f"{path} is not finished; run the command that began it once more"
        raise ScoresError(message, given=str(path))
    folder = path.parent
    near = nearest(path.name, [p.name for p in folder.iterdir()]) if folder.is_dir() else None
    hint = f"; did you mean {str(folder / near)!r}?" if near else ""
    raise ScoresError(f"{path}: no such {what}{hint}{address_hint(path)}", given=str(path))


# What values depend on ----------------------------------------------------------------------------

COMPARED = (
    *("space.channels", "space.cells", "data.source", "data.batch_size", "data.seed"),
    *("proxies.repeats", "proxies.seed"),
)
"""Settings that proxies' values depend on, whatever the data set."""


def accuracy_directions(announced: Mapping[str, str]) -> dict[str, str]:
    """Return which way proxies point at accuracy, as announced if unknown; costs point nowhere."""
    costs = (*BASELINES, "latency")  # minimised, although more of them promises accuracy
    known = {name: default_direction(name) or said for name, said in announced.items()}
    return {n: said for n, said in known.items() if said and split_options(n)[0] not in costs}


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

        What one side does not say is none; another definition of a proxy is an error.
        """
        notes = self._undefined(other, proxies)
        keys = ("space.name", "space.dataset", *COMPARED)
        pairs = {key: (self.settings.get(key), other.settings.get(key)) for key in keys}
        if same_dataset(*map(str, pairs["space.dataset"])):
            del pairs["space.dataset"]
        pairs = {k: (then, now) for k, (then, now) in pairs.items() if None not in (then, now)}
        then, now = pairs.pop("space.name", ("", ""))
        if then != now:
            notes.append(
                f"Another search space: fitted to architectures of {then}, and those of "
                f"{other.name} are of {now}. Whether the order carries over is not known; "
                f"predicted percentages and their intervals are {then}'s."
            )
        differing = [
            f"{key} {now!r} (fitted with {then!r})"
            for key, (then, now) in pairs.items()
            if then != now
        ]
        if differing:
            notes.append(
                f"Scores of {other.name} are computed otherwise than those fitted to: "
                f"{', '.join(differing)}. Values may lie elsewhere, and predictions with them."
            )
        return notes

    def _undefined(self, other: "Provenance", proxies: Sequence[str]) -> list[str]:
        fitted, now = self.definitions or {}, other.definitions or {}
        unchecked = [proxy for proxy in proxies if proxy not in fitted or proxy not in now]
        for proxy in proxies:
            if proxy not in unchecked and fitted[proxy] != now[proxy]:
                message = f"proxy {proxy!r} is not the one that was fitted to: its definition was "
                message += f"{fitted[proxy]!r}, and is {now[proxy]!r} now; score the architectures "
                about: dict[str, Any] = {"given": now[proxy], "allowed": (fitted[proxy],)}
                raise EnsembleError(f"{message}as then, or fit anew", key=proxy, **about)
        if not unchecked:
            return []
        silent = f"{self.name} does" if set(unchecked) - set(fitted) else "scores do"
        are = "is" if len(unchecked) == 1 else "are"
        return [
            f"The {silent} not say how {', '.join(unchecked)} {are} defined, so it could not be "
            "checked that the proxies mean the same as in the fit."
        ]


# Scores as a table --------------------------------------------------------------------------------


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
        """Return the trials of a search, given directions of what is computed, and the images'."""
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
        path = _existing(located(path, dataset), "run folder or scores file")
        if path.is_dir():
            return cls._read_run(path)
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
            reason = f"it has no config.toml or no trials.csv{inside}"
            message = f"{str(folder)!r} is no finished run: {reason}"
            raise ScoresError(message, given=str(folder), allowed=near)
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
            csv = path.suffix == ".csv"
            table = _read_csv(path) if csv else pd.read_json(path, precise_float=True)
            keys = [read_architecture(str(text)).function_key for text in table["architecture"]]
        except (KeyError, OSError, ValueError) as error:
            message = f"{path} is no table with a column 'architecture' ({error})"
            raise ScoresError(message, given=str(path)) from error
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
