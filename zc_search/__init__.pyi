from .benchmarks import open_benchmark
from .config import Config, load_config
from .ensemble import Ensemble, fit_ensemble
from .errors import ZcSearchError
from .evaluation import evaluate
from .images.datasets import Task
from .proxies import Probe, Proxy, proxy
from .report.page import save_result
from .scoring.architectures import score_architectures
from .scoring.scorer import score_network
from .scoring.scores_file import load_scores, packaged_scores
from .scoring.sweep import score_space
from .search import run_search
from .spaces import Architecture, ModelSpec, SizeArchitecture, read_architecture
from .spaces.network import build_network
from .study import Objective, conclude
from .study.record import SearchResult

__all__ = [
    "Architecture",
    "Config",
    "Ensemble",
    "ModelSpec",
    "Objective",
    "Probe",
    "Proxy",
    "SearchResult",
    "SizeArchitecture",
    "Task",
    "ZcSearchError",
    "build_network",
    "conclude",
    "evaluate",
    "fit_ensemble",
    "load_config",
    "load_scores",
    "open_benchmark",
    "packaged_scores",
    "proxy",
    "read_architecture",
    "run_search",
    "save_result",
    "score_architectures",
    "score_network",
    "score_space",
]
