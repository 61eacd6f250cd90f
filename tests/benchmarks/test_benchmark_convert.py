"""Converting a benchmark's file: what is refused, and that nothing half-written is left."""

import bz2
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nasbench201_fixture as fixture
import pyarrow as pa
import pytest
import torch

from zc_search.benchmarks import open_benchmark
from zc_search.benchmarks.files import archive, convert
from zc_search.errors import BenchmarkError

INDEXES = range(3)
STRINGS = fixture.official_strings()[:60]  # in full they take a third of a second each time


@pytest.fixture(scope="module")
def content():
    return fixture.official(INDEXES, STRINGS)


@pytest.fixture(scope="module")
def file(content, tmp_path_factory) -> Path:
    return fixture.save_official(tmp_path_factory.mktemp("file"), content)


def result(content):
    return content["arch2infos"][1]["full"]["all_results"]["cifar10", 777]


def unnamed(folder: Path, content, *, zipped=False) -> Path:
    """Write a file whose name has no md5 to compare with."""
    path = folder / "NAS-Bench-201-v1_1.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def test_every_form_of_the_file_gives_the_same_table(content, file, tmp_path):
    tables = [convert(file, tmp_path / "a.arrow")]
    tables.append(convert(unnamed(tmp_path, content, zipped=True), tmp_path / "b.arrow"))
    assert [done.md5 is None for done in tables] == [False, True]
    assert [(done.architectures, done.trials) for done in tables] == [(3, 48)] * 2
    one, other = (open_benchmark("nasbench201", "cifar100", done.table) for done in tables)
    assert one.table().equals(other.table())


def test_progress_counts_up_to_the_whole(file, tmp_path):
    told: list[tuple[str, int, int]] = []
    convert(file, tmp_path / "t.arrow", lambda *what: told.append(what))
    for doing in ("checking", "converting"):
        done = [d for what, d, _ in told if what == doing]
        assert done == sorted(done)
        assert done[-1] == file.stat().st_size == told[-1][2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t-curves.parquet", "t.arrow"]


# Files that are not what they should be ---------------------------------------------------------


def test_another_md5_than_the_name_says_is_refused(file, tmp_path):
    wrong = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    shutil.copy(file, wrong)
    with pytest.raises(BenchmarkError, match=r"its md5 is [0-9a-f]{32}, which must end in 096897"):
        convert(wrong)
    assert list(tmp_path.iterdir()) == [wrong]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused_and_leaves_nothing(file, tmp_path, share):
    content = file.read_bytes()
    cut = tmp_path / "NAS-Bench-201-v1_1.pth"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BenchmarkError, match=r"NAS-Bench-201-v1_1.pth.* (damaged|no )"):
        convert(cut)
    assert list(tmp_path.iterdir()) == [cut]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("meta_archs"), "it has no list 'meta_archs'"),
        (lambda c: c.pop("arch2infos"), "there is no dict 'arch2infos' in it"),
        (lambda c: c["arch2infos"].clear(), "has no results of any architecture"),
        (lambda c: c["meta_archs"].reverse(), r"architecture 0.* its results are of|is not '\|"),
        (lambda c: c["meta_archs"].__setitem__(9, "|x~0|"), "meta_archs: not an architecture st"),
        (lambda c: c["meta_archs"].append(c["meta_archs"][0]), "lists an architecture twice"),
        (lambda c: c["arch2infos"].__setitem__(1, [1]), "must be a dict of budgets"),
        (
            lambda c: c["arch2infos"][1].__setitem__("less", {}),
            "1, 12 epochs: not as the benchmark",
        ),
        (
            lambda c: c["arch2infos"][1].__setitem__("less", c["arch2infos"][0]["less"]),
            r"architecture 1.*its results are of",
        ),
        (
            lambda c: c["arch2infos"][1].__setitem__("less", c["arch2infos"][1]["full"]),
            "a training of 200 epochs is listed under 12",
        ),
        (
            lambda c: c["arch2infos"][1]["full"]["dataset_seed"].__setitem__("cifar10", [("a",)]),
            r"a training seed must be an int below 2\^31",
        ),
        (
            lambda c: c["arch2infos"][1]["full"]["all_results"]["cifar10", 777].__setitem__(
                "epochs", 10**9
            ),
            "a training of 1000000000 epochs is listed under 200",
        ),
        (lambda c: result(c).__setitem__("epochs", [200]), "epochs is listed under 200"),
        (lambda c: result(c).__setitem__("flop", 10**400), "OverflowError"),
        (lambda c: result(c)["train_acc1es"].__setitem__(3, 10**400), "OverflowError"),
        (
            lambda c: c["arch2infos"][1]["full"]["dataset_seed"].__setitem__("cifar10", [2**40]),
            r"a training seed must be an int below 2\^31",
        ),
        (
            lambda c: c["arch2infos"].__setitem__(2**40, c["arch2infos"].pop(1)),
            r"an architecture's number must be an int below 2\^31",
        ),
        (lambda c: c["arch2infos"].__setitem__(1, {math.inf: {}}), "must be a dict of budgets"),
        (
            lambda c: c["arch2infos"][1]["full"].pop("dataset_seed"),
            "not as the benchmark writes them",
        ),
        (
            lambda c: c["arch2infos"][1]["full"]["dataset_seed"].__setitem__("svhn", [1]),
            "it was trained on 'svhn', not on one of",
        ),
    ],
)
def test_content_that_is_no_benchmarks_is_refused(tmp_path, change, message):
    content = fixture.official(INDEXES, STRINGS)
    change(content)
    path = unnamed(tmp_path, content)
    with pytest.raises(BenchmarkError, match=message) as caught:
        convert(path)
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_another_order_is_the_files_own(tmp_path):
    strings = [*STRINGS[20:], *STRINGS[:20]]
    path = unnamed(tmp_path, fixture.official(INDEXES, strings))
    benchmark = open_benchmark(path=convert(path).table)
    assert [str(benchmark.architecture(index)) for index in INDEXES] == strings[:3]
    assert benchmark.query(strings[1])["train_loss"] > 0


def test_names_say_which_benchmark_it_is(tmp_path, file):
    other = tmp_path / "mine.pth"
    other.touch()
    with pytest.raises(BenchmarkError, match=r"mine.pth': this is not the name .*Allowed"):
        convert(other)
    with pytest.raises(BenchmarkError, match=r"096897.pth': there is no such file or folder"):
        convert(tmp_path / "NAS-Bench-201-v1_1-096897.pth")
    with pytest.raises(BenchmarkError, match=r"--to .*t.parquet': the table's name must end in"):
        convert(file, tmp_path / "t.parquet")
    for name in "NATS-tss-v1_0-3ffb9-simple", "NATS-sss-v1_0-50262-simple":
        (tmp_path / name).mkdir()
        with pytest.raises(BenchmarkError, match=rf"holds no meta.pickle.pbz2.*unpack {name}.tar"):
            convert(tmp_path / name)
        (tmp_path / f"{name}.tar").touch()
        with pytest.raises(BenchmarkError, match=r"tar archive; unpack it and give the folder"):
            convert(tmp_path / f"{name}.tar")


# Malicious files --------------------------------------------------------------------------------


class Attack:
    def __init__(self, function, *arguments):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


ATTACKS = {
    "os.system": (Attack(os.system, "touch {victim}"), f"{os.name}.system"),
    "eval": (Attack(eval, "open('{victim}', 'w')"), "(builtins|__builtin__).eval"),
    "tensor": (
        Attack(torch._utils._rebuild_tensor_v2, "storage", 0, (2**40,), (1,), False, None),
        "torch._utils._rebuild_tensor_v2",
    ),
    "getattr": (Attack(getattr, "x", "__class__"), "(builtins|__builtin__).getattr"),
}


@pytest.mark.parametrize("form", ["old", "zip", "bz2", "folder"])
@pytest.mark.parametrize(
    ("name", "place"),
    [("os.system", "header"), ("os.system", "entry"), *((name, "deep") for name in ATTACKS)],
)
def test_a_malicious_file_is_refused_by_name(tmp_path, name, form, place):
    attack, asked = ATTACKS[name]
    victim = tmp_path / "victim"
    attack._call = (
        attack._call[0],
        tuple(a.format(victim=victim) if isinstance(a, str) else a for a in attack._call[1]),
    )
    content = {
        "meta_archs": list(fixture.official_strings()[:3]),
        "arch2infos": {0: {"full": {"arch_str": [(attack,)] if place == "deep" else attack}}},
    }
    if place == "header":
        content = {"x": {"y": [attack]}, **content}
    if form in ("old", "zip"):
        path = unnamed(tmp_path, content, zipped=form == "zip")
    elif form == "bz2":
        path = tmp_path / "NATS-tss-v1_0.pickle.pbz2"
        path.write_bytes(bz2.compress(pickle.dumps(content, 4)))
    else:
        path = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
        path.mkdir()
        meta = {"meta_archs": [] if place != "header" else [attack]}
        (path / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(meta, 4)))
        first = bz2.compress(pickle.dumps(content["arch2infos"][0], 4))
        (path / "000000.pickle.pbz2").write_bytes(first)
    with pytest.raises(BenchmarkError, match=f"is not safe to load: it asks for {asked};"):
        convert(path)
    assert list(tmp_path.iterdir()) == [path]


# Interruption -----------------------------------------------------------------------------------


def test_an_error_half_way_leaves_nothing(file, tmp_path):
    class StopError(Exception):
        pass

    def stop(doing, done, total):
        if doing == "converting":
            assert any(tmp_path.iterdir())
            raise StopError

    with pytest.raises(StopError):
        convert(file, tmp_path / "t.arrow", stop)
    assert list(tmp_path.iterdir()) == []


def test_an_older_table_stays_until_the_new_one_is_whole(content, file, tmp_path):
    table = convert(file, tmp_path / "NAS-Bench-201-v1_1.arrow").table
    before = table.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        convert(file, table, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert table.read_bytes() == before
    assert convert(file, table).table == table
    assert table.read_bytes() == before


@pytest.mark.thorough
def test_killed_it_leaves_no_table(file, tmp_path):
    code = (
        "import sys, time; from pathlib import Path;"
        "from zc_search.benchmarks.files import convert;"
        f"convert(Path({str(file)!r}), Path({str(tmp_path / 't.arrow')!r}),"
        "lambda doing, *_: doing == 'converting' and (print('now', flush=True), time.sleep(60)))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    convert(file, tmp_path / "t.arrow")
    assert {"t-curves.parquet", "t.arrow"} < {path.name for path in tmp_path.iterdir()}


def test_what_cannot_be_streamed_is_read_at_once(content, file, tmp_path, monkeypatch):
    """An entry may refer to an earlier one's container; none of the known files does."""
    shared = fixture.official(INDEXES, STRINGS)
    results = [shared["arch2infos"][index]["full"]["all_results"] for index in (0, 1)]
    results[1]["cifar10", 777]["train_times"] = results[0]["cifar10", 777]["train_times"]
    tried = []
    whole = archive.Archive
    monkeypatch.setattr(
        archive,
        "Archive",
        lambda path, forget=True: (tried.append(forget), whole(path, forget=forget))[1],
    )
    table = convert(unnamed(tmp_path, shared)).table
    assert tried == [True, False]
    expected = open_benchmark(
        path=convert(file, tmp_path / "x.arrow").table.rename(
            tmp_path / "NAS-Bench-201-v1_1-x.arrow"
        )
    )
    assert open_benchmark(path=table).table().equals(expected.table())


def test_two_files_of_one_version_have_tables_of_their_own(content, tmp_path):
    other = fixture.official(range(2), STRINGS)
    done = [convert(fixture.save_official(tmp_path, which)) for which in (content, other)]
    assert len({one.table for one in done} | {one.curves for one in done}) == 4
    assert all(one.table.stem.rpartition("-")[2] == one.md5[-6:] for one in done)
    fingerprints = {open_benchmark(path=one.table).fingerprint for one in done}
    assert len(fingerprints) == 2
    again = convert(tmp_path / done[0].table.with_suffix(".pth").name, tmp_path / "x.arrow")
    assert open_benchmark(path=again.table).fingerprint in fingerprints


@pytest.mark.parametrize(
    "name",
    [
        "NAS-Bench-201-v1_1.pth",
        "NAS-Bench-201-v1_1-096897.pth",
        "NATS-tss-v1_0.pickle.pbz2",
        "nasbench_full.tfrecord",
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch, name):
    closed = tmp_path / name
    closed.write_bytes(b"content")
    opened = Path.open

    def refuse(self, *args, **kwargs):
        if self == closed:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)  # a test may run as root, who may read all
    with pytest.raises(BenchmarkError, match=f"{name} cannot be read: Permission denied") as caught:
        convert(closed)
    assert caught.value.given == str(closed)
    assert list(tmp_path.iterdir()) == [closed]


@pytest.mark.parametrize("name", ["NAS-Bench-201-v1_1.pth", "nasbench_full.tfrecord"])
def test_a_folder_that_is_no_file_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(BenchmarkError, match=name):
        convert(tmp_path / name)


def test_a_damaged_file_of_a_folder_is_named(tmp_path):
    folder = fixture.save_simple(tmp_path, range(2))
    damaged = folder / "000001.pickle.pbz2"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(BenchmarkError, match=r"000001.pickle.pbz2 is damaged"):
        convert(folder)


# Tables that are not sound ------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.2, 0.99])
def test_a_damaged_table_is_an_error(file, tmp_path, share):
    table = convert(file, tmp_path / "NAS-Bench-201-v1_1.arrow").table
    whole = table.read_bytes()
    table.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BenchmarkError, match=r"v1_1.arrow is (damaged or cut short|no table)"):
        open_benchmark(path=table)


@pytest.mark.parametrize("value", [1, 7, 255])
def test_a_table_with_a_row_of_another_data_set_is_an_error(file, tmp_path, value):
    table = convert(file, tmp_path / "NAS-Bench-201-v1_1.arrow").table
    with pa.memory_map(str(table)) as source:
        datasets = pa.ipc.open_file(source).get_batch(0).column("dataset").to_numpy()
    whole = bytearray(table.read_bytes())
    whole[whole.index(datasets.tobytes())] = value
    table.write_bytes(whole)
    with pytest.raises(BenchmarkError, match=r"v1_1.arrow is damaged .*convert the benchmark's fi"):
        open_benchmark(path=table)


@pytest.mark.parametrize(
    ("place", "at", "value"),
    [
        (b"PK\x01\x02", 6, 255),  # version needed
        (b"PK\x01\x02", 10, 99),  # method
        (b"PK\x01\x02", 28, 255),  # length of the name
        (b"PK\x06\x07", 4, 1),  # number of the disk
    ],
)
def test_a_zip_archive_with_a_damaged_directory_is_an_error(content, tmp_path, place, at, value):
    path = unnamed(tmp_path, content, zipped=True)
    whole = bytearray(path.read_bytes())
    whole[whole.index(place) + at] = value
    path.write_bytes(whole)
    with pytest.raises(BenchmarkError, match=r"v1_1.pth is a? ?damaged"):
        convert(path)


def test_curves_that_are_gone_or_anothers_are_an_error(content, file, tmp_path):
    done = convert(file, tmp_path / "NAS-Bench-201-v1_1.arrow")
    benchmark = open_benchmark(path=done.table)
    cell = benchmark.architecture(0)
    kept = done.curves.read_bytes()
    done.curves.unlink()
    assert benchmark.query(cell)["train_loss"] > 0
    with pytest.raises(BenchmarkError, match=r"learning curves are in .*which is not there"):
        benchmark.curve(cell)
    done.curves.write_bytes(kept[:-10])
    with pytest.raises(BenchmarkError, match=r"curves.parquet is damaged or cut short"):
        benchmark.curve(cell)
    other = convert(unnamed(tmp_path, content), tmp_path / "other.arrow")
    other.curves.replace(done.curves)
    with pytest.raises(BenchmarkError, match="has the curves of another file"):
        benchmark.curve(cell)


def test_a_table_of_another_schema_says_to_convert_again(file, tmp_path, monkeypatch):
    monkeypatch.setattr("zc_search.benchmarks.files.table.SCHEMA", 0)
    table = convert(file, tmp_path / "NAS-Bench-201-v1_1.arrow").table
    monkeypatch.undo()
    with pytest.raises(
        BenchmarkError, match="whose tables differ; convert it again: zc-search benchmark conv"
    ):
        open_benchmark(path=table)


def test_a_folder_that_cannot_be_written_is_an_error(file, tmp_path):
    (tmp_path / "blocked").touch()
    with pytest.raises(BenchmarkError, match=rf"{tmp_path}/blocked.* cannot be written"):
        convert(file, tmp_path / "blocked" / "t.arrow")
