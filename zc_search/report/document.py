"""A result for machines: everything that is printed, as plain JSON types."""

import json
from typing import Any

import pandas as pd

from zc_search.report.payload import plain
from zc_search.study.result import SearchResult


def result_document(result: SearchResult) -> str:
    """Return a result as one JSON document.

    Its keys: ``study``, ``folder``, ``report`` (or null), ``trials``, ``feasible``, ``functions``,
    ``pareto`` (a row an architecture, as in ``pareto.csv``), ``ensemble`` (``model``,
    ``fit_on``, ``rows``, ``unit``, ``weights``, ``quality``; or null), ``best`` (see
    `zc_search.study.result.Best`; or null), ``notes`` and ``seconds``. NaN is null, an infinity its
    name.
    """
    trials, ensemble, best = result.trials, result.ensemble, result.best
    report = result.folder / "report.html"
    document = {
        "study": result.config.study.name,
        "folder": str(result.folder),
        "report": str(report) if report.exists() else None,
        "trials": len(trials),
        "feasible": int(trials["feasible"].sum()) if len(trials) else 0,
        "functions": int(trials["function_key"].nunique()) if len(trials) else 0,
        "pareto": _rows(result.pareto),
        "ensemble": ensemble
        and {
            "model": ensemble.model,
            "fit_on": ensemble.fit_on,
            "rows": ensemble.rows,
            "unit": ensemble.unit,
            "weights": _rows(ensemble.weights),
            "quality": _rows(ensemble.quality),
        },
        "best": best and {name: plain(value) for name, value in vars(best).items()},
        "notes": list(result.notes),
        "seconds": {stage: plain(seconds) for stage, seconds in result.seconds.items()},
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): plain(value) for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
