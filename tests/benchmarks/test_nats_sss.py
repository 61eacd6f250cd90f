"""The size space's benchmark: files in the package's format, its API's answers, a search."""

import bz2
import pickle
from collections import OrderedDict
from itertools import product
from pathlib import Path

import nats_bench
import pytest
from nasbench201_fixture import CLASSES, arch_infos
from nats_bench.api_size import NATSsize

import zc_search
from zc_search.benchmarks import SizeBenchmark, open_benchmark
from zc_search.benchmarks.files import convert
from zc_search.benchmarks.lookup import show_architecture
from zc_search.config import parse_config
from zc_search.errors import ArchitectureError, BenchmarkError, ConfigError
from zc_search.spaces import SizeArchitecture, make_space
from zc_search.spaces.nats_sss.architecture import CHANNELS, STAGES

BUDGETS = (1, 12, 90)
NARROW = [SizeArchitecture((a, b, 8, c, d)) for a, b, c, d in product((8, 16), repeat=4)]


def write(path: Path, content: object) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``NATS-sss-v1_0-50262-simple``: a pickle an architecture, here of those of 8 and 16."""
    folder = tmp_path_factory.mktemp("files") / "NATS-sss-v1_0-50262-simple"
    folder.mkdir()
    strings = [":".join(map(str, channels)) for channels in product(CHANNELS, repeat=5)]
    meta = {"meta_archs": strings, "total_archs": 32_768, "arch2infos": None}
    write(folder / "meta.pickle.pbz2", meta | {"evaluated_indexes": set()})
    for size in NARROW:
        infos = arch_infos(nats_bench.api_utils, size.index, budgets=BUDGETS, text=str(size))
        states = OrderedDict((f"{e:02d}", info.state_dict()) for e, info in infos.items())
        write(folder / f"{size.index:06d}.pickle.pbz2", states)
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> Path:
    return convert(folder).table


# Look-up --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(folder: Path) -> NATSsize:
    return NATSsize(str(folder), fast_mode=True, verbose=False)


@pytest.mark.parametrize("dataset", CLASSES)
def test_every_figure_is_the_apis(api: NATSsize, table: Path, dataset: str) -> None:
    ours = SizeBenchmark(table, dataset)
    assert ours.budgets == BUDGETS
    assert len(ours) == len(api) == 32_768
    for size, epochs in product(NARROW[::7], BUDGETS):
        theirs = api.get_more_info(size.index, dataset, hp=f"{epochs:02d}", is_random=False)
        theirs = {key: value for key, value in theirs.items() if key != "comment"}
        found = ours.query(size, epochs=epochs, metrics=list(theirs))
        assert dict(found) == pytest.approx(theirs)
        costs = api.get_cost_info(size.index, dataset, hp=f"{epochs:02d}")
        assert ours.query(size, epochs=epochs)["latency_seconds"] == pytest.approx(costs["latency"])


def test_numbers_and_texts_are_the_benchmarks(table: Path) -> None:
    ours = SizeBenchmark(table)
    assert ours.architecture(284) == SizeArchitecture.from_string("8:8:40:32:40")
    assert ours.index("8:8:40:32:40") == 284
    best, accuracy = ours.best("val_accuracy")
    assert best in NARROW
    assert accuracy == max(ours.query(size)["val_accuracy"] for size in NARROW)
    assert ours.query("8:8:8:8:8").architecture == SizeArchitecture((8,) * 5)


def test_what_it_does_not_hold_is_named(table: Path) -> None:
    ours = SizeBenchmark(table)
    with pytest.raises(BenchmarkError, match="no training of 64:64:64:64:64 on cifar10 of 90 epoc"):
        ours.query("64:64:64:64:64")
    with pytest.raises(
        BenchmarkError, match="epochs=200: trainings on cifar10 are of 1 or 12 or 90"
    ):
        ours.query(NARROW[0], epochs=200)
    with pytest.raises(ArchitectureError, match=r"not an architecture of the size space: '\|nor"):
        ours.query("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")


def test_it_is_found_by_its_place(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(table.parent))
    assert isinstance(open_benchmark("nats_sss", "cifar100"), SizeBenchmark)
    assert isinstance(open_benchmark("nats_sss", path=table), SizeBenchmark)
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", "/nowhere")
    with pytest.raises(
        BenchmarkError, match=r"'nats_sss' is not here: .*NATS-sss-v1_0-50262-simple"
    ):
        open_benchmark("nats_sss")


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('os').abort()",)


def test_a_hostile_pickle_is_refused(folder: Path, tmp_path: Path) -> None:
    hostile = tmp_path / folder.name
    hostile.mkdir()
    for name in ("meta", "000000"):
        source = folder / f"{name}.pickle.pbz2"
        (hostile / source.name).write_bytes(source.read_bytes())
    write(hostile / "000001.pickle.pbz2", OrderedDict(a=_Hostile()))
    with pytest.raises(BenchmarkError, match="eval"):
        convert(hostile)
    assert not list(tmp_path.glob("*.arrow"))


# Search ---------------------------------------------------------------------------------------

SEARCH = """
[study]
name = "sizes"
n_trials = 12
sampler = "local_search"

[space]
name = "nats_sss"
stage_1 = [8, 16]
stage_2 = [8, 16]
stage_3 = [8]
stage_4 = [8, 16]
stage_5 = [16, 8]

[data]
source = "noise"
batch_size = 4

[proxies]
cache = "off"

[benchmark]
name = "nats_sss"

[ensemble]
fit_on = "all"

[objectives]
synflow = "maximize"
params = "minimize"
"""


@pytest.mark.thorough
def test_a_search_with_accuracies(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(table.parent))
    config = parse_config(
        SEARCH,
        [
            f"output.folder='{tmp_path}'",
            "output.report=false",
            "study.n_trials=5",
            "ensemble.folds=2",
            "ensemble.repeats=1",
        ],
    )
    result = zc_search.run_search(config)
    assert result.trials["architecture"].is_unique
    space = make_space(config.space)
    assert all(SizeArchitecture.from_string(a) in space for a in result.trials["architecture"])
    assert result.best is not None
    assert result.best.out_of == 16  # that were trained
    assert result.best.true == SizeBenchmark(table).query(result.best.architecture)["val_accuracy"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "benchmark.name=nasbench201",
            "benchmark.name: 'nasbench201' ",
        ),
        (
            "space.channels=16",
            "space.channels: has no meaning for name = 'nats_sss', only for 'nas",
        ),
        (
            "space.op_1_0=['none']",
            "space.op_1_0: has no meaning for name = 'nats_sss', only for 'n",
        ),
        (
            "space.stage_1=[8, 9]",
            r"space.stage_1: \[8, 9\] is given; Allowed: a list of some of 8, ",
        ),
        ("space.stage_1=[]", r"space.stage_1: \[\] is given; Allowed: a list of some of 8, 16"),
        ("space.stage_1=8", "space.stage_1: 8 is given; Allowed: a list of some of 8, 16"),
        (
            "space.vertices=5",
            "space.vertices: has no meaning for name = 'nats_sss', only for 'nasb",
        ),
    ],
)
def test_settings_of_other_spaces_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(SEARCH, [override])


def test_what_only_cells_have_is_refused_in_a_sentence(tmp_path: Path) -> None:
    overrides = [f"output.folder='{tmp_path}'", "benchmark.name=none"]
    config = parse_config(SEARCH, [*overrides, "study.sampler=predictor_guided"])
    with pytest.raises(zc_search.ZcSearchError, match="predictor_guided"):
        zc_search.run_search(config)


def test_only_its_own_keys_are_written() -> None:
    text = zc_search.config.config_to_toml(parse_config(SEARCH))
    assert 'name = "nats_sss"' in text
    assert all(f"\n{stage} = " in text for stage in STAGES)
    assert "op_1_0" not in text
    assert "\nchannels" not in text
    assert parse_config(text) == parse_config(SEARCH)


def test_all_that_is_known_of_an_architecture_is_shown(table: Path) -> None:
    rows, facts = show_architecture(SizeBenchmark(table), NARROW[0])
    assert {row["data set"] for row in rows} == set(CLASSES)
    assert [row["epochs"] for row in rows[:3]] == ["1", "12", "90"]
    assert facts["number"] == "0 of 32,768"
