"""A study's trials as a table."""

import math

import pandas as pd
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from zc_search.config import Config
from zc_search.study.clock import Clock
from zc_search.study.objective import recorded
from zc_search.study.record import TrialRecord


def trials_table(study: Study) -> pd.DataFrame:
    """Return one row a finished trial, in order of their numbers.

    Columns: ``number, state, architecture, function_key, feasible, reason, repeat_of, pareto``,
    one a proxy, one a metric of the benchmark, ``accuracies`` and ``simulated_seconds`` (looked up
    so far, and the training that would have taken: see `Clock`), ``seconds_proxies,
    seconds_benchmark`` and ``duration`` (seconds between asking for and telling the trial).
    """
    best = {trial.number for trial in study.best_trials}
    clock = Clock()
    table = pd.DataFrame(
        _row(trial, record, trial.number in best, clock) for trial, record in recorded(study)
    )
    if table.empty:
        return table
    return table.astype({"repeat_of": "Int64", "reason": "string", "feasible": bool})


def pareto_table(trials: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return the distinct functions on the Pareto front, best in the first objective first."""
    if trials.empty:
        return trials
    front = trials[trials["pareto"]].drop_duplicates("function_key")
    first = next((o for o in config.active_objectives if o.name in front.columns), None)
    if first is None:
        return front
    return front.sort_values(first.name, ascending=first.direction == "minimize")


def missing_values(study: Study) -> list[str]:
    """Say of each proxy for how many architectures it has no finite value, with a reason."""
    scored = {record.architecture: record for _, record in recorded(study) if record.proxies}
    failed: dict[str, list[TrialRecord]] = {}
    for record in scored.values():
        for name in record.failures:
            failed.setdefault(name, []).append(record)
    return [
        f"{name} has no value for {len(those):,} of {len(scored):,} architectures, such as "
        f"{those[0].architecture}: {those[0].failures[name]}"
        for name, those in failed.items()
    ]


def _row(trial: FrozenTrial, record: TrialRecord, pareto: bool, clock: Clock) -> dict[str, object]:
    clock.count(record)
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "architecture": record.architecture,
        "function_key": record.function_key,
        "feasible": trial.state == TrialState.COMPLETE and record.infeasible is None,
        "reason": record.infeasible,
        "repeat_of": record.repeat_of,
        "pareto": pareto,
        **record.proxies,
        **record.benchmark,
        "accuracies": clock.accuracies,
        "simulated_seconds": clock.simulated_seconds,
        "seconds_proxies": record.seconds.get("proxies", 0.0),
        "seconds_benchmark": record.seconds.get("benchmark", 0.0),
        # A clock that was set back in the meantime tells nothing.
        "duration": seconds if seconds >= 0 else math.nan,
    }
