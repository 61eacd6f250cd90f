"""Figures as picture files, drawn by Kaleido with a Chrome or Chromium that is installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zc_search.errors import ReportError, ZcSearchError
from zc_search.report.drawings import Drawing

WIDTHS = {"wide": 1000, "half": 640, "small": 480}
"""Of a picture, in pixels of a page; files have twice as many."""


def write_pictures(drawings: Iterable[Drawing], folder: str | Path) -> list[Path]:
    """Write every figure that can be drawn as PNG.

    A figure that there are several of to choose from gives a file each.

    Args:
        drawings: See `zc_search.report.drawings.run_drawings`.
        folder: Where to; it is created.

    Returns:
        The files, in the order of the drawings.

    Raises:
        ZcSearchError: The package ``kaleido`` or a browser is missing, or the folder cannot be
            written to.
    """
    try:
        import kaleido
        from choreographer.errors import BrowserFailedError, ChromeNotFoundError
    except ImportError:
        raise ZcSearchError(
            'pictures need the package kaleido: pip install "zc-search[png]"'
        ) from None
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZcSearchError(
            f"cannot write pictures to {str(folder)!r}: {error.strerror}"
        ) from error
    specs = []
    for drawing in drawings:
        try:
            figures = drawing.figures()
        except ReportError:
            continue
        for name, figure in figures.items():
            path = folder / f"{'-'.join(filter(None, (drawing.file, *name.split())))}.png"
            size = {"width": WIDTHS[drawing.layout], "height": figure.layout.height, "scale": 2}
            specs.append({"fig": figure, "path": path, "opts": {"format": "png", **size}})
    try:
        # MathJax would be fetched from the network.
        kaleido.write_fig_from_object_sync(specs, cancel_on_error=True, kopts={"mathjax": False})
    except (BrowserFailedError, ChromeNotFoundError) as error:
        raise ZcSearchError(
            "pictures need Chrome or Chromium, and none could be started: install one "
            "(apt-get install chromium), or name it in the environment variable BROWSER_PATH"
        ) from error
    return [spec["path"] for spec in specs]
