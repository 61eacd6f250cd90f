"""The zero-cost runner: architecture -> scores, one initialisation, one batch, shared passes."""

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pandas as pd
import torch
from torch import Tensor, nn

from zc_search.config import Config
from zc_search.data import Batch, load_batch
from zc_search.datasets import DatasetName, Task, task_of
from zc_search.errors import DataError, ProxyError, unknown_name
from zc_search.evaluating import evaluate_proxies
from zc_search.networks import build_network
from zc_search.proxies import Measurement, Probe, Proxy, resolve_proxies
from zc_search.score_cache import ScoreCache, not_finite
from zc_search.spaces import AnyArchitecture, read_architecture

logger = logging.getLogger("zc_search")


@dataclass(frozen=True)
class Scores:
    """What the proxies say of one architecture.

    Attributes:
        architecture: The architecture that was asked for.
        values: A number by proxy; not finite where the proxy has no value for it.
        failures: Why, by proxy, for every value that is not finite.
        seconds: What computing them took; next to nothing if they came from the cache.
    """

    architecture: AnyArchitecture
    values: Mapping[str, float]
    failures: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Scorer:
    """Scores architectures on one batch, each function once.

    Proxies that do not count dead edges are computed on the first isomorph by index, so the
    scores do not depend on which isomorph was met first.

    Args:
        proxies: What to compute.
        batch: The images, for the whole search.
        dataset: A data set of the benchmark, or a task: what the networks are built for.
        channels: Width of the first stage; by default the benchmark's.
        cells: Cells a stage; by default the benchmark's.
        repeats: Initialisations to average over, with seeds ``seed``, ``seed + 1``, ...
        seed: Seed of the weights.
        device: Where to compute, as torch names it.
        cache: Keeps values for other scorers; by default none does.

    Raises:
        DataError: The batch has labels that the networks have no class for.
        ProxyError: The device is not there; fewer than one repeat.
    """

    def __init__(
        self,
        proxies: Sequence[Proxy],
        batch: Batch,
        *,
        dataset: DatasetName | Task = "cifar10",
        channels: int | None = None,
        cells: int | None = None,
        repeats: int = 1,
        seed: int = 0,
        device: str = "cpu",
        cache: ScoreCache | None = None,
    ) -> None:
        task = task_of(dataset)
        if repeats < 1:
            raise ProxyError(f"proxies.repeats: {repeats} is given; at least 1 is needed")
        if batch.images.shape[1] != task.channels:
            raise DataError(
                f"the networks take {task.channels} channels, the images have "
                f"{batch.images.shape[1]}"
            )
        if int(batch.labels.max()) >= task.classes:
            raise DataError(
                f"the batch has label {int(batch.labels.max())}, but {task.name} has only "
                f"{task.classes} classes"
            )
        self.proxies = tuple(proxies)
        self._device = torch_device(device)
        self.batch = batch.to(self._device)
        self._network = {"dataset": dataset, "channels": channels, "cells": cells}
        self._seeds = range(seed, seed + repeats)
        self._cache: dict[str, Scores] = {}
        conditions = {
            "batch": batch.fingerprint,
            "task": repr(task),
            "channels": channels,
            "cells": cells,
            "seeds": [*self._seeds],
            "device": self._device.type,
        }
        self._kept = cache.under(conditions, self.proxies) if cache else None

    @classmethod
    def of(
        cls,
        config: Config,
        proxies: Sequence[Proxy],
        batch: Batch,
        task: Task,
        cache: ScoreCache | None = None,
    ) -> Self:
        """Return a scorer with a configuration's networks, seeds and device.

        Raises:
            ZcSearchError: As above.
        """
        return cls(
            proxies,
            batch,
            dataset=task,
            channels=config.space.channels,
            cells=config.space.cells,
            repeats=config.proxies.repeats,
            seed=config.proxies.seed,
            device=config.proxies.device,
            cache=cache,
        )

    def score(self, architecture: AnyArchitecture) -> Scores:
        """Score an architecture; an isomorph of an earlier one costs next to nothing."""
        start = time.perf_counter()
        of_string = tuple(p for p in self.proxies if p.counts_dead_edges)
        of_function = tuple(p for p in self.proxies if not p.counts_dead_edges)
        key = architecture.function_key
        if key not in self._cache:
            self._cache[key] = self._score(architecture.representative(), of_function)
        written = architecture.to_string()
        if written not in self._cache:
            self._cache[written] = self._score(architecture, of_string)
        shared, own = self._cache[key], self._cache[written]
        return Scores(
            architecture,
            # In the order in which the proxies were asked for.
            {p.name: (own if p.counts_dead_edges else shared).values[p.name] for p in self.proxies},
            {**shared.failures, **own.failures},
            time.perf_counter() - start,
        )

    def knows(self, architecture: AnyArchitecture) -> bool:
        """Whether scoring an architecture would compute nothing."""
        return {architecture.function_key, architecture.to_string()} <= self._cache.keys()

    def remember(self, scores: Scores) -> None:
        """Take scores computed earlier, under the same settings, into the cache."""
        names = {p.name for p in self.proxies}
        if not names <= set(scores.values):
            return
        keys = {False: scores.architecture.function_key, True: scores.architecture.to_string()}
        for counts_dead_edges, key in keys.items():
            mine = [p.name for p in self.proxies if p.counts_dead_edges is counts_dead_edges]
            self._cache.setdefault(
                key,
                replace(
                    scores,
                    values={name: scores.values[name] for name in mine},
                    failures={k: v for k, v in scores.failures.items() if k in mine},
                ),
            )

    def _score(self, architecture: AnyArchitecture, proxies: Sequence[Proxy]) -> Scores:
        kept = self._kept.read(str(architecture)) if self._kept and proxies else {}
        values = {p.name: kept.get(p.name, 0.0) for p in proxies}
        failures = {k: not_finite(v) for k, v in values.items() if not math.isfinite(v)}
        proxies = [p for p in proxies if p.name not in kept]
        for seed in self._seeds if proxies else ():
            network = build_network(architecture, seed=seed, **self._network)  # type: ignore[arg-type]
            probe = _probe(network.to(self._device), self.batch, proxies, seed)
            once, failed = evaluate_proxies(proxies, probe)
            failures |= failed
            for name, value in once.items():
                values[name] += value / len(self._seeds)
        if self._kept and proxies:
            self._kept.write(str(architecture), {p.name: values[p.name] for p in proxies}, failures)
        return Scores(architecture, values, failures)


def torch_device(name: str) -> torch.device:
    """Return the device of a name, ``auto`` being a GPU where there is one.

    Raises:
        ProxyError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        allowed = ("auto", "cpu", "cuda", "cuda:N")
        raise ProxyError(f"proxies.device: {unknown_name('device', name, allowed)}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ProxyError(
            f"proxies.device: {name!r} is not there, torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} GPUs; use 'cpu' or 'auto'"
        )
    return device


def _probe(network: nn.Module, batch: Batch, proxies: Sequence[Proxy], seed: int = 0) -> Probe:
    needs = {
        training: frozenset[Measurement]().union(
            *(p.needs for p in proxies if p.training is training)
        )
        for training in (True, False)
    }
    return Probe(
        network, batch.images, batch.labels, needs[True], seed, needs_evaluating=needs[False]
    )


def score_network(
    module: nn.Module, proxies: Sequence[str], images: Tensor, labels: Tensor
) -> dict[str, float]:
    """Score any network on one batch.

    Args:
        module: Maps ``images`` to logits; left as it was.
        proxies: Names of proxies, or ``module:function``.
        images: float32, N x C x H x W, normalised.
        labels: int64, N.

    Returns:
        A number by proxy, not finite where the proxy has no value for this network.

    Raises:
        DataError: Images or labels of another shape or type.
        ProxyError: An unknown proxy, or one that failed.
    """
    batch = Batch.from_tensors(images, labels)
    chosen = resolve_proxies(_listed(proxies))
    probe = _probe(module, batch, chosen)
    values, _ = evaluate_proxies(chosen, probe, strict=True)
    return values


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

    Returns:
        A row an architecture, indexed by its string, a column a proxy. Why a value is not
        finite stands in ``attrs["failures"]``, by architecture and proxy.

    Raises:
        ArchitectureError: A string that is no architecture.
        DataError: Unknown source or data set, or unusable images.
        ProxyError: An unknown proxy.
    """
    chosen = resolve_proxies(_listed(proxies))
    architectures = [read_architecture(a) if isinstance(a, str) else a for a in archs]
    if isinstance(data, str):
        name = dataset.name if isinstance(dataset, Task) else dataset
        batch = load_batch(data, dataset=name, batch_size=batch_size, seed=seed, path=path)
    else:
        batch = Batch.from_tensors(*data)
    scorer = Scorer(
        chosen,
        batch,
        dataset=dataset,
        channels=channels,
        cells=cells,
        repeats=repeats,
        seed=seed,
        device=device,
    )
    scores = [scorer.score(architecture) for architecture in architectures]
    index = pd.Index([str(a) for a in architectures], name="architecture", dtype="str")
    names = [p.name for p in chosen]
    table = pd.DataFrame([s.values for s in scores], index=index, columns=names, dtype="float64")
    failures = {str(s.architecture): dict(s.failures) for s in scores if s.failures}
    if failures:
        table.attrs["failures"] = failures
        logger.warning("%d architectures lack a value; see table.attrs['failures']", len(failures))
    return table


def _listed(proxies: Sequence[str]) -> Sequence[str]:
    return (proxies,) if isinstance(proxies, str) else proxies
