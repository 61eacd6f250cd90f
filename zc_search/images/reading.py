"""What the sources that read files share: closed paths, images of others, and why neither is read.

Foreign formats are parsed by other people's code, which may raise anything for a damaged file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from zc_search.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is decoded, whatever a file's name ends in: Pillow's rarer decoders meet no foreign file."""

_ORIENTATION = 0x0112
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Let the block ask what lies at a path.

    Raises:
        DataError: The system does not let it look there.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"data.path = {str(path)!r}: {error.filename or path} cannot be read: "
            f"{error.strerror}; check its permissions and those of the folders above it"
        ) from error


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its camera says, or as it is where that cannot be told."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # Pillow's, for damaged metadata beside pixels that are fine
        return image
    return image if turn is None else image.transpose(turn)


def reason(error: Exception) -> str:
    """Return why something cannot be read, in a few words of one line."""
    text = str(error).partition("\n")[0]
    return "no image" if "cannot identify" in text else text[:80] or type(error).__name__
