"""All proxies of one network, each failing for itself."""

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.images import Batch
from zc_search.proxies import Measurement, Probe, Proxy
from zc_search.scoring.cache import not_finite
from zc_search.scoring.memory import explain_memory


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
            reason = explain_memory(p, probe, error) or f"{type(error).__name__}: {error}"
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
            failures.setdefault(name, not_finite(value))
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


def make_probe(network: nn.Module, batch: Batch, proxies: Sequence[Proxy], seed: int = 0) -> Probe:
    """Return the probe that computes what some proxies need, and no more."""
    needs = {
        training: frozenset[Measurement]().union(
            *(p.needs for p in proxies if p.training is training)
        )
        for training in (True, False)
    }
    return Probe(
        network, batch.images, batch.labels, needs[True], seed, needs_evaluating=needs[False]
    )
