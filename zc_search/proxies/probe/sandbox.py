"""A probe for code that is not ours, which may ruin whatever it is given."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from zc_search._utils.torch_defaults import settings_kept
from zc_search.errors import ProxyError
from zc_search.proxies.probe.probe import Probe

_KEPT = ("default dtype", "default device", "number of threads", "gradient mode")


class SandboxedProbe(Probe):
    """A probe with copies of another's network, batch and measurements, made when first read."""

    def __init__(self, host: Probe) -> None:
        super().__init__(host.network, host.images, host.labels, (), host.seed)
        self.training, self._classes = host.training, host._classes
        self._host = host
        del self.network, self.images, self.labels

    def __getattr__(self, name: str) -> Any:
        if name not in ("network", "images", "labels"):
            raise AttributeError(f"'Probe' object has no attribute {name!r}", name=name)
        try:
            setattr(self, name, copy.deepcopy(getattr(self._host, name)))
        except Exception as error:  # such as a layer that keeps a tensor with its graph
            message = f"the {name} cannot be copied for a proxy that may change it: {error}"
            raise ProxyError(message, given=name) from error
        return self.__dict__[name]

    @cached_property
    def evaluating(self) -> Probe:
        return SandboxedProbe(self._host.evaluating)

    def measure(self, name: str) -> object:
        return copy.deepcopy(self._host.measure(name))


@contextmanager
def sandboxed(host: Probe, name: str) -> Iterator[SandboxedProbe]:
    """Give a proxy a copy of a probe; undo, and say once, what it does to torch's settings.

    Random numbers are seeded as for measurements, and the states of all generators put back.
    """
    changed: list[str] = []
    try:
        with settings_kept(_KEPT) as changed, host.random():
            yield SandboxedProbe(host)
    finally:
        if changed:  # Python shows a warning of one text once
            message = f"proxy {name!r} changed torch's {', '.join(changed)}, which is put back"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
