"""The files of a finished run."""

import logging
import platform
import sys
from dataclasses import asdict
from typing import Any

import optuna
import torch

from zc_search._utils.passwords import without_passwords
from zc_search.report.dashboard import dress_study, is_installed
from zc_search.report.page import write_report
from zc_search.report.run import as_trials, stored_learning_curve, versions
from zc_search.study import DATA, DEFINITIONS
from zc_search.study.record import SearchResult
from zc_search.study.run_folder import RunFolder

logger = logging.getLogger("zc_search")


def write_outputs(result: SearchResult, study: optuna.Study, folder: RunFolder) -> None:
    """Write every table, the report and the manifest of a run, and what the dashboard shows."""
    folder.write_table("trials.csv", result.trials)
    folder.write_table("pareto.csv", result.pareto)
    folder.write_table("ranking.csv", result.ranking)
    folder.write_json("manifest.json", make_manifest(result, study))
    page = folder.path / "report.html"
    if not result.config.output.report:
        page.unlink(missing_ok=True)  # of an earlier, shorter search
        return
    write_report(result, page, learning_curve=stored_learning_curve(folder.path))
    if is_installed():
        try:
            dress_study(study, result)
        except (OSError, optuna.exceptions.StorageInternalError) as error:
            # All that counts is written, and `zc-search dashboard` does this once more.
            logger.warning("no note and figures for Optuna's dashboard: %s", error)


def make_manifest(result: SearchResult, study: optuna.Study) -> dict[str, Any]:
    """Return what a run says of itself: how it was made, with what, and what came of it."""
    config, spec = result.config, result.ensemble and result.ensemble.spec
    return {
        "command": [without_passwords(argument) for argument in sys.argv],
        "versions": versions(),
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
        "benchmark": {"provenance": result.provenance, "optimum": result.optimum},
        "directions": dict(spec.directions) if spec else None,
        "trials": len(result.trials),
        "accuracies_looked_at": as_trials(result).looked_at,
        "seconds": dict(result.seconds),
        "best": asdict(result.best) if result.best else None,
        "notes": list(result.notes),
    }
