"""Spaces of somebody's own: parameters, networks, faults, and what a search makes of them."""

import inspect
import json
import pickle
import random
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import own_networks
import pandas as pd
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import SAMPLERS, Config, config_to_toml, parse_config
from zc_search.errors import ArchitectureError, ConfigError, StudyError
from zc_search.images import Task
from zc_search.report import load_result, write_report
from zc_search.samplers import key_of
from zc_search.samplers.knowledge import gather
from zc_search.scoring.architectures import sample_space, score_architectures, whole_space
from zc_search.search import run_search
from zc_search.spaces import FunctionSpace, Parameters, compact, make_space, read_architecture
from zc_search.study import Objective, conclude
from zc_search.study.worker import custom_code

TASK = Task("noise", 10, 3, 32, 32)
NAMES = ("build", "vit", "resnet", "functional")


def a_space(name: str) -> FunctionSpace:
    return FunctionSpace(f"own_networks:{name}")


def configured(folder: Path, name: str, text: str = "", **study: Any) -> Config:
    settings = "\n".join(
        f"{key} = {json.dumps(value)}" for key, value in {"n_trials": 6, **study}.items()
    )
    return parse_config(
        f"""
        [study]
        {settings}
        [space]
        name = "own_networks:{name}"
        {text}
        [data]
        source = "noise"
        batch_size = 4
        [objectives]
        grad_norm = "maximize"
        [output]
        folder = {json.dumps(str(folder))}
        report = false
        """
    )


# Parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [{}, {"b": 2, "a": "ü"}, {"x": 0.1 + 0.2, "y": True, "z": None}, {"deep": 10**18}],
)
def test_parameters_are_a_value_with_a_canonical_text(parameters: dict[str, Any]) -> None:
    made = Parameters.of(parameters)
    backwards = Parameters.of(dict(reversed(parameters.items())))
    assert made == backwards
    assert hash(made) == hash(backwards)
    assert json.loads(str(made)) == parameters
    assert list(json.loads(str(made))) == sorted(parameters)
    assert read_architecture(f" {made} ") == made
    assert len(compact(str(made))) <= 25
    assert made.infeasible is None
    assert 0 <= made.index < 2**63


@pytest.mark.parametrize("value", [float("nan"), float("inf"), (1, 2), [3], object()])
def test_what_json_cannot_hold_is_no_parameter(value: object) -> None:
    with pytest.raises(ArchitectureError, match="x = "):
        Parameters.of({"x": value})


@pytest.mark.parametrize("name", NAMES)
def test_a_function_keeps_the_promises_of_a_space(name: str) -> None:
    space, rng = a_space(name), np.random.default_rng(0)
    builder = getattr(own_networks, name)
    for _ in range(8):
        drawn = space.sample(rng)
        assert drawn in space
        assert space.architecture(space.parameters(drawn)) == drawn == space.read(str(drawn))
        trial = FixedTrial(drawn.values)
        torch.manual_seed(3)
        expected = builder(trial, TASK)  # Optuna's own trial asks for the same, in its way
        assert trial.params == drawn.values
        assert trial.distributions.items() <= space.distributions().items()
        network = space.build(drawn, TASK, 3)
        assert str(network) == str(expected)
        for one, other in zip(network.parameters(), expected.parameters(), strict=True):
            assert torch.equal(one, other)
        assert all(neighbour in space for neighbour in space.neighbours(drawn))
        assert space.structure(drawn).keys() == drawn.values.keys()
    assert pickle.loads(pickle.dumps(space)) == space
    assert whole_space(space) is space.size is None
    assert len(set(sample_space(space, 10, 1))) == 10


def test_conditional_parameters_are_found_and_count_only_where_they_are_asked_for() -> None:
    space = a_space("build")
    assert space.distributions() == {
        "depth": IntDistribution(1, 4),
        "width": CategoricalDistribution((16, 32, 48)),
        "norm": CategoricalDistribution(("batch", "group")),
    }
    key = key_of(space)
    shallow = {"depth": 2, "width": 16}
    assert key({**shallow, "norm": "batch"}) == key({**shallow, "norm": "group"}) == key(shallow)
    deep = {"depth": 3, "width": 16}
    assert key({**deep, "norm": "batch"}) != key({**deep, "norm": "group"})
    assert key(deep) == key({**deep, "norm": "batch"})  # what is lacking is the first
    # 2 depths x 3 widths, and 2 depths x 3 widths x 2 norms.
    everything = {
        key({"depth": d, "width": w, "norm": n})
        for d, w, n in product(range(1, 5), (16, 32, 48), ("batch", "group"))
    }
    assert len(everything) == 18
    assert not space.is_complete(deep)
    assert space.is_complete(shallow)
    nested = a_space("resnet").distributions()
    assert nested["widen_2"] == FloatDistribution(1.0, 2.0)
    assert {f"depth_{stage}" for stage in range(3)} <= nested.keys()


def test_neighbours_are_next_to_it() -> None:
    space = a_space("build")
    here = space.architecture({"depth": 3, "width": 16, "norm": "group"})
    assert set(map(str, space.neighbours(here))) == {
        '{"depth":2,"width":16}',
        '{"depth":4,"norm":"group","width":16}',
        '{"depth":3,"norm":"group","width":32}',
        '{"depth":3,"norm":"group","width":48}',
        '{"depth":3,"norm":"batch","width":16}',
    }
    assert len(gather(space).features) == 18


def test_samples_are_drawn_evenly() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(a_space("build").sample(rng).values["width"] for _ in range(150))
    assert all(35 <= count <= 65 for count in drawn.values())


def test_a_class_may_give_more() -> None:
    space = a_space("Choices")
    one, other = (space.architecture({"depth": 2, "width": w}) for w in (8, 16))
    assert space.size == 6
    assert one != other
    assert one.function_key == other.function_key == space.read(str(one)).function_key
    assert [*map(str, space.neighbours(one))] == ['{"depth":3,"width":8}']
    assert space.structure(one) == {"area": 16}
    assert space.draw(one) == "<svg>2</svg>"


def test_a_product_may_be_written_in_toml_alone(tmp_path: Path) -> None:
    choices = 'choices = {depth = [1, 2], width = [8, 16], norm = ["batch", "group"]}'
    config = configured(tmp_path, "product", choices)
    assert parse_config(config_to_toml(config)) == config
    space = make_space(config.space)
    listed = whole_space(space)
    assert space.size == len(set(listed or ())) == 8
    assert all(architecture in space for architecture in listed or ())
    assert pickle.loads(pickle.dumps(space)) == space
    result = run_search(config)
    assert set(result.trials["architecture"]) <= set(map(str, listed or ()))


# Faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "raised RuntimeError: no such width"),
        ("prunes", "raised TrialPruned: too wide"),
        ("no module", "returns int, no torch.nn.Module"),
        ("logits", r"logits for 2 images of 10 classes are \(2, 7\); Allowed: \(2, 10\)"),
        ("tuple", "fails on images"),
        ("double", "parameters of torch.float64; Allowed: torch.float32"),
        ("default dtype", "changes the default dtype"),
        ("threads", "changes the number of threads"),
        ("not repeatable", "gives another network for the same parameters and seed"),
        ("other parameters", "raised LookupError: 'width"),
        ("bad range", "raised ValueError: "),
    ],
)
def test_a_builders_faults_are_named_with_the_parameters(fault: str, said: str) -> None:
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    threads, space = torch.get_num_threads(), a_space("faulty")
    with pytest.raises(ArchitectureError, match=said) as caught:
        space.build(Parameters.of({"fault": fault}), TASK)
    assert f'{{"fault":"{fault}"}}' in str(caught.value)
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == threads
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1] == random.getstate()
    assert np.array_equal(state[2], np.random.get_state()[1])


def test_a_fault_costs_its_trial_and_nothing_else(tmp_path: Path) -> None:
    config = configured(tmp_path, "faulty", sampler="random", n_trials=20)
    trials = run_search(config).trials
    assert len(trials) == 20
    by_fault = {
        json.loads(a)["fault"]: row for a, row in trials.set_index("architecture").iterrows()
    }
    assert len(by_fault) > 8
    for fault, row in by_fault.items():
        assert row["feasible"] == (fault in ("none", "seeds itself"))
        assert row["feasible"] or "builder" in row["reason"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere_at_all:build", "cannot import 'nowhere_at_all'"),
        ("own_networks:nothing", "has no 'nothing'"),
        ("own_networks:one_argument", r"must be build\(trial, task\)"),
        ("own_networks:TASK_OF_NONE", "has no 'TASK_OF_NONE'"),
        ("own_networks:always_raises", "fails whatever it is given: .*KeyError: 'width'"),
        ("own_networks:Block", r"own_networks:Block\(\) raised TypeError"),
    ],
)
def test_a_builder_that_is_none_is_said_before_the_first_trial(
    name: str, said: str, tmp_path: Path
) -> None:
    config = configured(tmp_path, "build")
    space = config.space.model_copy(update={"name": name})
    with pytest.raises(ConfigError, match=said) as caught:
        run_search(config.model_copy(update={"space": space}))
    assert caught.value.key == "space.name"
    assert not (tmp_path / "search" / "trials.csv").exists()


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    config = configured(tmp_path, "build")
    assert config.benchmark.name == "none"
    assert custom_code(config) == ["own_networks:build"]
    with pytest.raises(ConfigError, match=r"benchmark.name: 'nasb.*Allowed: none"):
        parse_config(config_to_toml(config), ["benchmark.name=nasbench201"])
    with pytest.raises(ConfigError, match=r"space.cells: has no meaning for name"):
        parse_config(config_to_toml(config), ["space.cells=3"])
    with pytest.raises(ConfigError, match=r"space.choices: .*a table of lists"):
        parse_config(config_to_toml(config), ["space.choices={depth = 3}"])


# Searches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        ("nsgaii", "vit"),
        # Each sampler in one space, and what learns from parameters in each.
        *(pytest.param(sampler, "build", marks=pytest.mark.thorough) for sampler in SAMPLERS),
        *(
            pytest.param(sampler, name, marks=pytest.mark.thorough)
            for sampler, name in product(("tpe", "predictor_guided"), NAMES)
            if name != "build"
        ),
    ],
)
def test_every_sampler_searches_it_and_goes_on_where_it_was_cut_off(
    sampler: str, name: str, tmp_path: Path
) -> None:
    one, cut = (configured(tmp_path / f, name, sampler=sampler) for f in ("one", "cut"))
    whole = run_search(one).trials
    run_search(cut.model_copy(update={"study": cut.study.model_copy(update={"n_trials": 3})}))
    resumed = run_search(cut).trials
    assert whole["feasible"].all()
    assert whole["architecture"].tolist() == resumed["architecture"].tolist()
    assert whole["grad_norm"].tolist() == resumed["grad_norm"].tolist()
    space = a_space(name)
    assert all(space.read(text) in space for text in whole["architecture"])
    ours = ("regularized_evolution", "local_search", "predictor_guided")
    if sampler in (*ours, "brute_force"):
        assert whole["architecture"].nunique() == 6


def test_a_builder_that_has_changed_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path, "build", n_trials=1)
    run_search(config)
    monkeypatch.setattr(FunctionSpace, "definition", "own_networks:build, source 0")
    with pytest.raises(StudyError, match="another builder of networks"):
        run_search(config)


LISTING = """
def build(trial, task):  # task: classes, channels, resolution
    depth = trial.suggest_int("depth", 1, 4)
    width = trial.suggest_categorical("width", [16, 32, 48])
    norm = trial.suggest_categorical("norm", ["batch", "group"]) if depth > 2 else "batch"
    return MyNet(depth, width, norm, task.classes, task.channels)
"""


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_the_listing_runs_in_an_empty_folder(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (
        Path(__file__).parents[2].joinpath("docs/how-to/own-space.md").read_text(encoding="utf-8")
    )
    assert " ".join(LISTING.split()) in " ".join(guide.split())
    net = inspect.getsource(own_networks.MyNet)
    (tmp_path / "my_nets.py").write_text(f"from torch import nn\n\n\n{net}\n{LISTING}")
    (tmp_path / "search.toml").write_text(
        f"""
        output.report = {str(whole).lower()}
        space.name = "my_nets:build"
        objectives.naswot_relu = "maximize"
        objectives.params = "minimize"
        study.n_trials = 4
        data.source = "digits"
        data.batch_size = 4
        training.epochs = 1
        """
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    runner = CliRunner()

    def run(*arguments: str) -> str:
        done = runner.invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    run("--config", "search.toml", "-q")
    trials = pd.read_csv("runs/search/trials.csv")
    assert trials["feasible"].all()
    arguments = ["--config", "search.toml", "--set", "space.name=nowhere:build"]
    assert isinstance(runner.invoke(app, arguments).exception, ConfigError)
    if not whole:
        return
    run("score", "--config", "search.toml", "--sample", "5", "--out", "scores.parquet")
    scores = pd.read_parquet("scores.parquet")
    assert len(scores) == 5
    assert np.isfinite(scores[["naswot_relu", "params"]]).all(axis=None)
    page = Path("runs/search/report.html").read_text(encoding="utf-8")
    assert 'class="modules" alt="The modules of {&#34;depth' in page
    run("train", "runs/search", "--top", "1")
    run("export", "runs/search", "--to", "exported", "--no-onnx")
    assert {file.name for file in Path("exported").iterdir()} == {
        "README.md",
        "cell.svg",
        "labels.txt",
        "metadata.json",
        "network.pt2",
        "weights.safetensors",
    }
    code = Path("exported/README.md").read_text(encoding="utf-8").split("```")[1]
    monkeypatch.chdir("exported")
    read: dict[str, Any] = {}
    exec(code.removeprefix("python\n"), read)  # noqa: S102  as a reader would
    raw = torch.randint(256, (2, 1, 8, 8)).float()
    about = json.loads(Path("metadata.json").read_text())["input"]
    images = (raw - about["mean"][0]) / about["deviation"][0]
    program = torch.export.load("network.pt2").module()
    assert torch.allclose(read["model"](images), program(raw), atol=1e-5)


@pytest.mark.parametrize("given", ["own_networks:vit", FunctionSpace("own_networks:vit")])
def test_architectures_of_ones_own_are_scored_by_their_text(given: str | FunctionSpace) -> None:
    space, task = a_space("vit"), Task("scans", 3, 1, 16, 16)
    drawn = space.for_task(task).sample(np.random.default_rng(0))
    how = {"batch_size": 4, "data": "noise", "space": given}
    table = score_architectures([str(drawn), drawn], ["params", "snip"], **how)  # type: ignore[arg-type]
    assert table.iloc[0].equals(table.iloc[1])
    expected = sum(p.numel() for p in space.build(drawn, TASK).parameters()) / 1e6
    assert table["params"].iloc[0] == expected
    images = torch.randn(4, 1, 16, 16), torch.arange(4) % 3
    small = score_architectures([str(drawn)], ["params"], images, dataset=task, space=given)
    assert small["params"].iloc[0] < expected


def test_an_architecture_of_ones_own_needs_its_space_to_be_scored() -> None:
    text = str(a_space("build").sample(np.random.default_rng(0)))
    with pytest.raises(ArchitectureError, match=r"space: .* such as 'my_nets:build'") as caught:
        score_architectures([text], ["params"], batch_size=4)
    assert caught.value.key == "space"
    with pytest.raises(ArchitectureError, match="no parameters: '8:8:8:8:8'"):
        score_architectures(["8:8:8:8:8"], ["params"], space="own_networks:build")


# Classes ------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_space_as_a_class_is_searched_like_ours(tmp_path: Path) -> None:
    """Functions are scored once, constraints and samplers use what the class offers."""
    text = '[benchmark]\nname = "own_networks:branch_accuracy"\n[proxies]\ncompute = ["params"]'
    config = configured(tmp_path, "BranchSpace", text, n_trials=18, sampler="brute_force")
    assert parse_config(config_to_toml(config)) == config
    result = run_search(config)
    table, space = result.trials, make_space(config.space)
    assert len(table) == space.size == 18
    empty = table["architecture"].map(lambda t: {*json.loads(t).values()} <= {0, 4, 8})
    assert table.loc[empty, "reason"].str.contains("nothing is left").all()
    assert (~table["feasible"] == empty).all()
    assert table.loc[~empty, "function_key"].nunique() == 10
    assert table.groupby("function_key")["params"].nunique().max() == 1
    assert "source" in space.definition
    assert "unknown" not in space.definition
    assert pickle.loads(pickle.dumps(space)) == space
    again = run_search(config.model_copy(update={"study": config.study}))
    assert len(again.trials) == 18
    features = gather(space, None).features
    assert features.shape == (10, 1)


@pytest.mark.thorough
def test_a_class_serves_threads_and_the_report(tmp_path: Path) -> None:
    config = configured(tmp_path, "BranchSpace", n_trials=8, sampler="local_search")
    objective = Objective(config)
    study = optuna.create_study(directions=objective.directions)
    study.optimize(objective, n_trials=8, n_jobs=2)
    result = conclude(study, objective)
    by_key = result.trials.groupby("function_key")["grad_norm"]
    assert by_key.nunique().max() <= 1
    write_report(load_result(run_search(config).folder), tmp_path / "page.html")
    assert "BranchSpace" in (tmp_path / "page.html").read_text(encoding="utf-8")
    scores = score_architectures(
        ['{"first":1,"second":3,"width":8}', '{"first":3,"second":1,"width":8}'],
        proxies=["params", "grad_norm"],
        data="noise",
        space="own_networks:BranchSpace",
        batch_size=4,
    )
    assert scores.iloc[0].equals(scores.iloc[1])


def test_faults_of_a_class_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be made: OSError: no such table") as caught:
        make_space(configured(tmp_path, "BrokenSpace").space)
    assert caught.value.key == "space.name"
    with pytest.raises(ConfigError) as caught:
        make_space(configured(tmp_path, "BranchSpace", "choices = {width = [4]}").space)
    assert caught.value.key == "space.choices"


@pytest.mark.thorough
def test_what_a_class_raises_costs_its_trials_alone(tmp_path: Path) -> None:
    table = run_search(configured(tmp_path, "RaisingSpace", n_trials=12, sampler="random")).trials
    narrow = table["architecture"].str.contains('"width":4')
    assert not table.loc[narrow, "feasible"].any()
    assert table.loc[narrow, "reason"].str.contains("too narrow|nothing is left").all()
    assert table.loc[~narrow, "feasible"].any()
