"""``zc-search report``: the page of a run anew, or several runs on one page."""

import logging
from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; several are compared.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HTML file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Folder of pictures, if wanted.")] = None,
) -> None:
    """Write the report of a run anew, or compare several runs on one page.

    A learning curve is shown if `zc-search ensemble curve RUN --out RUN/curve` made one.
    """
    from zc_search._utils.files import write_atomically, writing
    from zc_search.errors import StudyError
    from zc_search.report import compare_runs, load_result, write_report
    from zc_search.report.comparison import comparison_drawings
    from zc_search.report.page import (
        Drawing,
        run_drawings,
        write_pictures,
    )
    from zc_search.report.run import held_out_or_none, stored_learning_curve

    results = [load_result(run) for run in runs]
    drawings: list[Drawing]
    with writing("the page", StudyError):
        if len(results) == 1:
            result, folder = results[0], runs[0]
            curve = stored_learning_curve(folder)
            path = write_report(result, out or folder / "report.html", learning_curve=curve)
            drawings = [*run_drawings(result, held_out_or_none(result), curve).values()]
        else:
            path = write_atomically(out or Path("comparison.html"), compare_runs(results))
            drawings = comparison_drawings(results)
    typer.echo(f"wrote {path}")
    if png is not None:
        # What the browser mumbles beside the pictures; what goes wrong is raised.
        logging.getLogger("choreographer").setLevel(logging.CRITICAL)
        files = write_pictures(drawings, png)
        typer.echo(f"wrote {len(files)} pictures to {png}")
