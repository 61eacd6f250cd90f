"""Images and files that are odd, damaged, closed or far too large: read, or one sentence each."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from zc_search.errors import DataError
from zc_search.images import image_set, load_batch, pictures
from zc_search.images.pictures import as_array, fit_arrays, room_for, upright
from zc_search.images.readers import read_folder, read_npz, read_saved

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 12), dtype=np.uint8)
LABELS = (0, 1) * 4
IMAGE = {"_type": "Image"}
CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog"]}


# The picture is upside down; the other's width is a text besides, which Pillow cannot rewrite.
UPSIDE_DOWN = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
ODD = (
    b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\0\0\x02\0\0\0\x06\0\0\0&"
    b"\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0hello\0"
)


def png(exif: bytes = b"") -> bytes:
    """A picture of 16 x 16 pixels with a white upper half."""
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:8] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png", exif=exif)
    return content.getvalue()


def classes(path: Path) -> Path:
    for name in "ab":
        (path / name).mkdir(parents=True)
        (path / name / "x.png").write_bytes(png())
    return path


def saved(
    path: Path,
    images: object = ({"bytes": png(), "path": None},) * 8,
    labels: object = LABELS,
    state: object = {"_data_files": [{"filename": "data.arrow"}]},
    features: object = {"image": IMAGE, "label": CLASSES},
) -> Path:
    """What `datasets.Dataset.save_to_disk` writes."""
    path.mkdir()
    table = pa.table({"image": list(images), "label": labels})
    with (
        pa.OSFile(str(path / "data.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as writer,
    ):
        writer.write_table(table)
    (path / "state.json").write_text(json.dumps(state))
    (path / "dataset_info.json").write_text(json.dumps({"features": features}))
    return path


# Images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 9000), (9000, 1)])
def test_nothing_large_is_made_of_a_long_strip(
    size: tuple[int, int], fit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, resize = [], Image.Image.resize

    def watched(image: Image.Image, size: tuple[int, int], *rest: object) -> Image.Image:
        made.append((image.size, size))
        return resize(image, size, *rest)

    monkeypatch.setattr(Image.Image, "resize", watched)
    found = as_array(Image.new("RGB", size, (9, 8, 7)), 40, fit, "rgb")
    if fit != "pad":
        assert (found == np.array([9, 8, 7])[:, None, None]).all()
    fit_arrays(np.ones((1, 1, *size), np.float32), 40, fit)
    assert all(width * height <= 40 * 40 for _, (width, height) in made)
    if (size, fit) == ((1, 9000), "stretch"):  # widened first, it would be 40 x 9000
        assert made[0] == ((1, 9000), (1, 40))


def test_images_that_would_fill_the_memory() -> None:
    with pytest.raises(DataError, match="75,000 images of 512 x 512 pixels need 55 GiB of memory"):
        room_for(75_000, 512, "rgb")


def test_odd_metadata_costs_no_photograph(tmp_path: Path) -> None:
    (classes(tmp_path) / "a" / "y.png").write_bytes(png(ODD))
    (tmp_path / "b" / "y.png").write_bytes(png(b"Exif\0\0MM\0*\0\0"))
    images = read_folder(tmp_path)
    assert images.notes == ()
    assert images.pixels[:, 0, 0, 0].tolist() == [255, 0, 255, 255]  # the second is turned


def test_one_image_of_which_anything_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (classes(tmp_path) / "a" / "large.png").write_bytes(png(ODD))

    def failing(image: Image.Image) -> Image.Image:
        if "exif" in image.info:
            raise MemoryError
        return image

    monkeypatch.setattr(pictures, "upright", failing)
    (note,) = read_folder(tmp_path).notes
    assert note == "1 of 3 images cannot be read and are left out: a/large.png (MemoryError)."


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(orientation: int) -> None:
    image = Image.fromarray(PIXELS[0, :, :7])
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(image), expected)


# Classes -----------------------------------------------------------------------------------------


ENDING = "ending in .png, .jpg, .jpeg, .webp, .bmp, .gif, .tif, .tiff"


def test_folders_without_images_that_count_are_named(tmp_path: Path) -> None:
    for name, files in (("c", 3), ("d\x1b", 1), (".hidden", 1), ("empty", 0)):
        (classes(tmp_path) if name == "c" else tmp_path).joinpath(name).mkdir()
        for number in range(files):
            Image.new("L", (16, 16)).save(tmp_path / name / f"{number}.ppm")
    images = read_folder(tmp_path)
    assert images.class_names == ("a", "b")
    assert images.notes == (
        f"Sub-folders without an image {ENDING} are left out, no classes: 'c' (3 files), "
        r"'d\\x1b' (1 file), 'empty' (empty).",
        f"Left out, 4 images not {ENDING}: 4 of .ppm.",
    )


def test_names_of_bytes_and_names_that_cannot_be_shown(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS, classes=[b"cat", "dög".encode()])
    assert read_npz(tmp_path / "a.npz").class_names == ("cat", "dög")
    np.savez(tmp_path / "b.npz", images=PIXELS, labels=np.array([b"cat", b"dog\xff"] * 4))
    assert read_npz(tmp_path / "b.npz").class_names == ("cat", r"dog\xff")
    images = image_set("x", PIXELS, ["\x1b[31mcat", "dog"] * 4)
    assert images.class_names == (r"\x1b[31mcat", "dog")
    assert images.notes == (
        r"Class names that cannot be shown or told apart are written as '\\x1b[31mcat'.",
    )


def test_two_classes_of_one_name() -> None:
    images = image_set("x", PIXELS, LABELS, ["crane", "crane"])
    assert images.class_names == ("crane", "crane (2)")
    assert "told apart" in images.notes[0]


# NumPy files -------------------------------------------------------------------------------------


def npy(shape: str, body: bytes = b"") -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def altered(content: bytes, *changes: tuple[bytes, int, int]) -> bytes:
    """Set the byte so far behind a mark to a value."""
    changed = bytearray(content)
    for mark, behind, value in changes:
        changed[content.index(mark) + behind] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("header", "changes", "message"),
    [
        (npy("(1000000000000, 1000, 1000)"), (), "Unable to allocate"),
        (npy("((((("), (), "multi-line|never closed|EOF"),
        (npy("(8,)", bytes(8)), [(b"images.npy", 10, 255)], "decompressing data"),
        (npy("(8,)"), [(b"PK\3\4", 6, 1), (b"PK\1\2", 8, 1)], "is encrypted"),
        (npy("(8,)"), [(b"PK\3\4", 8, 95), (b"PK\1\2", 10, 95)], "compression method"),
    ],
    ids=["allocation", "header", "deflate", "encrypted", "method"],
)
def test_damaged_npz_files(tmp_path: Path, header: bytes, changes, message: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header)
        archive.writestr("labels.npy", npy("(8,)", bytes(8)))
    path = tmp_path / "a.npz"
    path.write_bytes(altered(content.getvalue(), *changes))
    with pytest.raises(DataError, match=rf"a\.npz is no readable \.npz file: .*({message})"):
        read_npz(path)


def test_classes_of_an_npz_file_must_be_a_list(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS, classes=2)
    with pytest.raises(DataError, match=r"a\.npz .*'classes' must hold names \(N,\), given int64"):
        read_npz(tmp_path / "a.npz")


# Saved data sets ---------------------------------------------------------------------------------


def test_a_damaged_offset_does_not_end_the_process(tmp_path: Path) -> None:
    file = saved(tmp_path / "x") / "data.arrow"
    length = len(png())
    offsets = struct.pack("<3i", 0, length, 2 * length)
    file.write_bytes(altered(file.read_bytes(), (offsets, 7, 127)))
    code = (
        "import sys, pathlib, zc_search.images.readers as it\n"
        "try:\n    it.read_saved(pathlib.Path(sys.argv[1]))\n"
        "except it.DataError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code, str(file.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{file.parent} cannot be read: " in done.stdout


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    file = saved(tmp_path / "x") / "data.arrow"
    file.write_bytes(file.read_bytes().replace(b"label", b"l\xffbel"))
    with pytest.raises(DataError, match=r"x cannot be read: .*utf-8"):
        read_saved(file.parent)


def test_images_of_a_saved_data_set_are_turned_and_not_too_large(tmp_path: Path) -> None:
    large = io.BytesIO()
    Image.new("L", (300, 200)).save(large, "png")
    content = [large.getvalue(), *[png(exif) for exif in (b"", UPSIDE_DOWN, ODD)]]
    path = saved(tmp_path / "x", [{"bytes": c, "path": None} for c in content * 2])
    pixels = read_saved(path).pixels
    assert pixels.shape == (8, 1, 64, 64)
    assert pixels[1:4, 0, 0, 0].tolist() == [255, 0, 0]
    with pytest.raises(DataError, match=r"8 images of 50,?000 x .* set a smaller data\.resolution"):
        read_saved(path, resolution=50_000)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"state": {"_data_files": None}}, "x cannot be read: "),
        ({"state": {"_data_files": ["data.arrow"]}}, "x cannot be read: "),
        ({"state": {"_data_files": [{}]}}, "x cannot be read: "),
        ({"state": {"_data_files": [{"filename": "a\0"}]}}, "cannot be read: Embedded NUL"),
        ({"features": ["image"]}, "x cannot be read: "),
        ({"features": {}}, "has the columns nothing; one of images and one of class"),
        (
            {"features": {"image": IMAGE, "label": CLASSES | {"names": {"0": "a"}}}},
            "names its classes by dict, not by a list",
        ),
        ({"labels": [[0], [1, 2]] * 4}, "x cannot be read: "),
        ({"images": [{"bytes": "x", "path": ""}] * 8}, "x holds no images"),
        ({"images": [{"bytes": None, "path": "a.png"}] * 11, "labels": [0] * 11}, "11 of 11"),
    ],
)
def test_odd_saved_data_sets(tmp_path: Path, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_saved(saved(tmp_path / "x", **wrong))


@pytest.mark.parametrize("label", ["ClassLabel", None])
def test_labels_without_names_are_their_own(tmp_path: Path, label: object) -> None:
    images = read_saved(saved(tmp_path / "x", features={"image": IMAGE, "label": label}))
    assert images.class_names == ("0", "1")


def test_json_of_any_depth_and_splits_of_any_kind(tmp_path: Path) -> None:
    path = saved(tmp_path / "x")
    (path / "dataset_info.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"x cannot be read"):
        read_saved(path)
    (path / "dataset_dict.json").write_text('{"splits": 5}')
    with pytest.raises(DataError, match="no split 'train'"):
        read_saved(path)


# Permissions -------------------------------------------------------------------------------------


def _cifar10(path: Path) -> object:
    return load_batch("cifar10", path=path)


@pytest.mark.parametrize("read", [read_folder, read_npz, read_saved, _cifar10])
def test_a_closed_path_is_one_sentence(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    monkeypatch.setattr(Path, "is_dir", closed)
    message = rf"data\.path = '{tmp_path}': .* cannot be read: Permission denied; check its perm"
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_closed_class_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk, closed = os.scandir, str(classes(tmp_path) / "b")

    def scandir(path):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return walk(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=rf"{closed} cannot be read: Permission denied; check its"):
        read_folder(tmp_path)
