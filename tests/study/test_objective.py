"""An objective in studies of the user's own, and a search's study in the user's hands."""

import math
import pickle
import re
import warnings
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from small_search import config_in

import zc_search as zc
from zc_search.config import config_to_toml, parse_config
from zc_search.errors import ConfigError, StudyError
from zc_search.report import load_result
from zc_search.scoring.scorer import Scorer
from zc_search.spaces import Architecture
from zc_search.study import RECORD, Objective, TrialRecord

SMALL = {"name": "nasbench201", "channels": 2, "cells": 1}
OBJECTIVES = {"naswot_relu": "maximize", "params": "minimize"}


def small(**changes: object) -> Objective:
    settings = {"data": "noise", "batch_size": 4, "proxies": {"cache": "off"}} | changes
    return Objective(
        settings.pop("space", SMALL), settings.pop("objectives", OBJECTIVES), **settings
    )


@pytest.fixture(scope="module")
def objective() -> Objective:
    return small()


def new_study(objective: Objective, **options: object) -> optuna.Study:
    return optuna.create_study(directions=objective.directions, **options)


@pytest.mark.thorough
def test_the_listing_of_the_readme_runs_from_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    found = re.search(
        r"inside an Optuna study of your own.*?```python\n(.*?)```", readme, re.DOTALL
    )
    listing = "import zc_search as zc\n" + found[1]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        exec(listing.replace("n_trials=100", "n_trials=2"), names)  # noqa: S102  ours
    assert len(names["result"].trials) == 2
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()


def test_arguments_are_sections_of_a_search_file() -> None:
    given = small(
        dataset="cifar100",
        seed=3,
        constraints={"max_params": "0.5M"},
        ensemble={"model": "ridge"},
        objectives=("naswot_relu", "val_accuracy"),
    )
    assert given.config == parse_config(
        """
        [space]
        channels = 2
        cells = 1
        dataset = "cifar100"
        [data]
        source = "noise"
        batch_size = 4
        seed = 3
        [proxies]
        cache = "off"
        seed = 3
        [constraints]
        max_params = 500_000
        [objectives]
        naswot_relu = "default"
        val_accuracy = "default"
        [ensemble]
        model = "ridge"
        seed = 3
        """
    )
    assert given.directions == ["maximize", "maximize"]
    assert small(data="digits", batch_size=10).benchmark is None  # nothing is known of these images


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"objectives": {"snap": "maximize"}}, "objectives.snap"),
        ({"objectives": ()}, "objectives"),
        ({"batchsize": 4}, "batchsize"),
        ({"batch_size": 1}, "data.batch_size"),
        ({"space": "nasbench"}, "space.name"),
        ({"constraints": {"max_param": 1}}, "constraints.max_param"),
        ({"ensemble": {"modle": "gap"}}, "ensemble.modle"),
    ],
)
def test_a_wrong_argument_is_named_as_in_a_search_file(
    changes: dict[str, object], key: str
) -> None:
    with pytest.raises(ConfigError) as error:
        small(**changes)
    assert error.value.problems[0].key == key


def test_a_configuration_says_all(objective: Objective, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(config_to_toml(objective.config))
    assert Objective.from_config(path).config == objective.config
    with pytest.raises(TypeError, match="says all"):
        Objective(objective.config, seed=1)


def test_threads_score_as_one_does_and_no_function_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = {name: ["none", "skip_connect"] for name in ("op_1_0", "op_2_0", "op_2_1")}
    objective = small(space=SMALL | choices | {"op_3_1": ["skip_connect", "avg_pool_3x3"]})
    scored: Counter[str] = Counter()
    original = Scorer._score

    def counting(self: Scorer, architecture: Architecture, proxies: object) -> object:
        scored[str(architecture)] += 1
        return original(self, architecture, proxies)

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "_score", counting)
        study = new_study(objective, sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=24, n_jobs=4)
    assert len(study.trials) == 24
    # Twice for one that stands for its function: what is its function's, and what is its own.
    assert max(scored.values()) <= 2
    fresh = small(space=objective.config.space.model_dump(exclude_none=True))
    for trial in study.trials:
        record = TrialRecord.of(trial)
        if record.infeasible is None:
            scores = fresh.scorer.score(Architecture.from_string(record.architecture))
            assert record.proxies == pytest.approx(scores.values, rel=1e-6)


def test_it_pickles_and_forgets_the_study(objective: Objective) -> None:
    new_study(objective).optimize(objective, n_trials=2)
    other = pickle.loads(pickle.dumps(objective))
    assert other.config == objective.config
    study = new_study(other)
    study.optimize(other, n_trials=2)
    assert all(TrialRecord.of(trial).repeat_of is None for trial in study.trials[:1])


def test_optuna_shows_what_is_known_without_anything_of_ours(objective: Objective) -> None:
    study = new_study(objective, sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=12)
    table = study.trials_dataframe(("number", "value", "user_attrs", "state"))
    done = table[table["state"] == "COMPLETE"]
    assert {"user_attrs_naswot_relu", "user_attrs_flops", "user_attrs_val_accuracy"} <= {*table}
    assert (done["values_params"] == done["user_attrs_params"]).all()
    assert done["user_attrs_val_accuracy"].between(0, 100).all()
    importance = optuna.importance.get_param_importances(
        study,
        evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0, n_trees=4),
        target=lambda trial: trial.user_attrs["val_accuracy"],
    )
    assert importance.keys() <= {*study.trials[0].params}
    assert optuna.visualization.plot_slice(
        study, target=lambda trial: trial.user_attrs["val_accuracy"], target_name="accuracy"
    ).data


GRID = {name: ["none", "skip_connect"] for name in ("op_1_0", "op_2_0", "op_2_1")}
GRID |= {name: ["nor_conv_1x1"] for name in ("op_3_0", "op_3_1", "op_3_2")}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:.*fixed parameters:UserWarning")
@pytest.mark.parametrize(
    "sampler",
    [
        lambda: optuna.samplers.RandomSampler(seed=0),
        lambda: optuna.samplers.TPESampler(seed=0, n_startup_trials=3, multivariate=True),
        lambda: optuna.samplers.NSGAIISampler(seed=0, population_size=3),
        lambda: optuna.samplers.NSGAIIISampler(seed=0, population_size=3),
        lambda: optuna.samplers.GPSampler(seed=0, n_startup_trials=5),
        lambda: optuna.samplers.QMCSampler(seed=0),
        lambda: optuna.samplers.BruteForceSampler(seed=0),
        lambda: optuna.samplers.GridSampler(GRID, seed=0),
        lambda: optuna.samplers.PartialFixedSampler(
            {"op_1_0": "nor_conv_1x1"}, optuna.samplers.RandomSampler(seed=0)
        ),
    ],
)
def test_every_sampler_of_optuna_takes_it(objective: Objective, sampler) -> None:
    study = new_study(objective, sampler=sampler())
    study.optimize(objective, n_trials=7)
    assert [TrialRecord.of(t).architecture for t in study.trials]
    assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_callbacks_and_enqueued_trials(objective: Objective) -> None:
    study = new_study(objective)
    cell = Architecture.from_index(4000)
    study.enqueue_trial(objective.space.parameters(cell))
    seen: list[int] = []
    study.optimize(
        objective, n_trials=3, callbacks=[lambda study, trial: seen.append(trial.number)]
    )
    assert seen == [0, 1, 2]
    assert study.trials[0].user_attrs[RECORD]["architecture"] == str(cell)


def test_one_objective_serves_one_study_after_another(objective: Objective) -> None:
    cell = objective.space.parameters(Architecture.from_index(5000))
    for _ in range(2):
        study = new_study(objective)
        for _ in range(2):
            study.enqueue_trial(cell)
        study.optimize(objective, n_trials=2)
        assert [TrialRecord.of(t).repeat_of for t in study.trials] == [None, 0]


def test_another_study_is_refused(objective: Objective) -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    with pytest.raises(StudyError, match="has the directions maximize, maximize; the objective's"):
        study.optimize(objective, n_trials=1)
    study = new_study(objective)
    study.optimize(objective, n_trials=1)
    with pytest.raises(StudyError, match=r"data\.batch_size: 4 before, 5 now"):
        study.optimize(small(batch_size=5), n_trials=1)
    study.sampler = optuna.samplers.RandomSampler()  # is of no matter
    study.optimize(small(), n_trials=1)


# A search, by hand and back -----------------------------------------------------------------------


def test_a_search_goes_on_by_hand_and_back(tmp_path: Path) -> None:
    config = config_in(tmp_path, "study.n_trials=3")
    first = zc.run_search(config).trials
    storage = f"sqlite:///{tmp_path / 'small' / 'study.db'}"
    study = optuna.load_study(study_name="small", storage=storage)
    assert study.metric_names == ["naswot_relu", "params"]
    study.optimize(Objective.from_config(tmp_path / "small" / "config.toml"), n_trials=2)
    by_hand = zc.conclude(study, Objective.from_config(config))
    assert by_hand.trials["number"].tolist() == [*range(5)]
    result = zc.run_search(config_in(tmp_path, "study.n_trials=6"))
    assert result.trials["number"].tolist() == [*range(6)]
    same = [c for c in first if not c.startswith(("seconds", "duration", "pareto"))]
    assert result.trials[same].head(3).equals(first[same])
    uninterrupted = zc.run_search(config_in(tmp_path / "other", "study.n_trials=6")).trials
    # Each trial of a search is drawn by its number, whoever drew those before.
    assert result.trials["architecture"][5:].tolist() == uninterrupted["architecture"][5:].tolist()


def test_a_study_by_hand_goes_on_as_a_search(tmp_path: Path) -> None:
    config = config_in(tmp_path, "study.n_trials=4")
    objective = Objective.from_config(config)
    folder = tmp_path / "small"
    folder.mkdir()
    study = new_study(objective, study_name="small", storage=f"sqlite:///{folder / 'study.db'}")
    study.optimize(objective, n_trials=2)
    assert len(zc.run_search(config).trials) == 4


def test_attributes_of_a_search_are_asked_for(tmp_path: Path) -> None:
    for wanted in (False, True):
        config = config_in(tmp_path, "study.n_trials=2", study={"attributes": wanted})
        objective = Objective.from_config(config)
        study = zc.study.open_study(objective, optuna.storages.InMemoryStorage())
        zc.study.run_trials(study, objective)
        assert ("params" in study.trials[0].user_attrs) is wanted


def test_a_study_of_any_name_is_gone_on_with(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    for done in (2, 4):
        study = new_study(small(), study_name="my study / [2]", storage=url, load_if_exists=True)
        study.optimize(small(), n_trials=2)
        states = [trial.state.name for trial in study.trials]
        assert len(states) == done
        assert set(states) <= {"COMPLETE", "PRUNED"}


def test_a_trial_without_a_study_is_refused_in_words() -> None:
    with pytest.raises(StudyError, match=r"enqueue_trial\(parameters\)"):
        small()(optuna.trial.FixedTrial({}))


def test_what_is_saved_is_a_run(tmp_path: Path) -> None:
    objective = small(ensemble={"folds": 2, "repeats": 1})
    study = new_study(objective, sampler=optuna.samplers.RandomSampler(seed=2))
    study.optimize(objective, n_trials=12)
    result = zc.conclude(study, objective)
    assert result.ensemble is not None
    assert math.isfinite(result.best.predicted)
    saved = zc.save_result(result, tmp_path / "mine")
    found = load_result(tmp_path / "mine")
    assert found.config == saved.config
    assert found.config.study.name == "mine"
    assert found.trials.equals(saved.trials)
    assert found.best == result.best
    assert found.ensemble.weights.equals(result.ensemble.weights)
    assert found.config.study.sampler == "random"
    # Its study is there too, and the command goes on with it.
    more = zc.run_search(zc.load_config(tmp_path / "mine" / "config.toml", ["study.n_trials=14"]))
    assert more.trials["architecture"].tolist()[:12] == result.trials["architecture"].tolist()
    assert len(more.trials) == 14
    # Nothing that is there already is lost.
    with pytest.raises(StudyError, match=r"holds something already; .*fresh=True"):
        zc.save_result(result, tmp_path / "mine")
    zc.save_result(result, tmp_path / "mine", fresh=True)
    assert len(load_result(tmp_path / "mine.old-1").trials) == 14
    assert len(load_result(tmp_path / "mine").trials) == 12
    assert repr(result).startswith("<SearchResult 'search': 12 trials, ")
    with pytest.raises(ConfigError, match=r"study\.name"):
        zc.save_result(result, tmp_path / "no name")
