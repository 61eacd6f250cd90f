"""Images as arrays: NumPy files, saved data sets, torch data sets, digits, official layouts."""

import hashlib
import http.server
import io
import json
import pickle
import re
import sys
import tarfile
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import load_config, parse_config
from zc_search.errors import ConfigError, DataError
from zc_search.images import batch_of, image_set, load_batch, official
from zc_search.images.readers import read_dataset, read_digits, read_npz, read_saved
from zc_search.scoring.architectures import score_architectures
from zc_search.scoring.scorer import batch_and_task, open_images
from zc_search.scoring.sweep import score_space

CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 3, 12, 10), dtype=np.uint8)
LABELS = np.arange(40) % 4


def configured(source: str, path: object = None, **data):
    return parse_config(
        {
            "data": {"source": source, **({} if path is None else {"path": str(path)}), **data},
            "benchmark": {"name": "none"},
            "objectives": {"meco": "maximize"},
        }
    )


@pytest.mark.parametrize("keys", [("images", "labels"), ("x_train", "y_train"), ("x", "y")])
def test_an_npz_file(tmp_path: Path, keys: tuple[str, str]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (PIXELS, LABELS), strict=True)))
    images = open_images(configured("npz", tmp_path / "a.npz").data)
    np.testing.assert_array_equal(images.pixels, PIXELS)
    np.testing.assert_array_equal(images.labels, LABELS)
    assert images.class_names == ("0", "1", "2", "3")
    assert images.task[1:] == (4, 3, 12, 10)  # as they are, even if not square


@pytest.mark.parametrize("form", ["x_{}", "{}_images"])
def test_an_npz_file_with_splits(tmp_path: Path, form: str) -> None:
    names = ("train", "val", "test")
    arrays = {form.format(n): np.full((9 - p, 8, 8), p, np.uint8) for p, n in enumerate(names)}
    labels = form.replace("x_", "y_").replace("images", "labels")
    arrays |= {labels.format(n): np.arange(9 - p)[:, None] % 3 for p, n in enumerate(names)}
    np.savez(tmp_path / "x.npz", **arrays)
    images = read_npz(tmp_path / "x.npz")
    for place, split in enumerate(("train", "validation", "test")):
        assert (images.pixels[images.places(split)] == place).all()
        assert len(images.places(split)) == 9 - place
    for wrong, said in (
        ({labels.format("test"): None}, f"it has {form.format('test')!r} without"),
        ({form.format("val"): np.zeros((8, 9, 9))}, r"another shape than \(8, 8\)"),
        ({form.format("val"): np.zeros((2, 8, 8))}, "hold 2 and 8"),
    ):
        changed = {k: v for k, v in (arrays | wrong).items() if v is not None}
        np.savez(tmp_path / "x.npz", **changed)
        with pytest.raises(DataError, match=said):
            read_npz(tmp_path / "x.npz")


def test_channels_may_stand_last_or_be_missing() -> None:
    last = image_set("x", PIXELS.transpose(0, 2, 3, 1), LABELS)
    np.testing.assert_array_equal(last.pixels, PIXELS)
    assert image_set("x", PIXELS[:, 0], LABELS).pixels.shape == (40, 1, 12, 10)
    assert image_set("x", PIXELS, LABELS, resolution=8, fit="pad").pixels.shape == (40, 3, 8, 8)
    grey = image_set("x", PIXELS, LABELS, color="grey").pixels
    expected = Image.fromarray(PIXELS[0].transpose(1, 2, 0)).convert("L")
    assert np.abs(grey[0, 0].astype(int) - np.asarray(expected)).max() <= 1


def test_labels_of_truth_and_of_objects(tmp_path: Path) -> None:
    images, truth = np.zeros((4, 8, 8), np.uint8), np.array([True, False] * 2)
    assert image_set("x", images, truth).class_names == ("False", "True")
    told = image_set("x", images, truth, ["no", "yes"])
    assert told.class_names == ("no", "yes")
    assert told.labels.tolist() == [1, 0, 1, 0]
    np.savez(tmp_path / "objects.npz", images=images, labels=np.array([*"abab"], object))
    with pytest.raises(DataError, match="Python objects in it are not unpickled; save") as error:
        read_npz(tmp_path / "objects.npz")
    assert error.value.hint == "labels=numpy.array(labels.tolist())"


def test_names_for_labels_and_classes_without_images(tmp_path: Path) -> None:
    named = image_set("x", PIXELS, np.array(["dog", "cat"] * 20))
    assert named.class_names == ("cat", "dog")
    assert named.labels[:2].tolist() == [1, 0]
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS[:, None], classes=list("abcdef"))
    assert read_npz(tmp_path / "a.npz").class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS[:, :, :, 0], LABELS[:5], "must be 40 whole numbers or names (40,), given"),
        (PIXELS.astype(object), LABELS, "must be numbers (N, H, W)"),
        (PIXELS[0, 0], LABELS, "must be numbers (N, H, W), (N, H, W, C) or (N, C, H, W)"),
        (PIXELS.repeat(2, 1), LABELS, "with C of 1 or 3, given uint8 (40, 6, 12, 10)"),
        (PIXELS * np.float32(np.nan), LABELS, "hold NaN or infinite values"),
        (PIXELS, LABELS / 2, "whole numbers or names (40,), given float64"),
        (PIXELS, LABELS * 0, "x has the classes '0'; a network needs two or more"),
        (PIXELS[:, :, :4, :4], LABELS, "have 4 x 4 pixels, but the networks halve them twice"),
    ],
)
def test_arrays_that_are_no_images(images, labels, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        image_set("x", images, labels)


@given(arrays.arrays(st.sampled_from([np.uint8, np.float32, np.int64, np.bool_]), (6, 8, 8, 3)))
def test_any_numbers_are_an_image_or_a_data_error(values) -> None:
    try:
        images = image_set("x", values, [0, 1] * 3)
    except DataError:
        return
    assert images.pixels.dtype in (np.uint8, np.float32)
    assert np.isfinite(images.pixels).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 cut short", "is no readable .npz file"),
        ({"pictures": PIXELS}, "it has pictures; needed are 'images' and 'labels'"),
        ({"images": PIXELS, "labels": np.array([{}] * 40)}, "is no readable .npz file: Python"),
        (None, "is no file"),
    ],
)
def test_files_that_are_no_npz(tmp_path: Path, content, message: str) -> None:
    path = tmp_path / "a.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_npz(path)


def test_one_array_is_no_npz(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(DataError, match=r"one array; images and labels together make an \.npz"):
        read_npz(tmp_path / "a.npz")


def test_digits_need_no_file() -> None:
    images = read_digits()
    assert images.pixels.shape == (1797, 1, 8, 8)
    batch, task, _ = batch_and_task(configured("digits", batch_size=40))
    assert task[1:] == (10, 1, 8, 8)
    assert batch.labels.bincount().tolist() == [4] * 10
    assert abs(float(batch.images.mean())) < 0.2


# Saved by the package datasets -------------------------------------------------------------------


def saved(folder: Path, *, names=("cat", "dog"), column="label") -> Path:
    """What `datasets.Dataset.save_to_disk` writes, in two files."""
    folder.mkdir(parents=True)
    for part in range(2):
        encoded = []
        for number in range(10):
            content = io.BytesIO()
            Image.new("L", (20, 16), 10 * number + part).save(content, "png")
            encoded.append({"bytes": content.getvalue(), "path": None})
        table = pa.table({"image": encoded, column: pa.array([0, 1] * 5, pa.int64())})
        with (
            pa.OSFile(str(folder / f"data-{part}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as writer,
        ):
            writer.write_table(table)
    files = [{"filename": f"data-{part}.arrow"} for part in range(2)]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    features = {"image": {"_type": "Image"}, column: {"names": list(names), "_type": "ClassLabel"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def test_a_saved_data_set_and_its_splits(tmp_path: Path) -> None:
    images = read_saved(saved(tmp_path / "plain"))
    assert images.pixels.shape == (20, 1, 16, 16)
    assert images.class_names == ("cat", "dog")
    assert images.pixels[:, 0, 0, 0].tolist() == [10 * n + p for p in (0, 1) for n in range(10)]
    saved(tmp_path / "both" / "train", column="kind")
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    config = configured("huggingface", tmp_path / "both", resolution=8, color="rgb")
    assert open_images(config.data).pixels.shape == (20, 3, 8, 8)


def test_an_image_that_was_cut_short_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "x")
    with pa.ipc.open_stream((folder / "data-1.arrow").read_bytes()) as reader:
        table = reader.read_all()
    rows = table.to_pylist()
    rows[3]["image"]["bytes"] = rows[3]["image"]["bytes"][:-30]
    cut = pa.Table.from_pylist(rows, schema=table.schema)
    with (
        pa.OSFile(str(folder / "data-1.arrow"), "wb") as file,
        pa.ipc.new_stream(file, cut.schema) as writer,
    ):
        writer.write_table(cut)
    with pytest.raises(DataError, match=r"1 of 20 images in .*allows fewer: row 13 \("):
        read_saved(folder, max_unreadable=0)
    images = read_saved(folder)
    assert len(images.labels) == 19
    assert images.notes[0].startswith("1 of 20 images cannot be read and are left out: row 13 (")


def test_what_is_no_saved_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`save_to_disk` .* no state\.json"):
        read_saved(tmp_path)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test"]}')
    with pytest.raises(DataError, match="no split 'train'"):
        read_saved(tmp_path)
    folder = saved(tmp_path / "x")
    (folder / "data-1.arrow").write_bytes(b"ARROW1")
    with pytest.raises(DataError, match=r"x cannot be read"):
        read_saved(folder)
    (folder / "dataset_info.json").write_text('{"features": {"text": {"_type": "Value"}}}')
    with pytest.raises(DataError, match="has the columns text; one of images and one of class"):
        read_saved(folder)


# torch data sets ---------------------------------------------------------------------------------

MODULE = """
import torch
from PIL import Image

class Tensors(torch.utils.data.Dataset):
    classes = ["even", "odd"]
    def __len__(self):
        return 40
    def __getitem__(self, place):
        return torch.full((3, 9, 9), float(place)), place % 2

class Pictures(Tensors):
    def __getitem__(self, place):
        return Image.new("L", (20 + place, 16), place), torch.tensor(place % 2)

ready = Tensors()
mixed = [(torch.zeros(1, 8, 8), 0), (torch.zeros(1, 9, 9), 1)]
words = [("word", 1)]

def made(path):
    assert path.name == "here"
    return Tensors()
"""


def test_a_torch_data_set_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_images.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    for name in ("ready", "Tensors"):
        images = open_images(configured(f"my_images:{name}").data)
        assert images.class_names == ("even", "odd")
        assert images.pixels[:, 0, 0, 0].tolist() == list(range(40))
    assert len(read_dataset("my_images:made", Path("here")).labels) == 40
    assert read_dataset("my_images:Pictures").pixels.shape == (40, 1, 16, 16)
    for name, message in (
        ("mixed", "images of one size: ValueError"),
        ("words", "must be numbers"),
        ("nothing", "data.source: 'my_images' has no 'nothing'"),
        ("torch", "must give pairs (image, whole number) by len() and [place]"),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            read_dataset(f"my_images:{name}")
    with pytest.raises(DataError, match=r"data\.source: cannot import"):
        read_dataset("no_such_module_at_all:x")


# Official layouts --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gradients", "bfloat16", "regression"])
def test_items_of_tensors_of_any_kind(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    plain = torch.rand(8, 3, 16, 16).bfloat16().float()
    images = {"gradients": plain.clone().requires_grad_(), "bfloat16": plain.bfloat16()}
    module = types.ModuleType("items")
    labels = [0.9 + 0.95 * (i % 2) for i in range(8)] if kind == "regression" else [0, 1] * 4
    module.items = list(zip(images.get(kind, plain), labels, strict=True))
    monkeypatch.setitem(sys.modules, "items", module)
    if kind == "regression":
        with pytest.raises(DataError, match=r"the label 0\.9 is no whole number"):
            read_dataset("items:items")
    else:
        read = read_dataset("items:items")
        np.testing.assert_array_equal(read.pixels, plain.numpy())
        assert read.counts == {"0": 4, "1": 4}


def cifar100(folder: Path) -> Path:
    folder.mkdir(parents=True)
    labels = list(range(100)) * 2
    data = np.zeros((200, 3072), np.uint8)
    data[:, 0] = labels
    content = {b"data": data, b"fine_labels": labels, b"coarse_labels": [0] * 200}
    (folder / "train").write_bytes(pickle.dumps(content))
    names = [f"kind {n}".encode() for n in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": names}))
    return folder


def imagenet16(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(1, 11):
        labels = list(range(1, 1001))
        data = np.zeros((1000, 768), np.uint8)
        data[:, 0] = np.array(labels) % 256
        content = {"data": data, "labels": labels, "mean": np.zeros(768)}
        (folder / f"train_data_batch_{number}").write_bytes(pickle.dumps(content, 2))
    return folder


def test_cifar_100(tmp_path: Path) -> None:
    folder = cifar100(tmp_path / "cifar-100-python")
    batch = load_batch("cifar100", "cifar100", 100, path=tmp_path)
    assert sorted(batch.labels.tolist()) == list(range(100))
    red = batch.images[:, 0, 0, 0] * 0.2673 + 0.5071
    assert (red * 255).round().int().tolist() == batch.labels.tolist()
    images = open_images(configured("cifar100", folder).data)
    assert images.class_names[7] == "kind 7"
    with pytest.raises(DataError, match="dataset must be cifar100, given 'cifar10'"):
        load_batch("cifar100", "cifar10", 8, path=folder)


def test_imagenet16_120_keeps_the_first_120_classes(tmp_path: Path) -> None:
    folder = imagenet16(tmp_path / "ImageNet16")
    images = open_images(configured("ImageNet16-120", folder).data)
    assert images.task[1:] == (120, 3, 16, 16)
    assert len(images.labels) == 1200
    assert (images.pixels[:, 0, 0, 0] == images.labels + 1).all()  # labels count from 1 there
    batch = load_batch("ImageNet16-120", "ImageNet16-120", 120, path=folder)
    assert sorted(batch.labels.tolist()) == list(range(120))


# Fetching ----------------------------------------------------------------------------------------


def archive(*extra: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name in ("train", "meta"):
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = 4
            file.addfile(member, io.BytesIO(b"abcd"))
        for member in extra:
            member.size = 0 if member.issym() or member.islnk() else 4
            file.addfile(member, io.BytesIO(b"evil"))
    return content.getvalue()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "server"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/cifar-100-python.tar.gz"
        server.shutdown()


def publish(monkeypatch: pytest.MonkeyPatch, url: str, content: bytes) -> None:
    """Let an archive be the official one."""
    digest = hashlib.sha256(content).hexdigest()
    layout = official.LAYOUTS["cifar100"]._replace(url=url, sha256=digest)
    monkeypatch.setitem(official.LAYOUTS, "cifar100", layout)


@pytest.mark.parametrize(
    "address", ["mirror/x.tar.gz", "foo://x", "http://", "https:///x.tar.gz", "file:///x.tar.gz"]
)
def test_a_bad_address_is_blamed_and_not_the_checksum(tmp_path: Path, address: str) -> None:
    with pytest.raises(DataError, match="no address to fetch from") as error:
        official.fetch("cifar100", tmp_path, address)
    assert (error.value.key, error.value.given) == ("url", address)
    assert error.value.allowed == ("http", "https", "ftp")
    done = CliRunner().invoke(app, ["data", "fetch", "cifar100", "--url", address])
    assert done.exit_code != 0
    assert "no address to fetch from" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_fetching_checks_and_unpacks(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = served
    content = archive()
    (folder / "cifar-100-python.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="is not the official archive: its SHA-256 is not 85cd44d0"):
        official.fetch("cifar100", tmp_path / "wrong", url)
    assert not (tmp_path / "wrong" / "cifar-100-python").exists()
    publish(monkeypatch, url, content)
    done = CliRunner().invoke(app, ["data", "fetch", "cifar100", "--to", str(tmp_path / "data")])
    assert done.exit_code == 0, done.output
    where = tmp_path / "data" / "cifar-100-python"
    assert f'[data] source = "cifar100", path = "{where}"' in done.output
    assert (where / "train").read_bytes() == b"abcd"
    (folder / "cifar-100-python.tar.gz").unlink()
    assert official.fetch("cifar100", tmp_path / "data") == where  # nothing is loaded again
    with pytest.raises(DataError, match="cifar100 cannot be fetched from http"):
        official.fetch("cifar100", tmp_path / "elsewhere", url)


def test_an_archive_cannot_write_elsewhere(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = []
    for kind, target in ((tarfile.SYMTYPE, "../.."), (tarfile.LNKTYPE, "../../secret")):
        member = tarfile.TarInfo("cifar-100-python/link")
        member.type, member.linkname = kind, target
        links.append(member)
    names = (
        "../outside",
        "/tmp/zc-search-outside",  # noqa: S108
        "cifar-100-python/../../outside",
        "cifar-100-python/train/../../../outside",
        "cifar-100-python/link/outside",
        "cifar-100-python\\..\\outside",
    )
    content = archive(*links, *map(tarfile.TarInfo, names))
    (served[0] / "cifar-100-python.tar.gz").write_bytes(content)
    publish(monkeypatch, served[1], content)
    official.fetch("cifar100", tmp_path / "a" / "data")
    written = {str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*")}
    target = "data/cifar-100-python"
    assert written == {"data", target, f"{target}.tar.gz", f"{target}/train", f"{target}/meta"}
    assert not Path("/tmp/zc-search-outside").exists()  # noqa: S108


def test_only_what_has_a_checksum_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown data set to fetch 'cifar1'; did you mean"):
        official.fetch("cifar1", tmp_path)


def test_official_checksums_are_those_published() -> None:
    cifar10, cifar100 = (str(official.LAYOUTS[name].sha256) for name in ("cifar10", "cifar100"))
    assert cifar10.startswith("6d958be074577803d12ecdefd02955f3")
    assert cifar100.startswith("85cd44d02ba6437773c5bbd22e183051")


# In a search file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"data": {"source": "foldr"}},
            "data.source: unknown source 'foldr'; did you mean 'folder'",
        ),
        ({"data": {"source": "npz"}}, "data.path: missing, but source = 'npz' reads files"),
        (
            {"data": {"source": "digits"}},
            "benchmark.name: 'nasbench201' knows no accuracies on images of "
            "data.source = 'digits'; Allowed: none",
        ),
        ({"data": {"resolution": 4}}, "data.resolution: 4 is given; Allowed: at least 8"),
        ({"data": {"color": "red"}}, "data.color: unknown color 'red'; Allowed: grey, rgb"),
        ({"data": {"fit": "crp"}}, "data.fit: unknown fit 'crp'; did you mean 'crop'?"),
        ({"data": {"validation": 0.9}}, "data.validation: 0.9 is given; Allowed: at most 0.5"),
    ],
)
def test_wrong_settings_name_their_key(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({"objectives": {"meco": "maximize"}, **settings})


@pytest.mark.parametrize(("key", "value"), [("resolution", 64), ("color", "grey")])
@pytest.mark.parametrize(
    ("source", "table"), [("patches", "nasbench201"), ("noise", "none"), ("cifar10", "nasbench201")]
)
def test_what_has_no_meaning_for_the_images_is_refused(tmp_path, source, table, key, value):
    settings = {
        "data": {"source": source, "path": str(tmp_path), key: value},
        "benchmark": {"name": table},
        "objectives": {"meco": "maximize"},
    }
    with pytest.raises(ConfigError) as error:
        parse_config(settings)
    assert (error.value.key, error.value.given) == (f"data.{key}", value)
    assert error.value.allowed == ("absent",)


def test_all_that_has_no_meaning_is_named_at_once() -> None:
    settings = {"data": {"resolution": 64, "color": "grey"}, "objectives": {"meco": "maximize"}}
    with pytest.raises(ConfigError) as error:
        parse_config(settings)
    assert [problem.key for problem in error.value.problems] == ["data.resolution", "data.color"]


def test_scores_of_own_images_by_hand_and_by_command(tmp_path: Path) -> None:
    images = read_digits()
    batch = batch_of(images, 12, 0, 0.2)
    table = score_architectures(
        [CELL],
        ["params", "naswot_relu"],
        (batch.images, batch.labels),
        dataset=images.task,
        channels=2,
        cells=1,
    )
    (tmp_path / "s.toml").write_text(
        '[space]\nchannels = 2\ncells = 1\n[data]\nsource = "digits"\nbatch_size = 12\n'
        '[benchmark]\nname = "none"\n[objectives]\nnaswot_relu = "maximize"\n'
    )
    config = load_config(tmp_path / "s.toml")
    with ThreadPoolExecutor(1) as executor:
        found = score_space([CELL], config, tmp_path / "s.parquet", executor=executor)
    assert found["naswot_relu"].item() == pytest.approx(table["naswot_relu"].item(), rel=1e-4)
    assert found["params"].item() == table["params"].item()
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "s.parquet")])
    assert "there are no accuracies to judge proxies by" in str(done.exception)


def test_showing_the_images(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[data]\nsource = "digits"\n[benchmark]\nname = "none"\n[objectives]\nmeco = "maximize"\n'
    )
    done = CliRunner().invoke(app, ["data", "show", "--config", str(tmp_path / "s.toml")])
    assert "1,438 to train on, 359 to judge by" in done.output
    assert re.search(r"^ *8 +174 ", done.output, re.MULTILINE)
