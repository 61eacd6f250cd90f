"""What is to be scored: on which images, which architectures, and with which proxies."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zc_search._utils.plugins import is_plugin
from zc_search.config import Config, Data, parse_config
from zc_search.config.settings import tables
from zc_search.errors import ArchitectureError, ConfigError, ScoresError
from zc_search.images import ImageSet, load_batch, read_images
from zc_search.images.datasets import Task, task_of
from zc_search.spaces import AnyArchitecture, AnySpace, Architecture, make_space, read_architecture

if TYPE_CHECKING:
    from zc_search.images import Batch

_DRAWS = 50  # for each architecture wanted
_LISTED = 10**6  # architectures that a space may have to be listed


def open_images(data: Data) -> ImageSet:
    """Read all images that a section ``data`` names."""
    how = data.model_dump(include={"max_unreadable", "resolution", "color", "fit"})
    return read_images(data.source, data.path, **how)


def batch_and_task(
    config: Config, images: ImageSet | None = None
) -> "tuple[Batch, Task, tuple[str, ...]]":
    """Return the batch that a search scores on, what networks are built for, and notes.

    `images` are those of the search, if they have been read already.
    """
    data, task = config.data, task_of(config.space.dataset)
    if config.data_decides:
        images = images or open_images(data)
        batch = images.batch(data.batch_size, data.seed, data.validation)
        return batch, images.task, (images.described() + ".", *images.notes)
    batch = load_batch(data.source, task.name, data.batch_size, data.seed, data.path)
    return batch, task, ()


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
    """Read architecture strings: one a line, or the column ``architecture`` of a ``.csv`` file.

    Empty lines and those that begin with ``#`` are passed over.
    """
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
