"""The sections of a configuration but the objectives: one frozen model each, all with defaults."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from zc_search.config.types import (
    AccuracyName,
    Amount,
    Channels,
    Count,
    DataSource,
    Device,
    FeatureSetName,
    ModelName,
    Operations,
    ProxyNames,
    SamplerName,
    Seed,
    SomeProxies,
    StudyName,
    VertexOperations,
    distinct,
    wrong,
)
from zc_search.errors import ConfigError
from zc_search.images.datasets import FROM_FILES, GENERATED, SOURCES, DatasetName
from zc_search.spaces import PARAMETERS, SPACES
from zc_search.spaces.nats_sss.architecture import STAGES

if TYPE_CHECKING:
    SpaceName = str
else:
    SpaceName = Literal[tuple(SPACES)]


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
        storage: Address of an Optuna storage: an SQLAlchemy URL, a journal or a gRPC proxy; None
            for an SQLite file in the run's folder.
        patience: Seconds for which a storage that went away is waited for.
        workers: Processes that score architectures.
        sum_objectives: Whether the objectives are summed up to a single one, to be maximized:
            the sum of ``sign * scale * value``, sign -1 for an objective to be minimized.
    """

    name: StudyName = "search"
    sampler: SamplerName = "nsgaii"
    sampler_options: dict[str, Any] = {}
    distinct: bool = False
    n_trials: Count = 150
    max_accuracies: Count | None = None
    max_simulated_seconds: float | None = Field(default=None, gt=0)
    timeout: float | None = Field(default=None, gt=0)
    seed: Seed = 0
    storage: str | None = Field(default=None, min_length=1)
    patience: float = Field(default=60.0, ge=0)
    workers: Count = 1
    sum_objectives: bool = False


SPACE_KEYS: Mapping[str, Mapping[str, Any]] = {
    name: space.settings for name, space in SPACES.items()
}
"""The keys of `Space` that not every space has, by space, with their defaults."""

_OWN_KEYS = frozenset(key for keys in SPACE_KEYS.values() for key in keys)


class Space(Section):
    """Which architectures may be visited, and the network they are built into.

    A key that only some spaces have is None for the others, and neither written nor allowed there.

    Attributes:
        name: The search space.
        dataset: Sets classes, resolution, and the benchmark's figures; without a benchmark, images
            that are read say themselves how they are.
        channels: Output channels of the first of the three stages (C in NAS-Bench-201), or of
            the stem (NAS-Bench-101); by default the benchmark's. The size space searches them.
        cells: Cells a stage (N in NAS-Bench-201, modules a stack in NAS-Bench-101); by default
            the benchmark's. The size space has one.
        op_1_0: Operations that the edge from node 0 to node 1 of a NAS-Bench-201 cell may hold;
            so for the other five edges.
        stage_1: Channels that the stem and the first cell of the size space may have; so for its
            first down-sampling, its second cell, its second down-sampling and its third cell.
        vertices: Of a NAS-Bench-101 cell before pruning, input and output included.
        operations: What an inner vertex of it may be.
    """

    name: SpaceName = "nasbench201"
    dataset: DatasetName = "cifar10"
    channels: Count | None = None
    cells: Count | None = None
    op_1_0: Operations | None = None
    op_2_0: Operations | None = None
    op_2_1: Operations | None = None
    op_3_0: Operations | None = None
    op_3_1: Operations | None = None
    op_3_2: Operations | None = None
    stage_1: Channels | None = None
    stage_2: Channels | None = None
    stage_3: Channels | None = None
    stage_4: Channels | None = None
    stage_5: Channels | None = None
    vertices: int | None = Field(default=None, ge=2, le=7)
    operations: VertexOperations | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_space(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        name = given.get("name", "nasbench201")
        defaults = SPACE_KEYS.get(name if isinstance(name, str) else "", {})
        return {**defaults, **{key: value for key, value in given.items() if value is not None}}

    @field_validator("*")
    @classmethod
    def _belongs_to_the_space(cls, value: Any, info: ValidationInfo) -> Any:
        name, key = info.data.get("name"), info.field_name
        if value is not None and key in _OWN_KEYS and name and key not in SPACE_KEYS[name]:
            owners = " and ".join(repr(o) for o, keys in SPACE_KEYS.items() if key in keys)
            allowed = SPACE_KEYS[name]
            raise ConfigError(
                f"has no meaning for name = {name!r}, only for {owners}; "
                f"Allowed: {', '.join(allowed)}",
                given=value,
                allowed=allowed,
            )
        return value

    @field_validator("channels")
    @classmethod
    def _can_be_divided(cls, channels: int | None, info: ValidationInfo) -> int | None:
        if channels is not None and channels < 5 and info.data.get("name") == "nasbench101":
            raise wrong(channels, "at least 5, as up to five vertices share them")
        return channels

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The operations of each edge of NAS-Bench-201, in the order of the architecture string."""
        return {edge: getattr(self, edge) for edge in PARAMETERS}

    @property
    def stage_channels(self) -> dict[str, tuple[int, ...]]:
        """The channels of each stage of the size space."""
        return {stage: getattr(self, stage) for stage in STAGES}


class Data(Section):
    """Where the scored batch comes from.

    Attributes:
        source: One of `DATA_SOURCES`: embedded photographs cut into patches, Gaussian noise, or
            images that are read; or ``module:object``, a torch ``Dataset``.
        path: File or folder of the images, for a source that reads files.
        batch_size: Images in the batch; at least 2, as batch norm has no variance of one.
        seed: Chooses patches, noise, images and random labels, and what is held out.
        resolution: Height and width that images are brought to, in pixels; None for their own,
            or, in a folder, one that suits most of them.
        color: ``grey`` for one channel, ``rgb`` for three; None for what the images are.
        fit: How an image that is not square becomes so: ``crop`` its middle, ``pad`` it, or
            ``stretch`` it.
        max_unreadable: Most files of a folder that may be unreadable, and are left out.
        validation: Share of the images that training does not see and is judged on.
    """

    source: DataSource = "patches"
    path: str | None = Field(default=None, min_length=1)
    batch_size: int = Field(default=32, ge=2)
    seed: Seed = 0
    resolution: int | None = Field(default=None, ge=8, le=1024)
    color: Literal["grey", "rgb"] | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    max_unreadable: int = Field(default=10, ge=0)
    validation: float = Field(default=0.2, ge=0.05, le=0.5)

    @property
    def generated(self) -> bool:
        """Whether the images are made up, and so follow any data set."""
        return self.source in GENERATED

    @field_validator("path")
    @classmethod
    def _path_where_needed(cls, path: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source")
        if path is None and source in FROM_FILES:
            raise ConfigError(
                f"missing, but source = {source!r} reads files; Allowed: {SOURCES[source].path}",
                allowed=(str(SOURCES[source].path),),
            )
        return path


class Proxies(Section):
    """What is computed for each architecture, and how.

    Attributes:
        compute: Proxies recorded besides the objectives.
        repeats: Initialisations that each value is averaged over.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for a GPU where there is one.
        seed: Seed of the initial weights.
        timeout: Seconds that an architecture may take before the proxy in hand is given up for
            it, in searches and in sweeps; the next call of a sweep tries it again. None for no
            limit, the only choice with a Dask cluster.
        cache: Where scores are kept for other searches: ``user`` for the user's cache folder,
            ``off``, or a folder.
    """

    compute: ProxyNames = ("params", "flops")
    repeats: Count = 1
    device: Device = "cpu"
    seed: Seed = 0
    timeout: float | None = Field(default=None, gt=0)
    cache: str = Field(default="user", min_length=1)


class Benchmark(Section):
    """Which table supplies what training an architecture gave.

    Attributes:
        name: The tabular benchmark, or "none".
        path: A converted file; None for one in ``third_party``, else the packaged table.
        metric: The true figure that the ensemble is fitted to and judged by.
    """

    name: Literal["nasbench201", "nats_sss", "nasbench101", "none"] = "nasbench201"
    path: str | None = Field(default=None, min_length=1)
    metric: AccuracyName = "val_accuracy"


class Constraints(Section):
    """What a network may cost; a trial beyond it is infeasible.

    Attributes:
        max_params: Parameters, such as ``"0.8M"``.
        max_flops: Multiply-accumulate operations for one image, such as ``"100M"``.
        max_latency_ms: Milliseconds of a forward pass of one image, measured on this machine.
    """

    max_params: Amount | None = None
    max_flops: Amount | None = None
    max_latency_ms: float | None = Field(default=None, gt=0)

    @property
    def limits(self) -> dict[str, tuple[str, float]]:
        """By proxy, the constraint's name and its limit in the unit of the proxy."""
        given = {
            "params": ("max_params", self.max_params, 1e6),
            "flops": ("max_flops", self.max_flops, 1e6),
            "latency[images=1]": ("max_latency_ms", self.max_latency_ms, 1.0),
        }
        return {
            proxy: (name, value / unit)
            for proxy, (name, value, unit) in given.items()
            if value is not None
        }


class Training(Section):
    """How `zc-search train` trains the best few on the images; NAS-Bench-201's recipe, shortened.

    Attributes:
        epochs: Passes over the images, over which the learning rate falls to 0 along a cosine.
        batch_size: Images a step.
        learning_rate: Of the first step.
        weight_decay: Of all weights.
        augment: What is done to an image before each use: ``crop`` it at random after padding it
            by an eighth, ``flip`` it left to right half the time.
        seed: Of the weights and the order of the images; the random architectures too.
    """

    epochs: Count = 12
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    augment: Annotated[
        tuple[Literal["crop", "flip"], ...], Field(strict=False), AfterValidator(distinct)
    ] = ("crop", "flip")
    seed: Seed = 0


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
        from_: File of an ensemble fitted on another data set (``from`` in a search file), to rank
            by where no accuracy is known.
    """

    model: ModelName = "linear"
    features: FeatureSetName = "rank"
    fit_on: Literal["pareto", "all"] = "pareto"
    folds: int = Field(default=5, ge=2)
    repeats: Count = 4
    proxies: SomeProxies | None = None
    seed: Seed = 0
    from_: str | None = Field(default=None, min_length=1, alias="from")


class Output(Section):
    """Where results go.

    Attributes:
        folder: Holds one folder a study.
        report: Whether a search ends with its page and with figures for Optuna's dashboard;
            ``zc-search report`` and ``zc-search dashboard`` make them later as well.
    """

    folder: str = Field(default="runs", min_length=1)
    report: bool = True
