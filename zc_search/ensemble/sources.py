"""Where an ensemble's scores come from: a run's folder or a scores file, read without a study.

Neither Optuna nor torch is needed, so that an ensemble can be applied where they are not wanted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import tomlkit

from zc_search.config import Config, config_to_toml, load_config, parse_config
from zc_search.ensemble.baselines import COSTS
from zc_search.errors import EnsembleError, nearest
from zc_search.proxies.catalogue import default_direction
from zc_search.scoring.scores_file import (
    DamagedFileError,
    ForeignFileError,
    read_scores_file,
    to_frame,
)

COMPARED = (
    "space.channels",
    "space.cells",
    "data.source",
    "data.batch_size",
    "data.seed",
    "proxies.repeats",
    "proxies.seed",
)
"""Settings that proxies' values depend on, whatever the data set."""

COSTLY = (*COSTS, "latency")
"""Proxies that are minimised as objectives although more of them promises accuracy."""


@dataclass(frozen=True)
class Source:
    """Scores of architectures, and what is known of them.

    Attributes:
        path: The run's folder or the scores file.
        table: One row an architecture or trial: ``architecture``, ``function_key``, ``feasible``,
            a column a proxy; of a run also ``pareto`` and the benchmark's figures.
        proxies: Columns of proxies.
        directions: Which way a proxy points at accuracy, where that is known; costs have none.
        config: Of the run or the sweep.
        settings: What the proxies' values depend on, by dotted key.
        definitions: By proxy, a text that is the same where values are comparable; None where
            the source does not say.
    """

    path: Path
    table: pd.DataFrame
    proxies: tuple[str, ...]
    directions: Mapping[str, str]
    config: Config
    settings: Mapping[str, Any]
    definitions: Mapping[str, str] | None = field(default=None)

    @property
    def dataset(self) -> str:
        """The data set that the scores were computed for."""
        return self.config.dataset

    @property
    def is_run(self) -> bool:
        """Whether these are the trials of a run."""
        return self.path.is_dir()


def load_source(path: str | Path) -> Source:
    """Read a run's folder, or a file that `zc-search score` wrote.

    Raises:
        EnsembleError: There is nothing at `path`, or something else.
        ConfigError: Its settings are those of another version.
    """
    path = Path(path)
    if path.is_dir():
        return _run(path)
    if not path.exists():
        raise EnsembleError(_missing(path))
    return _scores(path)


def with_settings(
    source: Source, config_file: str | Path | None = None, overrides: tuple[str, ...] = ()
) -> Config:
    """Return the settings of an ensemble to be fitted to a source.

    They are those of `config_file`; without one those of the run, or, as a scores file has no
    front, the defaults with all architectures.

    Args:
        source: What is fitted to.
        config_file: A search file; its sections ``ensemble`` and ``benchmark`` count.
        overrides: Settings that replace others, such as ``ensemble.model=ridge``.

    Raises:
        ConfigError: See `load_config`.
    """
    if config_file is not None:
        return load_config(config_file, overrides)
    settings: dict[str, Any] = tomlkit.parse(config_to_toml(source.config)).unwrap()
    if not source.is_run:
        settings["ensemble"] = {"fit_on": "all"}
    return parse_config(settings, overrides, source=f"settings of {source.path}")


def settings_of(config: Config) -> dict[str, Any]:
    """Return what proxies' values depend on, by dotted key."""
    settings: dict[str, Any] = {
        "space.name": config.space.name,
        "space.dataset": config.dataset,
    }
    for key in COMPARED:
        section, _, name = key.partition(".")
        settings[key] = getattr(getattr(config, section), name)
    return settings


def same_dataset(one: str, other: str) -> bool:
    """Whether two names mean one data set; the benchmark has two for CIFAR-10."""
    names = {"cifar10-valid": "cifar10"}
    return names.get(one, one) == names.get(other, other)


def _scores(path: Path) -> Source:
    try:
        table, said = read_scores_file(path)
        config = parse_config(said["config"], source=f"settings in {path}")
    except DamagedFileError as error:
        raise EnsembleError(
            f"{path} is neither a run's folder nor a readable Parquet file ({error})"
        ) from error
    except ForeignFileError as error:
        raise EnsembleError(f"{path} {error}") from error
    proxies = said["proxies"]
    settings = {"space.name": config.space.name} | said["settings"]
    frame = to_frame(table).reset_index()
    # A cell whose output is always zero has no key, and nothing to score.
    frame["feasible"] = frame["function_key"] != ""
    return Source(
        path,
        frame,
        tuple(proxies),
        _directions(proxies),
        config,
        settings,
        said.get("definitions"),
    )


def _run(folder: Path) -> Source:
    if not (folder / "config.toml").exists() or not (folder / "trials.csv").exists():
        near = sorted(file.parent.name for file in folder.glob("*/trials.csv"))
        inside = f"; in it are the runs {', '.join(near)}" if near else ""
        raise EnsembleError(
            f"{str(folder)!r} is no finished run: it has no config.toml or no trials.csv{inside}"
        )
    config = load_config(folder / "config.toml")
    try:
        # Python's parser gives back what was written; pandas' own was an ulp off before 3.1.
        table = pd.read_csv(folder / "trials.csv", engine="python")
    except (OSError, ValueError) as error:
        raise EnsembleError(f"{folder / 'trials.csv'} cannot be read: {error}") from error
    if missing := {"architecture", "function_key"} - set(table):
        raise EnsembleError(f"{folder / 'trials.csv'} has no column {min(missing)!r}")
    table["function_key"] = table["function_key"].fillna("")  # that of the zero function
    manifest = _manifest(folder)
    objectives = {o.name: o.direction for o in config.objectives}
    settings = settings_of(config)
    fingerprints = manifest.get("fingerprints")
    if isinstance(fingerprints, dict) and fingerprints.get("batch"):
        settings["data.fingerprint"] = fingerprints["batch"]
    return Source(
        folder,
        table,
        config.proxies_to_compute,
        _directions({name: objectives.get(name, "") for name in config.proxies_to_compute}),
        config,
        settings,
        manifest.get("definitions"),
    )


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what a run says of itself; nothing where it says nothing readable."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _directions(announced: Mapping[str, str]) -> dict[str, str]:
    """Return which way proxies point at accuracy: what costs more is not for that reason worse."""
    known = {name: default_direction(name) or said for name, said in announced.items()}
    return {name: said for name, said in known.items() if said and name not in COSTLY}


def _missing(path: Path) -> str:
    if path.with_name(f"{path.name}.parts").exists():
        return f"{path} is not finished; run the command that began it once more"
    folder = path.parent
    near = nearest(path.name, [p.name for p in folder.iterdir()]) if folder.is_dir() else None
    hint = f"; did you mean {str(folder / near)!r}?" if near else ""
    return f"{path}: no such run folder or scores file{hint}"
