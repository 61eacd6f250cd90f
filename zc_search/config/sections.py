"""The sections of a configuration but the objectives: one frozen model each, all with defaults.

What a key means stands in ``search.toml`` beside this file, which `starter` returns.
"""

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
    """What is run, and for how long."""

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
    """Where the scored batch comes from."""

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
    """What is computed for each architecture, and how."""

    compute: ProxyNames = ("params", "flops")
    repeats: Count = 1
    device: Device = "cpu"
    seed: Seed = 0
    timeout: float | None = Field(default=None, gt=0)
    cache: str = Field(default="user", min_length=1)


class Benchmark(Section):
    """Which table supplies what training an architecture gave."""

    name: Literal["nasbench201", "nats_sss", "nasbench101", "none"] = "nasbench201"
    path: str | None = Field(default=None, min_length=1)
    metric: AccuracyName = "val_accuracy"


class Constraints(Section):
    """What a network may cost; a trial beyond it is infeasible."""

    max_params: Amount | None = None
    max_flops: Amount | None = None
    max_latency_ms: float | None = Field(default=None, gt=0)

    @property
    def limits(self) -> dict[str, tuple[str, float]]:
        """By proxy, the constraint's name and its limit in the unit of the proxy."""
        units = {
            "params": ("max_params", 1e6),
            "flops": ("max_flops", 1e6),
            "latency[images=1]": ("max_latency_ms", 1.0),
        }
        return {
            proxy: (name, getattr(self, name) / unit)
            for proxy, (name, unit) in units.items()
            if getattr(self, name) is not None
        }


class Training(Section):
    """How the best few are trained on the images: NAS-Bench-201's recipe, shortened."""

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
        features: What the model sees of a proxy: ``standard`` (logarithm where it spans decades)
            or ``rank``; with ``+structure`` the cell's structure too (by default where the space
            is of cells), with ``+aggregate`` the mean log rank, with ``+interactions`` products.
        fit_on: The trials on the Pareto front, or all that are complete.
        folds: Folds of the cross-validation.
        repeats: Times that the cross-validation is repeated, each with another split.
        proxies: Proxies that the model sees; None for all that are computed.
        seed: Seed of the splits.
        from_: File of an ensemble fitted on another data set (``from`` in a search file), to rank
            by where no accuracy is known.
    """

    model: ModelName = "gap"
    features: FeatureSetName = "rank+structure+aggregate"
    fit_on: Literal["pareto", "all"] = "all"
    folds: int = Field(default=5, ge=2)
    repeats: Count = 4
    proxies: SomeProxies | None = None
    seed: Seed = 0
    from_: str | None = Field(default=None, min_length=1, alias="from")


class Output(Section):
    """Where results go."""

    folder: str = Field(default="runs", min_length=1)
    report: bool = True
