"""Multi-objective neural architecture search that trains nothing.

>>> import zc_search
>>> result = zc_search.run_search(zc_search.load_config("search.toml"))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zc_search.benchmarks import open_benchmark
    from zc_search.config import Config, load_config
    from zc_search.direct import score_architectures, score_network
    from zc_search.ensemble import Ensemble, fit_ensemble
    from zc_search.errors import ZcSearchError
    from zc_search.evaluation import evaluate
    from zc_search.networks import build_network
    from zc_search.pipeline import run_search
    from zc_search.proxies import Probe, Proxy, proxy
    from zc_search.results import SearchResult
    from zc_search.spaces import Architecture, ModelSpec, SizeArchitecture, read_architecture
    from zc_search.sweep import load_scores, score_space

__all__ = [
    "Architecture",
    "Config",
    "Ensemble",
    "ModelSpec",
    "Probe",
    "Proxy",
    "SearchResult",
    "SizeArchitecture",
    "ZcSearchError",
    "build_network",
    "evaluate",
    "fit_ensemble",
    "load_config",
    "load_scores",
    "open_benchmark",
    "proxy",
    "read_architecture",
    "run_search",
    "score_architectures",
    "score_network",
    "score_space",
]

# Imported on first use, so that what needs no torch does not wait for it.
_HOMES = {
    "Architecture": "spaces",
    "Config": "config",
    "Ensemble": "ensemble",
    "ModelSpec": "spaces",
    "Probe": "proxies",
    "Proxy": "proxies",
    "SearchResult": "results",
    "SizeArchitecture": "spaces",
    "ZcSearchError": "errors",
    "build_network": "networks",
    "evaluate": "evaluation",
    "fit_ensemble": "ensemble",
    "load_config": "config",
    "load_scores": "sweep",
    "open_benchmark": "benchmarks",
    "proxy": "proxies",
    "read_architecture": "spaces",
    "run_search": "pipeline",
    "score_architectures": "direct",
    "score_network": "direct",
    "score_space": "sweep",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
