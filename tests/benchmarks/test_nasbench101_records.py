"""NAS-Bench-101's files: records as the authors wrote them, damaged ones, and every answer."""

import base64
import json
import math
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path

import google_crc32c
import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nasbench101_cells import ANSWERED, CONV1, CONV3, FIRST, INCEPTION, POOL
from nasbench101_records import crc32c, field, masked, metrics, record, row, write
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

import zc_search
from zc_search.benchmarks import NASBench101, open_benchmark
from zc_search.benchmarks.files import convert
from zc_search.benchmarks.files.records import masked_crc32c, read_trainings
from zc_search.benchmarks.lookup import ask, show_architecture
from zc_search.benchmarks.nasbench101 import FIGURES
from zc_search.config import Config, parse_config
from zc_search.errors import ArchitectureError, BenchmarkError, ConfigError
from zc_search.samplers import sampler_of
from zc_search.spaces import ModelSpec, ModelSpecSpace, make_space
from zc_search.spaces.network import build_network
from zc_search.study import RECORD, Objective, TrialRecord, open_study, run_trials, trials_table

EPOCHS = (4, 12, 36, 108)
TINY = ModelSpecSpace(4, (CONV3, POOL))

# The first two trainings of nasbench_only108.tfrecord, as published.
PUBLISHED = [
    {
        "halfway_training_time": 883.4580078125,
        "halfway_train_accuracy": 0.8282251358032227,
        "halfway_validation_accuracy": 0.7776442170143127,
        "halfway_test_accuracy": 0.7740384340286255,
        "final_training_time": 1769.1279296875,
        "final_train_accuracy": 1.0,
        "final_validation_accuracy": 0.9241786599159241,
        "final_test_accuracy": 0.9211738705635071,
    },
    {
        "halfway_training_time": 883.6810302734375,
        "halfway_train_accuracy": 0.8796073794364929,
        "halfway_validation_accuracy": 0.8291265964508057,
        "halfway_test_accuracy": 0.8204126358032227,
        "final_training_time": 1768.2509765625,
        "final_train_accuracy": 1.0,
        "final_validation_accuracy": 0.9245793223381042,
        "final_test_accuracy": 0.9190705418586731,
    },
]


def cells() -> list[ModelSpec]:
    """All cells of the tiny space."""
    found = {}
    for values in product(*TINY.choices.values()):
        spec = TINY.architecture(dict(zip(TINY.choices, values, strict=True)))
        if spec.infeasible is None:
            found.setdefault(spec.function_key, spec.representative())
    return [*found.values(), FIRST, ANSWERED]


def training(rng: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(
        (float(rng.uniform(1, 2000)), *map(float, rng.uniform(0.1, 1, 3))) for _ in range(2)
    )  # type: ignore[return-value]


@pytest.fixture(scope="module")
def figures() -> dict[tuple[str, int, int], tuple[float, ...]]:
    """What is in the file: eight figures by hash, epochs and repeat."""
    rng, found = np.random.default_rng(1), {}
    for spec in cells():
        for epochs in EPOCHS:
            for repeat in range(3):
                halfway, final = training(rng)
                found[spec.function_key, epochs, repeat] = (*halfway, *final)
    return found


@pytest.fixture(scope="module")
def file(
    tmp_path_factory: pytest.TempPathFactory, figures: dict[tuple[str, int, int], tuple[float, ...]]
) -> Path:
    by_hash = {spec.function_key: spec for spec in cells()}
    rows = [
        row(by_hash[name], epochs, metrics(epochs, 1000 + len(name), found[:4], found[4:]))
        for (name, epochs, _), found in sorted(figures.items(), key=lambda item: item[0][2])
    ]
    return write(tmp_path_factory.mktemp("records") / "nasbench_full.tfrecord", rows)


@pytest.fixture(scope="module")
def benchmark101(file: Path) -> NASBench101:
    return NASBench101(convert(file).table)


# The format -----------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_the_checksum_is_crc32c(content: bytes) -> None:
    assert google_crc32c.value(content) == crc32c(content)
    assert struct.pack("<I", masked_crc32c(content)) == masked(content)


def test_the_checksums_known_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial, the usual check
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def test_published_trainings_are_read_to_the_last_digit(tmp_path: Path) -> None:
    rows = [
        row(FIRST, 108, metrics(108, 8_555_530, tuple(f.values())[:4], tuple(f.values())[4:]))
        for f in PUBLISHED
    ]
    path = write(tmp_path / "nasbench_only108.tfrecord", rows)
    benchmark = NASBench101(convert(path).table)
    assert benchmark.trainings(FIRST) == {108: PUBLISHED}
    assert benchmark.query(FIRST)["model_size"] == 8.55553
    mean = 100 * (0.9241786599159241 + 0.9245793223381042) / 2
    assert benchmark.query(FIRST)["val_accuracy"] == pytest.approx(mean, rel=1e-12)


# Answers --------------------------------------------------------------------------------------


def test_every_figure_is_that_of_the_file(
    benchmark101: NASBench101, figures: dict[tuple[str, int, int], tuple[float, ...]]
) -> None:
    assert benchmark101.budgets == EPOCHS
    assert len(benchmark101) == len(cells())
    for spec in cells():
        said = benchmark101.trainings(spec)
        assert [*said] == [*EPOCHS]
        for epochs, repeats in said.items():
            for repeat, found in enumerate(repeats):
                assert found == dict(
                    zip(FIGURES, figures[spec.function_key, epochs, repeat], strict=True)
                )
                one = benchmark101.query(spec, epochs=epochs, seed=repeat)
                assert one["val_accuracy"] == 100 * found["final_validation_accuracy"]
                assert one["test_accuracy"] == 100 * found["final_test_accuracy"]
                assert one["halfway_train_accuracy"] == 100 * found["halfway_train_accuracy"]
                assert one["halfway_train_seconds"] == found["halfway_training_time"]
                assert (one.seeds, one.seed, one.epochs) == (1, repeat, epochs)
            mean = np.mean([r["final_training_time"] for r in repeats])
            assert benchmark101.query(spec, epochs=epochs)["train_seconds"] == pytest.approx(mean)


def test_columns_ranks_and_order(benchmark101: NASBench101) -> None:
    hashes = [benchmark101.architecture(i).function_key for i in range(len(benchmark101))]
    assert hashes == sorted(hashes)
    for metric in benchmark101.metrics:
        by_hand = [benchmark101.query(benchmark101.architecture(i))[metric] for i in range(9)]
        assert benchmark101.column(metric)[:9] == pytest.approx(by_hand)
    best, accuracy = benchmark101.best()
    assert benchmark101.rank(best) == 1
    assert accuracy == benchmark101.column("val_accuracy").max()
    assert benchmark101.table().shape == (len(benchmark101), len(benchmark101.metrics))


def test_an_isomorphic_cell_has_the_same_answer(benchmark101: NASBench101) -> None:
    assert dict(benchmark101.query(INCEPTION)) == dict(benchmark101.query(ANSWERED))
    text = json.dumps({"matrix": INCEPTION.matrix, "ops": INCEPTION.ops})
    assert dict(benchmark101.query(text)) == dict(benchmark101.query(ANSWERED))


def test_all_four_budgets_are_shown(benchmark101: NASBench101) -> None:
    rows, facts = show_architecture(benchmark101, FIRST)
    assert [row["epochs"] for row in rows] == ["4", "12", "36", "108"]
    assert {row["seeds"] for row in rows} == {"3"}
    assert facts["number"].endswith(f"of {len(benchmark101)}")


@pytest.mark.parametrize(
    ("ask", "kind", "message"),
    [
        (
            lambda b: b.query(FIRST, seed=3),
            BenchmarkError,
            "trained with 3 seeds, 0 to 2",
        ),
        (
            lambda b: b.query(FIRST, epochs=200),
            BenchmarkError,
            "trainings on cifar10 are of 4 or 12 or 36 or 108 ep",
        ),
        (lambda b: b.query(FIRST, metrics=["accuracy"]), BenchmarkError, "did you mean '"),
        (lambda b: b.column("accuracy"), BenchmarkError, "unknown metric 'accuracy'"),
        (lambda b: b.query("1.1"), ArchitectureError, "not a cell of NAS-Bench-101: '1.1'"),
        (
            lambda b: b.query("00.0:maxpool3x3"),
            ArchitectureError,
            "the input does not reach the ou",
        ),
        (
            lambda b: b.query(f"10.1:{CONV1}"),
            BenchmarkError,
            r"\(hash [0-9a-f]{32}\) is not among the \d+ cells of nasbench_full.tfrecord",
        ),
        (lambda b: b.architecture(10**6), ArchitectureError, "index 1000000 is not in 0 to"),
    ],
)
def test_what_it_does_not_hold_is_named(
    benchmark101: NASBench101, ask: Callable[[NASBench101], object], kind: type, message: str
) -> None:
    with pytest.raises(kind, match=message):
        ask(benchmark101)


def test_a_budget_that_a_cell_was_not_trained_with_is_named(tmp_path: Path) -> None:
    figures = (1.0, 0.1, 0.2, 0.3), (2.0, 0.4, 0.5, 0.6)
    rows = [row(FIRST, 108, metrics(108, 9, *figures)), row(FIRST, 12, metrics(12, 9, *figures))]
    rows.append(row(ANSWERED, 12, metrics(12, 9, *figures)))
    benchmark = NASBench101(convert(write(tmp_path / "nasbench_full.tfrecord", rows)).table)
    message = r"nasbench_full.tfrecord .*has no training of .* 108 ep"
    with pytest.raises(BenchmarkError, match=message):
        benchmark.query(ANSWERED)
    with pytest.raises(BenchmarkError, match=message):
        benchmark.query(ANSWERED, seed=0)
    with pytest.raises(BenchmarkError, match="so it has no place among the others"):
        benchmark.rank(ANSWERED)
    assert ask(benchmark, FIRST, epochs=108).ranks == ask(benchmark, FIRST).ranks != {}
    assert ask(benchmark, FIRST, epochs=12).ranks == {}


def test_a_table_with_a_damaged_cell_is_an_error(file: Path, tmp_path: Path) -> None:
    table = convert(file, tmp_path / "nasbench_full.arrow").table
    lengths = [len(str(spec)) for spec in map(NASBench101(table).architecture, range(len(cells())))]
    whole = bytearray(table.read_bytes())
    offsets = whole.index(np.cumsum([0, *lengths]).astype("<i4").tobytes())
    whole[offsets + 7] = 16  # a gigabyte of which the file has nothing
    table.write_bytes(whole)
    with pytest.raises(
        BenchmarkError, match=r"full.arrow is damaged .*convert the benchmark's fil"
    ):
        NASBench101(table)


def test_it_is_found_by_its_place(
    file: Path, benchmark101: NASBench101, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZC_SEARCH_THIRD_PARTY", str(file.parent))
    assert isinstance(open_benchmark("nasbench101"), NASBench101)
    assert isinstance(open_benchmark("nasbench101", path=file), NASBench101)
    with pytest.raises(BenchmarkError, match="unknown dataset 'cifar100'"):
        open_benchmark("nasbench101", "cifar100")


# Damage ---------------------------------------------------------------------------------------

GOOD = row(FIRST, 108, metrics(108, 8_555_530, (1.0, 0.1, 0.2, 0.3), (2.0, 0.4, 0.5, 0.6)))


def changed(**fields: object) -> bytes:
    names = ("hash", "epochs", "matrix", "operations", "metrics")
    return json.dumps(
        [{**dict(zip(names, json.loads(GOOD), strict=True)), **fields}[n] for n in names]
    ).encode()


def encoded(message: bytes) -> str:
    return base64.b64encode(message).decode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no training"),
        (record(GOOD)[:-1], "is cut short: it ends within the record at byte 0"),
        (record(GOOD) + record(GOOD)[:7], "is cut short: it ends within the record at byte"),
        (record(GOOD)[:-2] + b"\0\0", "is damaged: the checksum of the record at byte 0"),
        (
            b"\x80\x04 a pickle, perhaps",
            "is no TFRecord file, or damaged: the checksum of the leng",
        ),
        (record(GOOD) + bytes(20), "is damaged: the checksum of the length at byte"),
        (
            struct.pack("<Q", 2**63) + masked(struct.pack("<Q", 2**63)),
            "is cut short: it ends within the record at byte 0",
        ),
        (record(b"[1, 2]"), "record 0 is no training of NAS-Bench-101 .*not a list of five"),
        (record(b"\xff\xfe"), "record 0 is no training"),
        (record(b"[" * 100_000), "record 0 is no training .*RecursionError"),
        (record(changed(epochs="108")), "fields of other types"),
        (record(changed(epochs=10**6)), "epochs 1000000"),
        (record(changed(hash="zz" * 16)), "record 0 is no training"),
        (record(changed(hash="00" * 15)), "record 0 is no training"),
        (record(changed(hash="00" * 16)), "has another hash, 00005c142e6f48ac74fdcf73e3439874"),
        (record(changed(matrix="0110")), "every edge goes to a later vertex"),
        (record(changed(matrix="011")), "matrix: '011' is no square of zeros and ones"),
        (record(changed(operations="input,output")), "Allowed: 7 names"),
        (record(changed(metrics="@@@@")), "Only base64 data"),
        (record(changed(metrics=encoded(field(1, b"")))), "1 evaluations, not 3"),
        (record(changed(metrics=encoded(b"\x0a\x7f"))), "a field is longer than its message"),
        (record(changed(metrics=encoded(b"\x80"))), "a number is cut short"),
        (record(changed(metrics=encoded(b"\xff" * 11))), "a number of more than 64 bits"),
        (record(changed(metrics=encoded(b"\x0b"))), "a field of wire type 3"),
        (record(changed(metrics=encoded(b"\x19\0"))), "record 0 is no training .*error"),
        (record(changed(metrics=encoded(field(1, b"") * 3 + field(2, 2**40)))), "cell 0000"),
    ],
)
def test_damaged_and_hostile_files_are_refused_in_a_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "nasbench_only108.tfrecord"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as raised:
        convert(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    content = bytearray(record(GOOD))
    content[place % len(content)] ^= change
    path = tmp_path_factory.getbasetemp() / "changed.tfrecord"
    path.write_bytes(content)
    with pytest.raises(BenchmarkError):
        list(read_trainings(path))


def test_a_table_is_known_by_what_wrote_it(tmp_path: Path, file: Path) -> None:
    with pytest.raises(BenchmarkError, match="there is no such file"):
        NASBench101(tmp_path / "none.arrow")
    with pytest.raises(BenchmarkError, match="there is no such file"):
        convert(tmp_path / "none.tfrecord")
    with pytest.raises(BenchmarkError, match=r"--to .*must end in \.arrow"):
        convert(file, tmp_path / "table.parquet")
    whole = (file.parent / "nasbench_full.arrow").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"ARROW1" + bytes(100)):
        (tmp_path / "broken.arrow").write_bytes(content)
        with pytest.raises(BenchmarkError, match="is damaged or cut short"):
            NASBench101(tmp_path / "broken.arrow")


def test_progress_ends_where_the_file_does(file: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    done = convert(file, tmp_path / "t.arrow", lambda *what: told.append(what))
    size = file.stat().st_size
    assert ("converting", size, size) in told
    assert told[-1] == ("checking", size, size)
    assert done.architectures * 12 == done.trials
    assert done.curves is None


# Search ---------------------------------------------------------------------------------------

SEARCH = f"""
[study]
name = "specs"
n_trials = 10
sampler = "regularized_evolution"
sampler_options = {{ population_size = 6, tournament_size = 3 }}

[space]
name = "nasbench101"
channels = 6
cells = 1
vertices = 4
operations = ["{CONV3}", "{POOL}"]

[data]
source = "noise"
batch_size = 4

[proxies]
cache = "off"

[benchmark]
name = "none"

[objectives]
synflow = "maximize"
params = "minimize"
"""


def trials(config: Config, storage: BaseStorage, benchmark: NASBench101 | None) -> optuna.Study:
    objective = Objective(config, benchmark=benchmark)
    study = open_study(objective, storage, sampler_of(config, objective.space))
    run_trials(study, objective)
    return study


@pytest.mark.parametrize("sampler", ["random", "regularized_evolution"])
def test_infeasible_cells_are_constrained_and_cost_nothing(
    benchmark101: NASBench101, sampler: str
) -> None:
    overrides = [
        f"study.sampler={sampler}",
        "study.sampler_options={}",
        "benchmark.name=nasbench101",
    ]
    study = trials(parse_config(SEARCH, overrides), InMemoryStorage(), benchmark101)
    records = [TrialRecord.from_json(trial.user_attrs[RECORD]) for trial in study.trials]
    reasons = {told.infeasible for told in records}
    for trial, told in zip(study.trials, records, strict=True):
        spec = ModelSpec.from_string(told.architecture)
        assert make_space(parse_config(SEARCH).space).architecture(trial.params) == spec
        if spec.infeasible is None:
            assert trial.state == TrialState.COMPLETE
            assert trial.constraints == {"feasible": 0.0}
            assert told.benchmark == dict(benchmark101.query(spec))
            network = build_network(spec, channels=6, cells=1)
            size = sum(p.numel() for p in network.parameters()) / 1e6
            assert told.proxies["params"] == pytest.approx(size)
        else:
            assert trial.state == TrialState.PRUNED
            assert trial.constraints == {"feasible": 1.0}
            assert (told.proxies, told.benchmark) == ({}, {})
    if sampler == "random":
        assert reasons == {None, "the input does not reach the output"}
    if sampler == "regularized_evolution":  # all infeasible cells count as one
        keys = [told.function_key for told in records if told.infeasible is None]
        assert len(keys) == len(set(keys)) == len(records) - 1


def test_a_study_goes_on_where_it_was_cut_off() -> None:
    whole = trials(parse_config(SEARCH), InMemoryStorage(), None)
    storage = InMemoryStorage()
    trials(parse_config(SEARCH, ["study.n_trials=6"]), storage, None)
    cut = trials(parse_config(SEARCH), storage, None)
    assert [t.params for t in cut.trials] == [t.params for t in whole.trials]
    columns = ["architecture", "function_key", "synflow", "params", "pareto"]
    assert trials_table(cut)[columns].equals(trials_table(whole)[columns])


@pytest.mark.thorough
def test_a_search_writes_its_files_and_prints(tmp_path: Path) -> None:
    config = parse_config(SEARCH, [f"output.folder='{tmp_path}'", "study.n_trials=8"])
    result = zc_search.run_search(config)
    page = (tmp_path / "specs" / "report.html").read_text(encoding="utf-8")
    first = result.ranking["architecture"].iloc[0]
    assert first in page
    assert "Traceback" not in page
    assert math.isfinite(result.pareto["synflow"].max())
    scores = zc_search.score_space(
        ["10.1:maxpool3x3", "1:"], config, tmp_path / "scores.parquet", workers=1
    )
    assert scores["params"].notna().all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "space.vertices=8",
            "space.vertices: 8 is given",
        ),
        ("space.operations=['conv']", r"space.operations\[0\]: unknown"),
        (
            "space.operations=[]",
            "space.operations: is empty",
        ),
        (
            "space.stage_1=[8]",
            "space.stage_1: has no meaning for name = 'nasbench101', only for 'n",
        ),
        ("space.channels=2", "space.channels: 2 is given; Allowed: at least 5"),
        (
            "benchmark.name=nats_sss",
            "benchmark.name: 'nats_sss' ",
        ),
    ],
)
def test_wrong_settings_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(SEARCH, [override])
