"""Reading a configuration: defaults, overrides, immutability, and every fault at once."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wrong_settings import MINIMAL, WRONG

from zc_search._utils.text import stripped, without_passwords
from zc_search.config import (
    METRIC_DIRECTIONS,
    SAMPLERS,
    Config,
    Objective,
    Space,
    config_differences,
    load_config,
    parse_config,
    starter,
)
from zc_search.errors import ConfigError
from zc_search.proxies.catalogue import DEFAULT_DIRECTIONS
from zc_search.spaces import OPERATIONS, PARAMETERS

CONFIGS = Path(__file__).parents[2] / "configs"


def faults(text: str | dict[str, object], overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_config(text, overrides)
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_everything_but_the_objectives_has_a_default():
    config = parse_config(MINIMAL)
    assert config.objectives == (Objective(name="snip", direction="maximize", scale=1.0),)
    assert (config.study.sampler, config.study.n_trials, config.study.timeout) == (
        "nsgaii",
        150,
        None,
    )
    assert {getattr(config.space, edge) for edge in PARAMETERS} == {OPERATIONS}
    assert config.proxies_to_compute == ("snip", "params", "flops")


def test_edges_and_operations_are_those_of_the_search_space():
    assert tuple(key for key in Space.model_fields if key.startswith("op_")) == PARAMETERS


def test_starter_states_the_defaults_but_for_the_ensemble_and_explains_every_key():
    config = parse_config(starter())
    assert config == Config.model_validate(
        {
            "objectives": dict.fromkeys(("meco", "jacov", "synflow", "params"), "default"),
            "ensemble": {"model": "gap", "features": "rank+structure+aggregate", "fit_on": "all"},
        }
    )
    for section in type(config).model_fields:
        assert f"\n[{section}]" in starter()
        fields = getattr(type(getattr(config, section)), "model_fields", {})
        for key in (field.alias or name for name, field in fields.items()):
            assert f"\n{key} = " in starter() or f"\n# {key} = " in starter()
    for name in (*DEFAULT_DIRECTIONS, *METRIC_DIRECTIONS, *SAMPLERS):
        assert name in starter()


@pytest.mark.parametrize(
    ("file", "dataset"),
    [("search", "cifar10"), ("cifar100", "cifar100"), ("imagenet16", "ImageNet16-120")],
)
def test_shipped_configurations_load(file: str, dataset: str):
    config = load_config(CONFIGS / f"{file}.toml")
    assert config.space.dataset == dataset
    assert [objective.name for objective in config.active_objectives] == [
        "meco",
        "jacov",
        "synflow",
        "params",
    ]


def test_objectives_keep_their_order_and_scale_zero_is_only_recorded():
    config = parse_config(
        "[objectives]\nzico = {scale = 0}\nparams = 'default'\nval_accuracy = 'default'\n"
        "jacov = {direction = 'minimize', scale = 0.5}\n[proxies]\ncompute = ['zico', 'grasp']"
    )
    assert [objective.name for objective in config.objectives] == [
        "zico",
        "params",
        "val_accuracy",
        "jacov",
    ]
    assert config.active_objectives == (
        Objective(name="params", direction="minimize"),
        Objective(name="val_accuracy", direction="maximize"),
        Objective(name="jacov", direction="minimize", scale=0.5),
    )
    assert [objective.sign for objective in config.objectives] == [1, -1, 1, -1]
    assert config.proxies_to_compute == ("zico", "params", "jacov", "grasp")


def test_settings_are_frozen():
    config = parse_config(MINIMAL + "[study.sampler_options]\na = [1, {b = 2}]")
    for holder, key in [(config, "study"), (config.study, "seed"), (config.objectives[0], "scale")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(holder, key, 1)
    assert isinstance(config.space.op_1_0, tuple)
    assert config.study.sampler_options == {"a": [1, {"b": 2}]}
    assert pickle.loads(pickle.dumps(config)) == config


def test_all_wrong_keys_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        parse_config(
            """
            n_trials = 3
            [studdy]
            [study]
            samplr = "tpe"
            sampler = "nsga2"
            n_trials = 2.5
            max_accuracies = 4
            [space]
            name = "nats_sss"
            dataset = "cifar"
            [data]
            dataset = "cifar10"
            batch_size = 1
            [objectives]
            snpi = "maximize"
            [ensemble]
            from = "ensemble.toml"
            """
        )
    assert [(problem.key, problem.hint) for problem in error.value.problems] == [
        ("study.sampler", "nsgaii"),
        ("study.n_trials", None),
        ("study.samplr", "sampler"),
        ("space.dataset", "cifar10"),
        ("data.batch_size", None),
        ("data.dataset", "space"),
        ("objectives.snpi", "snip"),
        ("ensemble.from", None),
        ("n_trials", "study"),
        ("studdy", "study"),
    ]


@pytest.mark.parametrize("limit", ["max_accuracies", "max_simulated_seconds"])
@pytest.mark.parametrize(
    "space", [[], ["space.name=nats_sss"], ["data.source=digits"], ["space.name=nasbench101"]]
)
def test_no_advice_is_refused_when_it_is_followed(limit: str, space: list[str]):
    given = [*space, "benchmark.name=none", f"study.{limit}=5"]
    with pytest.raises(ConfigError) as error:
        parse_config(MINIMAL, given)
    assert (error.value.key, error.value.allowed) == (f"study.{limit}", ("absent",))
    parse_config(MINIMAL, given[:-1])


@pytest.mark.parametrize(("setting", "key", "hint"), WRONG)
def test_a_wrong_value_is_named_with_its_key_and_what_was_meant(
    setting: str, key: str, hint: str | None
):
    with pytest.raises(ConfigError) as error:
        parse_config(MINIMAL, [setting])
    (problem,) = error.value.problems
    assert (problem.key, problem.hint) == (key, hint)
    assert (error.value.key, error.value.given) == (key, problem.given)
    assert str(problem).startswith(f"{key}: ")
    assert not problem.allowed or problem.given not in problem.allowed
    assert "Allowed: " in str(problem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "objectives: missing; Allowed: at least one, such as naswot_relu = 'maximize'"),
        ("objectives = 3", "objectives: 3 is given; Allowed: a table such as snip = 'maximize'"),
        ("[[objectives]]\nsnip = 'maximize'", "objectives: [{'snip': 'maximize'}] is given; Allo"),
        (MINIMAL + "[study.n_trials]", "study.n_trials: {} is given; Allowed: a whole number"),
        ("study = 3\n" + MINIMAL, "study: 3 is given; Allowed: a table"),
        (
            "[objectives]\nval_accuracy = 'default'\n[benchmark]\nname = 'none'",
            "objectives.val_accuracy: 'val_accuracy' is a metric of a benchmark",
        ),
    ],
)
def test_a_wrong_section_is_named(text: str, message: str):
    (line,) = faults(text)
    assert line.startswith(message)


def test_an_objective_is_checked_to_its_last_key():
    lines = faults("[objectives]\nfoo = {scale = 'a', direction = 'max', x = 1}")
    assert [line.split(":")[0] for line in lines] == [
        "objectives.foo",
        "objectives.foo.direction",
        "objectives.foo.scale",
        "objectives.foo.x",
    ]


def test_an_installed_proxy_is_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zc_search.proxies]\ntheir_proxy = theirs:proxy\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = parse_config("[objectives]\ntheir_proxy = 'minimize'")
    assert config.proxies_to_compute[0] == "their_proxy"
    assert faults(MINIMAL, ("objectives.their_proxi=maximize",))[0].startswith(
        "objectives.their_proxi: unknown objective 'their_proxi'; did you mean 'their_proxy'?"
    )
    (line,) = faults(MINIMAL, ("objectives.their_proxy=default",))
    assert line.startswith("objectives.their_proxy: 'their_proxy' has no default direction; Allow")


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "value"),
        [
            ("study.n_trials=20", 20),
            (" study.n_trials = 20 ", 20),
            ("study.timeout=1e3", 1000.0),
            ("study.sampler=tpe", "tpe"),
            ("study.sampler='tpe'", "tpe"),
            ("study.sampler=my_package.samplers:Mine", "my_package.samplers:Mine"),
            ("study.storage=sqlite:///a=b.db", "sqlite:///a=b.db"),
            ("study.name=2024-05-01", "2024-05-01"),
            ("study.name=2024", "2024"),
            ("study.name=true", "true"),
            ("study.storage=7", "7"),
            ("study.seed=2024", 2024),
            ("study.sum_objectives=true", True),
            ("space.op_1_0=['none']", ("none",)),
            ("proxies.device=cuda:1", "cuda:1"),
            ("study.sampler_options.population_size=20", {"population_size": 20}),
        ],
    )
    def test_value_is_toml_or_a_bare_string(self, override: str, value: object):
        section, key = override.split("=")[0].strip().split(".")[:2]
        assert getattr(getattr(parse_config(MINIMAL, [override]), section), key.strip()) == value

    def test_objectives_are_set_added_and_weighted(self):
        config = parse_config(
            "[objectives]\nsnip = 'minimize'",
            [
                "objectives.grasp=maximize",
                "objectives.snip.scale=0.5",
                "objectives.my.module:proxy=minimize",
                'objectives."my.module:other".direction=maximize',
            ],
        )
        assert config.objectives == (
            Objective(name="snip", direction="minimize", scale=0.5),
            Objective(name="grasp", direction="maximize"),
            Objective(name="my.module:proxy", direction="minimize"),
            Objective(name="my.module:other", direction="maximize"),
        )

    def test_later_ones_win_and_the_mapping_given_is_left_alone(self):
        given_mapping = {"objectives": {"snip": "default"}, "data": {"seed": 5}}
        config = parse_config(given_mapping, ["data.seed=1", "data.seed=2"])
        assert config.data.seed == 2
        assert given_mapping == {"objectives": {"snip": "default"}, "data": {"seed": 5}}

    @pytest.mark.parametrize("override", ["", "study", "study=1", "study.seed", "study.seed=", "="])
    def test_another_form_is_refused(self, override: str):
        assert faults(MINIMAL, (override,)) == [
            f"--set {override!r}: Allowed: section.key=value, such as study.n_trials=20"
        ]

    def test_a_key_below_a_value_is_refused(self):
        assert faults("[study]\nseed = 3\n" + MINIMAL, ("study.seed.x=1",)) == [
            "--set 'study.seed.x=1': 'seed' is 3, which holds no keys"
        ]

    def test_unknown_keys_are_reported_as_in_a_file(self):
        text = "[study]\nn_trial = 3\n" + MINIMAL
        assert faults(MINIMAL, ("study.n_trial=3",)) == faults(text)

    @given(st.text() | st.from_regex(r"[a-z_]+\.[a-z_.]+=.*"))
    def test_any_text_is_a_setting_or_a_config_error(self, override: str):
        try:
            parse_config(MINIMAL, [override])
        except ConfigError as error:
            assert "configuration: " in str(error)  # noqa: PT017


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = {
    section: (*getattr(field.annotation, "model_fields", ("snip", "x")), "unknown")
    for section, field in Config.model_fields.items()
}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            section: st.dictionaries(st.sampled_from(keys), JUNK, max_size=3) | JUNK
            for section, keys in KEYS.items()
        },
    )
)
def test_junk_raises_nothing_but_a_config_error_without_jargon(settings: dict[str, object]):
    try:
        parse_config(settings)
    except ConfigError as error:
        for jargon in ("pydantic", "Input should", "validation error", "type=", "Extra inputs"):
            assert jargon not in str(error)  # noqa: PT017


class TestFiles:
    def test_heading_names_the_file(self, tmp_path: Path):
        path = tmp_path / "search.toml"
        path.write_text("[study]\nseed = -1\n")
        with pytest.raises(ConfigError) as error:
            load_config(path)
        assert str(error.value).startswith(f"{path}: 2 settings are wrong\n  study.seed: -1 is")
        path.write_text("[study]\nseed = -1\n" + MINIMAL)
        with pytest.raises(ConfigError, match=r"search\.toml: 1 setting is wrong\n"):
            load_config(path)

    def test_missing_file_names_the_nearest(self, tmp_path: Path):
        (tmp_path / "search.toml").write_text(MINIMAL)
        with pytest.raises(ConfigError) as error:
            load_config(tmp_path / "serch.toml")
        assert str(error.value) == (
            f"{tmp_path / 'serch.toml'}: no such file; "
            f"did you mean {str(tmp_path / 'search.toml')!r}? "
            "`zc-search init` writes one to start from"
        )
        with pytest.raises(ConfigError, match="no such file; `zc-search init`"):
            load_config(tmp_path / "nowhere" / "search.toml")

    def test_folder_is_refused_with_what_is_in_it(self, tmp_path: Path):
        with pytest.raises(ConfigError, match="a folder, not a TOML file; in it: no TOML file"):
            load_config(tmp_path)
        (tmp_path / "a.toml").touch()
        with pytest.raises(ConfigError, match=r"a folder, not a TOML file; in it: a\.toml"):
            load_config(tmp_path)

    def test_unreadable_path(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
            load_config(tmp_path / "file" / "search.toml")

    def test_other_encodings_are_refused_and_a_byte_order_mark_is_not(self, tmp_path: Path):
        path = tmp_path / "search.toml"
        path.write_bytes("# naïve\n".encode("latin-1"))
        with pytest.raises(ConfigError, match="no UTF-8 text, as TOML has to be, from byte 4 on"):
            load_config(path)
        path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
        assert load_config(path) == parse_config(MINIMAL)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[study]\nseed = \n", r"s\.toml: no valid TOML: .*line 2, column 8"),
            ("[study]\nseed = 1\nseed = 2\n", r"s\.toml: no valid TOML: .*line 3"),
            ("[study]\nname = [1,\n", r"s\.toml: no valid TOML: .*end of document"),
        ],
    )
    def test_syntax_errors_say_where(self, tmp_path: Path, text: str, message: str):
        (tmp_path / "s.toml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_config(tmp_path / "s.toml")


class TestDifferences:
    def test_what_may_change_between_a_run_and_its_resumption(self):
        other = parse_config(
            MINIMAL,
            [
                "study.n_trials=1",
                "study.timeout=1",
                "study.workers=2",
                "output.folder=x",
                "proxies.device=cuda",
            ],
        )
        assert config_differences(parse_config(MINIMAL), other) == []

    def test_every_other_key_is_named_with_both_values(self):
        other = parse_config(
            MINIMAL,
            ["study.sampler=tpe", "study.storage=x", "objectives.snip=minimize", "data.seed=1"],
        )
        assert config_differences(parse_config(MINIMAL), other) == [
            "study.sampler: 'nsgaii' before, 'tpe' now",
            "data.seed: 0 before, 1 now",
            "objectives.snip: 'maximize' before, 'minimize' now",
            "study.storage: absent before, 'x' now",
        ]

    def test_order_of_objectives_matters(self):
        one = parse_config("[objectives]\nsnip = 'default'\nzico = 'default'")
        two = parse_config("[objectives]\nzico = 'default'\nsnip = 'default'")
        assert config_differences(one, two) == [
            "objectives: order snip, zico before, zico, snip now"
        ]


@pytest.mark.parametrize(
    ("override", "name", "scale"),
    [
        ("objectives.fisher[weighted=false]=maximize", "fisher[weighted=false]", 1.0),
        ("objectives.'reg_swap[mu=0.9,sigma=0.5]'=maximize", "reg_swap[mu=0.9,sigma=0.5]", 1.0),
        ("objectives.reg_swap[mu=0.9].scale = 2", "reg_swap[mu=0.9]", 2.0),
    ],
)
def test_names_with_options_can_be_set(override: str, name: str, scale: float) -> None:
    config = parse_config({"objectives": {"snip": "maximize"}}, [override])
    assert (config.objectives[-1].name, config.objectives[-1].scale) == (name, scale)


def test_one_metric_in_two_spellings_is_refused() -> None:
    twice = {"val_accuracy": "maximize", "valid-accuracy": "minimize"}
    with pytest.raises(ConfigError, match="objectives: 'val_accuracy' is there in two spellings"):
        parse_config({"objectives": twice})


@pytest.mark.parametrize("text", ["x = " + "[" * 5000, f"[study]\nn_trials = {'9' * 5000}"])
def test_deep_and_long_files_end_in_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"search\.toml: "):
        load_config(path)


@pytest.mark.parametrize("password", ["lovelace", "love'lace", 'pa"ss', "pa ss", "a@b", "a:b"])
def test_no_password_is_shown(password: str) -> None:
    address = f"postgresql+psycopg://ada:{password}@host:5/db?sslmode=require"
    for text in (address, f"study.storage={address}"):
        assert without_passwords(text) == text.replace(password, "***")
    assert stripped(address) == address.replace(f":{password}", "")
    if " " not in password:
        assert password not in without_passwords(f"cannot open {address!r}: no answer")
    assert without_passwords("mssql://h/db?pwd=secret") == "mssql://h/db?pwd=***"
    assert without_passwords("sqlite:////a:b@c.db") == "sqlite:////a:b@c.db"
