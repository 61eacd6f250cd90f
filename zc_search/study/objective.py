"""What a search asks of an architecture, as an objective for any Optuna study."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import optuna
import pandas as pd
from optuna.study import Study
from optuna.trial import Trial

from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.config import METRIC_DIRECTIONS, Config, Constraints, ensemble_file
from zc_search.ensemble.models import make_model
from zc_search.ensemble.scores import load_transferred
from zc_search.errors import BenchmarkError, ConfigError
from zc_search.proxies import Proxy, resolve_proxies
from zc_search.proxies.catalogue import Direction
from zc_search.scoring.cache import open_cache
from zc_search.scoring.request import batch_and_task
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.scoring.scores_file import Provenance
from zc_search.spaces import AnyArchitecture, Architecture, make_space, read_architecture
from zc_search.study.record import (
    ACCURACIES,
    DATA,
    DEFINITIONS,
    ENSEMBLES,
    RECORD,
    Clock,
    OnTrial,
    TrialRecord,
    frozen,
    recorded,
)

if TYPE_CHECKING:  # scikit-learn takes a second to start, in every worker
    from zc_search.ensemble import Ensemble

_UNITS = {"max_params": "M parameters", "max_flops": "M multiply-adds", "max_latency_ms": "ms"}


def violations(constraints: Constraints, proxies: Mapping[str, float]) -> dict[str, float]:
    """Return by constraint how far an architecture is beyond it, as a share of the limit.

    At or below 0 it is kept; where the cost is not known it is 1. Shares, so that those of
    several constraints can be added up, as NSGA-II does.
    """
    beyond = {
        name: proxies.get(proxy, math.nan) / limit - 1
        for proxy, (name, limit) in constraints.limits.items()
    }
    return {name: share if math.isfinite(share) else 1.0 for name, share in beyond.items()}


def broken(constraints: Constraints, proxies: Mapping[str, float]) -> str | None:
    """Say which constraints an architecture breaks; None if it keeps them all."""
    beyond = violations(constraints, proxies)
    sentences = (
        f"{proxies.get(proxy, math.nan):.4g} {_UNITS[name]}, above {name} = {limit:g}"
        for proxy, (name, limit) in constraints.limits.items()
        if beyond[name] > 0
    )
    return "; ".join(sentences) or None


def check_constraints(config: Config, scorer: Scorer) -> None:
    """Raise a ConfigError if not even the cheapest cell keeps a limit of parameters or FLOPs.

    Only in the space of NAS-Bench-201 cells is it known which cell that is: on each edge what has
    no weights, if that is allowed. Elsewhere, and for latency, the search itself will tell.
    """
    limits = config.constraints.limits
    if not {"params", "flops"} & limits.keys() or config.space.name != "nasbench201":
        return
    order = ("skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1", "nor_conv_3x3")
    cheapest = Architecture(
        tuple(min(allowed, key=order.index) for allowed in config.space.choices.values())
    )
    costs = scorer.fresh(resolve_proxies(("params", "flops"))).score(cheapest).values
    for proxy, (name, limit) in limits.items():
        if costs.get(proxy, 0.0) > limit:
            key = f"constraints.{name}"
            message = (
                f"{key}: no architecture satisfies it: the limit is {limit:g} {_UNITS[name]}, and "
                f"the smallest network of this space has {costs[proxy]:.4g}; allow more, or set a "
                "smaller space.channels or space.cells"
            )
            raise ConfigError(message, key=key, given=limit)


class PredictionWarning(UserWarning):
    """A proxy may not mean to a study what it meant to the ensemble that it optimises."""


def load_ensembles(config: Config, proxies: Sequence[Proxy]) -> "dict[str, Ensemble]":
    """Load the ensembles whose predictions are objectives, by the objective's name.

    An EnsembleError is raised for one of proxies that are not computed or have another definition
    now, or with features of cells for another search space.
    """
    from zc_search.ensemble import Ensemble
    from zc_search.ensemble.scores import check_applicable

    files = {o.name: file for o in config.objectives if (file := ensemble_file(o.name))}
    ensembles = {name: Ensemble.load(file) for name, file in files.items()}
    definitions = {p.name: p.definition for p in proxies}
    scores = Provenance(config.study.name, {}, definitions)
    for name, ensemble in ensembles.items():
        where = f"objective {name!r}: proxies.compute"
        for note in check_applicable(ensemble, config.space.name, [*definitions], scores, where):
            warnings.warn(note, PredictionWarning, stacklevel=2)
    return ensembles


def with_predictions(record: TrialRecord, ensembles: "Mapping[str, Ensemble]") -> TrialRecord:
    """Return a record with the predictions, in percent, among its proxies."""
    if record.infeasible is not None or not ensembles:
        return record
    row = pd.DataFrame([{**record.proxies, "architecture": record.architecture}])
    proxies, failures = dict(record.proxies), dict(record.failures)
    for name, ensemble in ensembles.items():
        proxies[name] = float(ensemble.predict(row).iloc[0])
        if not math.isfinite(proxies[name]):
            lacking = [p for p in ensemble.proxies if not math.isfinite(record.proxies[p])]
            failures[name] = f"not finite: {', '.join(lacking)}"
    return replace(record, proxies=proxies, failures=failures)


FEASIBLE = "feasible"
"""The name of the constraint: 0 for a feasible trial, 1 for one without objective values."""


class Objective:
    """What a search asks of an architecture: proxies, accuracy, constraints and predictions.

    >>> objective = Objective(load_config("search.toml"))  # doctest: +SKIP
    >>> study = optuna.create_study(directions=objective.directions)  # doctest: +SKIP
    >>> study.set_metric_names(objective.metric_names)  # doctest: +SKIP
    >>> study.optimize(objective, n_trials=50)  # doctest: +SKIP

    Args:
        config: The search's; its sections ``study`` and ``output`` are of no matter here, but
            for `sum_objectives`.
        benchmark: What training gave; by default what `config` names is opened.

    Attributes:
        space: Where architectures come from.
        proxies, scorer: What is computed, and what computes it.
        benchmark: Says what training gave; None without one.
        ensembles: Those whose predictions are objectives, by objective.
        about_images: What there is to say of the images, a few words each.
        clock: What was spent of the study's budgets.

    Raises:
        ZcSearchError: Something in the configuration cannot be had; nothing is computed yet.
    """

    def __init__(self, config: Config, *, benchmark: Benchmark | None = None) -> None:
        self.config = config
        self.proxies = resolve_proxies(config.proxies_to_compute)
        self.ensembles = load_ensembles(config, self.proxies)
        self.benchmark = benchmark or _open_benchmark(config)
        self.space = make_space(config.space)
        batch, task, about_images = batch_and_task(config)
        self.about_images = tuple(about_images)
        cache = open_cache(config.proxies.cache)
        self.scorer = Scorer.of(config, self.proxies, batch, task, cache)
        # Complain now, not after the last trial.
        make_model(config.ensemble.model, config.ensemble.seed)
        load_transferred(config, self.definitions)
        check_constraints(config, self.scorer)
        self.clock = Clock()
        self._first_of: dict[str, int] = {}
        self._scores: dict[str, Scores] = {}
        self._counted: set[int] = set()

    @property
    def metric_names(self) -> list[str]:
        """The names of the values, for `Study.set_metric_names`."""
        names = [objective.name for objective in self.config.active_objectives]
        return ["weighted_sum"] if self.config.study.sum_objectives else names

    @property
    def directions(self) -> list[Direction]:
        """The directions of the values, for `optuna.create_study`."""
        directions = [objective.direction for objective in self.config.active_objectives]
        return ["maximize"] if self.config.study.sum_objectives else directions

    @property
    def definitions(self) -> dict[str, str]:
        """What each proxy means, by name."""
        return {proxy.name: proxy.definition for proxy in self.proxies}

    @property
    def conditions(self) -> dict[str, str | dict[str, str]]:
        """What the trials of one study must share to be compared, by attribute of the study."""
        checksums = {name: str(e.to_dict()["checksum"]) for name, e in self.ensembles.items()}
        conditions: dict[str, str | dict[str, str]] = {
            DATA: self.scorer.batch.fingerprint,
            DEFINITIONS: self.definitions,
            ENSEMBLES: checksums,
        }
        if self.benchmark is not None:
            conditions[ACCURACIES] = {
                "fingerprint": self.benchmark.fingerprint,
                "provenance": self.benchmark.provenance,
            }
        return conditions

    def __call__(self, trial: Trial) -> list[float]:
        """Score an architecture of Optuna's choice, record it, and return its values.

        Raises `optuna.TrialPruned` for one without finite values; the record says why.
        """
        self.catch_up(trial.study)
        architecture = self.suggest(trial)
        scores = None if architecture.infeasible else self.scorer.score(architecture)
        record, values = self.store(trial, self.record(trial, architecture, scores))
        if values is None:
            raise optuna.TrialPruned(record.infeasible)
        return values

    def suggest(self, trial: Trial) -> AnyArchitecture:
        """Ask Optuna for a value of every parameter of the space."""
        choices = self.space.choices.items()
        parameters = {name: trial.suggest_categorical(name, values) for name, values in choices}
        architecture: AnyArchitecture = self.space.architecture(parameters)
        return architecture

    def record(
        self, trial: Trial, architecture: AnyArchitecture, scores: Scores | None
    ) -> TrialRecord:
        """Put together what is known of an architecture; `scores` is None if it was not scored."""
        start = time.perf_counter()
        benchmark = self.benchmark
        known = benchmark and (architecture.infeasible is None or architecture in benchmark)
        figures = dict(benchmark.query(architecture)) if benchmark and known else {}
        spent = {"proxies": scores.seconds} if scores else {}
        spent["benchmark"] = time.perf_counter() - start
        stored = TrialRecord.of(trial)  # cut off while it was told
        record = TrialRecord(
            architecture=architecture.to_string(),
            function_key=architecture.function_key,
            proxies=dict(scores.values) if scores else {},
            failures=dict(scores.failures) if scores else {},
            benchmark=figures,
            repeat_of=self._first_of.get(architecture.function_key),
            infeasible=architecture.infeasible,
            seconds=stored.seconds if stored else spent,
            data=self.scorer.batch.fingerprint,
        )
        return with_predictions(record, self.ensembles)

    def values(self, record: TrialRecord) -> list[float]:
        """Return the values of the active objectives, or their weighted sum; maybe not finite.

        The sum is of ``sign * scale * value`` with sign -1 for what is to be minimised, and is
        itself to be maximised.
        """
        known: Mapping[str, float] = {**record.benchmark, **record.proxies}
        objectives = self.config.active_objectives
        if self.config.study.sum_objectives:
            return [sum(o.sign * o.scale * known.get(o.name, math.nan) for o in objectives)]
        return [known.get(objective.name, math.nan) for objective in objectives]

    def store(self, trial: Trial, record: TrialRecord) -> tuple[TrialRecord, list[float] | None]:
        """Store a record and its constraints with a trial that is to be told; return both.

        The record says why it is infeasible. Values are None where they are not finite. What is
        beyond a constraint of the user's has values, from which samplers learn the way back.
        """
        values, constraints = self.values(record), self.config.constraints
        if record.infeasible is None and not all(map(math.isfinite, values)):
            record = replace(record, infeasible=self._reason(record))
        if scored := record.infeasible is None:
            record = replace(record, infeasible=broken(constraints, record.proxies))
        stored: Mapping[str, float] = {}
        if RECORD in trial.user_attrs:  # cut off while it was told
            stored = frozen(trial.study, trial.number).constraints
        trial.set_user_attr(RECORD, record.to_json())
        beyond = violations(constraints, record.proxies)
        for name, value in {FEASIBLE: 0.0 if scored else 1.0, **beyond}.items():
            if name not in stored:
                trial.set_constraint(name, value)
        return record, values if scored else None

    def _reason(self, record: TrialRecord) -> str:
        known = {**record.benchmark, **record.proxies}
        reasons = [
            f"{o.name}: {record.failures.get(o.name, 'no value')}"
            for o in self.config.active_objectives
            if not math.isfinite(known.get(o.name, math.nan))
        ]
        return "; ".join(reasons) or "the weighted sum overflows"

    def count(self, number: int, record: TrialRecord) -> None:
        """Take a trial into account, for repeats and budgets."""
        self._counted.add(number)
        self._first_of.setdefault(record.function_key, number)
        self.clock.count(record)

    def remember(self, scores: Scores) -> None:
        """Let the scorer know what was computed."""
        self.scorer.remember(scores)
        if scores.values:
            self._scores.setdefault(scores.architecture.function_key, scores)

    def known(self, function_key: str) -> Scores | None:
        """Return the scores of an architecture of a function, if one was scored."""
        return self._scores.get(function_key)

    def catch_up(self, study: Study, on_trial: OnTrial = lambda number, record: None) -> None:
        """Take the trials of a study into account that are new, this process's or others'."""
        for trial, record in recorded(study, but=self._counted):
            self.count(trial.number, record)
            architecture = read_architecture(record.architecture)
            self.remember(Scores(architecture, record.proxies, record.failures))
            on_trial(trial.number, record)


def _open_benchmark(config: Config) -> Benchmark | None:
    """Open the benchmark, if it has what is asked of it."""
    if config.benchmark.name == "none":
        return None
    benchmark = open_benchmark(config.benchmark.name, config.space.dataset, config.benchmark.path)
    wanted = [o.name for o in config.objectives if o.name in METRIC_DIRECTIONS]
    any_architecture = benchmark.architecture(0)
    for metric in (config.benchmark.metric, *wanted):
        try:
            benchmark.query(any_architecture, metrics=[metric])
        except BenchmarkError as error:
            message = f"benchmark.metric or objectives: {error}"
            raise BenchmarkError(message, key="benchmark.metric", given=metric) from error
    return benchmark
