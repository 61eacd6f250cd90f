"""``zc-search predict``: which classes an exported network sees in pictures."""

import json
from pathlib import Path
from typing import Annotated

import typer


def predict(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="NETWORK", show_default=False, help="Folder that `zc-search export` wrote."
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", show_default=False, help="Picture files.")
    ],
    top: Annotated[int, typer.Option(min=1, help="Classes to name, the likeliest first.")] = 5,
    int8: Annotated[bool, typer.Option("--int8", help="Use the program of 8 bits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Name the classes of pictures with their probabilities, from an exported folder alone.

    Pictures are brought to the network's size and normalised as those that it was trained on.
    """
    from zc_search.deploy.prediction import ExportedNetwork

    opened = ExportedNetwork(network, int8=int8)
    found = [
        (str(file), [(opened.labels[place], float(row[place])) for place in (-row).argsort()[:top]])
        for file, row in zip(images, opened.probabilities(images), strict=True)
    ]
    if as_json:
        document = [
            {"image": file, "classes": [{"class": c, "probability": p} for c, p in classes]}
            for file, classes in found
        ]
        typer.echo(json.dumps({"trained": opened.about.trained, "images": document}, indent=2))
        return
    for file, classes in found:
        typer.echo(f"{file}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in classes))
    if not opened.about.trained:
        typer.echo("the weights are random: the network was not trained")
