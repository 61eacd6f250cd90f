"""The zero-cost runner: architecture -> scores, one initialisation, one batch, shared passes."""

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real

import pandas as pd
import torch
from torch import Tensor, nn

from zc_search.data import Batch, load_batch
from zc_search.datasets import DATASETS, DatasetName
from zc_search.errors import DataError, ProxyError, unknown_name
from zc_search.networks import build_network
from zc_search.proxies import Measurement, Probe, Proxy, resolve_proxies
from zc_search.spaces import Architecture

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

    architecture: Architecture
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
        dataset: Decides the number of classes of the networks.
        channels: Width of the first stage.
        cells: Cells a stage.
        repeats: Initialisations to average over, with seeds ``seed``, ``seed + 1``, ...
        seed: Seed of the weights.
        device: Where to compute, as torch names it.

    Raises:
        DataError: The batch has labels that the networks have no class for.
        ProxyError: The device is not there; fewer than one repeat.
    """

    def __init__(
        self,
        proxies: Sequence[Proxy],
        batch: Batch,
        *,
        dataset: DatasetName = "cifar10",
        channels: int = 16,
        cells: int = 5,
        repeats: int = 1,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if dataset not in DATASETS:
            raise DataError(unknown_name("dataset", dataset, DATASETS))
        if repeats < 1:
            raise ProxyError(f"proxies.repeats: {repeats} is given; at least 1 is needed")
        if batch.images.shape[1] != 3:
            raise DataError(
                f"the networks take 3 channels, the images have {batch.images.shape[1]}"
            )
        if int(batch.labels.max()) >= DATASETS[dataset].classes:
            raise DataError(
                f"the batch has label {int(batch.labels.max())}, but {dataset} has only "
                f"{DATASETS[dataset].classes} classes"
            )
        self.proxies = tuple(proxies)
        self._device = _torch_device(device)
        self.batch = batch.to(self._device)
        self._network = {"dataset": dataset, "channels": channels, "cells": cells}
        self._seeds = range(seed, seed + repeats)
        self._cache: dict[str, Scores] = {}

    def score(self, architecture: Architecture) -> Scores:
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

    def _score(self, architecture: Architecture, proxies: Sequence[Proxy]) -> Scores:
        values = dict.fromkeys((p.name for p in proxies), 0.0)
        failures: dict[str, str] = {}
        for seed in self._seeds if proxies else ():
            network = build_network(architecture, seed=seed, **self._network)  # type: ignore[arg-type]
            probe = _probe(network.to(self._device), self.batch, proxies, seed)
            once, failed = evaluate_proxies(proxies, probe)
            failures |= failed
            for name, value in once.items():
                values[name] += value / len(self._seeds)
        return Scores(architecture, values, failures)


def _torch_device(name: str) -> torch.device:
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


def evaluate_proxies(
    proxies: Sequence[Proxy], probe: Probe, *, strict: bool = False
) -> tuple[dict[str, float], dict[str, str]]:
    """Return each proxy's value, and the reason for every value that is not finite.

    A proxy that raises gets NaN, so that one broken proxy does not cost the others' work;
    unless `strict`, where it ends in a `ProxyError`.
    """
    scalars: dict[str, float | Tensor] = {}
    failures: dict[str, str] = {}
    for p in proxies:
        try:
            scalars[p.name] = _checked(p(probe), probe.images.device)
        except Exception as error:  # a proxy is anybody's code
            reason = f"{type(error).__name__}: {error}"
            if strict:
                raise ProxyError(f"proxy {p.name!r} failed: {reason}") from error
            failures[p.name] = reason
            scalars[p.name] = math.nan
    # One transfer, so that a device is waited for once.
    tensors = [value for value in scalars.values() if isinstance(value, Tensor)]
    moved = iter(torch.stack(tensors).tolist() if tensors else ())
    values = {k: next(moved) if isinstance(v, Tensor) else v for k, v in scalars.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            failures.setdefault(name, f"the value is {value}")
    return values, failures


def _checked(value: object, device: torch.device) -> float | Tensor:
    """Return a proxy's value as a float, or as a float64 tensor without dimensions."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex() or value.dtype == torch.bool:
            raise TypeError(
                f"returned a tensor {value.dtype} of shape {tuple(value.shape)}, not a number"
            )
        return value.detach().to(device, torch.float64).reshape(())
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"returned {type(value).__name__} {value!r}, not a number")
    return float(value)


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
    archs: Iterable[Architecture | str],
    proxies: Sequence[str],
    data: str | tuple[Tensor, Tensor] = "patches",
    batch_size: int = 64,
    seed: int = 0,
    dataset: DatasetName = "cifar10",
    *,
    channels: int = 16,
    cells: int = 5,
    repeats: int = 1,
    device: str = "cpu",
    path: str | None = None,
) -> pd.DataFrame:
    """Score architectures of NAS-Bench-201.

    Args:
        archs: Architectures or their strings.
        proxies: Names of proxies, or ``module:function``.
        data: A source's name, or images (N x 3 x H x W) with labels (N).
        batch_size: Images, where a source is named.
        seed: Seed of the batch and of the weights.
        dataset: Resolution and classes.
        channels: Width of the first stage.
        cells: Cells a stage.
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
    architectures = [
        a if isinstance(a, Architecture) else Architecture.from_string(a) for a in archs
    ]
    if isinstance(data, str):
        batch = load_batch(data, dataset=dataset, batch_size=batch_size, seed=seed, path=path)
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
