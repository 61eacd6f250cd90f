import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zc_search.errors import DataError
from zc_search.images import load_batch
from zc_search.images.datasets import DATASETS


def python2(value):
    """Pickle a value as Python 2 and its numpy did, protocol 2: byte strings, integer flags."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value):
    match value:
        case bytes() if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case int():
            return b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(_python2, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
        case np.ndarray():
            return (
                b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01("
                + b"".join(map(_python2, value.shape))
                + b"tcnumpy\ndtype\nU\x02"
                + value.dtype.str[1:].encode()
                + b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
                + _python2(value.tobytes())
                + b"tb"
            )
    raise TypeError(type(value))


def content(per_class=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(10), per_class))
    data = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    data[:, 0] = labels  # the first red pixel tells the class
    return {b"batch_label": b"training batch", b"labels": labels.tolist(), b"data": data}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in (1, 4):
        (folder / f"data_batch_{number}").write_bytes(python2(content(seed=number)))
    (folder / "batches.meta").write_bytes(python2({b"label_names": [b"airplane"]}))
    return folder


def pixels(batch):
    info = DATASETS["cifar10"]
    mean, std = torch.tensor(info.mean).view(3, 1, 1), torch.tensor(info.std).view(3, 1, 1)
    return ((batch.images * std + mean) * 255).round().to(torch.uint8).numpy()


@pytest.mark.parametrize("dataset", ["cifar10", "cifar10-valid"])
def test_images_come_with_their_own_labels(folder, dataset):
    batch = load_batch("cifar10", dataset, 45, path=folder)
    assert (batch.source, batch.classes, batch.images.shape) == ("cifar10", 10, (45, 3, 32, 32))
    assert sorted(batch.labels.bincount().tolist()) == [4] * 5 + [5] * 5
    found = pixels(batch)
    assert found[:, 0, 0, 0].tolist() == batch.labels.tolist()
    known = np.concatenate([content(seed=1)[b"data"], content(seed=4)[b"data"]])
    known = {row.tobytes() for row in known}
    rows = {row.tobytes() for row in found}
    assert len(rows) == 45
    assert rows <= known


def test_the_parent_folder_and_a_text_path_do_as_well(folder):
    batch = load_batch("cifar10", batch_size=8, seed=2, path=folder)
    assert load_batch("cifar10", batch_size=8, seed=2, path=folder.parent) == batch
    assert load_batch("cifar10", batch_size=8, seed=2, path=str(folder)) == batch
    assert load_batch("cifar10", batch_size=8, seed=3, path=folder) != batch


def test_files_written_again_by_python_3_read_the_same(folder):
    batch = load_batch("cifar10", batch_size=30, path=folder)
    for number, protocol in ((1, 2), (4, 5)):
        again = content(seed=number)
        if number == 4:
            again = {key.decode(): value for key, value in again.items()}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(again, protocol))
    assert load_batch("cifar10", batch_size=30, path=folder) == batch


def test_the_test_images_are_never_read(folder):
    batch = load_batch("cifar10", batch_size=8, path=folder)
    (folder / "test_batch").write_bytes(python2(content(seed=9)))
    assert load_batch("cifar10", batch_size=8, path=folder) == batch
    for number in (1, 4):
        (folder / f"data_batch_{number}").unlink()
    with pytest.raises(DataError, match="no training images"):
        load_batch("cifar10", batch_size=8, path=folder)


@pytest.mark.parametrize("path", [None, "nowhere"])
def test_a_missing_folder_is_named_with_what_it_must_hold(tmp_path, path):
    given = path and str(tmp_path / path)
    with pytest.raises(DataError, match=r"hold any of data_batch_1, .*data fetch cifar10") as error:
        load_batch("cifar10", path=given)
    assert (error.value.key, error.value.given) == ("data.path", given)
    assert error.value.allowed == ("cifar-10-batches-py",)


@pytest.mark.parametrize("dataset", ["cifar100", "ImageNet16-120"])
def test_another_dataset_is_refused(folder, dataset):
    with pytest.raises(DataError) as error:
        load_batch("cifar10", dataset, path=folder)
    assert (error.value.given, error.value.allowed) == (dataset, ("cifar10", "cifar10-valid"))


def test_too_few_images_of_a_class(folder):
    message = r"cifar10 holds 6 images of class 0, but a batch of 70 needs 7"
    with pytest.raises(DataError, match=message):
        load_batch("cifar10", batch_size=70, path=folder)


def with_(**changes):
    return content() | {key.encode(): value for key, value in changes.items()}


@pytest.mark.parametrize(
    "wrong",
    [
        [1, 2],
        {b"labels": [1, 2]},
        with_(data=np.zeros((30, 1024), np.uint8)),
        with_(data=np.zeros(3072, np.uint8)),
        with_(data=np.zeros((30, 3072), np.int8)),
        with_(labels=[0, 1]),
        with_(labels=[10] * 30),
        with_(labels=[-1] * 30),
        with_(labels=[b"cat"] * 30),
        with_(labels=np.zeros(30, np.uint8)),
    ],
)
def test_content_that_is_not_cifar_10(folder, wrong):
    (folder / "data_batch_4").write_bytes(python2(wrong))
    with pytest.raises(DataError, match=r"data_batch_4 must hold a dict .* numbers from 0 to 9"):
        load_batch("cifar10", path=folder)


def test_a_file_that_runs_code_is_refused(folder):
    (folder / "data_batch_4").write_bytes(b"\x80\x02cposix\nsystem\nU\x04true\x85R.")
    message = r"data_batch_4 is not safe to load: it asks for posix\.system; allowed: numpy\.dtype"
    with pytest.raises(DataError, match=message):
        load_batch("cifar10", path=folder)


SMALL = python2(content(per_class=1))


@pytest.fixture(scope="module")
def cut_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cut")


@given(cut=st.integers(0, len(SMALL) - 1) | st.integers(0, 1500))
def test_a_cut_file_is_an_error_wherever_it_is_cut(cut_folder, cut):
    (cut_folder / "data_batch_1").write_bytes(SMALL[: min(cut, len(SMALL) - 1)])
    with pytest.raises(DataError, match="data_batch_1 is damaged, cut short or not a pickle"):
        load_batch("cifar10", batch_size=4, path=cut_folder)


def test_the_uncut_file_is_read(cut_folder):
    (cut_folder / "data_batch_1").write_bytes(SMALL)
    assert len(load_batch("cifar10", batch_size=4, path=cut_folder).images) == 4
