"""Architectures to score, of a whole space, a sample or a file; and their scores as a table."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from zc_search._utils.plugins import is_plugin
from zc_search._utils.text import counted
from zc_search.config import Config, parse_config
from zc_search.config.settings import tables
from zc_search.errors import ArchitectureError, ConfigError, ScoresError
from zc_search.images import Batch, load_batch
from zc_search.images.datasets import DatasetName, Task, task_of
from zc_search.proxies import resolve_proxies
from zc_search.scoring.scorer import Scorer, batch_and_task
from zc_search.spaces import (
    PLUGIN,
    AnyArchitecture,
    AnySpace,
    Architecture,
    FunctionSpace,
    make_space,
    own_space,
    read_architecture,
)

logger = logging.getLogger("zc_search")

_DRAWS = 50  # for each architecture wanted
_LISTED = 10**6  # architectures that a space may have to be listed


def open_space(config: Config) -> AnySpace:
    """Return the space of a search; what a user's builder asks for may depend on the images."""
    own = is_plugin(config.space.name) and config.data_decides
    return make_space(config.space, batch_and_task(config)[1] if own else None)


def with_proxies(config: Config, names: Sequence[str]) -> Config:
    """Return the settings with these proxies, params and flops in place of those it computes."""
    if not names:
        raise ConfigError("--proxies names none; such as --proxies snip,naswot_relu,synflow")
    settings = tables(config)
    settings["proxies"]["compute"] = list(names)
    settings["objectives"] = {"params": "default"}  # a sweep optimises nothing
    for fitted in ("proxies", "features"):  # of proxies that may not be computed now
        settings["ensemble"].pop(fitted, None)
    return parse_config(settings, source="--proxies")


def whole_space(space: AnySpace) -> list[AnyArchitecture] | None:
    """Return every architecture; None for a space that cannot be listed, or is too large to be."""
    return list(space) if isinstance(space, Iterable) and (space.size or 0) <= _LISTED else None


def sample_space(space: AnySpace, count: int, seed: int) -> list[AnyArchitecture]:
    """Draw distinct architectures uniformly; a larger sample of one seed contains a smaller one."""
    rng = np.random.default_rng(seed)
    if (everything := whole_space(space)) is not None:
        if not 1 <= count <= len(everything):
            there = f"{len(everything):,} architectures"
            raise ScoresError(f"a sample of {count:,}: the space has {there}")
        return [everything[index] for index in rng.permutation(len(everything))[:count]]
    found: dict[str, AnyArchitecture] = {}
    for _ in range(_DRAWS * count):
        drawn: AnyArchitecture = space.sample(rng)
        found.setdefault(drawn.function_key, drawn.representative())
        if len(found) == count:
            return list(found.values())
    few = f"{len(found):,} different architectures were found in {_DRAWS * count:,} draws"
    raise ScoresError(f"a sample of {count:,}: {few}; take fewer")


def read_architectures(path: Path) -> list[AnyArchitecture]:
    """Read strings, one a line but for ``#``, or the column ``architecture`` of a ``.csv`` file."""
    first = 1
    try:
        if path.suffix == ".csv":
            table, first = pd.read_csv(path, dtype=str, keep_default_na=False), 2
            if "architecture" not in table:
                has = ", ".join(table.columns)
                raise ArchitectureError(f"{path} has no column 'architecture'; it has {has}")
            lines = table["architecture"].tolist()
        else:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ArchitectureError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ArchitectureError(f"{path} cannot be read: {error}") from error
    architectures = []
    for number, line in enumerate(map(str.strip, lines), first):
        if line and not line.startswith("#"):
            try:
                architectures.append(read_architecture(line))
            except ArchitectureError as error:
                raise ArchitectureError(f"{path}, line {number}: {error}") from error
    if not architectures:
        such = f"one a line, such as {Architecture.from_index(0)}"
        raise ArchitectureError(f"{path} names no architecture; {such}")
    return architectures


def score_architectures(
    archs: Iterable[AnyArchitecture | str],
    proxies: Sequence[str],
    data: str | tuple[Tensor, Tensor] = "patches",
    batch_size: int = 64,
    seed: int = 0,
    dataset: DatasetName | Task = "cifar10",
    *,
    channels: int | None = None,
    cells: int | None = None,
    repeats: int = 1,
    device: str = "cpu",
    path: str | None = None,
    space: AnySpace | str | None = None,
) -> pd.DataFrame:
    """Score architectures.

    Args:
        archs: Architectures or their strings.
        proxies: Names of proxies, or ``module:function``.
        data: A source's name, or normalised images (N x C x H x W) with labels (N).
        batch_size: Images, where a source is named.
        seed: Seed of the batch and of the weights.
        dataset: Resolution and classes; for images of one's own their `Task`.
        channels: Width of the first stage; by default the benchmark's.
        cells: Cells a stage; by default the benchmark's.
        repeats: Initialisations to average over.
        device: Where to compute.
        path: Folder of a source that reads files.
        space: Where networks of your own come from: ``module:function``, or its space; what is
            shipped is known by the text.

    Returns:
        A row an architecture, indexed by its string, a column a proxy. Why a value is not
        finite stands in ``attrs["failures"]``, by architecture and proxy.

    Raises:
        ZcSearchError: An unknown architecture, proxy, source or data set, or unusable images.
    """
    chosen = resolve_proxies(proxies)
    task = task_of(dataset)
    space = own_space(space, task) if isinstance(space, str) else space and space.for_task(task)
    read = read_architecture if space is None else space.read
    architectures = [read(a) if isinstance(a, str) else a for a in archs]
    own = next((a for a in architectures if a.space == PLUGIN), None)
    if own is not None and not isinstance(space, FunctionSpace):
        message = f"space: {own} is of a space of somebody's own; Allowed: such as 'my_nets:build'"
        raise ArchitectureError(message, key="space", given=space)
    if isinstance(data, str):
        name = dataset.name if isinstance(dataset, Task) else dataset
        batch = load_batch(data, dataset=name, batch_size=batch_size, seed=seed, path=path)
    else:
        batch = Batch.from_tensors(*data)
    network: dict[str, Any] = {"space": space, "channels": channels, "cells": cells}
    how: dict[str, Any] = {"repeats": repeats, "seed": seed, "device": device}
    scorer = Scorer(chosen, batch, dataset=task, **network, **how)
    scores = [*map(scorer.score, architectures)]
    index = pd.Index([str(a) for a in architectures], name="architecture", dtype="str")
    names = [p.name for p in chosen]
    table = pd.DataFrame([s.values for s in scores], index=index, columns=names, dtype="float64")
    if failures := {str(s.architecture): dict(s.failures) for s in scores if s.failures}:
        table.attrs["failures"] = failures
        count = counted(len(failures), "architecture")
        logger.warning("without a finite value: %s; see table.attrs['failures']", count)
    return table
