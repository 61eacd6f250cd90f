"""The zero-cost runner: architecture -> scores, one initialisation, one batch, shared passes."""

import logging
import math
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any, Self

import psutil
import torch
from joblib import cpu_count
from torch import Tensor, nn

from zc_search._utils.torch_defaults import usual_defaults
from zc_search.config import Config, Data
from zc_search.errors import ArchitectureError, DataError, ProxyError
from zc_search.images import Batch, ImageSet, batch_of, load_batch, read_images
from zc_search.images.datasets import DatasetName, Task, task_of
from zc_search.proxies import Probe, Proxy, resolve_proxies
from zc_search.proxies.probe import VERSION as PROBE_VERSION
from zc_search.proxies.probe.data_free import Timing, timing
from zc_search.scoring.cache import ScoreCache
from zc_search.spaces import PLUGIN, AnyArchitecture, AnySpace, CellSpace, FunctionSpace, make_space
from zc_search.spaces.network import VERSION as NETWORKS_VERSION
from zc_search.spaces.network import build_network

logger = logging.getLogger("zc_search")

_PACKAGE = Path(__file__).parents[1]
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory")


@dataclass(frozen=True)
class Scores:
    """A number a proxy of an architecture, why one is not finite, and the seconds it took."""

    architecture: AnyArchitecture
    values: Mapping[str, float]
    failures: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


Group = tuple[AnyArchitecture, ...]
"""Architectures of one function, whose passes are shared."""

Submit = Callable[[Group, Scores | None], Future[list[Scores]]]
"""Called with a group, and the scores of another one of its function if they are known."""


class Scorer:
    """Scores architectures on one batch, each function once, by its first isomorph by index.

    Networks are those of a data set of the benchmark, or of a `Task`, by default with its channels
    and cells; `repeats` initialisations have seeds ``seed``, ``seed + 1``, ..., and are averaged.
    What arrives in another process scores alike and remembers nothing.
    """

    def __init__(
        self,
        proxies: Sequence[Proxy],
        batch: Batch,
        *,
        dataset: DatasetName | Task = "cifar10",
        space: AnySpace | None = None,
        channels: int | None = None,
        cells: int | None = None,
        repeats: int = 1,
        seed: int = 0,
        device: str = "cpu",
        cache: ScoreCache | None = None,
    ) -> None:
        task = task_of(dataset)
        counts = {"proxies.repeats": repeats, "space.channels": channels, "space.cells": cells}
        for key, count in counts.items():
            if count is not None and count < 1:
                raise ProxyError(f"{key}: {count} is given; at least 1 is needed", key=key)
        if (found := batch.images.shape[1]) != task.channels:
            raise DataError(f"the networks take {task.channels} channels, the images have {found}")
        if (largest := int(batch.labels.max())) >= task.classes:
            there = f"{task.name} has only {task.classes} classes"
            raise DataError(f"the batch has label {largest}, but {there}")
        self.proxies = tuple(proxies)
        self._device = torch_device(device)
        self.batch = batch.to(self._device)
        self.space: AnySpace = space or CellSpace()
        self._task, self._sizes = task, {"channels": channels, "cells": cells}
        self._seeds = range(seed, seed + repeats)
        self._known: dict[str, Scores] = {}
        # What the code of somebody's own networks calls cannot be known, nor when it changes.
        self.cache = None if isinstance(space, FunctionSpace) else cache
        self._cached_as = {p.name: p.definition for p in self.proxies if is_cacheable(p)}
        self.conditions = {
            "batch": batch.fingerprint,
            "task": repr(task),
            "channels": channels,
            "cells": cells,
            "seeds": [*self._seeds],
            "device": self._device.type,
            "networks": NETWORKS_VERSION,
            "probe": PROBE_VERSION,
            "torch": torch.__version__,
        }

    @classmethod
    def of(
        cls,
        config: Config,
        proxies: Sequence[Proxy],
        batch: Batch,
        task: Task,
        cache: ScoreCache | None = None,
    ) -> Self:
        """Return a scorer with a configuration's networks, seeds and device."""
        sizes = config.space.model_dump(include={"channels", "cells"})
        how = config.proxies.model_dump(include={"repeats", "seed", "device"})
        space = make_space(config.space, task)
        return cls(proxies, batch, dataset=task, space=space, **sizes, **how, cache=cache)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "batch": self.batch.to("cpu")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.batch = self.batch.to(self._device)

    def fresh(self, proxies: Iterable[Proxy]) -> Self:
        """Return a scorer of the same settings, for some of the proxies, that knows nothing yet."""
        other = object.__new__(type(self))  # copying would move the batch to the CPU and back
        other.__dict__.update(self.__dict__, _known={}, proxies=tuple(proxies))
        return other

    def build(self, architecture: AnyArchitecture, seed: int) -> nn.Module:
        """Build the network of an architecture, of the scorer's space or of one of this project."""
        if architecture.space != PLUGIN:
            return build_network(architecture, dataset=self._task, seed=seed, **self._sizes)
        network: nn.Module = self.space.build(architecture, self._task, seed)
        return network

    def score(self, architecture: AnyArchitecture) -> Scores:
        """Score an architecture; an isomorph of an earlier one costs next to nothing."""
        start = time.perf_counter()
        known: dict[str, float] = {}
        failures: dict[str, str] = {}
        for key, proxies in self._shares(architecture):
            if key not in self._known:
                own = key == architecture.to_string()
                scored = architecture if own else architecture.representative()
                self._known[key] = self._score(scored, proxies)
            known |= self._known[key].values
            failures |= self._known[key].failures
        values = {p.name: known[p.name] for p in self.proxies}  # in the order asked for
        return Scores(architecture, values, failures, time.perf_counter() - start)

    def _shares(self, architecture: AnyArchitecture) -> Iterator[tuple[str, list[Proxy]]]:
        """Yield the proxies of the function and of the text, and what each is known by."""
        keys = {False: architecture.function_key, True: architecture.to_string()}
        for dead, key in keys.items():
            yield key, [p for p in self.proxies if p.counts_dead_edges is dead]

    def timing(self, architecture: AnyArchitecture) -> Timing:
        """Measure what one image of the batch waits for, once more."""
        network = self.build(architecture, self._seeds[0]).to(self._device)
        probe = make_probe(network, self.batch, (), self._seeds[0], self._task.classes)
        with usual_defaults():
            return timing(probe, 1)

    def knows(self, architecture: AnyArchitecture) -> bool:
        """Whether scoring an architecture would compute nothing."""
        return {key for key, _ in self._shares(architecture)} <= self._known.keys()

    def remember(self, scores: Scores) -> None:
        """Take scores computed earlier, under the same settings, as known."""
        if not {p.name for p in self.proxies} <= set(scores.values):
            return
        for key, proxies in self._shares(scores.architecture):
            values = {p.name: scores.values[p.name] for p in proxies}
            failures = {k: v for k, v in scores.failures.items() if k in values}
            self._known.setdefault(key, replace(scores, values=values, failures=failures))

    def _score(self, architecture: AnyArchitecture, proxies: Sequence[Proxy]) -> Scores:
        conditions = {**self.conditions, "architecture": str(architecture)}
        cached = self.cache.read(conditions) if self.cache and proxies else {}
        names = {p.name for p in proxies}
        values = {n: cached[d] for n, d in self._cached_as.items() if n in names and d in cached}
        failures = {k: not_finite(v) for k, v in values.items() if not math.isfinite(v)}
        proxies = [p for p in proxies if p.name not in values]
        values |= dict.fromkeys((p.name for p in proxies), 0.0)
        for seed in self._seeds if proxies else ():
            try:
                network = self.build(architecture, seed)
            except ArchitectureError as error:  # the builder is anybody's code
                values |= dict.fromkeys((p.name for p in proxies), math.nan)
                failures |= dict.fromkeys((p.name for p in proxies), str(error))
                break
            probe = make_probe(
                network.to(self._device), self.batch, proxies, seed, self._task.classes
            )
            once, failed = evaluate_proxies(proxies, probe)
            failures |= failed
            for name, value in once.items():
                values[name] += value / len(self._seeds)
        fresh = {
            self._cached_as[p.name]: values[p.name]
            for p in proxies  # what is missing because something went wrong is not kept
            if p.name in self._cached_as
            and failures.get(p.name) in (None, not_finite(values[p.name]))
        }
        if self.cache and fresh:
            self.cache.write(conditions, fresh)
        return Scores(architecture, values, failures)


def open_images(data: Data) -> ImageSet:
    """Read all images that a section ``data`` names."""
    how = data.model_dump(include={"max_unreadable", "resolution", "color", "fit"})
    return read_images(data.source, data.path, **how)


def batch_and_task(
    config: Config, images: ImageSet | None = None
) -> tuple[Batch, Task, tuple[str, ...]]:
    """Return the batch that a search scores on, what networks are built for, and notes."""
    data, task = config.data, task_of(config.space.dataset)
    if config.data_decides:
        images = images or open_images(data)
        batch = batch_of(images, data.batch_size, data.seed, data.validation)
        return batch, images.task, (images.described() + ".", *images.notes)
    batch = load_batch(data.source, task.name, data.batch_size, data.seed, data.path)
    return batch, task, ()


def torch_device(name: str) -> torch.device:
    """Return the device of a name, ``auto`` being a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        allowed = ("auto", "cpu", "mps", "cuda", "cuda:N")
        raise ProxyError.unknown("device", name, allowed, key="proxies.device")
    kind, _, index = name.partition(":")
    there = torch.cuda.device_count() if kind == "cuda" else torch.backends.mps.is_available()
    if kind != "cpu" and int(index or 0) >= there:
        seen = f"torch {torch.__version__} sees {int(there)} GPUs"
        message = f"proxies.device: {name!r} is not there, {seen}; use 'cpu' or 'auto'"
        raise ProxyError(message, key="proxies.device", given=name)
    return torch.device(name)


def is_cacheable(proxy: Proxy) -> bool:
    """Whether a value is the same the next time: not a time, nor what a user's function calls."""
    own = proxy.function.__module__.partition(".")[0] == __name__.partition(".")[0]
    return own and "latency" not in proxy.needs


def not_finite(value: float) -> str:
    """Say why a value that was computed without a fault cannot be used, if it is not finite."""
    return f"the value is {value}"


def make_probe(
    network: nn.Module,
    batch: Batch,
    proxies: Sequence[Proxy],
    seed: int = 0,
    classes: int | None = None,
) -> Probe:
    """Return the probe that computes what some proxies need, and no more."""
    training, evaluating, dead = (
        frozenset[str]().union(*(p.needs for p in proxies if (p.training, p.dead) == how))
        for how in ((True, False), (False, False), (True, True))
    )
    given = network, batch.images, batch.labels, training, seed
    return Probe(*given, needs_evaluating=evaluating, needs_dead=dead, classes=classes)


def evaluate_proxies(
    proxies: Sequence[Proxy], probe: Probe, *, strict: bool = False
) -> tuple[dict[str, float], dict[str, str]]:
    """Return each proxy's value, NaN where it raised, and the reason for each that is not finite.

    If `strict`, the first that raises ends in a `ProxyError`.
    """
    scalars: dict[str, Tensor] = {}
    failures: dict[str, str] = {}
    for p in proxies:
        try:
            scalars[p.name] = _scalar(p(probe), probe.images.device)
        except Exception as error:  # a proxy is anybody's code
            failures[p.name] = _reason(error, len(probe.images), own=not p.place)
            if not p.place:
                logger.info("proxy %s failed", p.name, exc_info=error)
            if strict:
                raise ProxyError(f"proxy {p.name!r} failed: {failures[p.name]}") from error
    values = dict.fromkeys((p.name for p in proxies), math.nan)
    if scalars:  # one transfer, so that a device is waited for once
        values |= zip(scalars, torch.stack([*scalars.values()]).tolist(), strict=True)
    not_known = {k: not_finite(v) for k, v in values.items() if not math.isfinite(v)}
    return values, {**not_known, **failures}


def _scalar(value: object, device: torch.device) -> Tensor:
    """Return a proxy's value as a float64 tensor without dimensions."""
    fits, given = False, f"{type(value).__name__} {value!r}"
    if isinstance(value, Tensor):
        fits = value.numel() == 1 and not (value.is_complex() or value.dtype == torch.bool)
        given = f"a tensor {value.dtype} of shape {tuple(value.shape)}"
    elif isinstance(value, Real) and not isinstance(value, bool):
        fits, value = True, float(value)
    if not fits:
        raise TypeError(f"returned {given}, not a number")
    return torch.as_tensor(value, dtype=torch.float64, device=device).detach().reshape(())


def _reason(error: Exception, images: int, *, own: bool) -> str:
    """Say what went wrong, and in a function of the user's own where."""
    # On a CPU, torch says that memory ran out in a RuntimeError as any other.
    said = isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _OUT_OF_MEMORY)
    if said or isinstance(error, MemoryError | torch.OutOfMemoryError):
        return f"out of memory with {images} images; a smaller data.batch_size may do"
    message = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__) if own else []
    theirs = [frame for frame in frames if not Path(frame.filename).is_relative_to(_PACKAGE)]
    if not theirs:
        return message
    # The last one is torch's, if it was called with something wrong.
    last = next((f for f in reversed(theirs) if "site-packages" not in f.filename), theirs[-1])
    where = f"{Path(last.filename).name}, line {last.lineno}, in {last.name}: {last.line}"
    return f"{message} ({where})"


def raised(reason: str) -> bool:
    """Whether a value is missing as its proxy raised an error, by the reason."""
    return re.match(r"(?!the value is|no value within|the worker)\w+(\.\w+)*: ", reason) is not None


def score_network(
    module: nn.Module,
    proxies: Sequence[str],
    images: Tensor,
    labels: Tensor,
    *,
    strict: bool = False,
) -> dict[str, float]:
    """Score any network on one batch.

    Args:
        module: Maps ``images`` to logits, float32, on one device, to which the batch goes; left
            as it was. Activation functions and layers are seen where they are modules:
            `nn.ReLU` is, ``F.relu`` is not.
        proxies: Names of proxies, or ``module:function``.
        images: float32, N x C x H x W, normalised.
        labels: int64, N.
        strict: Whether a proxy that fails ends it.

    Returns:
        A number by proxy, NaN where one failed, with the reason as a warning of the log
        ``zc_search``; it may be infinite, too.

    Raises:
        DataError: Images or labels of another shape or type.
        ProxyError: An unknown proxy; if `strict`, one that failed, or a network it cannot measure.
    """
    batch = Batch.from_tensors(images, labels)
    if (first := next(module.parameters(), None)) is not None and not first.is_meta:
        batch = batch.to(first.device)
    chosen = resolve_proxies(proxies)
    probe = make_probe(module, batch, chosen)
    values, failures = evaluate_proxies(chosen, probe, strict=strict)
    for name, reason in failures.items():
        logger.warning("proxy %s has no value: %s", name, reason)
    return values


# In this process, with a share of its cores ------------------------------------------------------


@contextmanager
def scoring_here(scorer: Scorer) -> Iterator[Submit]:
    """Yield what scores a group in the call, with no more threads than there are idle cores."""

    def score_now(group: Group, known: Scores | None) -> Future[list[Scores]]:
        future: Future[list[Scores]] = Future()
        future.set_result([scorer.score(architecture) for architecture in group])
        return future

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, threads_each()) if before > 1 else 1)
    try:
        yield score_now
    finally:
        torch.set_num_threads(before)


def idle_cores(seconds: float = 0.2) -> int:
    """Return how many of them others leave idle now, at least 1; all where that is not known."""
    if (cores := int(cpu_count())) == 1:
        return cores
    busy = psutil.cpu_percent(seconds, percpu=True)
    ask = getattr(psutil.Process(), "cpu_affinity", None)  # not everywhere
    mine = {*ask()} if ask else {*range(len(busy))}
    idle = [1 - share / 100 for core, share in enumerate(busy) if core in mine]
    return max(1, min(cores, round(sum(idle)))) if idle else cores


def threads_each(processes: int = 1) -> int:
    """Return the threads of each of so many processes that compute."""
    return max(1, idle_cores() // processes) if processes < int(cpu_count()) else 1
