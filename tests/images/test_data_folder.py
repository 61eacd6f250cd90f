"""Folders of images as people have them: every mode and size, damaged ones, odd names."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zc_search.config import parse_config
from zc_search.errors import DataError
from zc_search.images import batch_of
from zc_search.images.image_set import ImageSet
from zc_search.images.pictures import as_array
from zc_search.images.readers import read_folder
from zc_search.scoring.scorer import batch_and_task, open_images


def save(path: Path, value: int = 128, size=(40, 30), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, size, value if mode in ("L", "I;16", "1") else (value,) * len(mode))
    image.save(path)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name, count, suffix in (("cat", 12, "png"), ("dog", 30, "jpg"), ("emu", 6, "webp")):
        for number in range(count):
            save(tmp_path / "pets" / name / f"{number}.{suffix}", 40 + number, (40 + number, 32))
    return tmp_path / "pets"


def configured(path: Path, **data):
    return parse_config(
        {
            "data": {"source": "folder", "path": str(path), **data},
            "benchmark": {"name": "none"},
            "objectives": {"meco": "maximize"},
        }
    )


def test_classes_channels_and_resolution_follow_from_the_images(pets: Path) -> None:
    images = read_folder(pets)
    assert images.class_names == ("cat", "dog", "emu")
    assert images.pixels.shape == (48, 3, 32, 32)  # the median of the shorter sides
    assert images.counts == {"cat": 12, "dog": 30, "emu": 6}
    assert images.described() == (
        "48 images of pets, 3 classes, 32 x 32 pixels, colour; 6 of 'emu' to 30 of 'dog', "
        "5.0 times as many"
    )
    batch, task, notes = batch_and_task(configured(pets, batch_size=12))
    assert (task.classes, task.channels, task.height, batch.classes) == (3, 3, 32, 3)
    assert batch.labels.bincount().tolist() == [4, 4, 4]  # even, although the folder is not
    assert notes == (images.described() + ".",)


def test_scarce_classes_give_all_they_have(pets: Path) -> None:
    batch, _, _ = batch_and_task(configured(pets, batch_size=30))
    assert batch.labels.bincount().tolist() == [10, 15, 5]  # of 10, 24 and 5 to train on
    again, _, _ = batch_and_task(configured(pets, batch_size=30))
    other, _, _ = batch_and_task(configured(pets, batch_size=30, seed=1))
    assert batch == again != other


def test_the_batch_holds_no_image_that_is_judged_by(pets: Path) -> None:
    images = read_folder(pets)
    training, held_out = images.split(0.2, 0)
    assert sorted([*training, *held_out]) == list(range(48))
    assert np.bincount(images.labels[held_out]).tolist() == [2, 6, 1]
    mean, spread = images.statistics(training)
    np.testing.assert_allclose(mean, images.pixels[training].mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(spread, images.pixels[training].std((0, 2, 3)), rtol=1e-4)
    batch = batch_of(images, 39, 0, 0.2)
    known = (images.pixels[training] - mean[:, None, None]) / spread[:, None, None]
    rows = {row.tobytes() for row in known.astype(np.float32)}
    assert {row.numpy().tobytes() for row in batch.images} <= rows


def test_grey_stays_grey_unless_asked_otherwise(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(4):
            save(tmp_path / name / f"{number}.png", 10 * number, (16, 16), "L")
    assert read_folder(tmp_path).pixels.shape == (8, 1, 16, 16)
    assert read_folder(tmp_path, color="rgb").pixels.shape == (8, 3, 16, 16)
    save(tmp_path / "a" / "colour.png", 99, (16, 16))
    assert read_folder(tmp_path).pixels.shape == (9, 3, 16, 16)


def test_every_mode_becomes_what_it_shows() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))  # red, but wholly transparent: white
    half = Image.new("LA", (8, 8), (0, 128))
    deep = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
    palette = Image.new("RGB", (8, 8), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    for image, color, expected in (
        (clear, "rgb", [255, 255, 255]),
        (half, "grey", [127]),
        (deep, "grey", [40_000 >> 8]),
        (Image.new("1", (8, 8), 1), "grey", [255]),
        (palette, "rgb", [10, 20, 30]),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "rgb", [255, 255, 255]),
    ):
        found = as_array(image, 8, "crop", color)
        assert found.shape == (len(expected), 8, 8)
        assert np.abs(found[:, 4, 4].astype(int) - expected).max() <= 1, image.mode


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    resolution=st.integers(1, 40),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    color=st.sampled_from(["grey", "rgb"]),
)
def test_any_size_fits(width: int, height: int, resolution: int, fit: str, color: str) -> None:
    found = as_array(Image.new("RGB", (width, height), (200, 200, 200)), resolution, fit, color)
    assert found.shape == (1 if color == "grey" else 3, resolution, resolution)
    if fit != "pad":
        assert (found == 200).all()


def test_crop_keeps_the_middle_and_pad_all() -> None:
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, :10], pixels[:, 10:20], pixels[:, 20:] = 50, 100, 150
    image = Image.fromarray(pixels)
    assert (as_array(image, 10, "crop", "grey") == 100).all()
    padded = as_array(image, 30, "pad", "grey")[0]
    assert (padded[:10] == 0).all()
    assert (padded[20:] == 0).all()
    np.testing.assert_array_equal(padded[10:20], pixels)


def test_photographs_are_turned_as_the_camera_says(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "x.png", exif=exif)
        Image.fromarray(pixels).save(tmp_path / name / "y.png")
    found = read_folder(tmp_path).pixels[:, 0, :, 0]
    assert found[0, 0] == 0  # turned: the light half is below
    assert found[1, 0] == 255


def test_unreadable_images_are_named_and_left_out(pets: Path) -> None:
    (pets / "cat" / "0.png").write_bytes(b"")
    whole = (pets / "dog" / "3.jpg").read_bytes()
    (pets / "dog" / "3.jpg").write_bytes(whole[: len(whole) // 2])
    (pets / "dog" / "notes.txt").write_text("not an image, and not named as one")
    images = read_folder(pets)
    assert len(images.labels) == 46
    (note,) = images.notes
    assert note.startswith("2 of 48 images cannot be read and are left out: cat/0.png (")
    assert "dog/3.jpg (" in note
    with pytest.raises(DataError, match=r"2 of 48 images in .*max_unreadable = 1 allows fewer"):
        read_folder(pets, max_unreadable=1)


def test_only_common_formats_are_decoded_whatever_a_name_ends_in(pets: Path) -> None:
    picture = Image.new("RGB", (40, 30), (1, 2, 3))
    picture.save(pets / "cat" / "0.png", format="TIFF")
    picture.save(pets / "cat" / "1.png", format="PPM")
    picture.save(pets / "cat" / "2.png", format="GIF")
    (note,) = read_folder(pets).notes
    assert note.startswith("1 of 48 images cannot be read and are left out: cat/1.png (")


def test_a_class_of_which_nothing_can_be_read(pets: Path) -> None:
    for file in (pets / "emu").iterdir():
        file.write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"no image of class 'emu' in .* can be read"):
        read_folder(pets)


def split(path: Path, counts={"train": 8, "val": 3, "test": 5}) -> Path:  # noqa: B006
    for place, (name, count) in enumerate(counts.items()):
        for label in "ab":
            for number in range(count):
                save(path / name / label / f"{number}.png", 80 * place + number, (16, 16), "L")
    return path


def test_splits_of_ones_own_are_the_ones_used(tmp_path: Path) -> None:
    images = read_folder(split(tmp_path))
    assert images.class_names == ("a", "b")
    training, held_out = images.split(0.5, 0)
    grey = images.pixels[:, 0, 0, 0]
    assert sorted(grey[training]) == sorted([*range(8)] * 2)
    assert sorted(grey[held_out]) == sorted([80, 81, 82] * 2)
    assert sorted(grey[images.places("test")]) == sorted([*range(160, 165)] * 2)
    assert images.described().endswith("16 to train on, 6 to validate, 10 to test")
    assert batch_of(images, 16, 0, 0.2).images.shape[0] == 16
    assert images.statistics(training)[0] == np.mean(range(8))
    plain = ImageSet("x", images.pixels, images.labels, images.class_names)
    assert plain.fingerprint != images.fingerprint


def test_a_test_set_alone_leaves_the_rest_to_be_split(tmp_path: Path) -> None:
    images = read_folder(split(tmp_path, {"training": 8, "test": 2}))
    training, held_out = images.split(0.25, 0)
    assert (len(training), len(held_out), len(images.places("test"))) == (12, 4, 4)
    assert not {*training, *held_out} & {*images.places("test")}
    assert read_folder(split(tmp_path / "train", {"train": 8})).splits is None


def test_a_table_of_labels_beside_the_files(tmp_path: Path) -> None:
    rows = ["File,Label,Split"]
    for number in range(12):
        save(tmp_path / "all" / f"{number}.png", number, (16, 16), "L")
        split_of, label = ("train", "val", "test")[number // 5], ("even", "odd")[number % 2]
        rows.append(f"all/{number}.png,{label},{split_of}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows))
    images = open_images(configured(table).data)
    assert (images.name, images.class_names) == ("labels", ("even", "odd"))
    grey = images.pixels[:, 0, 0, 0]
    assert (grey % 2 == images.labels).all()
    assert [sorted(grey[images.places(s)]) for s in ("train", "validation", "test")] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11],
    ]
    table.write_text("\n".join(row.rpartition(",")[0] for row in rows))
    assert open_images(configured(table).data).splits is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,label\nx.png,a", "has 1 rows of name, label; rows of file,label are needed"),
        ("file,label", "has 0 rows of file, label"),
        ("", "is no readable CSV: No columns"),
        (
            "file,label\ny.png,a\nz.png,b",
            "lists 2 files that are not there beside it: y.png, z.png",
        ),
        ("file,label\nx.png,a\nx.png,b", "lists 1 files twice: x.png"),
        ("file,label\nx.png,", "has no label for 1 files: x.png"),
        (
            "file,label,split\nx.png,a,dev",
            "1 rows of splits that are none of train, val and test: dev",
        ),
        ("file,label,split\nx.png,a,test", "has no row of split 'train'"),
    ],
)
def test_tables_that_are_no_labels(tmp_path: Path, content: str, message: str) -> None:
    save(tmp_path / "x.png")
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(tmp_path / "labels.csv")
    assert caught.value.key == "data.path"


def test_class_names_with_odd_characters(tmp_path: Path) -> None:
    for name in ("naïve 🐈 | x", "new\nline"):
        for number in range(3):
            save(tmp_path / name / f"{number}.png", 9 * number, (16, 16))
    images = read_folder(tmp_path)
    assert images.class_names == ("naïve 🐈 | x", "new\\nline")
    assert images.notes == (
        r"Class names that cannot be shown or told apart are written as 'new\\nline'.",
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "has 0 sub-folders with images .* it must hold one sub-folder a class"),
        (lambda f: save(f / "x.png"), r"0 sub-folders with images \(1 image beside\)"),
        (lambda f: save(f / "cat" / "x.png"), "has 1 sub-folder with images"),
        (
            lambda f: [save(f / s / "cat" / "x.png") for s in ("test", "val")],
            "sub-folders of .*, test, val, are splits; there must be one 'train', and one of each",
        ),
        (
            lambda f: [save(f / s / "cat" / "x.png") for s in ("train", "val", "valid")],
            "train, val, valid, are splits; there must be one 'train', and one of each other",
        ),
        (
            lambda f: (
                [save(f / "train" / c / "x.png") for c in "ab"] + [save(f / "test" / "x.png")]
            ),
            r"test has 0 sub-folders with images \(1 image beside\)",
        ),
        (
            lambda f: [
                save(f / s / c / "x.png")
                for s, c in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "c"))
            ],
            "class 'c' has images to validate or to test, and none to train on",
        ),
        (
            lambda f: [save(f / c / f"{n}.png", n, (4, 4)) for c in "ab" for n in range(9)],
            "have 4 x 4 pixels, but the networks halve them twice and need 8; "
            "data.resolution = 8 or more enlarges them",
        ),
        (
            lambda f: [save(f / c / f"{n}.png", n) for c in "ab" for n in range(5)],
            r"has 10 images, 8 of them to train on: fewer than data.batch_size = 32; add images",
        ),
        (
            lambda f: [
                save(f / c / f"{n}.png", n) for c, k in (("a", 50), ("b", 1)) for n in range(k)
            ],
            "class 'b' has 1 readable images; at least 2 are needed",
        ),
    ],
    ids=[
        "empty",
        "loose",
        "one class",
        "no train",
        "two val",
        "flat test",
        "new class",
        "4 pixels",
        "ten images",
        "one image",
    ],
)
def test_what_cannot_be_learnt_from_is_one_sentence(tmp_path: Path, make, message: str) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        batch_and_task(configured(tmp_path))
    assert "\n" not in str(error.value)


def test_four_pixels_can_be_enlarged(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(20):
            save(tmp_path / name / f"{number}.png", 10 * number, (4, 4))
    batch, task, _ = batch_and_task(configured(tmp_path, resolution=8))
    assert batch.images.shape == (32, 3, 8, 8)
    assert (task.height, task.width) == (8, 8)


def test_no_folder_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"data.path = '{tmp_path / 'x'}' is no folder")):
        read_folder(tmp_path / "x")


def test_images_that_are_made_up_cannot_be_learnt_from() -> None:
    with pytest.raises(DataError, match=r"the images of data\.source = 'patches' have no classes"):
        open_images(parse_config({"objectives": {"meco": "maximize"}}).data)


def test_constant_images_are_not_divided_by_nothing(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(20):
            save(tmp_path / name / f"{number}.png", 7, (8, 8))
    batch, _, _ = batch_and_task(configured(tmp_path))
    assert torch.isfinite(batch.images).all()


def test_images_of_other_kinds_are_read_or_counted(pets: Path) -> None:
    before = len(read_folder(pets).labels)
    frames = [Image.new("RGB", (40, 30), (shade, 0, 0)) for shade in (200, 10)]
    cat = pets / "cat"
    save(cat / "x.BMP", 77)
    frames[0].save(cat / "x.gif", save_all=True, append_images=frames[1:])
    frames[0].save(cat / "x.tif", save_all=True, append_images=frames[1:], compression="tiff_lzw")
    images = read_folder(pets)
    assert len(images.labels) == before + 3
    assert not images.notes
    places = [*sorted(f.name for f in cat.iterdir())]
    for name, value in (("x.BMP", 77), ("x.gif", 200), ("x.tif", 200)):  # the first frame
        assert (images.pixels[places.index(name), 0] == value).all()
    for name in ("a.heic", "b.HEIC", "c.psd", "notes.txt"):
        (cat / name).touch()
    (pets / "fox").mkdir()
    notes = " ".join(read_folder(pets).notes)
    assert "left out, no classes: 'fox' (empty)." in notes
    assert "Left out, 3 images not ending in .png" in notes
    assert ": 2 of .heic, 1 of .psd." in notes
    assert "pip install pillow-heif" in notes
