"""Writing a configuration: what is read back is equal, and comments stay."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zc_search.config import Config, config_to_toml, parse_config, starter
from zc_search.proxies.catalogue import DEFAULT_DIRECTIONS
from zc_search.spaces import OPERATIONS, PARAMETERS

PROXIES = st.sampled_from([*DEFAULT_DIRECTIONS, "my_package.proxies:mine"])
SEEDS = st.integers(0, 2**32 - 1)
# Lone surrogates are no Unicode text and TOML has no way to write them.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SCALES = st.floats(0, allow_infinity=False)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
OBJECTIVES = st.dictionaries(
    PROXIES | st.sampled_from(["val_accuracy", "train_seconds"]),
    st.sampled_from(["maximize", "minimize"])
    | st.fixed_dictionaries(
        {"direction": st.sampled_from(["maximize", "minimize"])}, optional={"scale": SCALES}
    ),
    min_size=1,
).filter(
    lambda table: any(
        not isinstance(entry, dict) or entry.get("scale", 1) for entry in table.values()
    )
)


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


SETTINGS = st.fixed_dictionaries(
    {"objectives": OBJECTIVES},
    optional={
        "study": optional(
            name=st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True),
            sampler=st.sampled_from(["random", "tpe", "some.module:Sampler"]),
            sampler_options=st.dictionaries(TEXTS, VALUES, max_size=3),
            n_trials=st.integers(1),
            timeout=st.floats(1e-300, allow_infinity=False),
            seed=SEEDS,
            storage=TEXTS,
            patience=st.floats(0, 1e9),
            workers=st.integers(1, 64),
            sum_objectives=st.booleans(),
        ),
        "space": optional(
            dataset=st.sampled_from(["cifar10", "cifar10-valid", "cifar100", "ImageNet16-120"]),
            channels=st.integers(1),
            cells=st.integers(1),
            **dict.fromkeys(
                PARAMETERS, st.lists(st.sampled_from(OPERATIONS), min_size=1, unique=True)
            ),
        ),
        "data": optional(
            source=st.sampled_from(["patches", "noise"]), path=TEXTS, batch_size=st.integers(2)
        ),
        "proxies": optional(
            compute=st.lists(PROXIES, unique=True),
            repeats=st.integers(1),
            device=st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
            seed=SEEDS,
            timeout=st.floats(1e-3, 1e9),
            cache=st.sampled_from(["user", "off", "folder/of/mine"]),
        ),
        "benchmark": optional(path=TEXTS, metric=st.sampled_from(["val_accuracy"])),
        "ensemble": optional(
            model=st.sampled_from(["ridge", "sklearn.svm:SVR"]),
            features=st.sampled_from(["standard", "rank+aggregate", "rank+interactions+structure"]),
            fit_on=st.sampled_from(["pareto", "all"]),
            folds=st.integers(2),
        ),
        "output": optional(folder=TEXTS),
    },
)
CONFIGURATIONS = SETTINGS.map(parse_config)


@given(CONFIGURATIONS)
def test_what_is_written_is_read_back(config: Config):
    assert parse_config(config_to_toml(config)) == config


@settings(max_examples=settings.default.max_examples // 3)
@given(CONFIGURATIONS)
def test_a_template_changes_nothing_but_the_looks(config: Config):
    text = config_to_toml(config, starter())
    assert parse_config(text) == config
    for line in starter().splitlines():
        if line.startswith("#"):
            assert line in text


@pytest.mark.thorough
@given(CONFIGURATIONS, CONFIGURATIONS)
def test_any_configuration_is_a_template(config: Config, other: Config):
    assert parse_config(config_to_toml(config, config_to_toml(other))) == config


def test_comments_order_and_notation_survive_a_rewrite():
    template = (
        "# our search\n"
        "[data]  # the images\n"
        "batch_size = 3_2  # as in the paper\n"
        "\n"
        "[objectives]\n"
        "# the best single proxy\n"
        'snip = { scale = 0.5, direction = "maximize" }  # half\n'
        'zico = "default"  # nothing to tune\n'
        "\n"
        "[study]\n"
        "n_trials = 10  # a first look\n"
        "timeout = 60  # one minute\n"
    )
    config = parse_config(template, ["study.n_trials=20", "objectives.zico=minimize"])
    text = config_to_toml(config, template)
    assert parse_config(text) == config
    assert text.startswith(
        "# our search\n[data]  # the images\nbatch_size = 3_2  # as in the paper\n"
    )
    assert (
        "# the best single proxy\n"
        'snip = { scale = 0.5, direction = "maximize" }  # half\n'
        'zico = "minimize"  # nothing to tune\n'
    ) in text
    assert "n_trials = 20  # a first look\n" in text
    assert text.index("[data]") < text.index("[objectives]") < text.index("[study]")


def test_dotted_and_inline_templates_can_be_rewritten():
    for template in (
        "study.seed = 3  # ours\nobjectives.snip = 'default'\n",
        "study = { seed = 3 }  # ours\nobjectives = { snip = 'default' }\n",
        "[study.sampler_options]  # ours\na = 1\n[objectives.snip]\ndirection = 'default'\n",
        "[study]\nseed = 3  # ours\n[objectives]\nsnip = 'default'\n[study.sampler_options]\na=1\n",
    ):
        config = parse_config(
            template, ["study.sampler_options.b=true", "study.storage=x", "objectives.zico=default"]
        )
        text = config_to_toml(config, template)
        assert parse_config(text) == config
        assert "# ours" in text


def test_a_template_in_another_layout_is_left_aside():
    config = parse_config("[objectives]\nsnip = 'default'")
    assert config_to_toml(config, "[search.strategy]\nname = 'optuna'") == config_to_toml(config)


def test_an_absent_setting_leaves_the_template():
    template = "[study]\ntimeout = 3.0\nseed = 1\n[objectives]\nsnip = 'default'\n"
    config = parse_config("[study]\nseed = 1\n[objectives]\nsnip = 'default'\n")
    assert "timeout" not in config_to_toml(config, template)
