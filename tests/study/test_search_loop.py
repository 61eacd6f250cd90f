"""Trials end to end on small networks: records, constraints, repeats, interruptions."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nasbench201_fixture as fixture
import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.benchmarks.files import convert
from zc_search.config import Config, parse_config
from zc_search.errors import ConfigError, StudyError
from zc_search.proxies.probe.data_free import Timing
from zc_search.samplers import sampler_of
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.spaces import Architecture, CellSpace
from zc_search.study import (
    DATA,
    DEFINITIONS,
    RECORD,
    Objective,
    TrialRecord,
    missing_values,
    open_study,
    run_trials,
    trials,
    trials_table,
)
from zc_search.study.record import ACCURACIES, ENSEMBLES

BASE = {
    "study": {"name": "t", "n_trials": 10, "sampler": "nsgaii", "seed": 5},
    "space": {"channels": 2, "cells": 1},
    "data": {"source": "noise", "batch_size": 4},
    "proxies": {"cache": "off"},
    "objectives": {"snip": "maximize", "params": "minimize"},
}


def configured(**changes: object) -> Config:
    settings = {key: dict(table) for key, table in BASE.items()}
    for key, value in changes.items():
        section, name = key.split("__")
        settings.setdefault(section, {})[name] = value
    settings["study"]["sampler_options"] = {"population_size": 4}
    return parse_config(settings)


@pytest.fixture(scope="module")
def benchmark_table() -> Benchmark:
    return open_benchmark()


Run = Callable[..., optuna.Study]


@pytest.fixture
def run(benchmark_table: Benchmark) -> Run:
    storages: dict[str, optuna.storages.BaseStorage] = defaultdict(InMemoryStorage)

    def run(config: Config, name: str = "study.db", **options: object) -> optuna.Study:
        objective = Objective(config, benchmark=benchmark_table)
        sampler = sampler_of(config, objective.space)
        study = open_study(objective, storages[name], sampler)
        run_trials(study, objective, **options)
        return study

    return run


def essence(study: optuna.Study) -> list[object]:
    """What must not depend on how often a run was cut off."""
    table = trials_table(study).drop(columns=["seconds_proxies", "seconds_benchmark", "duration"])
    return [table.to_csv(), [t.values for t in study.trials], [t.params for t in study.trials]]


def test_a_trial_records_everything_once(run: Run, benchmark_table: Benchmark) -> None:
    study = run(configured())
    assert [t.number for t in study.trials] == list(range(10))
    assert study.metric_names == ["snip", "params"]
    for trial in study.trials:
        record = TrialRecord.from_json(trial.user_attrs[RECORD])
        assert TrialRecord.from_json(record.to_json()) == record
        architecture = Architecture.from_string(record.architecture)
        assert tuple(trial.params.values()) == architecture.ops
        assert record.benchmark == dict(benchmark_table.query(architecture))
        if architecture.reaches_output:
            assert trial.state == TrialState.COMPLETE
            assert trial.values == [record.proxies["snip"], record.proxies["params"]]
            assert trial.constraints == {"feasible": 0.0}
        else:
            assert trial.state == TrialState.PRUNED
            assert record.infeasible == "the input does not reach the output"
            assert trial.constraints == {"feasible": 1.0}


def test_repeats_and_isomorphs_are_not_scored_again(run: Run) -> None:
    choices = {f"space__op_{e}": ["none"] for e in ("1_0", "2_0", "2_1")}
    config = configured(**choices, space__op_3_1=["none", "skip_connect"], study__n_trials=30)
    table = trials_table(run(config))
    repeats = table[table["repeat_of"].notna()]
    firsts = table.set_index("number")
    assert len(repeats) >= 20
    for _, row in repeats.iterrows():
        first = firsts.loc[row["repeat_of"]]
        assert row["function_key"] == first["function_key"]
        assert row["snip"] == first["snip"] or math.isnan(row["snip"])
    fresh = table[table["repeat_of"].isna() & table["feasible"]]
    again = repeats[repeats["feasible"] & (repeats["architecture"].duplicated())]
    assert again["seconds_proxies"].median() < 0.1 * fresh["seconds_proxies"].median()


def broken(probe: object) -> float:
    """A proxy with no value for anything."""
    return math.nan


def test_a_broken_objective_makes_trials_infeasible_with_the_reason(run: Run) -> None:
    config = parse_config(
        {**BASE, "objectives": {"snip": "maximize", f"{__name__}:broken": "maximize"}}
    )
    study = run(config, "broken.db")
    assert all(t.state == TrialState.PRUNED for t in study.trials)
    reasons = {TrialRecord.from_json(t.user_attrs[RECORD]).infeasible for t in study.trials}
    assert f"{__name__}:broken: the value is nan" in reasons
    record = next(
        r for t in study.trials if (r := TrialRecord.from_json(t.user_attrs[RECORD])).proxies
    )
    assert math.isnan(record.proxies[f"{__name__}:broken"])
    assert math.isfinite(record.proxies["snip"])


class StopError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize(
    ("sampler", "at"),
    [("nsgaii", 9), pytest.param("tpe", 0, marks=pytest.mark.thorough), ("distinct", 5)],
)
def test_an_interrupted_study_equals_an_uninterrupted_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, sampler: str, at: int
) -> None:
    settings = configured(study__n_trials=10, study__distinct=sampler == "distinct")
    if sampler not in ("nsgaii", "distinct"):
        plain = {**BASE, "study": {**BASE["study"], "sampler": sampler, "n_trials": 12}}
        settings = parse_config(plain)
    whole = essence(run(settings, "whole.db"))
    calls = 0
    score = Scorer.score

    def stopping(self: Scorer, architecture: Architecture) -> object:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise StopError
        return score(self, architecture)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "score", stopping)
        with pytest.raises(StopError):
            run(settings, "cut.db")
    assert essence(run(settings, "cut.db")) == whole


def test_more_trials_go_on_where_fewer_ended(run: Run) -> None:
    whole = essence(run(configured(), "whole.db"))
    run(configured(study__n_trials=5), "two.db")
    assert essence(run(configured(), "two.db")) == whole


@pytest.mark.thorough
def test_workers_give_the_same_trials_again(run: Run) -> None:
    config = configured(study__workers=2, study__n_trials=8)
    first, second = (run(config, name) for name in ("a.db", "b.db"))
    assert [t.params for t in first.trials] == [t.params for t in second.trials]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score in this process, however many workers are asked for: the order is the same."""

    def scoring(scorer: Scorer, workers: int, timeout: float | None) -> object:
        return whichever(scorer, 1)

    whichever = trials.scoring
    monkeypatch.setattr(trials, "scoring", scoring)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_always_have_something_to_do(run: Run, workers: int) -> None:
    study: list[optuna.Study] = []
    running: list[int] = []

    def on_trial(number: int, record: TrialRecord) -> None:
        states = (TrialState.RUNNING,)
        running.append(len(study[0].get_trials(deepcopy=False, states=states)))

    config = configured(study__workers=workers, study__n_trials=8)
    study.append(run(configured(study__workers=workers, study__n_trials=1)))
    run(config, on_trial=on_trial)
    assert running == {1: [0] * 7, 2: [3, 3, 3, 3, 2, 1, 0]}[workers]


@pytest.mark.usefixtures("here")
def test_with_workers_too_an_interrupted_study_equals_an_uninterrupted_one(run: Run) -> None:
    config = configured(study__workers=2, study__n_trials=10)
    whole = essence(run(config, "whole.db"))

    def stopping(number: int, record: TrialRecord) -> None:
        if number == 4:
            raise StopError

    with pytest.raises(StopError):
        run(config, "cut.db", on_trial=stopping)
    assert essence(run(config, "cut.db")) == whole


def test_a_search_ends_where_the_sampler_has_seen_everything(run: Run) -> None:
    edges = {f"op_{e}": ["none"] for e in ("1_0", "2_0", "2_1", "3_1")}
    few = {**edges, "op_3_0": ["skip_connect", "nor_conv_1x1"], "op_3_2": ["none"]}
    config = parse_config(
        {
            **BASE,
            "space": {**BASE["space"], **few},
            "study": {"name": "b", "sampler": "brute_force", "n_trials": 6},
        }
    )
    for _ in range(2):
        assert [t.state.name for t in run(config, "few.db").trials] == ["COMPLETE"] * 2


def test_who_tells_a_trial_late_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store, seen = Objective.store, []

    def late(self: Objective, trial: optuna.Trial, *known: object) -> object:
        if trial.number == 1:
            trial.study.tell(1, [0.0, 0.0])  # another process, between two calls of ours
        return store(self, trial, *known)

    monkeypatch.setattr(Objective, "store", late)
    study = run(configured(study__n_trials=3), on_trial=lambda number, record: seen.append(number))
    assert len(study.trials) == 3
    assert seen == [0, 2]


def test_a_sampler_for_one_objective_says_so(run: Run) -> None:
    config = parse_config({**BASE, "study": {"name": "g", "sampler": "predictor_guided"}})
    with pytest.raises(ConfigError, match="takes one objective, and there are 2"):
        run(config)


def test_a_weighted_sum_is_one_objective(run: Run) -> None:
    config = configured(
        study__sum_objectives=True,
        objectives__params={"direction": "minimize", "scale": 2.0},
    )
    study = run(config)
    assert study.metric_names == ["weighted_sum"]
    for trial in study.trials:
        if trial.state == TrialState.COMPLETE:
            proxies = TrialRecord.from_json(trial.user_attrs[RECORD]).proxies
            assert trial.value == pytest.approx(proxies["snip"] - 2 * proxies["params"])


def test_a_timeout_ends_a_search_early(run: Run) -> None:
    study = run(configured(study__timeout=1e-9))
    assert len(study.trials) == 0


def test_a_search_ends_with_its_accuracies(run: Run) -> None:
    study = run(configured(study__max_accuracies=7, study__n_trials=50))
    table = trials_table(study)
    assert table["architecture"].nunique() == table["accuracies"].iloc[-1] == 7
    assert list(table["accuracies"]) == [
        table["architecture"].iloc[:n].nunique() for n in range(1, len(table) + 1)
    ]


def test_a_search_ends_with_its_simulated_seconds(run: Run) -> None:
    table = trials_table(run(configured(study__max_simulated_seconds=9000.0)))
    new = ~table["architecture"].duplicated()
    assert list(table["simulated_seconds"]) == pytest.approx(
        (table["train_seconds"] * new).cumsum().to_list()
    )
    assert table["simulated_seconds"].iloc[-2] < 9000 <= table["simulated_seconds"].iloc[-1]


def test_a_bounded_search_that_is_cut_off_ends_as_if_it_had_not_been(run: Run) -> None:
    bounds = {"study__max_accuracies": 6, "study__n_trials": 30}
    whole = essence(run(configured(**bounds), "whole.db"))
    run(configured(**{**bounds, "study__max_accuracies": 3}), "cut.db")
    assert essence(run(configured(**bounds), "cut.db")) == whole


def test_budgets_that_count_what_is_looked_up_need_a_benchmark() -> None:
    for limit in ({"max_accuracies": 3}, {"max_simulated_seconds": 3.0}):
        with pytest.raises(ConfigError, match=f"study.{next(iter(limit))}: "):
            parse_config({**BASE, "study": limit, "benchmark": {"name": "none"}})


@pytest.mark.thorough
def test_a_search_guided_by_a_predictor_finds_much_with_little(run: Run) -> None:
    study = run(
        parse_config(
            {
                **BASE,
                "study": {
                    "name": "guided",
                    "sampler": "predictor_guided",
                    "sampler_options": {"model": "linear"},
                    "n_trials": 25,
                },
                "objectives": {"val_accuracy": "maximize"},
            }
        )
    )
    table = trials_table(study)
    assert table["function_key"].nunique() == 25
    assert table["val_accuracy"].max() > 90.5


def test_another_config_is_refused_with_its_differences(run: Run) -> None:
    run(configured(study__n_trials=2))
    with pytest.raises(StudyError, match=r"space\.channels: 2 before, 3 now"):
        run(configured(study__n_trials=2, space__channels=3))


def test_a_foreign_study_is_left_alone(tmp_path: Path) -> None:
    foreign = optuna.create_study(
        study_name="t",
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        directions=["maximize", "minimize"],
    )
    foreign.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))
    with pytest.raises(StudyError, match="a study 't' that zc-search did not make"):
        open_study(Objective(configured()), f"sqlite:///{tmp_path / 'study.db'}")


def test_an_unreachable_storage_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"study\.storage: cannot open"):
        open_study(Objective(configured()), f"sqlite:///{tmp_path}/no/such/folder/x.db")


@pytest.mark.parametrize(
    ("key", "other", "said"),
    [
        (DATA, "other", "other images"),
        (DEFINITIONS, {"snip": "snip, version 99"}, "another proxy 'snip'"),
        (ENSEMBLES, {"ensemble:a.toml": "sum"}, None),  # it had none
        (ACCURACIES, {"fingerprint": "other", "provenance": "elsewhere"}, "another table"),
        (ACCURACIES, None, None),  # of an earlier version
    ],
)
def test_a_study_goes_on_with_what_it_was_begun_with(
    run: Run, key: str, other: object, said: str | None
) -> None:
    study = run(configured(study__n_trials=1))
    assert study.user_attrs[ACCURACIES]["provenance"].startswith("Each architecture was trained")
    study.set_user_attr(key, other)
    if said is None:
        run(configured(study__n_trials=2))
        return
    with pytest.raises(StudyError, match=f"begun with.*{said}") as failure:
        run(configured(study__n_trials=2))
    assert failure.value.key == key


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_it_is_an_objective_for_any_study_too(run: Run, benchmark_table: Benchmark) -> None:
    config = configured(constraints__max_params="0.02M")
    objective = Objective(config, benchmark=benchmark_table)
    study = optuna.create_study(
        directions=objective.directions, sampler=sampler_of(config, objective.space)
    )
    study.set_metric_names(objective.metric_names)
    study.optimize(objective, n_trials=10)
    searched = run(config)
    assert essence(study) == essence(searched)
    assert [t.constraints for t in study.trials] == [t.constraints for t in searched.trials]


@pytest.mark.filterwarnings("error")
def test_a_trial_cut_off_while_it_was_told_keeps_what_was_stored(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {key: dict(table) for key, table in BASE.items()}
    settings["study"] |= {"n_trials": 4, "sampler": "random"}
    settings["constraints"] = {"max_latency_ms": 1.0}
    config = parse_config(settings)
    score = Scorer.score

    def slow(self: Scorer, architecture: Architecture) -> Scores:
        scores = score(self, architecture)
        values = {**scores.values, "latency[images=1]": 5.0}
        return replace(scores, values=values, seconds=7.0)

    def dying(self: optuna.Study, *args: object, **options: object) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "score", slow)
        patch.setattr(Scorer, "timing", lambda self, architecture: Timing(5.0, 1.0))
        patch.setattr(optuna.Study, "tell", dying)
        with pytest.raises(StopError):
            run(config)
    study = run(config)  # on a machine that is fast enough
    first, *others = study.trials
    assert first.constraints == {"feasible": 0.0, "max_latency_ms": 4.0}
    record = TrialRecord.of(first)
    assert record is not None
    assert record.proxies["latency[images=1]"] == 5.0
    assert record.infeasible == (
        "5 ms (the least of 3 measurements, up to 5), above max_latency_ms = 1 ms"
    )
    assert record.seconds["proxies"] == 7.0
    assert not trials_table(study)["feasible"][0]
    assert len(others) == 3


def test_trials_that_a_user_enqueued_are_among_those_asked_for(run: Run) -> None:
    study = run(configured(study__n_trials=2))
    wanted = dict.fromkeys(study.trials[0].params, "nor_conv_3x3")
    study.enqueue_trial(wanted)
    study.enqueue_trial({"op_1_0": "skip_connect"})
    again = run(configured(study__n_trials=6))
    assert [t.state.is_finished() for t in again.trials] == [True] * 6
    assert again.trials[2].params == wanted
    assert again.trials[3].params["op_1_0"] == "skip_connect"
    again.enqueue_trial({"op_1_0": "bogus"})
    last = run(configured(study__n_trials=7))
    failed, other = last.trials[6:]
    assert failed.state == TrialState.FAIL
    assert other.state in (TrialState.COMPLETE, TrialState.PRUNED)


def test_a_grid_that_was_looked_at_stays_as_it_is(run: Run) -> None:
    grid = {edge: ["nor_conv_3x3"] for edge in CellSpace().choices}
    grid["op_1_0"] = ["nor_conv_3x3", "skip_connect"]
    settings = {key: dict(table) for key, table in BASE.items()}
    settings["study"] |= {
        "sampler": "optuna.samplers:GridSampler",
        "sampler_options": {"search_space": grid},
        "n_trials": 5,
    }
    for _ in range(2):
        assert len(run(parse_config(settings)).trials) == 2


def test_a_table_of_a_part_serves_a_search_of_it_and_is_said_beyond(tmp_path: Path) -> None:
    convert(fixture.save_official(tmp_path, fixture.official(range(5, 8))))
    (table,) = tmp_path.glob("*.arrow")
    partial = open_benchmark(path=table)
    known, unknown = partial[6], partial[0]
    config = configured(benchmark__path=str(table), objectives__val_accuracy="maximize")
    objective = Objective(config)  # although nothing is known of the first architecture
    study = optuna.create_study(directions=objective.directions)
    for cell in (known, unknown):
        study.enqueue_trial(objective.space.parameters(cell))
    study.optimize(objective, n_trials=2)
    first, second = (TrialRecord.of(trial) for trial in study.get_trials())
    assert first is not None
    assert second is not None
    assert first.benchmark["val_accuracy"] == partial.query(known)["val_accuracy"]
    assert second.benchmark == {}
    assert "has no training of" in (second.infeasible or "")
    assert any("val_accuracy has no value for 1 of 2" in text for text in missing_values(study))


def test_a_distinct_search_ends_when_all_functions_were_looked_at(run: Run) -> None:
    none = {f"op_{edge}": ["none"] for edge in ("1_0", "2_0", "2_1", "3_1", "3_2")}
    space = {**BASE["space"], **none, "op_3_0": ["skip_connect", "nor_conv_1x1"]}
    study = {**BASE["study"], "sampler": "random", "distinct": True}
    told = trials_table(run(parse_config({**BASE, "space": space, "study": study}), "few.db"))
    assert len(told) == told["function_key"].nunique() == 2
