"""Image data sets: those the benchmarks were trained on, and what a network must know of any."""

from typing import Literal, NamedTuple

from zc_search.errors import DataError, unknown_name

DatasetName = Literal["cifar10", "cifar10-valid", "cifar100", "ImageNet16-120"]


class DatasetInfo(NamedTuple):
    """What a network and a batch must know of a data set.

    Attributes:
        classes: Number of labels.
        resolution: Height and width of its square images, in pixels.
        mean: Mean of each RGB channel, images scaled to [0, 1].
        std: Standard deviation of each RGB channel, images scaled to [0, 1].
    """

    classes: int
    resolution: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_CIFAR10 = DatasetInfo(10, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

DATASETS: dict[DatasetName, DatasetInfo] = {
    "cifar10": _CIFAR10,
    "cifar10-valid": _CIFAR10,
    "cifar100": DatasetInfo(100, 32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet16-120": DatasetInfo(120, 16, (0.4811, 0.4575, 0.4078), (0.2605, 0.2533, 0.2683)),
}


class Task(NamedTuple):
    """What a network is built for: the images it takes and the classes it tells apart.

    Attributes:
        name: What messages call the data set.
        classes: Number of labels.
        channels: Of the images: 1 for grey, 3 for colour.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
    """

    name: str
    classes: int
    channels: int
    height: int
    width: int


def task_of(dataset: str | Task) -> Task:
    """Return the task of a benchmark's data set, or a task as it is.

    Raises:
        DataError: Unknown data set.
    """
    if isinstance(dataset, Task):
        return dataset
    if dataset not in DATASETS:
        raise DataError(unknown_name("dataset", dataset, DATASETS))
    info = DATASETS[dataset]
    return Task(dataset, info.classes, 3, info.resolution, info.resolution)


GENERATED = ("patches", "noise")
"""Sources of images without classes of their own: they follow whatever data set is named."""

BENCHMARKED: dict[str, tuple[str, ...]] = {
    "cifar10": ("cifar10", "cifar10-valid"),
    "cifar100": ("cifar100",),
    "ImageNet16-120": ("ImageNet16-120",),
}
"""Sources that read a benchmark's images, and the data sets of it that they belong to."""

FROM_FILES = (*BENCHMARKED, "folder", "npz", "huggingface")
"""Sources that need a path."""

DATA_SOURCES = (*GENERATED, *FROM_FILES, "digits")
"""Every source of images; another is ``module:object``, a torch ``Dataset`` of the user's own."""
