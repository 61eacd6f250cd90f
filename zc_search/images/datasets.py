"""The catalogue of image data sets and of sources of images, and what networks are built for."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from zc_search.errors import DataError

DatasetName = Literal["cifar10", "cifar10-valid", "cifar100", "ImageNet16-120"]


class DatasetInfo(NamedTuple):
    """What a network and a batch must know of a data set."""

    classes: int
    resolution: int  # height and width, in pixels
    mean: tuple[float, float, float]  # of each RGB channel, images scaled to [0, 1]
    std: tuple[float, float, float]


_CIFAR10 = DatasetInfo(10, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

DATASETS: dict[DatasetName, DatasetInfo] = {
    "cifar10": _CIFAR10,
    "cifar10-valid": _CIFAR10,
    "cifar100": DatasetInfo(100, 32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet16-120": DatasetInfo(120, 16, (0.4811, 0.4575, 0.4078), (0.2605, 0.2533, 0.2683)),
}
"""Classes, resolution and channel statistics of each data set with a name."""


class Task(NamedTuple):
    """What a network is built for: the images it takes and the classes it tells apart."""

    name: str  # what messages call the data set
    classes: int  # number of labels
    channels: int  # 1 for grey images, 3 for colour
    height: int  # in pixels
    width: int

    @property
    def resolution(self) -> int:
        """The larger side of the images, in pixels."""
        return max(self.height, self.width)


def task_of(dataset: str | Task) -> Task:
    """Return the task of a benchmark's data set, or a task as it is.

    Raises:
        DataError: Unknown data set.
    """
    if isinstance(dataset, Task):
        return dataset
    if dataset not in DATASETS:
        raise DataError.unknown("dataset", dataset, DATASETS)
    info = DATASETS[dataset]
    return Task(dataset, info.classes, 3, info.resolution, info.resolution)


class Layout(NamedTuple):
    """How an official data set lies on disk, and where its archive is."""

    folder: str  # that the official archive unpacks to
    files: Sequence[str]  # of training images: test images have no say in a choice
    key: str  # of the labels in a file
    labels: Sequence[int]  # the first, and the one behind the last; the first ones are used
    names: Sequence[str] = ()  # file with the names of the classes, and its key
    url: str | None = None  # of the archive; None where it takes an account
    sha256: str | None = None  # of the archive


class Source(NamedTuple):
    """Where images come from."""

    path: str | None = None  # what `data.path` has to be; None where no file is read
    datasets: Sequence[str] = ()  # of the benchmark, that its batches serve
    generated: bool = False  # whether images are made up, so that they have no classes
    layout: Layout | None = None  # of a benchmark's official files


def _sources() -> Iterator[tuple[str, Source]]:
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    for name, said in tomllib.loads(text).items():
        layout = said.pop("layout", None)
        yield name, Source(**said, layout=layout and Layout(**layout))


SOURCES: Mapping[str, Source] = dict(_sources())
"""Every source by name; another is ``module:object``, a torch ``Dataset`` of the user's own."""

GENERATED = tuple(name for name, source in SOURCES.items() if source.generated)
BENCHMARKED = {
    name: source.datasets
    for name, source in SOURCES.items()
    if source.datasets and not source.generated
}
"""Sources that read a benchmark's images, and the data sets of it that they belong to."""
