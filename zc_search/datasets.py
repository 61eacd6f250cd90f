"""The image data sets that the benchmarks were trained on: shapes, classes, normalisation."""

from typing import Literal, NamedTuple

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
