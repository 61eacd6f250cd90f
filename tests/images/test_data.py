import dataclasses
import hashlib
import random
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch

from zc_search.errors import DataError
from zc_search.images import DATASETS, SOURCES, Batch, load_batch
from zc_search.images.sources import _levels

GENERATED = ["patches", "noise"]


def tensors(n=4, classes=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, 5, 5, generator=generator), torch.arange(n) % classes


@pytest.mark.parametrize("source", GENERATED)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("batch_size", [2, 7, 130])
def test_batches_have_the_shape_and_the_balance_of_their_dataset(source, dataset, batch_size):
    info = DATASETS[dataset]
    batch = load_batch(source, dataset, batch_size, seed=3)
    assert batch.images.shape == (batch_size, 3, info.resolution, info.resolution)
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64
    assert (batch.classes, batch.source) == (info.classes, source)
    counts = batch.labels.bincount(minlength=info.classes)
    assert counts.sum() == batch_size
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("source", GENERATED)
def test_labels_are_shuffled_and_every_class_can_lead(source):
    batches = [load_batch(source, "cifar10", 12, seed) for seed in range(30)]
    assert any((batch.labels.diff() < 0).any() for batch in batches)
    doubled = {label for batch in batches for label in (batch.labels.bincount() == 2).nonzero()}
    assert {int(label) for label in doubled} == set(range(10))


def test_the_fingerprint_differs_with_seed_size_source_and_dataset():
    batches = [
        load_batch(source, dataset, size, seed)
        for source in GENERATED
        for dataset in ("cifar10", "cifar100", "ImageNet16-120")
        for size in (8, 16)
        for seed in (0, 1)
    ]
    assert len({batch.fingerprint for batch in batches}) == len(batches)


@pytest.mark.parametrize("source", GENERATED)
def test_the_same_request_gives_the_same_batch(source):
    first, second = load_batch(source, seed=5), load_batch(source, seed=5)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert first == second
    assert hash(first) == hash(second)
    assert re.fullmatch("[0-9a-f]{64}", first.fingerprint)
    assert "tensor" not in repr(first)


@pytest.mark.thorough
def test_another_process_gives_the_same_batch_and_loads_torch_for_it_alone():
    program = (
        "import sys, zc_search._utils.files, zc_search.images.sources\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules)\n"
        "from zc_search.images import load_batch\n"
        "print(*(load_batch(s, 'cifar100', 9, 7).fingerprint for s in ('patches', 'noise')))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    here = [load_batch(source, "cifar100", 9, 7).fingerprint for source in GENERATED]
    assert result.stdout.decode().split() == here


@pytest.mark.parametrize("source", GENERATED)
def test_global_random_states_stay_untouched(source):
    load_batch(source, seed=10)  # a first import of scikit-learn's draws from Python's
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())
    load_batch(source, seed=11)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_global_random_states_have_no_say():
    expected = load_batch("patches").fingerprint
    np.random.seed(1)
    assert load_batch("patches").fingerprint == expected


def test_noise_is_standard_normal():
    images = load_batch("noise", batch_size=200).images
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01


def test_patches_are_distinct_cuts_of_the_photographs_and_none_is_flat():
    info = DATASETS["cifar10"]
    images = load_batch("patches", "cifar10", 40).images.numpy()
    mean, std = np.reshape(info.mean, (3, 1, 1)), np.reshape(info.std, (3, 1, 1))
    pixels = (images * std + mean) * 255
    assert np.abs(pixels - pixels.round()).max() < 1e-3
    pixels = pixels.round().astype(np.uint8).transpose(0, 2, 3, 1)
    assert (pixels / 255).std(axis=(1, 2)).mean(axis=1).min() >= 0.04
    assert len(np.unique(pixels.reshape(40, -1), axis=0)) == 40

    def holds(level, patch):
        side = info.resolution
        corners = np.all(level[: 1 - side, : 1 - side] == patch[0, 0], axis=2)
        return any(
            np.array_equal(level[y : y + side, x : x + side], patch)
            for y, x in np.argwhere(corners)
        )

    origins = [[index for index, level in enumerate(_levels()) if holds(level, p)] for p in pixels]
    assert all(origins)
    assert {index for indices in origins for index in indices} == set(range(6))


def test_the_cached_photographs_cannot_be_changed():
    assert [level.shape[:2] for level in _levels()] == [(427, 640), (214, 320), (107, 160)] * 2
    with pytest.raises(ValueError, match="read-only"):
        _levels()[0][0, 0, 0] = 1


def test_scales_are_box_means_of_the_photograph():
    full, half, quarter = (level.astype(float) for level in _levels()[:3])
    for level, factor in ((half, 2), (quarter, 4)):
        height, width = 427 // factor, 640 // factor
        blocks = full[: height * factor].reshape(height, factor, width, factor, 3)
        assert np.abs(blocks.mean(axis=(1, 3)) - level[:height]).max() <= 0.5


def test_more_patches_than_the_photographs_hold_are_refused(monkeypatch):
    monkeypatch.setattr("zc_search.images.sources._MIN_STD", 1.0)
    with pytest.raises(DataError, match=r"batch_size=4 is more distinct .* 0 were found"):
        load_batch("patches", batch_size=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "patchs"}, "unknown image source 'patchs'; did you mean 'patches'? Allowed: "),
        ({"dataset": "cifar-10"}, "unknown dataset 'cifar-10'; did you mean 'cifar10'? Allowed: "),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2, given 1"),
        ({"batch_size": 8.0}, "batch_size must be a whole number of at least 2, given 8.0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, given -1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load_batch(**arguments)


def test_numpy_integers_are_whole_numbers():
    assert load_batch(batch_size=np.int64(4), seed=np.int32(1)) == load_batch(batch_size=4, seed=1)


def test_sources_of_batches_are_those_of_a_benchmarks_data_set():
    batches = ["patches", "noise", "cifar10", "cifar100", "ImageNet16-120"]
    assert [name for name, source in SOURCES.items() if source.datasets] == batches
    with pytest.raises(DataError) as error:
        load_batch("folder")
    assert error.value.allowed == tuple(batches)


def test_a_batch_of_the_users_own_tensors():
    images, labels = tensors()
    batch = Batch.from_tensors(images.double(), labels.to(torch.uint8))
    assert batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64
    assert (batch.classes, batch.source) == (3, "user")
    assert batch == Batch.from_tensors(images, labels, classes=3)
    assert batch.fingerprint != Batch.from_tensors(images, labels, classes=4).fingerprint
    assert batch.fingerprint != Batch.from_tensors(images, labels.flip(0)).fingerprint
    assert batch.fingerprint != Batch.from_tensors(images.transpose(2, 3), labels).fingerprint


def test_the_fingerprint_is_the_documented_one():
    images, labels = torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])
    content = b"classes=2;<f4(2, 1, 1, 1)" + bytes(8) + b";<i8(2,)" + struct.pack("<qq", 0, 1)
    expected = hashlib.sha256(content).hexdigest()
    assert Batch.from_tensors(images, labels).fingerprint == expected


def test_a_batch_is_a_value():
    images, labels = tensors()
    batch = Batch.from_tensors(images, labels)
    images.zero_()
    labels.zero_()
    assert batch.images.any()
    assert batch.labels.any()
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.classes = 5


def test_moving_a_batch_keeps_its_fingerprint():
    batch = Batch.from_tensors(*tensors())
    moved = batch.to("meta")
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert moved == batch
    assert batch.images.device.type == "cpu"


IMAGES, LABELS = tensors()


@pytest.mark.parametrize(
    ("images", "labels", "classes", "key", "message"),
    [
        (IMAGES.numpy(), LABELS, 3, "images", "given ndarray"),
        (IMAGES, [0, 1, 2, 0], 3, "labels", "given list"),
        (IMAGES[0], LABELS, 3, "images", "given torch.float32 (3, 5, 5)"),
        (IMAGES.int(), LABELS, 3, "images", "a floating tensor (N, channels, height, width)"),
        (IMAGES[:, :0], LABELS, 3, "images", "given torch.float32 (4, 0, 5, 5)"),
        (IMAGES, LABELS.float(), 3, "labels", "integer tensor (4,), of at least 2"),
        (IMAGES, LABELS > 0, 3, "labels", "given torch.bool (4,)"),
        (IMAGES, LABELS[None], 3, "labels", "given torch.int64 (1, 4)"),
        (IMAGES, LABELS[:3], 3, "labels", "integer tensor (4,)"),
        (IMAGES[:1], LABELS[:1], 3, "images", "at least 2 images"),
        (IMAGES / 0, LABELS, 3, "images", "NaN or infinite"),
        (IMAGES.double() * 1e300, LABELS, 3, "images", "NaN or infinite"),
        (IMAGES, LABELS, 2, "labels", "in [0, classes) with classes=2, given 0 to 2"),
        (IMAGES, LABELS - 1, None, "labels", "in [0, classes) with classes=2, given -1 to 1"),
    ],
)
def test_tensors_that_make_no_batch(images, labels, classes, key, message):
    with pytest.raises(DataError, match=re.escape(message)) as error:
        Batch.from_tensors(images, labels, classes)
    assert error.value.key == key
