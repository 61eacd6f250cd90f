"""AnalogNAS-Bench, against its own code and a coding written down by hand."""

import importlib
import pickle
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from zc_search.benchmarks import AnalogNASBench, open_benchmark, packaged
from zc_search.benchmarks.catalogue import open_table
from zc_search.config import load_config, parse_config
from zc_search.errors import BenchmarkError, ConfigError

# NASLib's operations by number, on the edges 1<-0, 2<-0, 3<-0, 2<-1, 3<-1, 3<-2 in this order.
_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")


def written(digits: tuple[int, ...]) -> str:
    a, b, c, d, e, f = (_OPERATIONS[digit] for digit in digits)
    return f"|{a}~0|+|{b}~0|{d}~1|+|{c}~0|{e}~1|{f}~2|"


@pytest.fixture(scope="module")
def theirs() -> dict[tuple[int, ...], Any]:
    """The file as the package's own classes read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pkg_resources", ModuleType("pkg_resources"))
        module = importlib.import_module("analognasbench.data")
        path = Path(str(module.__file__)).with_name("data.anb")
        return pickle.loads(path.read_bytes())


def test_figures_are_those_of_the_packages_own_code(theirs: dict[tuple[int, ...], Any]) -> None:
    table = open_benchmark("analog").table()
    assert len(theirs) == len(table) == 15625
    rows = table.loc[[written(digits) for digits in theirs]]
    for metric, attribute in (
        ("float_accuracy", "baseline_accuracy"),
        ("int8_accuracy", "ptq_accuracy"),
        ("qat_accuracy", "qat_accuracy"),
        ("noisy_accuracy", "noisy_accuracy"),
        ("analog_accuracy", "analog_accuracy"),
    ):
        assert rows[metric].tolist() == [getattr(row, attribute) for row in theirs.values()]
    for metric, attribute in (
        ("noisy_minute_accuracy", "baseline_drift_60"),
        ("analog_hour_accuracy", "analog_drift_3600"),
        ("noisy_day_accuracy", "baseline_drift_86400"),
        ("analog_month_accuracy", "analog_drift_2592000"),
    ):
        assert rows[metric].tolist() == [getattr(row, attribute).value for row in theirs.values()]
    kept = [100 * row.ptq_accuracy / row.baseline_accuracy for row in theirs.values()]
    assert rows["int8_retention"].tolist() == pytest.approx(kept)


def test_the_coding_agrees_with_trainings_by_others() -> None:
    ours, others = open_benchmark("analog").table(), open_benchmark().table()["val_accuracy"]
    others = others[ours.index]
    assert stats.spearmanr(ours["float_accuracy"], others).statistic == pytest.approx(
        0.987, abs=1e-3
    )
    published = {"float": 94.07, "int8": 93.84, "analog": 91.33}
    assert {n: round(ours[f"{n}_accuracy"].max(), 2) for n in published} == published
    assert (ours["float_accuracy"] - ours["int8_accuracy"]).max() > 67


def test_it_answers_as_other_benchmarks_do() -> None:
    benchmark = open_benchmark("analog")
    cell, best = benchmark.best("float_accuracy")
    assert benchmark.rank(cell, "float_accuracy") == 1
    result = benchmark.query(cell)
    assert (result["float_accuracy"], result.epochs, result.seeds) == (best, 200, 1)
    assert "Benmeziane et al. 2025" in benchmark.provenance
    assert set(benchmark.directions.values()) == {"maximize"}
    assert not np.array_equal(benchmark.column("int8_accuracy"), benchmark.column("qat_accuracy"))
    with pytest.raises(BenchmarkError, match="does not hold val_accuracy") as caught:
        benchmark.column("val_accuracy")
    assert "float_accuracy" in caught.value.allowed
    with pytest.raises(BenchmarkError) as caught:
        open_benchmark("analog", "cifar100")
    assert (caught.value.given, caught.value.allowed) == ("cifar100", ("cifar10",))


def test_it_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packaged, "version", missing)
    with pytest.raises(BenchmarkError, match="is not installed") as caught:
        AnalogNASBench()
    assert caught.value.hint == 'pip install "optuna-zc-search[analog]"'


def test_another_table_or_code_in_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, content in enumerate((pickle.dumps({(0,) * 6: 1}), pickle.dumps(subprocess.run), b"")):
        (tmp_path / str(at)).mkdir()
        (tmp_path / str(at) / "data.anb").write_bytes(content)
        spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / str(at))])
        monkeypatch.setattr(packaged, "find_spec", lambda _, spec=spec: spec)
        with pytest.raises(BenchmarkError, match="not the table that zc-search knows"):
            AnalogNASBench()


def test_the_search_file_asks_for_accuracy_and_what_int8_keeps_of_it() -> None:
    config = load_config(Path(__file__).parents[2] / "configs" / "quantized.toml")
    assert {o.name: o.direction for o in config.objectives if o.scale} == dict.fromkeys(
        ("float_accuracy", "int8_retention"), "maximize"
    )
    assert open_table(config, config.dataset).name == "analog"
    sizes = {"space": {"name": "nats_sss"}, "benchmark": {"name": "analog"}}
    with pytest.raises(ConfigError, match=r"no architectures of space\.name = 'nats_sss'"):
        parse_config({**sizes, "objectives": {"snip": "maximize"}})
