from .base import PROXIES, Proxy, Scalar, proxy, resolve_proxies, resolve_proxy
from .catalogue import ENTRY_POINT_GROUP
from .probe.passes import Measurement
from .probe.probe import Probe

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
