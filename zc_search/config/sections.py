"""The sections of a configuration but the objectives: one frozen model each, all with defaults."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from zc_search.config.types import (
    Count,
    Device,
    FeatureSetName,
    FrozenTable,
    MetricName,
    ModelName,
    Operations,
    ProxyNames,
    SamplerName,
    Seed,
    SomeProxies,
    StudyName,
    Table,
)
from zc_search.datasets import DatasetName
from zc_search.vocabulary import OPERATIONS, PARAMETERS


class Section(BaseModel):
    """A table of the file: no unknown key, no conversion between types, no later change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )


class Study(Section):
    """What is run, and for how long.

    Attributes:
        name: Names the study and its folder.
        sampler: One of `SAMPLERS`, or ``module:Class`` of a sampler of the user's own.
        sampler_options: Keyword arguments of the sampler's class.
        distinct: Whether the sampler is asked again where it suggests a function that the study
            has seen, so that n trials are n functions.
        n_trials: Trials in the study when it is finished, those before a resumption included.
        max_accuracies: Architectures whose accuracy is looked up before no further trial is
            started; None for no limit.
        max_simulated_seconds: Training time of those, by the benchmark, after which no further
            trial is started; None for no limit.
        timeout: Seconds after which no further trial is started; None for no limit.
        seed: Seed of the sampler.
        storage: Optuna storage URL; None for an SQLite file in the run's folder.
        workers: Processes that score architectures.
        sum_objectives: Whether the objectives are summed up to a single one, to be maximized:
            the sum of ``sign * scale * value``, sign -1 for an objective to be minimized.
    """

    name: StudyName = "search"
    sampler: SamplerName = "nsgaii"
    sampler_options: Table = FrozenTable()
    distinct: bool = False
    n_trials: Count = 150
    max_accuracies: Count | None = None
    max_simulated_seconds: float | None = Field(default=None, gt=0)
    timeout: float | None = Field(default=None, gt=0)
    seed: Seed = 0
    storage: str | None = Field(default=None, min_length=1)
    workers: Count = 1
    sum_objectives: bool = False


class Space(Section):
    """Which architectures may be visited, and the network they are built into.

    Attributes:
        name: The search space.
        dataset: Sets classes, resolution, and the benchmark's figures.
        channels: Output channels of the first of the three stages (C in the benchmark).
        cells: Cells a stage (N in the benchmark).
        op_1_0: Operations that the edge from node 0 to node 1 may hold.
        op_2_0: From node 0 to node 2.
        op_2_1: From node 1 to node 2.
        op_3_0: From node 0 to node 3.
        op_3_1: From node 1 to node 3.
        op_3_2: From node 2 to node 3.
    """

    name: Literal["nasbench201"] = "nasbench201"
    dataset: DatasetName = "cifar10"
    channels: Count = 16
    cells: Count = 5
    op_1_0: Operations = OPERATIONS
    op_2_0: Operations = OPERATIONS
    op_2_1: Operations = OPERATIONS
    op_3_0: Operations = OPERATIONS
    op_3_1: Operations = OPERATIONS
    op_3_2: Operations = OPERATIONS

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The operations of each edge, in the order of the architecture string."""
        return {edge: getattr(self, edge) for edge in PARAMETERS}


class Data(Section):
    """Where the scored batch comes from.

    Attributes:
        source: Embedded photographs cut into patches, Gaussian noise, or CIFAR-10 images.
        path: Folder of the images, for a source that reads files.
        batch_size: Images in the batch; at least 2, as batch norm has no variance of one.
        seed: Chooses patches, noise, images and random labels.
    """

    source: Literal["patches", "noise", "cifar10"] = "patches"
    path: str | None = Field(default=None, min_length=1)
    batch_size: int = Field(default=32, ge=2)
    seed: Seed = 0

    @field_validator("path")
    @classmethod
    def _path_where_needed(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is None and info.data.get("source") == "cifar10":
            raise ValueError(
                "missing, but source = 'cifar10' reads files; "
                "Allowed: the folder 'cifar-10-batches-py' of the official archive"
            )
        return path


class Proxies(Section):
    """What is computed for each architecture, and how.

    Attributes:
        compute: Proxies recorded besides the objectives.
        repeats: Initialisations that each value is averaged over.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU where there is one.
        seed: Seed of the initial weights.
    """

    compute: ProxyNames = ("params", "flops")
    repeats: Count = 1
    device: Device = "cpu"
    seed: Seed = 0


class Benchmark(Section):
    """Which table supplies what training an architecture gave.

    Attributes:
        name: The tabular benchmark, or "none".
        path: The official file; None for the packaged table.
        metric: The true figure that the ensemble is fitted to and judged by.
    """

    name: Literal["nasbench201", "none"] = "nasbench201"
    path: str | None = Field(default=None, min_length=1)
    metric: MetricName = "val_accuracy"


class Ensemble(Section):
    """How proxies are turned into a predicted accuracy.

    Attributes:
        model: One of `MODELS`, or ``module:Class`` of a scikit-learn regressor.
        features: What the model sees of a proxy: ``raw``, ``standard`` (logarithm where it
            spans decades), ``rank`` or ``spline``; with ``+cell`` and ``+flow`` the cell's
            structure too, with ``+aggregate`` the mean log rank, with ``+interactions`` products.
        fit_on: The trials on the Pareto front, or all that are complete.
        folds: Folds of the cross-validation.
        repeats: Times that the cross-validation is repeated, each with another split.
        proxies: Proxies that the model sees; None for all that are computed.
        seed: Seed of the splits.
    """

    model: ModelName = "linear"
    features: FeatureSetName = "rank"
    fit_on: Literal["pareto", "all"] = "pareto"
    folds: int = Field(default=5, ge=2)
    repeats: Count = 4
    proxies: SomeProxies | None = None
    seed: Seed = 0


class Output(Section):
    """Where results go.

    Attributes:
        folder: Holds one folder a study.
    """

    folder: str = Field(default="runs", min_length=1)
