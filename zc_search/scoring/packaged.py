"""Scores of the whole space that come with the package, a file of `zc-search score` a data set.

Made of finished files by ``python -m zc_search.scoring.compaction``, which says how.
"""

from importlib.resources import files
from os import PathLike
from pathlib import Path

from zc_search.errors import ScoresError
from zc_search.images.datasets import DATASETS

PACKAGED = "packaged"
"""What they are called wherever a scores file is taken; ``packaged:cifar100`` says which."""

FOLDER = Path(str(files("zc_search.scoring") / "tables"))
_STEM = "nasbench201-"


def file_of(dataset: str) -> Path:
    """Return where the scores for a data set lie, or would."""
    name = "cifar10" if dataset == "cifar10-valid" else dataset
    return FOLDER / f"{_STEM}{name}.parquet"


def available() -> tuple[str, ...]:
    """Return the data sets whose networks' scores are in this package."""
    return tuple(name for name in DATASETS if file_of(name).exists() and name != "cifar10-valid")


def of_dataset(source: str | PathLike[str], dataset: str | None) -> str:
    """Return a source of scores as it is, and ``packaged`` with the data set meant."""
    text = str(source)
    return f"{PACKAGED}:{dataset or 'cifar10'}" if text == PACKAGED else text


def located(source: str | PathLike[str], dataset: str | None = None) -> Path:
    """Return the path that a source of scores means: in this package for `PACKAGED`.

    Raises:
        ScoresError: This package has no scores for that data set.
    """
    named, _, wanted = of_dataset(source, dataset).partition(":")
    if named != PACKAGED:
        return Path(source)
    if wanted not in DATASETS:
        raise ScoresError.unknown("data set", wanted, DATASETS, key=PACKAGED)
    if not (path := file_of(wanted)).exists():
        hint = f"zc-search score --all --set space.dataset={wanted} --out all.parquet"
        there = f", but for {', '.join(available())}" if available() else ""
        raise ScoresError(
            f"{PACKAGED}: this package has no scores for {wanted}{there}; {hint} makes some",
            key=PACKAGED,
            given=wanted,
            allowed=available(),
            hint=hint,
        )
    return path
