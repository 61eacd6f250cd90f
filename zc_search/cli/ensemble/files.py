"""Files that the subcommands write: tables, and a curve as a page and as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from zc_search._utils.files import write_atomically
from zc_search.errors import EnsembleError, ZcSearchError

if TYPE_CHECKING:
    import pandas as pd

    from zc_search.ensemble.curves import Judged


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, numbers with all their digits.

    Raises:
        EnsembleError: It cannot be written.
    """
    try:
        write_atomically(path, table.to_csv(index=False))
    except OSError as error:
        raise EnsembleError(f"{path} cannot be written: {error.strerror}") from error


def write_curve(judged: "Judged", folder: Path) -> tuple[list[str], str | None]:
    """Write ``draws.csv``, ``draws.parquet``, ``summary.csv``, ``curve.html`` and ``curve.png``.

    Args:
        judged: What to write.
        folder: It is created.

    Returns:
        Names of the files written, and why there is no picture, if there is none.

    Raises:
        EnsembleError: The folder cannot be written to.
    """
    from zc_search.report import plot_learning_curve
    from zc_search.report.drawings import Drawing, write_pictures

    figure = plot_learning_curve(judged.draws)
    page = figure.to_html(include_plotlyjs=True, config={"displaylogo": False})
    contents: dict[str, str | bytes] = {
        "draws.csv": judged.draws.to_csv(index=False),
        "draws.parquet": judged.draws.to_parquet(),
        "summary.csv": judged.summary.to_csv(index=False),
        "curve.html": page,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise EnsembleError(f"{folder} cannot be written to: {error.strerror}") from error
    drawing = Drawing("curve", "Learning curve", {"": lambda: figure})
    try:
        pictures = write_pictures([drawing], folder)
    except ZcSearchError as error:  # a picture is a luxury, the page shows the same
        return list(contents), f"No picture: {error}"
    return [*contents, *(path.name for path in pictures)], None
