"""Results of made-up searches, for the tests of the report."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zc_search.config import config_to_toml, parse_config
from zc_search.ensemble import fit_ensemble, ranking
from zc_search.report.page import write_outputs
from zc_search.report.run import nondominated
from zc_search.spaces import Architecture
from zc_search.study.record import Best, SearchResult
from zc_search.study.storage import RunFolder

PROXIES = ("naswot_relu", "jacov", "synflow", "grad_norm", "snip", "params", "flops")


def trials_table(
    rows: int, objectives: int = 3, proxies: tuple[str, ...] = PROXIES, seed: int = 0
) -> pd.DataFrame:
    """Return trials whose proxies all follow one hidden quality; cut-off cells are infeasible."""
    random = np.random.default_rng(seed)
    cells = [Architecture.from_index(int(i)) for i in random.choice(5**6, rows, replace=False)]
    quality = random.normal(size=rows)
    feasible = np.array([cell.reaches_output for cell in cells])
    keys = [cell.function_key for cell in cells]
    first: dict[str, int] = {}
    repeats = [
        None if first.setdefault(key, number) == number else first[key]
        for number, key in enumerate(keys)
    ]
    table = pd.DataFrame(
        {
            "number": np.arange(rows),
            "state": np.where(feasible, "complete", "pruned"),
            "architecture": [str(cell) for cell in cells],
            "function_key": keys,
            "feasible": feasible,
            "reason": pd.array([None if f else "cut off" for f in feasible], dtype="string"),
            "repeat_of": pd.array(repeats, dtype="Int64"),
        }
    )
    for place, name in enumerate(proxies):
        values = quality + (0.3 + 0.1 * place) * random.normal(size=rows)
        if name in ("params", "flops", "snip"):
            values = np.exp(values)
        table[name] = np.where(feasible, values, np.nan)
    costs = -table[list(proxies[:objectives])].to_numpy()
    table["pareto"] = nondominated(costs) & feasible
    table["val_accuracy"] = np.clip(88 + 1.5 * quality, 10, 91.6)
    table["train_seconds"] = 1000 + 500 * random.random(rows)
    table["latency_seconds"] = 0.01 + 0.01 * random.random(rows)
    table["seconds_proxies"] = np.where(feasible, 0.5, 0.0)
    table["seconds_benchmark"] = 1e-5
    table["duration"] = table["seconds_proxies"] + 0.02
    return table


def made_up_run(
    rows: int = 60, objectives: int = 3, *, folder: Path = Path("runs/made-up"), **options: Any
) -> SearchResult:
    """Return the result of a search that was never run; the table is the caller's to change."""
    made = _made_up(rows, objectives, **options)
    return replace(made, folder=folder, trials=made.trials.copy())


@cache
def _made_up(
    rows: int,
    objectives: int,
    *,
    proxies: tuple[str, ...] = PROXIES,
    benchmark: bool = True,
    ensemble: bool = True,
    feasible: bool = True,
    seed: int = 0,
    **settings: Any,
) -> SearchResult:
    trials = trials_table(rows, objectives, proxies, seed)
    metrics = ["val_accuracy", "train_seconds", "latency_seconds"]
    if not benchmark:
        trials = trials.drop(columns=metrics)
    if not feasible:
        trials["feasible"], trials["pareto"] = False, False
        trials["reason"] = "cut off"
        trials[list(proxies)] = np.nan
    config = parse_config(
        {
            "study": {"name": "made-up", "n_trials": rows, **settings},
            "objectives": dict.fromkeys(proxies[:objectives], "maximize"),
            "proxies": {"compute": [name for name in proxies if ":" not in name]},
            "benchmark": {"name": "nasbench201" if benchmark else "none"},
            "ensemble": {"model": "linear", "features": "standard", "fit_on": "pareto"},
        }
    )
    fitted, ranked, best = None, pd.DataFrame(), None
    if ensemble and benchmark and feasible:
        fitted = fit_ensemble(
            trials,
            proxies,
            repeats=1,
            n_bootstrap=20,
            metadata={"accuracies": "Made up, with 1 seed."},
        )
        ranked = ranking(fitted, trials)
        top = ranked.iloc[0]
        best = Best(
            top["architecture"],
            float(top["prediction"]),
            float(top["low"]),
            float(top["high"]),
            true=float(top["val_accuracy"]),
            rank=181,
            out_of=15625,
            in_sample=True,
        )
    pareto = trials[trials["pareto"]].drop_duplicates("function_key")
    return SearchResult(
        config=config,
        folder=Path(),
        trials=trials,
        pareto=pareto,
        ensemble=fitted,
        ranking=ranked,
        best=best,
        notes=("A note for the <reader>.",),
        seconds={"set-up": 0.5, "search": 30.0, "ensemble": 1.0},
        provenance="Made up, with 1 seed." if benchmark else "",
        optimum=91.61 if benchmark else None,
    )


def written(result: SearchResult, path: Path, *, report: bool = False) -> Path:
    """Write a result to a folder, as a search does at its end, with its report or without."""
    folder = RunFolder(path)
    if not report:
        output = result.config.output.model_copy(update={"report": False})
        result = replace(result, config=result.config.model_copy(update={"output": output}))
    folder.write_text("config.toml", config_to_toml(result.config))
    write_outputs(replace(result, folder=path), folder)
    return path
