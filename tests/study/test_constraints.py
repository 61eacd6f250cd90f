"""What a network may cost, and a ranking where no accuracy is known."""

import re
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zc_search.config import Config, config_to_toml, parse_config
from zc_search.ensemble import RECOMMENDED_PROXIES, Ensemble, aggregate, fit_ensemble
from zc_search.errors import ConfigError, EnsembleError
from zc_search.proxies import resolve_proxies
from zc_search.search import run_search
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network
from zc_search.study.constraints import broken, violations
from zc_search.study.record import SearchResult

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
        "0.6 M parameters, above max_params = 0.5"
    )
    assert broken(limits, {"params": 0.5, "flops": 10.0}) is None
    assert violations(limits, {"params": 0.1})["max_flops"] == 1.0  # not known, so not kept


# In a search ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["nsgaii", "tpe"])
def constrained(request: pytest.FixtureRequest, tmp_path_factory) -> SearchResult:
    folder = tmp_path_factory.mktemp("runs")
    sampler = {} if request.param == "tpe" else SEARCH["study"]["sampler_options"]
    study = SEARCH["study"] | {"sampler": request.param, "sampler_options": sampler}
    config = configured(folder, study=study, constraints={"max_params": 2500})
    return run_search(config)


def test_what_is_beyond_is_told_with_values_and_left_out(constrained: SearchResult) -> None:
    trials = constrained.trials
    beyond = trials["params"] > 0.0025
    assert 0 < beyond.sum() < len(trials)
    assert (trials["feasible"] == (~beyond & (trials["state"] == "complete"))).all()
    assert not trials.loc[beyond, "pareto"].any()
    assert trials.loc[beyond, "reason"].str.contains("M parameters, above max_params").all()
    assert set(constrained.ranking["architecture"]) == set(
        trials[trials["feasible"]]["architecture"]
    )
    study = optuna.load_study(
        study_name="own", storage=f"sqlite:///{constrained.folder / 'study.db'}"
    )
    complete = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert len(complete) > (trials["feasible"]).sum()  # samplers learn from the others too
    stored = {t.number: t.constraints["max_params"] for t in complete}
    for number, value in stored.items():
        params = trials.set_index("number").loc[number, "params"]
        assert value == pytest.approx(params / 0.0025 - 1)


def test_parameters_are_those_of_the_network_for_these_images(constrained: SearchResult) -> None:
    row = constrained.trials.iloc[0]
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
            r"None of the 3 trials is feasible, so nothing is ranked; .* ms, above "
            r"max_latency_ms = 1e-06\.",
            note,
        )
        for note in result.notes
    )


# Ranked without accuracies ----------------------------------------------------------------------


def test_the_default_aggregate_where_its_proxies_are_there(tmp_path: Path) -> None:
    config = configured(
        tmp_path, "study.n_trials=10", proxies={"compute": list(RECOMMENDED_PROXIES)}
    )
    result = run_search(config)
    trials = result.trials[result.trials["feasible"]].drop_duplicates("architecture")
    expected = aggregate(trials).sort_values(ascending=False, kind="stable")
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
    config = configured(tmp_path, "study.n_trials=8", ensemble={"from": str(exported)})
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
