"""What a network may cost, and a ranking where no accuracy is known."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zc_search.config import Config, config_to_toml, parse_config
from zc_search.ensemble import (
    DEFAULT_AGGREGATE,
    RECOMMENDED_PROXIES,
    Ensemble,
    aggregate,
    fit_ensemble,
)
from zc_search.errors import ConfigError, EnsembleError
from zc_search.images.datasets import Task
from zc_search.proxies import resolve_proxies
from zc_search.proxies.probe.data_free import Timing
from zc_search.samplers import sampler_of
from zc_search.samplers.portable import RedrawingSampler
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.search import run_search
from zc_search.spaces import Architecture, CellSpace
from zc_search.spaces.network import build_network
from zc_search.study import open_study, run_trials
from zc_search.study.conclusion import _too_slow
from zc_search.study.constraints import broken, violations
from zc_search.study.objective import Objective
from zc_search.study.record import SearchResult, TrialRecord, trials_table
from zc_search.study.trials import Stagnation

thorough = partial(pytest.param, marks=pytest.mark.thorough)

SEARCH = {
    "study": {"name": "own", "n_trials": 14, "sampler_options": {"population_size": 6}},
    "space": {"channels": 2, "cells": 1},
    "data": {"source": "digits", "batch_size": 10},
    "benchmark": {"name": "none"},
    "objectives": {"naswot_relu": "maximize", "synflow": "maximize"},
}


def configured(folder: Path, *overrides: str, **sections) -> Config:
    return parse_config(
        SEARCH | {"output": {"folder": str(folder), "report": False}} | sections, overrides
    )


def trials_of(config: Config, storage: optuna.storages.BaseStorage | None = None) -> pd.DataFrame:
    """Run the trials of a search, or go on with those in a storage."""
    objective = Objective(config)
    sampler = sampler_of(config, objective.space, objective.refuses)
    study = open_study(objective, storage or optuna.storages.InMemoryStorage(), sampler)
    run_trials(study, objective)
    return trials_table(study)


# As a user writes them --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0.8M", 8e5),
        ("800k", 8e5),
        (" 1.5 G", 1.5e9),
        (".5M", 5e5),
        ("2B", 2e9),
        (7, 7),
        (1e3, 1e3),
    ],
)
def test_counts_are_read_as_people_write_them(tmp_path: Path, text: object, count: float) -> None:
    config = configured(tmp_path, constraints={"max_params": text})
    assert config.constraints.max_params == pytest.approx(count)
    assert parse_config(config_to_toml(config)) == config


@settings(max_examples=10)
@given(st.text(max_size=8) | st.floats() | st.integers() | st.booleans() | st.none())
def test_anything_is_a_count_or_a_config_error(value: object) -> None:
    said = "constraints.max_flops: "
    try:
        limits = parse_config({**SEARCH, "constraints": {"max_flops": value}}).constraints
    except ConfigError as error:
        said = str(error)
    else:
        assert limits.max_flops is None or 1 <= limits.max_flops < 1e18
    assert "constraints.max_flops: " in said


@pytest.mark.parametrize("value", [0.8, "0.8", "1T", "-1M", "M", 0, True, "1e6M"])
def test_what_is_no_count_is_told_how_to_write_one(value: object) -> None:
    given = "true" if value is True else repr(value)
    message = f"{given} is given; Allowed: a count such as 800000, or text such as '0.8M'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({**SEARCH, "constraints": {"max_params": value}})


def test_what_a_constraint_needs_is_computed(tmp_path: Path) -> None:
    config = configured(tmp_path, constraints={"max_params": "1M", "max_latency_ms": 5.0})
    assert config.proxies_to_compute[-1] == "latency[images=1]"
    assert config.constraints.limits == {
        "params": ("max_params", 1.0),
        "latency[images=1]": ("max_latency_ms", 5.0),
    }


def test_how_far_beyond_is_a_share_of_the_limit(tmp_path: Path) -> None:
    limits = configured(
        tmp_path, constraints={"max_params": "0.5M", "max_flops": "10M"}
    ).constraints
    found = violations(limits, {"params": 0.6, "flops": 5.0})
    assert found == pytest.approx({"max_params": 0.2, "max_flops": -0.5})
    assert broken(limits, {"params": 0.6, "flops": 5.0}) == (
        "0.6 M parameters, above max_params = 0.5 M parameters"
    )
    assert broken(limits, {"params": 0.5, "flops": 10.0}) is None
    assert violations(limits, {"params": 0.1})["max_flops"] == 1.0  # not known, so not kept


# In a search ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["nsgaii", thorough("tpe")])
def constrained(request: pytest.FixtureRequest, tmp_path_factory) -> SearchResult:
    folder = tmp_path_factory.mktemp("runs")
    sampler = {} if request.param == "tpe" else SEARCH["study"]["sampler_options"]
    study = SEARCH["study"] | {"sampler": request.param, "sampler_options": sampler}
    config = configured(folder, study=study, constraints={"max_params": 2500})
    return run_search(config)


def test_what_is_beyond_is_refused_and_left_out(constrained: SearchResult) -> None:
    trials = constrained.trials
    beyond = trials["params"] > 0.0025
    assert (trials["feasible"] == (~beyond & (trials["state"] == "complete"))).all()
    assert not trials.loc[beyond, "pareto"].any()
    assert trials.loc[beyond, "reason"].str.contains("M parameters, above max_params").all()
    assert trials.loc[beyond, "naswot_relu"].isna().all()  # nothing was computed
    assert set(constrained.ranking["architecture"]) == set(
        trials[trials["feasible"]]["architecture"]
    )
    study = optuna.load_study(
        study_name="own", storage=f"sqlite:///{constrained.folder / 'study.db'}"
    )
    if constrained.config.study.sampler == "nsgaii":
        assert not beyond.any()  # drawn again
    else:
        assert 0 < beyond.sum() < len(trials)
    numbered = trials.set_index("number")
    for trial in study.trials:
        if numbered.loc[trial.number, "params"] > 0:  # it has a network
            value = numbered.loc[trial.number, "params"] / 0.0025 - 1
            assert trial.constraints == pytest.approx({"feasible": 0.0, "max_params": value})
            assert (trial.state == optuna.trial.TrialState.PRUNED) == (value > 0)


def test_parameters_are_those_of_the_network_for_these_images(constrained: SearchResult) -> None:
    row = constrained.trials[constrained.trials["feasible"]].iloc[0]
    network = build_network(
        Architecture.from_string(row["architecture"]),
        constrained_task(),
        channels=2,
        cells=1,
    )
    assert row["params"] == sum(p.numel() for p in network.parameters()) / 1e6


def constrained_task():
    from zc_search.images.readers import read_digits

    return read_digits().task


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"max_params": 1000},
            "constraints.max_params: no architecture satisfies it: the limit is 0.001 M "
            "parameters, and the smallest network of this space has",
        ),
        ({"max_flops": 100}, "constraints.max_flops: no architecture satisfies it"),
    ],
)
def test_what_nothing_satisfies_is_said_before_the_first_trial(
    tmp_path: Path, limits: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        run_search(configured(tmp_path, constraints=limits))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "own").exists()


def test_the_smallest_network_is_indeed_allowed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        run_search(configured(tmp_path, constraints={"max_params": 1000}))
    smallest = float(re.search(r"space has ([\d.]+)", str(error.value))[1])
    config = configured(
        tmp_path,
        "study.n_trials=2",
        constraints={"max_params": smallest * 1e6 + 0.5},
        space=SEARCH["space"]
        | dict.fromkeys(("op_1_0", "op_2_0", "op_2_1"), ("skip_connect",))
        | dict.fromkeys(("op_3_0", "op_3_1", "op_3_2"), ("avg_pool_3x3",)),
    )
    assert run_search(config).trials["feasible"].all()


def test_a_latency_that_nothing_has_is_one_note(tmp_path: Path) -> None:
    config = configured(tmp_path, "study.n_trials=3", constraints={"max_latency_ms": 1e-6})
    result = run_search(config)
    assert result.ranking.empty
    assert result.pareto.empty
    assert any(
        re.fullmatch(
            r"None of the 3 trials is feasible, so nothing is ranked; .* ms "
            r"\(the least of 3 measurements, up to .*\), above max_latency_ms = 1e-06 ms\.",
            note,
        )
        for note in result.notes
    )


@pytest.mark.parametrize(("again", "load"), [(11.7, 1.0), (26.0, 2.3)])
def test_a_latency_is_measured_again_before_it_is_held_against_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: float, load: float
) -> None:
    monkeypatch.setattr(Scorer, "timing", lambda self, architecture: Timing(again, load))
    limits = {"max_latency_ms": 20.0}
    objective = Objective(configured(tmp_path, constraints=limits))
    cell = Architecture(("nor_conv_1x1",) * 6)
    known = dict.fromkeys(("naswot_relu", "synflow"), 1.0)
    scores = Scores(cell, {**known, "latency[images=1]": 320.0})
    study = optuna.create_study(directions=objective.directions)
    trial = study.ask()
    record, values = objective.store(trial, cell, objective.record(trial, cell, scores))
    assert values == [1.0, 1.0]  # of one that is too slow, too, which is no less of a network
    assert record.proxies["latency[images=1]"] == again
    assert study.trials[0].constraints["max_latency_ms"] == pytest.approx(again / 20 - 1)
    assert TrialRecord.from_json(record.to_json()) == record
    reason = (
        "26 ms (the least of 3 measurements, up to 320; the machine was busy, a reference network "
        "2.3 times slower than at best), above max_latency_ms = 20 ms"
    )
    assert record.infeasible == (None if again < 20 else reason)
    if again > 20:
        study.tell(trial, values)
        other = study.ask()
        fast = replace(scores, values={**known, "latency[images=1]": 5.0})
        _, values = objective.store(other, cell, objective.record(other, cell, fast))
        study.tell(other, values)
        said = "1 of 2 trials are infeasible for their latency, of which the fastest: 26 ms"
        table = trials_table(study)
        assert _too_slow(table)[0].startswith(said)


def milliseconds_of_a_device(probe) -> float:
    """Ask a table: such as is measured on a phone."""
    return {1: 30.0}.get(probe.images.shape[1], 3.0) + 0 * sum(1 for _ in probe.network.modules())


def test_a_latency_may_come_from_a_function_of_the_users_own(tmp_path: Path) -> None:
    limits = {"max_latency_ms": 20.0, "latency": f"{__name__}:milliseconds_of_a_device"}
    trials = trials_of(configured(tmp_path, "study.n_trials=2", constraints=limits))
    assert not trials["feasible"].any()
    assert (trials["reason"].dropna() == "30 ms, above max_latency_ms = 20 ms").any()


# Known before it is scored ----------------------------------------------------------------


@pytest.mark.parametrize("side", [32, 65])
def test_costs_without_a_network_are_those_of_the_network(side: int) -> None:
    task = Task("own", 7, 1, side, side)
    for index in (0, 1, 3333, 9876, 15_624):
        cell = Architecture.from_index(index)
        network = build_network(cell, task, channels=3, cells=2)
        costs = CellSpace().costs(cell, task, channels=3, cells=2)
        assert round(costs["params"] * 1e6) == sum(p.numel() for p in network.parameters())
        assert round(costs["flops"] * 1e6) == network.multiply_adds(side, side)


def few_pools(cell: Architecture) -> int:
    """A user's constraint: at most one pooling."""
    return str(cell).count("avg_pool_3x3") - 1


def raising(cell: Architecture) -> int:
    raise RuntimeError("no idea")


def unusable(cell: Architecture) -> object:
    return "much" if "none" in str(cell) else math.nan


def own(folder: Path, name: str, *overrides: str) -> Config:
    study = SEARCH["study"] | {"sampler": "random", "sampler_options": {}}
    constraints = {"constraint": f"{__name__}:{name}"}
    return configured(folder, *overrides, study=study, constraints=constraints)


def test_a_constraint_of_the_users_own(tmp_path: Path) -> None:
    trials = trials_of(own(tmp_path, "few_pools"))
    pools = trials["architecture"].str.count("avg_pool_3x3")
    assert (pools <= 1).all()  # the others were drawn again
    by_hand = Objective(own(tmp_path, "few_pools"))
    study = optuna.create_study(
        directions=by_hand.directions, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(by_hand, n_trials=14)
    beyond = [t for t in study.trials if t.constraints["constraint"] > 0]
    assert beyond
    for trial in beyond:
        record = TrialRecord.of(trial)
        if record.infeasible != "the input does not reach the output":
            pools = record.architecture.count("avg_pool_3x3")
            assert trial.constraints == {"feasible": 0.0, "constraint": pools - 1}
            assert record.infeasible.startswith(f"beyond constraint '{__name__}:few_pools'")
            assert not record.proxies
    assert by_hand.clock.accuracies == 0


def test_a_constraint_that_fails_refuses_with_the_reason(tmp_path: Path) -> None:
    said = {
        "raising": "raising' raised RuntimeError: no idea",
        "unusable": "unusable' returned (?:str 'much', not a number|nan)",
    }
    for name, reason in said.items():
        trials = trials_of(own(tmp_path / name, name, "study.n_trials=4"))
        has_network = trials["reason"] != "the input does not reach the output"
        assert trials.loc[has_network, "reason"].str.contains(reason).all()
    for name in ("absent", "SEARCH"):
        with pytest.raises(ConfigError, match=r"constraints\.constraint: "):
            Objective(own(tmp_path, name))


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("random", {}),
        ("nsgaii", {"population_size": 4}),
        thorough("gp", {"n_startup_trials": 4}),
        thorough("regularized_evolution", {"population_size": 4, "tournament_size": 2}),
        ("local_search", {}),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_draw_again_and_resume_alike(
    tmp_path: Path, sampler: str, options: dict[str, int]
) -> None:
    def run(*counts: int) -> pd.DataFrame:
        storage = optuna.storages.InMemoryStorage()
        for count in counts:
            config = configured(
                tmp_path,
                study={"n_trials": count, "sampler": sampler, "sampler_options": options},
                constraints={"max_params": 2500},
                objectives={"params": "minimize"},
            )
            trials = trials_of(config, storage)
        return trials

    whole, parts = run(12), run(5, 12)
    assert (whole["params"].dropna() <= 0.0025).all()
    assert whole["architecture"].tolist() == parts["architecture"].tolist()


@pytest.mark.filterwarnings("ignore:.*warn_independent_sampling:FutureWarning")
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_networks_of_the_users_own_are_kept_to_a_limit_too(tmp_path: Path, sampler: str) -> None:
    config = configured(
        tmp_path,
        study={"name": "own", "n_trials": 8, "sampler": sampler},
        space={"name": "own_networks:build"},
        data={"source": "noise", "batch_size": 4},
        constraints={"max_params": 9000},
        objectives={"naswot_relu": "maximize"},
    )
    trials = trials_of(config)
    beyond = trials["params"] > 0.009
    assert beyond.any() == (sampler == "tpe")  # which learns from them
    assert (trials["state"] == "pruned").equals(beyond)
    assert trials["naswot_relu"].isna().equals(beyond)


def test_a_sampler_that_insists_gets_the_nearest_point() -> None:
    kind = optuna.distributions.CategoricalDistribution(["a", "b", "c"])
    space = {"x": kind, "y": kind}

    class Insisting(optuna.samplers.RandomSampler):
        asked = 0

        def sample_independent(self, *args: object) -> str:
            self.asked += 1
            return "a"

    for allowed in ({("a", "c")}, {("b", "c")}, set()):
        inner = Insisting()
        sampler = RedrawingSampler(
            inner, lambda point, among=allowed: (point["x"], point["y"]) not in among, space
        )
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: float(t.suggest_categorical("x", kind.choices) == "a"), 1)
        trial = study.ask(space)
        assert (trial.params["x"], trial.params["y"]) in (allowed or {("a", "a")})
        assert inner.asked == 8  # twice two parameters, in two trials


# A study that stagnates -------------------------------------------------------------------


def volume(points: list[tuple[float, float]], reference: tuple[float, float]) -> float:
    """The area that points (both minimised) dominate, counted cell by cell of a fine grid."""
    xs, ys = ([*sorted({p[i] for p in points}), reference[i]] for i in (0, 1))
    return sum(
        (xs[i + 1] - xs[i]) * (ys[j + 1] - ys[j])
        for i in range(len(xs) - 1)
        for j in range(len(ys) - 1)
        if any(p[0] <= xs[i] and p[1] <= ys[j] for p in points)
    )


def test_no_gain_is_no_growth_of_the_hypervolume() -> None:
    rng = np.random.default_rng(0)
    study = optuna.create_study(directions=["minimize", "maximize"])
    stagnation, points, since, before = Stagnation(5), [], 0, 0.0
    for number in range(60):
        values = [float(v) for v in rng.integers(0, 7, 2)]
        feasible = number % 4 > 0
        constraints = {"c": 0.0 if feasible else 1.0}
        study.add_trial(
            optuna.trial.create_trial(
                values=values, system_attrs={f"constraints:{k}": v for k, v in constraints.items()}
            )
        )
        if feasible:
            points.append((values[0], -values[1]))
        now = volume(points, (8.0, 2.0))
        since, before = (0, now) if now > before else (since + 1, before)
        assert stagnation.trials_without_gain(study) == since
    assert Stagnation(5).trials_without_gain(study) == since  # read all at once
    stopped = optuna.create_study()
    stopped.optimize(lambda trial: 1.0, n_trials=50, callbacks=[Stagnation(5)])
    assert len(stopped.trials) == 6


def test_a_search_that_stagnates_stops_and_goes_on_with_more_patience(tmp_path: Path) -> None:
    objectives = {"params": "minimize"}
    study = {"name": "own", "sampler": "random", "seed": 1, "n_trials": 60}
    storage = optuna.storages.InMemoryStorage()

    def run(patience: int) -> pd.DataFrame:
        settings = study | {"stagnation": patience}
        return trials_of(configured(tmp_path, study=settings, objectives=objectives), storage)

    few = run(6)
    assert len(few) < 60
    best = few["params"].where(few["feasible"]).cummin().ffill()
    assert best.iloc[-7] == best.iloc[-1]
    assert len(run(10)) > len(few)


# Ranked without accuracies ----------------------------------------------------------------------


FLOW = [name for name in DEFAULT_AGGREGATE if name != "meco"]


@pytest.mark.parametrize(
    ("source", "computed", "columns"),
    [
        ("noise", ["jacov", "meco"], ["meco", *FLOW]),
        ("noise", ["jacov"], FLOW),
        ("digits", RECOMMENDED_PROXIES, [*RECOMMENDED_PROXIES, "stage pools"]),
    ],
)
def test_the_default_aggregate_as_far_as_its_columns_are_there(
    tmp_path: Path, source: str, computed: Sequence[str], columns: list[str]
) -> None:
    sections = {
        "data": {"source": source, "batch_size": 10},
        "proxies": {"compute": list(computed)},
    }
    result = run_search(configured(tmp_path, "study.n_trials=6", **sections))
    trials = result.trials[result.trials["feasible"]].drop_duplicates("architecture")
    expected = aggregate(trials, columns).sort_values(ascending=False, kind="stable")
    assert result.ranking["aggregate"].tolist() == pytest.approx(expected.tolist())
    assert result.ranking["architecture"].iloc[0] == trials.loc[expected.index[0], "architecture"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble fitted to made-up accuracies on CIFAR-10, of the proxies of `SEARCH`."""
    rng = np.random.default_rng(0)
    cells = [str(Architecture.from_index(int(i))) for i in rng.choice(15_625, 40, replace=False)]
    table = pd.DataFrame(
        {
            "architecture": cells,
            "naswot_relu": rng.normal(30, 5, 40),
            "synflow": rng.normal(20, 3, 40),
        }
    )
    table["val_accuracy"] = 60 + table["synflow"]
    names = ("naswot_relu", "synflow")
    ensemble = fit_ensemble(
        table,
        names,
        folds=2,
        repeats=1,
        n_bootstrap=5,
        metadata={
            "dataset": "cifar10",
            "definitions": {p.name: p.definition for p in resolve_proxies(names)},
            "scores": {"data.batch_size": 64},
        },
    )
    path = tmp_path_factory.mktemp("ensemble") / "ensemble.toml"
    ensemble.save(path)
    return path


def test_an_ensemble_of_another_data_set_is_said_to_be_a_transfer(
    tmp_path: Path, exported: Path
) -> None:
    config = configured(tmp_path, "study.n_trials=5", ensemble={"from": str(exported)})
    result = run_search(config)
    assert result.ensemble is None
    assert result.best is None  # a percentage of CIFAR-10 is no prediction here
    rows = result.trials[result.trials["feasible"]].drop_duplicates("architecture")
    scores = Ensemble.load(exported).score(rows).sort_values(ascending=False)
    assert result.ranking["transferred"].tolist() == pytest.approx(scores.tolist())
    said = " ".join(result.notes)
    assert "ranking.csv is a transfer" in said
    assert "fitted to accuracies on cifar10" in said
    assert "nothing here was checked on digits" in said
    assert "data.batch_size 10 (fitted with 64)" in said


def test_an_ensemble_that_does_not_fit_is_refused_first(tmp_path: Path, exported: Path) -> None:
    config = configured(
        tmp_path, ensemble={"from": str(exported)}, objectives={"synflow": "maximize"}
    )
    with pytest.raises(EnsembleError, match=r"proxies\.compute lacks naswot_relu"):
        run_search(config)
    ensemble = Ensemble.load(exported)
    definitions = ensemble.metadata["definitions"] | {"synflow": "synflow, version 0"}
    other = tmp_path / "other.toml"
    ensemble.model_copy(update={"metadata": ensemble.metadata | {"definitions": definitions}}).save(
        other
    )
    with pytest.raises(EnsembleError, match="proxy 'synflow' is not the one that was fitted to"):
        run_search(configured(tmp_path, ensemble={"from": str(other)}))
    with pytest.raises(EnsembleError, match="cannot read the ensemble"):
        run_search(configured(tmp_path, ensemble={"from": str(tmp_path / "none.toml")}))
    assert not (tmp_path / "own").exists()


def test_a_transfer_needs_no_accuracies(exported: Path) -> None:
    message = "is for a search without accuracies, but benchmark.name = 'nasbench201'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({"objectives": {"synflow": "maximize"}, "ensemble": {"from": str(exported)}})
