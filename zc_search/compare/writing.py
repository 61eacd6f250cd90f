"""The tables of a comparison as files."""

from io import BytesIO
from pathlib import Path

from zc_search._utils.files import write_atomically
from zc_search.compare.outcomes import Outcomes
from zc_search.errors import ZcSearchError

_LONG = ("looks",)
"""Tables too long to be read by anybody: Parquet alone."""


def write_tables(outcomes: Outcomes, folder: Path) -> list[Path]:
    """Write every table as Parquet and, but for the looks, as CSV.

    Returns:
        The files.

    Raises:
        ZcSearchError: The folder cannot be written to.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in outcomes._asdict().items():
            buffer = BytesIO()
            table.to_parquet(buffer, index=False)
            written.append(write_atomically(folder / f"{name}.parquet", buffer.getvalue()))
            if name not in _LONG:
                text = table.to_csv(index=False)
                written.append(write_atomically(folder / f"{name}.csv", text))
    except OSError as error:
        raise ZcSearchError(f"{str(folder)!r} cannot be written to: {error.strerror}") from error
    return written
