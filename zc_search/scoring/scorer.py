"""The zero-cost runner: architecture -> scores, one initialisation, one batch, shared passes."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch

from zc_search.config import Config
from zc_search.errors import DataError, ProxyError, unknown_name
from zc_search.images import Batch
from zc_search.images.datasets import DatasetName, Task, task_of
from zc_search.proxies import Proxy
from zc_search.scoring.cache import ScoreCache, not_finite
from zc_search.scoring.evaluating import evaluate_proxies, make_probe
from zc_search.spaces import AnyArchitecture
from zc_search.spaces.network import build_network


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
        ProxyError: The device is not there; fewer than one repeat, channel or cell.
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
        counts = {"proxies.repeats": repeats, "space.channels": channels, "space.cells": cells}
        for key, count in counts.items():
            if count is not None and count < 1:
                raise ProxyError(f"{key}: {count} is given; at least 1 is needed")
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
            probe = make_probe(network.to(self._device), self.batch, proxies, seed)
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
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        allowed = ("auto", "cpu", "cuda", "cuda:N")
        raise ProxyError(f"proxies.device: {unknown_name('device', name, allowed)}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ProxyError(
            f"proxies.device: {name!r} is not there, torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} GPUs; use 'cpu' or 'auto'"
        )
    return device
