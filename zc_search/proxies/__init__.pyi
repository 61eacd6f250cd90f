from .base import Proxy, Scalar, proxy
from .catalogue import ENTRY_POINT_GROUP
from .probe.measurement import Measurement
from .probe.probe import Probe
from .registry import PROXIES, resolve_proxies, resolve_proxy

__all__ = [
    "ENTRY_POINT_GROUP",
    "PROXIES",
    "Measurement",
    "Probe",
    "Proxy",
    "Scalar",
    "proxy",
    "resolve_proxies",
    "resolve_proxy",
]
