"""What a search asks of an architecture, as an objective for any Optuna study."""

import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Self
from weakref import ref

import optuna
import pandas as pd
from optuna.study import Study
from optuna.trial import BaseTrial, FixedTrial, Trial

from zc_search.benchmarks.accuracy_table import AccuracyTable
from zc_search.benchmarks.base import Benchmark, Lookup
from zc_search.benchmarks.catalogue import open_table
from zc_search.benchmarks.measured import Measured, name_of, of_object, of_plugin
from zc_search.config import Config, ensemble_file, load_config, parse_config
from zc_search.config.sections import TABLES
from zc_search.ensemble import Ensemble
from zc_search.ensemble.models import make_model
from zc_search.ensemble.scores import check_applicable, load_transferred
from zc_search.errors import ArchitectureError, BenchmarkError, StudyError
from zc_search.images.datasets import BENCHMARKED, GENERATED, Task
from zc_search.proxies import Proxy, resolve_proxies
from zc_search.proxies.catalogue import Direction
from zc_search.scoring.cache import open_cache
from zc_search.scoring.scorer import Scorer, Scores, batch_and_task, open_images, raised
from zc_search.scoring.scores_file import Provenance
from zc_search.spaces import AnyArchitecture, AnySpace, FunctionSpace, make_space
from zc_search.study.constraints import Limits, broken, check_constraints, violations
from zc_search.study.record import (
    ACCURACIES,
    DATA,
    DEFINITIONS,
    ENSEMBLES,
    NETWORKS,
    RECORD,
    Clock,
    OnTrial,
    TrialRecord,
    frozen,
    recorded,
)
from zc_search.study.storage import adopt
from zc_search.study.training import accuracies_of_training

logger = logging.getLogger("zc_search")

_MANY = 20  # architectures a trial, beyond which a search does not come to an end

FEASIBLE = "feasible"
"""The name of the constraint: 1 for a trial that has no network or no values, else 0."""


class Objective:
    """What a search asks of an architecture: proxies, accuracy, constraints and predictions.

    It is called by any study of Optuna's, in any number of threads or, pickled, processes. What
    is known of a trial is its user attribute ``zc_search``, a `TrialRecord`; each proxy and each
    figure of the benchmark that is finite is one more, by its name.

    >>> objective = Objective("nasbench201", {"meco": "maximize", "params": "minimize"})
    >>> objective.directions
    ['maximize', 'minimize']
    >>> study = optuna.create_study(directions=objective.directions)  # doctest: +SKIP
    >>> study.optimize(objective, n_trials=50, n_jobs=2)  # doctest: +SKIP

    Args:
        space: A search space's name or its section ``[space]``; or a whole configuration, beside
            which nothing but a benchmark may be given.
        objectives: The section ``[objectives]``, or names, each with its usual direction.
        dataset: What networks are built for, as ``space.dataset``.
        data: A source of images, or the section ``[data]``.
        batch_size: Images that a network is scored on.
        seed: Of images, weights and folds; the sampler has its own.
        device: Where to compute.
        proxies: Names of proxies to record besides the objectives, or the section ``[proxies]``.
        constraints: The section ``[constraints]``.
        benchmark: A benchmark's name, its section ``[benchmark]``, one that is open, or any object
            with a method ``query(architecture)``, which returns a number or several by name; by
            default the space's own, unless images are read that it knows nothing of.
        sections: Other sections of a search file, such as ``ensemble={"model": "ridge"}``.

    Attributes:
        config: All settings; of ``study`` and ``output`` only ``study.sum_objectives`` matters.
        space: Where architectures come from.
        proxies, scorer: What is computed, and what computes it.
        benchmark: Says what training gave, see `Lookup`; None without one.
        ensembles: Those whose predictions are objectives, by objective.
        about_images: What there is to say of the images, a few words each.
        clock: What was spent of the study's budgets.

    Raises:
        ZcSearchError: Wrong settings, by their keys, or something that cannot be had.
    """

    def __init__(
        self,
        space: str | Mapping[str, Any] | Config = "nasbench201",
        objectives: Sequence[str] | Mapping[str, Any] = (),
        *,
        benchmark: Any = None,
        **settings: Any,
    ) -> None:
        if not isinstance(space, Config):
            space = configured(space, objectives, benchmark=benchmark, **settings)
        elif objectives or settings:
            raise TypeError("a configuration says all; change it with parse_config")
        self.config = config = space
        self.proxies = resolve_proxies(config.proxies_to_compute)
        self.ensembles = load_ensembles(config, self.proxies)
        table = _table(config, benchmark, make_space(config.space))  # complains before images do
        images = open_images(config.data) if config.benchmark.name == "train" else None
        batch, task, about_images = batch_and_task(config, images)
        self.space = make_space(config.space, task)
        self.benchmark: Lookup | None = table
        if images is not None:
            self.benchmark = accuracies_of_training(config, images, batch.fingerprint)
        elif table is None:
            self.benchmark = _asked(config, benchmark, self.space, task)
        if self.benchmark is not None:
            _require(self.benchmark, config)
        self.about_images = tuple(about_images)
        cache = open_cache(config.proxies.cache)
        self.scorer = Scorer.of(config, self.proxies, batch, task, cache)
        # Complain now, not after the last trial.
        make_model(config.ensemble.model, config.ensemble.seed)
        load_transferred(config, self.definitions)
        check_constraints(config, self.scorer)
        self.limits = Limits(config, self.space, task, self.scorer)
        self._own = {proxy.name for proxy in self.proxies if not proxy.place}
        self._forget()

    @classmethod
    def from_config(cls, config: Config | str | PathLike[str], *, benchmark: Any = None) -> Self:
        """Return the objective of a search file, or of the settings read from one."""
        config = config if isinstance(config, Config) else load_config(config)
        return cls(config, benchmark=benchmark)

    def _forget(self) -> None:
        """Begin with a study of which nothing is known."""
        self.clock = Clock(self.benchmark is not None and self.benchmark.per_function)
        self._first_of: dict[str, int] = {}
        self._scores: dict[str, Scores] = {}
        self._counted: set[int] = set()
        self._warned: set[str] = set()
        self._study: ref[Study] | None = None
        self._adopted = False
        self._lock = RLock()
        self._turns: dict[str, Lock] = {}  # by function: who comes second finds it scored

    def __getstate__(self) -> dict[str, Any]:
        fleeting = ("clock", "_first_of", "_scores", "_counted", "_warned", "_study", "_adopted")
        of_a_process = (*fleeting, "_lock", "_turns")
        return {key: value for key, value in vars(self).items() if key not in of_a_process}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    @property
    def metric_names(self) -> list[str]:
        """The names of the values, for `Study.set_metric_names`."""
        if self.config.study.sum_objectives:
            return ["weighted_sum"]
        return [objective.name for objective in self.config.active_objectives]

    @property
    def directions(self) -> list[Direction]:
        """The directions of the values, for `optuna.create_study`."""
        if self.config.study.sum_objectives:
            return ["maximize"]
        return [objective.direction for objective in self.config.active_objectives]

    @cached_property
    def functions(self) -> int | None:
        """How many functions the space has, where a search could come to see them all."""
        size, study = self.space.size, self.config.study
        if size is None or size > _MANY * study.n_trials or not isinstance(self.space, Iterable):
            return None
        return len({a.function_key if a.infeasible is None else "" for a in self.space})

    @property
    def definitions(self) -> dict[str, str]:
        """What each proxy means, by name."""
        return {proxy.name: proxy.definition for proxy in self.proxies}

    @property
    def conditions(self) -> dict[str, str | dict[str, str]]:
        """What the trials of one study must share to be compared, by attribute of the study."""
        conditions: dict[str, str | dict[str, str]] = {
            DATA: self.scorer.batch.fingerprint,
            DEFINITIONS: self.definitions,
            ENSEMBLES: {name: str(e.to_dict()["checksum"]) for name, e in self.ensembles.items()},
        }
        if self.benchmark is not None:
            conditions[ACCURACIES] = {
                "fingerprint": self.benchmark.fingerprint,
                "provenance": self.benchmark.provenance,
                "per": "function" if self.benchmark.per_function else "architecture",
            }
        if isinstance(self.space, FunctionSpace):
            conditions[NETWORKS] = self.space.definition
        return conditions

    def keep_in(self, folder: Path) -> None:
        """Keep accuracies that are measured in a run's folder, and take those that it has."""
        if isinstance(self.benchmark, Measured):
            self.benchmark.keep_in(folder)

    def __call__(self, trial: Trial | FixedTrial) -> list[float]:
        """Score an architecture of Optuna's choice, record it, and return its values.

        Raises `optuna.TrialPruned` for one without finite values; the record says why.
        """
        if isinstance(trial, FixedTrial):
            message = "an objective needs a trial of a study; "
            message += "study.enqueue_trial(parameters) has a point of one's own looked at"
            raise StudyError(message, key="trial", given=trial)
        with self._lock:
            self.catch_up(trial.study)
            if not self._adopted:
                adopt(trial.study, self)
                self._adopted = True
        architecture, scores = self.space.suggest(trial), None
        if self.limits.check(architecture).refused is None:
            with self._turns.setdefault(architecture.function_key, Lock()):
                scores = self.scorer.score(architecture)
        record = self.record(trial, architecture, scores)
        record, values = self.store(trial, architecture, record, attributes=True)
        if values is None:
            raise optuna.TrialPruned(record.infeasible)
        return values

    def refuses(self, parameters: Mapping[str, Any]) -> bool:
        """Whether parameters name an architecture with a network that is beyond a constraint."""
        architecture = self.space.architecture(parameters)
        refused = self.limits.check(architecture).refused
        return refused is not None and architecture.infeasible is None

    def record(
        self, trial: BaseTrial, architecture: AnyArchitecture, scores: Scores | None
    ) -> TrialRecord:
        """Put together what is known of an architecture; `scores` is None if it was not scored."""
        start, stored = time.perf_counter(), TrialRecord.of(trial)  # if it was cut off while told
        check, figures = self.limits.check(architecture), dict[str, float]()
        latency = stored.latency if stored else {}
        if scores is not None and stored is None:
            values, latency = self.limits.timed_again(architecture, scores.values)
            scores = replace(scores, values=values)
        failures = dict(scores.failures) if scores else {}
        for name in self._own & failures.keys() - self._warned:
            if raised(failures[name]):
                self._warned.add(name)
                logger.warning("proxy %s failed: %s", name, failures[name])
        refused = check.refused is not None and architecture.infeasible is None
        try:
            if self.benchmark is not None and not refused:
                self._refuse_in_vain(architecture, scores)
                figures = dict(self.benchmark.query(architecture))
        except (ArchitectureError, BenchmarkError) as error:  # the table need not hold all
            if architecture.infeasible is None:
                failures |= dict.fromkeys(self.config.metrics_needed, str(error))
        spent = {"proxies": scores.seconds} if scores else {}
        spent["benchmark"] = time.perf_counter() - start
        record = TrialRecord(
            str(architecture),
            architecture.function_key,
            proxies=dict(scores.values if scores else check.costs),
            failures=failures,
            benchmark=figures,
            repeat_of=self._first_of.get(architecture.function_key),
            infeasible=check.refused,
            seconds=stored.seconds if stored else spent,
            data=self.scorer.batch.fingerprint,
            latency=latency,
        )
        return with_predictions(record, self.ensembles)

    def _refuse_in_vain(self, architecture: AnyArchitecture, scores: Scores | None) -> None:
        """Have nothing measured for a trial that will not count: what is cheap comes first."""
        if not isinstance(self.benchmark, Measured) or self.benchmark.knows(architecture):
            return
        values = scores.values if scores else {}
        names = (objective.name for objective in self.config.active_objectives)
        without = [name for name in names if not math.isfinite(values.get(name, 0.0))]
        why = f"{', '.join(without)} had no value" if without else None
        if why := why or broken(self.config.constraints, values):
            raise BenchmarkError(f"not measured, as {why}", given=str(architecture))

    def values(self, record: TrialRecord) -> list[float]:
        """Return the values of the active objectives, or their weighted sum; maybe not finite.

        The sum is of ``sign * scale * value``, with sign -1 for what is to be minimised.
        """
        known: Mapping[str, float] = {**record.benchmark, **record.proxies}
        objectives = self.config.active_objectives
        if self.config.study.sum_objectives:
            return [sum(o.sign * o.scale * known.get(o.name, math.nan) for o in objectives)]
        return [known.get(objective.name, math.nan) for objective in objectives]

    def store(
        self,
        trial: Trial,
        architecture: AnyArchitecture,
        record: TrialRecord,
        *,
        attributes: bool = False,
    ) -> tuple[TrialRecord, list[float] | None]:
        """Store a record and its constraints with a trial that is to be told.

        Returns the record with the reason if it is infeasible, and its values: None where they are
        not finite, and for what was refused before it was scored.
        """
        values, constraints = self.values(record), self.config.constraints
        check = self.limits.check(architecture)
        if record.infeasible is None and not all(map(math.isfinite, values)):
            record = replace(record, infeasible=self._reason(record))
        if scored := record.infeasible is None:
            record = replace(record, infeasible=broken(constraints, record.proxies, record.latency))
        stored: Mapping[str, float] = {}
        if RECORD in trial.user_attrs:  # cut off while it was told
            stored = frozen(trial.study, trial.number).constraints
        trial.set_user_attr(RECORD, record.to_json())
        if attributes or self.config.study.attributes:
            for name, value in {**record.benchmark, **record.proxies}.items():
                if math.isfinite(value):
                    trial.set_user_attr(name, value)
        refused = check.refused is not None and architecture.infeasible is None
        shares = {} if check.refused else violations(constraints, record.proxies)
        known = {FEASIBLE: float(not (scored or refused)), **shares, **check.beyond}
        for name, value in known.items():
            if name not in stored:
                trial.set_constraint(name, value)
        return record, values if scored else None

    def _reason(self, record: TrialRecord) -> str:
        known = {**record.benchmark, **record.proxies}
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name in (objective.name for objective in self.config.active_objectives):
            if not math.isfinite(known.get(name, math.nan)):
                names[record.failures.get(name, "no value")].append(name)
        reasons = (f"{', '.join(those)}: {reason}" for reason, those in names.items())
        return "; ".join(reasons) or "the weighted sum overflows"

    def count(self, number: int, record: TrialRecord) -> None:
        """Take a trial into account, for repeats and budgets."""
        self._counted.add(number)
        self._first_of.setdefault(record.function_key, number)
        self.clock.count(record)

    def remember(self, scores: Scores) -> None:
        """Let the scorer know what was computed."""
        self.scorer.remember(scores)
        if len(scores.values) >= len(self.proxies):  # not of one that was refused
            self._scores.setdefault(scores.architecture.function_key, scores)

    def known(self, function_key: str) -> Scores | None:
        """Return the scores of an architecture of a function, if one was scored."""
        return self._scores.get(function_key)

    def catch_up(self, study: Study, on_trial: OnTrial = lambda number, record: None) -> None:
        """Take the trials of a study into account that are new, this process's or others'."""
        with self._lock:
            if self._study is not None and self._study() is not study:
                self._forget()
            self._study = ref(study)
            for trial, record in recorded(study, but=self._counted):
                self.count(trial.number, record)
                architecture = self.space.read(record.architecture)
                self.remember(Scores(architecture, record.proxies, record.failures))
                if isinstance(self.benchmark, Measured):
                    self.benchmark.remember(record.function_key, record.benchmark)
                on_trial(trial.number, record)


def configured(
    space: str | Mapping[str, Any],
    objectives: Sequence[str] | Mapping[str, Any],
    *,
    dataset: str | None = None,
    data: str | Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    proxies: Sequence[str] | Mapping[str, Any] | None = None,
    constraints: Mapping[str, Any] | None = None,
    benchmark: Any = None,
    **sections: Mapping[str, Any],
) -> Config:
    """Return the settings that the arguments of an `Objective` stand for."""
    if isinstance(objectives, str):
        objectives = (objectives,)
    if not isinstance(objectives, Mapping):
        objectives = dict.fromkeys(objectives, "default")
    settings: dict[str, Any] = {
        "space": _section(space, "name"),
        "data": _section(data, "source"),
        "proxies": _section(proxies, "compute"),
        "constraints": dict(constraints or {}),
        "objectives": objectives,
        **{n: dict(s) if isinstance(s, Mapping) else s for n, s in sections.items()},
    }
    name, source = settings["space"].get("name", "nasbench201"), settings["data"].get("source")
    known = name in TABLES and source in (None, *GENERATED, *BENCHMARKED)
    if isinstance(benchmark, AccuracyTable):
        benchmark = benchmark.name
    elif isinstance(benchmark, Benchmark) or benchmark is None:
        benchmark = name if known else "none"
    elif not isinstance(benchmark, str | Mapping):
        benchmark = name_of(benchmark)
    settings["benchmark"] = _section(benchmark, "name")
    for value, *places in (
        (dataset, ("space", "dataset")),
        (batch_size, ("data", "batch_size")),
        (seed, ("data", "seed"), ("proxies", "seed"), ("ensemble", "seed")),
        (device, ("proxies", "device")),
    ):
        for section, key in places if value is not None else ():
            settings.setdefault(section, {})[key] = value
    return parse_config(settings, source="Objective")


def _section(value: Any, key: str) -> dict[str, Any]:
    """Return a section that is given whole, or by the one key that matters most."""
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    return {key: list(value) if isinstance(value, tuple) else value}


def _table(config: Config, given: Any, space: AnySpace) -> Benchmark | None:
    """Return the table that is given or named; None where accuracies are measured, or unknown."""
    if isinstance(given, Benchmark):
        return given
    chosen = config.benchmark
    if chosen.name == "none" or chosen.measured:
        return None
    return open_table(config, config.dataset, space)


def _asked(config: Config, given: Any, space: AnySpace, task: Task) -> Measured | None:
    """Return the look-up that asks an object that is given, or code that is named."""
    chosen = config.benchmark
    sizes = config.space.model_dump(include={"channels", "cells"})
    more = (chosen.metric, space, task, sizes, config.proxies.seed)
    if given is not None and not isinstance(given, str | Mapping):
        return of_object(given, name_of(given), *more)
    return of_plugin(chosen.name, *more) if chosen.measured else None


def _require(benchmark: Lookup, config: Config) -> None:
    for metric in config.metrics_needed:
        try:
            benchmark.require((metric,))  # it may know a part of the architectures
        except BenchmarkError as error:
            if error.key is not None:
                raise
            message = f"benchmark.metric or objectives: {error}"
            raise BenchmarkError(message, key="benchmark.metric", given=metric) from error


class PredictionWarning(UserWarning):
    """A proxy may not mean to a study what it meant to the ensemble that it optimises."""


def load_ensembles(config: Config, proxies: Sequence[Proxy]) -> dict[str, Ensemble]:
    """Load the ensembles whose predictions are objectives; an EnsembleError if one does not fit."""
    files = {o.name: file for o in config.objectives if (file := ensemble_file(o.name))}
    ensembles = {name: Ensemble.load(file) for name, file in files.items()}
    definitions = {p.name: p.definition for p in proxies}
    scores = Provenance(config.study.name, {}, definitions)
    for name, ensemble in ensembles.items():
        where = f"objective {name!r}: proxies.compute"
        for note in check_applicable(ensemble, config.space.name, [*definitions], scores, where):
            warnings.warn(note, PredictionWarning, stacklevel=3)
    return ensembles


def with_predictions(record: TrialRecord, ensembles: Mapping[str, Ensemble]) -> TrialRecord:
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
