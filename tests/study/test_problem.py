"""An objective as a problem of OptunaHub, and the folders for its registry."""

import ast
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.study import StudyDirection

from zc_search.errors import ArchitectureError
from zc_search.study import Objective

if TYPE_CHECKING:  # what is loaded here, all workers load
    from zc_search.study.problem import Problem

ROOT = Path(__file__).parents[2]
SMALL = {"name": "nasbench201", "channels": 2, "cells": 1}
OBJECTIVES = {"val_accuracy": "maximize", "naswot_relu": "maximize", "params": "minimize"}
SETTINGS = {"data": "noise", "batch_size": 4, "proxies": {"cache": "off"}}
EDGES = ("op_1_0", "op_2_0", "op_2_1", "op_3_0", "op_3_1", "op_3_2")
SMALLEST = dict.fromkeys(EDGES, "skip_connect")
LARGEST = dict.fromkeys(EDGES, "nor_conv_3x3")


@pytest.fixture(scope="module")
def problem() -> "Problem":
    from zc_search.study.problem import Problem

    return Problem(SMALL, OBJECTIVES, constraints={"max_params": 3000}, **SETTINGS)


def test_a_study_has_what_evaluate_gives(problem: "Problem") -> None:
    from optunahub.benchmarks import BaseProblem

    assert isinstance(problem, BaseProblem)
    assert problem.directions == [StudyDirection[d.upper()] for d in OBJECTIVES.values()]
    assert problem.metric_names == [*OBJECTIVES]
    study = optuna.create_study(
        directions=problem.directions, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.enqueue_trial(SMALLEST)
    study.optimize(problem, n_trials=6)
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    assert complete
    assert complete[0].params == SMALLEST
    for trial in complete:
        assert trial.distributions == problem.search_space
        assert problem.evaluate(trial.params) == trial.values
        beyond = problem.evaluate_constraints(trial.params)
        assert beyond == trial.constraints
        assert (beyond["max_params"] > 0) == (trial.values[2] * 1e6 > 3000)


def test_what_has_no_network_or_is_beyond_a_limit_has_no_values(problem: "Problem") -> None:
    dead = dict.fromkeys(EDGES, "none")
    assert problem.evaluate_constraints(dead) == {"feasible": 1.0, "max_params": 1.0}
    assert problem.evaluate_constraints(LARGEST)["max_params"] > 0
    for params in (dead, LARGEST):
        assert math.isnan(problem.evaluate(params)[1])
    with pytest.raises(ArchitectureError, match="op_3_2"):
        problem.evaluate(dict.fromkeys(EDGES[:-1], "none"))


def test_an_objective_becomes_a_problem() -> None:
    from zc_search.study.problem import Problem

    objective = Objective(SMALL, {"params": "minimize"}, **SETTINGS)
    problem = Problem(objective)
    assert problem.objective is objective
    params = objective.scorer.score(objective.space.architecture(SMALLEST)).values["params"]
    assert problem.evaluate(SMALLEST) == [params]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    done = [sys.executable, str(ROOT / "docs" / "optunahub" / "assemble.py"), str(folder)]
    subprocess.run(done, check=True, capture_output=True)
    return folder / "package"


@pytest.mark.parametrize(
    ("package", "names", "files"),
    [
        ("benchmarks/zero_cost_nas", {"Problem"}, 0),
        ("samplers/regularized_evolution", {"RegularizedEvolutionSampler"}, 4),
        (
            "samplers/predictor_guided",
            {"PredictorGuidedSampler", "LocalSearchSampler", "DistinctSampler"},
            6,
        ),
    ],
)
def test_the_registry_can_load_a_package(
    registry: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: str,
    names: set[str],
    files: int,
) -> None:
    import optunahub

    module = optunahub.load_local_module(package, registry_root=str(registry))
    assert set(module.__all__) == names
    assert all(hasattr(module, name) for name in names)
    folder = registry / package
    head, front, page = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    keys = {line.split(":")[0] for line in front.splitlines()}
    assert keys == {"author", "title", "description", "tags", "optuna_versions", "license"}
    assert not head
    assert (folder / "LICENSE").is_file()
    assert len([*folder.glob("*.py")]) == files + 2
    for path in folder.glob("*.py"):
        assert files == 0 or "zc_search" not in path.read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    ast.parse(example)
    if files:
        assert example in (folder / "example.py").read_text(encoding="utf-8")
        monkeypatch.setattr(optunahub, "load_module", lambda name: module)
        exec(example, {})  # noqa: S102  ours
        assert capsys.readouterr().out


def test_the_example_of_the_problem_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import optunahub

    folder = ROOT / "docs" / "optunahub" / "zero_cost_nas"
    source = (
        (folder / "example.py").read_text(encoding="utf-8").replace("n_trials=100", "n_trials=5")
    )
    local = optunahub.load_local_module(folder.name, registry_root=str(folder.parent))
    monkeypatch.setattr(optunahub, "load_module", lambda name: local)
    names: dict[str, object] = {}
    exec(source, names)  # noqa: S102  ours
    assert len(names["study"].trials) == 5
