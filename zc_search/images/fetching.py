"""Downloading an official data set: known address, known checksum, unpacked where asked for."""

import tarfile
from pathlib import Path
from typing import NamedTuple

import pooch

from zc_search.errors import DataError, unknown_name
from zc_search.images.cifar import LAYOUTS


class Archive(NamedTuple):
    """Where an official archive is, and what it must hash to."""

    url: str
    sha256: str


ARCHIVES = {
    "cifar10": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ),
    "cifar100": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    ),
}


def fetch(name: str, folder: str | Path, url: str | None = None) -> Path:
    """Download and unpack an official data set; what is there already is not loaded again.

    Args:
        name: ``cifar10`` or ``cifar100``.
        folder: Where to; the archive stays beside what it holds.
        url: A mirror; the archive must have the official checksum all the same.

    Returns:
        The official folder, as ``data.path`` takes it.

    Raises:
        DataError: Another name, no answer, another checksum, or a folder that cannot be written.
    """
    if name not in ARCHIVES:
        raise DataError(unknown_name("data set to fetch", name, ARCHIVES))
    archive, folder = ARCHIVES[name], Path(folder).expanduser()
    address = url or archive.url
    if "://" not in address:
        raise DataError(f"{address!r} is no URL; Allowed: such as {archive.url!r}")
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        file = pooch.retrieve(
            address,
            known_hash=f"sha256:{archive.sha256}",
            fname=Path(archive.url).name,
            path=folder,
        )
        return _unpack(Path(file), folder, LAYOUTS[name].folder)
    except ValueError as error:  # of pooch, where the checksum is another
        raise DataError(
            f"{address} is not the official archive: its SHA-256 is not {archive.sha256}"
        ) from error
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{name} cannot be fetched from {address}: {error}") from error
    finally:
        logger.setLevel(level)


def _unpack(file: Path, folder: Path, name: str) -> Path:
    """Write the plain files of an archive's one folder, and nothing else that it may hold.

    No link, no device and no path of the archive is followed, so nothing can land elsewhere.
    """
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    found = 0
    with tarfile.open(file) as archive:
        for member in archive:
            parts = member.name.removeprefix("./").split("/")
            plain = member.isreg() and len(parts) == 2 and parts[0] == name
            if not plain or parts[1] in ("", ".", "..") or "\\" in parts[1]:
                continue
            content = archive.extractfile(member)
            if content is not None:
                (target / parts[1]).write_bytes(content.read())
                found += 1
    if not found:
        raise DataError(f"{file} holds no files in a folder {name!r}")
    return target
