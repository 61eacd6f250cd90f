"""``zc-search export``: a network taken along, in formats that need no zc-search."""

import os
from pathlib import Path
from typing import Annotated

import typer

from zc_search.cli.printing import plain_console
from zc_search.cli.search import Config, Settings, config_or_starter


def export(
    what: Annotated[
        str, typer.Argument(metavar="RUN|ARCHITECTURE", show_default=False, help="Whose network.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to write; a new or an empty one.")],
    architecture: Annotated[str | None, typer.Option(help="Of a run, not the best.")] = None,
    config: Config = None,
    settings: Settings = None,
    onnx: Annotated[bool, typer.Option("--onnx/--no-onnx", help="Write ONNX too.")] = True,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Write ONNX of 8 bits too, judged on the validation images."),
    ] = False,
) -> None:
    """Write a network as Python source, weights, torch and ONNX programs, with a model card.

    Of a run it is the best of those trained, or else the first of the ranking. For an architecture
    string --config says channels, cells and images; without, those of `zc-search init`.
    """
    from zc_search.deploy.export import export_network, subject_of_cell, subject_of_run
    from zc_search.errors import UsageError
    from zc_search.report.text import notes
    from zc_search.spaces.base import space_written

    console = plain_console()
    with console.status("exporting"):
        if space_written(what) and not os.path.exists(what):  # noqa: PTH110  which may be too long
            if architecture:
                raise UsageError("--architecture chooses from a run, and a cell is given")
            subject = subject_of_cell(what, config_or_starter(config, settings))
        else:
            if config or settings:
                raise UsageError(
                    f"{'--config' if config else '--set'}: a run's network is exported with its "
                    "own settings; Allowed: for an architecture string"
                )
            subject = subject_of_run(Path(what), architecture)
        exported = export_network(subject, to, onnx=onnx, int8=int8)
    console.print(f"{subject.architecture}", soft_wrap=True)
    for name, difference in exported.differences.items():
        console.print(
            f"{name:14} computes the same (largest difference {difference:.0e} of an output)",
        )
    if (found := exported.about.int8) is not None:
        for kind in ("float", "int8"):
            console.print(
                f"{kind:5} {found[f'{kind}_accuracy']:6.2f} % of {found['judged_by']:.0f} "
                f"validation images, {found[f'{kind}_latency_ms']:.3f} ms an image, "
                f"{found[f'{kind}_bytes'] / 1000:,.0f} kB",
                soft_wrap=True,
            )
    notes(console, subject.notes)
    if not exported.trained:
        console.print("the weights are random: the network was not trained")
    console.print(
        f"wrote {', '.join(exported.files)} in {exported.folder}/",
        soft_wrap=True,
    )
    if exported.about.input.bytes and exported.trained:
        console.print(f"next: zc-search predict {exported.folder} IMAGE...", soft_wrap=True)
