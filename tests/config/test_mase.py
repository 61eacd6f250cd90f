"""A configuration in MASE's layout runs as it stands."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from zc_search.config import Config, ConfigWarning, Objective, load_config, parse_config
from zc_search.errors import ConfigError
from zc_search.spaces import PARAMETERS
from zc_search.spaces.nasbench201.architecture import NOTATIONS

SHIPPED = Path(__file__).parents[2] / "configs" / "mase.toml"
SPACE = "search.search_space.nas_zero_cost.config"
SETUP = "search.strategy.setup"
METRICS = "search.strategy.metrics"


def minimal() -> dict[str, Any]:
    """Return a file of which every key has a meaning here."""
    space = {"dataset": ["cifar10"], "name": ["infer.tiny"], "C": [16], "N": [5], "op_0_0": [0]}
    space |= {edge: [0, 1, 2, 3, 4] for edge in PARAMETERS} | {"number_classes": [10]}
    return {
        "search": {
            "search_space": {
                "name": "graph/software/zero_cost",
                "nas_zero_cost": {"config": space},
            },
            "sw_runner": {"name": "zero_cost"},
            "strategy": {
                "name": "optuna",
                "eval_mode": False,
                "sw_runner": {"zero_cost": {"metrics": ["snip", "zico"]}},
                "setup": {"n_trials": 7, "sampler": "tpe", "sum_scaled_metrics": False},
                "metrics": {"snip": {"scale": 1.0, "direction": "maximize"}},
            },
        }
    }


def changed(**values: Any) -> dict[str, Any]:
    """Return the minimal file with other tables: space, setup, metrics, or top-level keys."""
    raw = minimal()
    space = raw["search"]["search_space"]["nas_zero_cost"]["config"]
    strategy = raw["search"]["strategy"]
    space |= values.pop("space", {})
    strategy["setup"] |= values.pop("setup", {})
    strategy["sw_runner"]["zero_cost"] |= values.pop("runner", {})
    strategy["metrics"] = values.pop("metrics", strategy["metrics"])
    return raw | values


def quietly(raw: dict[str, Any], *overrides: str) -> Config:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return parse_config(tomlkit.dumps(raw), overrides)


def ignored(raw: dict[str, Any]) -> list[str]:
    with pytest.warns(ConfigWarning) as caught:
        parse_config(raw)
    (warning,) = caught
    return [line.strip() for line in str(warning.message).splitlines()[1:]]


def faults(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_config(raw)
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_shipped_file_is_translated_and_warned_of_once():
    with pytest.warns(ConfigWarning, match="mean nothing here") as caught:
        config = load_config(SHIPPED)
    (warning,) = caught
    assert warning.filename == __file__
    lines = [line.strip().split(" ")[0] for line in str(warning.message).splitlines()[1:]]
    runner = "search.strategy.sw_runner.zero_cost"
    assert sorted(lines) == sorted(
        [
            *("model", "dataset", "task", "max_epochs", "learning_rate"),
            *("search.search_space.setup", "search.search_space.seed"),
            *(f"{runner}.data_loader", f"{runner}.num_samples"),
            "search.strategy.hw_runner.average_bitwidth",
        ]
    )
    assert config.study.name == "mase"
    assert (config.study.n_trials, config.study.timeout, config.study.workers) == (20, 20000, 1)
    assert (config.study.sampler, config.study.sum_objectives) == ("nsgaii", False)
    assert (
        config.study.seed == config.data.seed == config.proxies.seed == config.ensemble.seed == 42
    )
    assert (config.data.batch_size, config.proxies.device) == (32, "cpu")
    assert config.benchmark.epochs == 12  # as MASE's calls of get_more_info
    assert config.output.figures  # all of which MASE shows
    assert [objective.name for objective in config.active_objectives] == [
        "snip",
        "naswot_relu[mode=eval]",
        "zico",
    ]
    assert len(config.objectives) == len(config.proxies_to_compute) == 10


def test_a_file_whose_every_key_has_a_meaning_raises_no_warning():
    config = quietly(minimal())
    assert (config.study.n_trials, config.study.sampler) == (7, "tpe")
    assert config.objectives == (Objective(name="snip", direction="maximize"),)
    assert config.proxies_to_compute == ("snip", "zico")


def test_operations_stand_in_mases_order():
    order = ("none", "skip_connect", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
    assert order == NOTATIONS["mase"]


def test_partial_choices():
    config = quietly(changed(space={"op_2_1": [4, 0, 2]}))
    assert config.space.op_2_1 == ("avg_pool_3x3", "none", "nor_conv_3x3")
    assert len(config.space.op_3_2) == 5


def test_space_and_top_level_keys():
    config = quietly(
        changed(
            space={"dataset": ["ImageNet16-120"], "C": [8], "N": [2], "number_classes": [120]},
            setup={"n_jobs": 3, "timeout": 60, "sampler": "BruteForce"},
            batch_size=64,
            project="team project",
            accelerator="gpu",
        )
    )
    assert (config.space.dataset, config.space.channels, config.space.cells) == (
        "ImageNet16-120",
        8,
        2,
    )
    assert (config.study.workers, config.study.timeout) == (3, 60)
    assert (config.study.sampler, config.study.name) == ("brute_force", "team-project")
    assert (config.data.batch_size, config.proxies.device) == (64, "auto")


def test_scale_zero_is_recorded_and_jacob_cov_is_jacov():
    config = quietly(
        changed(
            metrics={
                "jacob_cov": {"scale": 1.0, "direction": "maximize"},
                "l2_norm": {"scale": 0.0, "direction": "minimize"},
            },
            runner={"metrics": ["jacob_cov", "l2_norm", "jacob_cov"]},
        )
    )
    assert config.active_objectives == (Objective(name="jacov", direction="maximize"),)
    assert config.proxies.compute == ("jacov", "l2_norm")
    assert config.objectives[1] == Objective(name="l2_norm", direction="minimize", scale=0)


@settings(max_examples=settings.default.max_examples // 3)
@given(
    st.sampled_from(["maximize", "minimize"]),
    st.lists(st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0]), min_size=3, max_size=3).filter(any),
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
)
def test_sum_is_the_one_that_mase_optimises(
    direction: str, scales: list[float], values: list[float]
):
    names = ("snip", "zico", "grasp")
    config = quietly(
        changed(
            setup={"sum_scaled_metrics": True, "direction": direction},
            metrics={
                name: {"scale": scale, "direction": direction}
                for name, scale in zip(names, scales, strict=True)
            },
        )
    )
    assert config.study.sum_objectives
    theirs = sum(scale * value for scale, value in zip(scales, values, strict=True))
    figures = dict(zip(names, values, strict=True))
    ours = sum(
        objective.sign * objective.scale * figures[objective.name]
        for objective in config.active_objectives
    )
    assert ours == pytest.approx(theirs if direction == "maximize" else -theirs)


def test_negative_scale_turns_a_single_objective_round():
    config = quietly(changed(metrics={"snip": {"scale": -2.0, "direction": "maximize"}}))
    assert config.objectives == (Objective(name="snip", direction="minimize", scale=2.0),)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (changed(space={"number_classes": [100]}), f"{SPACE}.number_classes (cifar10 has 10)"),
        (changed(setup={"direction": "maximize"}), f"{SETUP}.direction (each objective has its o"),
        (changed(setup={"pkl_ckpt": "x"}), f"{SETUP}.pkl_ckpt"),
        (changed(passes={"quantize": {}}), "passes"),
        (
            changed(
                setup={"sum_scaled_metrics": True, "direction": "maximize"},
                metrics={"snip": {"scale": 1.0, "direction": "minimize"}},
            ),
            f"{METRICS}.snip.direction (the sum is to maximize)",
        ),
        (
            changed(
                metrics={
                    "average_bitwidth": {"scale": 0.2, "direction": "minimize"},
                    "snip": {"scale": 1.0, "direction": "maximize"},
                }
            ),
            f"{METRICS}.average_bitwidth",
        ),
    ],
)
def test_what_has_no_meaning_is_named(raw: dict[str, Any], line: str):
    (given_line,) = ignored(raw)
    assert given_line.startswith(line)


def test_missing_edges_and_other_tables_are_named():
    raw = minimal()
    del raw["search"]["search_space"]["nas_zero_cost"]["config"]["op_3_1"]
    raw["search"]["strategy"]["eval_mode"] = True
    raw["search"]["strategy"]["sw_runner"]["basic_evaluation"] = {}
    assert ignored(raw) == [
        f"{SPACE}.op_3_1 (missing, so every operation is tried)",
        "search.strategy.eval_mode (networks are scored in training mode)",
        "search.strategy.sw_runner.basic_evaluation",
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (changed(space={"dataset": ["cifar"]}), f"{SPACE}.dataset: unknown dataset 'cifar'; did y"),
        (changed(space={"C": [16, 32]}), f"{SPACE}.C: [16, 32] is given; Allowed: a list of one "),
        (changed(space={"N": [0]}), f"{SPACE}.N: 0 is given; Allowed: "),
        (changed(space={"name": ["tiny"]}), f"{SPACE}.name: unknown network 'tiny'; Allowed: inf"),
        (changed(space={"op_1_0": []}), f"{SPACE}.op_1_0: is empty; Allowed: "),
        (
            changed(space={"op_1_0": [0, 5]}),
            f"{SPACE}.op_1_0: unknown operation 5; Allowed: 0 (none), 1 (skip_connect), 2",
        ),
        (changed(space={"op_1_0": ["none"]}), f"{SPACE}.op_1_0: unknown operation 'none'"),
        (changed(space={"op_1_0": [True]}), f"{SPACE}.op_1_0: unknown operation True; Allowed"),
        (changed(space={"op_4_0": [0]}), f"{SPACE}.op_4_0: unknown key; did you mean 'op_"),
        (changed(setup={"n_trial": 3}), f"{SETUP}.n_trial: unknown key; did you mean 'n_trials'?"),
        (changed(setup={"n_trials": 0}), f"{SETUP}.n_trials: 0 is given; Allowed: "),
        (changed(setup={"sampler": "cma"}), f"{SETUP}.sampler: unknown sampler 'cma'; Allowed: "),
        (
            changed(setup={"sum_scaled_metrics": True}),
            f"{SETUP}.direction: unknown direction None; Allowed: maximize, minimize",
        ),
        (
            changed(runner={"metrics": ["snip", "synflo"]}),
            "search.strategy.sw_runner.zero_cost.metrics[1]: unknown proxy 'synflo'; did you mea",
        ),
        (
            changed(runner={"metric": []}),
            "search.strategy.sw_runner.zero_cost.metric: unknown key; did you mean 'metrics'?",
        ),
        (
            changed(metrics={"nonesuch": {"scale": 1.0, "direction": "maximize"}}),
            f"{METRICS}.nonesuch: unknown objective 'nonesuch'; Allowed: grad_norm",
        ),
        (changed(metrics={"snip": 1.0}), f"{METRICS}.snip: 1.0 is given; Allowed: a table with "),
        (
            changed(metrics={"snip": {"scale": 1.0, "direction": "up"}}),
            f"{METRICS}.snip.direction: unknown direction 'up'; Allowed: maximize, minimize",
        ),
        (
            changed(metrics={"snip": {"scale": 0.0, "direction": "maximize"}}),
            f"{METRICS}: every scale is 0; Allowed: at least one scale above 0",
        ),
        (changed(seed=-1), "seed: -1 is given; Allowed: "),
        (changed(accelerator="tpu"), "accelerator: 'tpu' is given; Allowed: auto, cpu, mps, cuda"),
        ({"search": {"search_space": {}, "strategy": {}}}, f"{SPACE}: missing; Allowed: a table "),
        ({"search": {"search_space": 3}}, "search.search_space: 3 is given; Allowed: a table"),
    ],
)
def test_what_is_wrong_is_named_by_its_key_in_the_file(raw: dict[str, Any], message: str):
    assert faults(raw)[0].startswith(message)


def test_all_faults_are_reported_at_once():
    lines = faults(changed(seed=-1, space={"op_1_0": [7], "C": ["a"]}, setup={"n_trials": 0}))
    assert [line.split(":")[0] for line in lines] == [
        f"{SPACE}.op_1_0",
        f"{SETUP}.n_trials",
        "seed",
        f"{SPACE}.C",
    ]


def test_another_strategy_is_refused():
    raw = minimal()
    raw["search"]["strategy"]["name"] = "rl"
    assert faults(raw) == ["search.strategy.name: unknown strategy 'rl'; Allowed: optuna"]


def test_overrides_are_given_in_this_projects_terms():
    config = quietly(
        minimal(), "study.n_trials=3", "objectives.zico=maximize", "space.op_1_0=['none']"
    )
    assert config.study.n_trials == 3
    assert [objective.name for objective in config.objectives] == ["snip", "zico"]
    with pytest.raises(ConfigError, match=r"\n  study\.n_trials: 0 is given"):
        parse_config(minimal(), ["study.n_trials=0"])


JUNK = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=3)
VALUES = JUNK | st.lists(JUNK | st.lists(JUNK, max_size=1), max_size=2)


@given(
    st.dictionaries(
        st.sampled_from([*PARAMETERS, "dataset", "name", "C", "number_classes"]), VALUES
    ),
    st.dictionaries(
        st.sampled_from(["n_jobs", "sampler", "sum_scaled_metrics", "direction"]), VALUES
    ),
    st.dictionaries(
        st.sampled_from(["snip", "jacob_cov"]),
        st.fixed_dictionaries({}, optional={"scale": VALUES, "direction": VALUES}) | VALUES,
    ),
    VALUES,
)
def test_junk_raises_nothing_but_a_config_error(
    space: dict[str, Any], setup: dict[str, Any], metrics: dict[str, Any], junk: Any
):
    raw = changed(
        space=space, setup=setup, metrics=metrics, runner={"metrics": junk}, seed=junk, project=junk
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        with suppress(ConfigError):
            parse_config(raw | {"accelerator": junk})


@pytest.mark.parametrize("direction", [{}, {"direction": "default"}])
@pytest.mark.parametrize(
    ("metric", "name", "expected"),
    [
        ("synflow", "synflow", "minimize"),
        ("valid-accuracy", "val_accuracy", "minimize"),
        ("train_loss", "train_loss", "maximize"),
    ],
)
def test_a_negative_scale_turns_the_usual_direction_round(
    direction: dict[str, str], metric: str, name: str, expected: str
) -> None:
    config = quietly(changed(metrics={metric: {"scale": -1.0, **direction}}))
    (objective,) = (o for o in config.objectives if o.name == name)
    assert (objective.direction, objective.scale) == (expected, 1.0)
