"""From a trial's parameters to its record, and from a record to what Optuna is told."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from optuna.study import Study
from optuna.trial import Trial, TrialState

from zc_search.benchmarks import Benchmark
from zc_search.config import Config
from zc_search.scoring.scorer import Scores
from zc_search.spaces import AnyArchitecture, AnySpace
from zc_search.study.constraints import broken, violations
from zc_search.study.record import RECORD, TrialRecord

FEASIBLE = "feasible"
"""The name of the constraint: 0 for a feasible trial, 1 for one without objective values."""


def suggest(trial: Trial, space: AnySpace) -> AnyArchitecture:
    """Ask Optuna for a value of every parameter of the space."""
    architecture: AnyArchitecture = space.suggest(trial)
    return architecture


def make_record(
    architecture: AnyArchitecture,
    scores: Scores | None,
    benchmark: Benchmark | None,
    *,
    repeat_of: int | None,
    data: str,
) -> TrialRecord:
    """Put together what is known of an architecture; `scores` is None if it was not scored."""
    start = time.perf_counter()
    known = benchmark is not None and (architecture.infeasible is None or architecture in benchmark)
    figures = dict(benchmark.query(architecture)) if benchmark and known else {}
    seconds = {"benchmark": time.perf_counter() - start}
    record = TrialRecord(
        architecture=architecture.to_string(),
        function_key=architecture.function_key,
        benchmark=figures,
        repeat_of=repeat_of,
        seconds=seconds,
        data=data,
    )
    if scores is None:
        return replace(record, infeasible=architecture.infeasible)
    return replace(
        record,
        proxies=dict(scores.values),
        failures=dict(scores.failures),
        seconds={"proxies": scores.seconds, **seconds},
    )


def objective_values(config: Config, record: TrialRecord) -> list[float]:
    """Return the values of the active objectives, or their weighted sum; possibly not finite.

    The sum is of ``sign * scale * value`` with sign -1 for what is to be minimised, and is itself
    to be maximised.
    """
    known: Mapping[str, float] = {**record.benchmark, **record.proxies}
    values = [known.get(objective.name, math.nan) for objective in config.active_objectives]
    if not config.study.sum_objectives:
        return values
    pairs = zip(config.active_objectives, values, strict=True)
    return [sum(objective.sign * objective.scale * value for objective, value in pairs)]


def tell(study: Study, trial: Trial, config: Config, record: TrialRecord) -> TrialRecord:
    """Store a record with its trial and finish the trial; return the record as stored.

    A trial without finite objective values is infeasible: it is told without values, as pruned,
    with the reason in its record. One that is beyond a constraint of the user's is infeasible too,
    but told with its values, from which samplers learn the way back.
    """
    values = objective_values(config, record)
    if record.infeasible is None and not all(map(math.isfinite, values)):
        names = [o.name for o in config.active_objectives]
        known = {**record.benchmark, **record.proxies}
        reasons = [
            f"{name}: {record.failures.get(name, 'no value')}"
            for name in names
            if not math.isfinite(known.get(name, math.nan))
        ]
        record = replace(record, infeasible="; ".join(reasons) or "the weighted sum overflows")
    scored = record.infeasible is None
    if scored:
        record = replace(record, infeasible=broken(config.constraints, record.proxies))
    stored: Mapping[str, float] = {}
    if RECORD in trial.user_attrs:  # cut off while it was told
        stored = study._storage.get_trial(trial._trial_id).constraints
    trial.set_user_attr(RECORD, record.to_json())
    beyond = violations(config.constraints, record.proxies)
    for name, value in {FEASIBLE: 0.0 if scored else 1.0, **beyond}.items():
        if name not in stored:
            trial.set_constraint(name, value)
    if scored:
        study.tell(trial, values)
    else:
        study.tell(trial, state=TrialState.PRUNED)
    return record
