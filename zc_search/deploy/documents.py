"""What an export writes for people: a cell's network as Python source, and the model card."""

import inspect
from collections.abc import Mapping
from typing import cast

from torch import Tensor

from zc_search.deploy import filled
from zc_search.deploy.prediction import Metadata
from zc_search.deploy.subject import Subject
from zc_search.spaces import EDGES, PLUGIN, Architecture
from zc_search.spaces.nasbench201.architecture import describe_cell, live_edges
from zc_search.spaces.nasbench201.network import ReLUConvBN, ResidualBlock, make_stem
from zc_search.spaces.network import stem_strides


def model_card(subject: Subject, about: Metadata, differences: Mapping[str, float]) -> str:
    """Return the model card, given how far each file is from the network, see `Exported`."""
    space, architecture = subject.space, subject.architecture
    if isinstance(architecture, Architecture):
        kind, drawn = "cell", f"The cell: {describe_cell(str(architecture))}"
    elif architecture.space != PLUGIN:
        kind, drawn = "space", "The network" * (space.draw(architecture) is not None)
    else:
        kind, drawn = type(space).__name__, "The modules"
    return filled(
        "README.md.j2",
        subject=subject,
        task=subject.task,
        about=about,
        differences=differences,
        kind=kind,
        drawn=drawn,
        sizes=subject.config.space.model_dump(include={"channels", "cells"}, exclude_none=True),
        choices=dict(getattr(space, "choices", {})),
    )


def network_source(subject: Subject) -> str:
    """Return a module with a class ``Network``, of a cell, that imports nothing but torch."""
    layers, sums = _cell(cast("Architecture", subject.architecture))
    # Parts that are there in every network are taken over word by word.
    parts = (inspect.getsource(part) for part in (ReLUConvBN, ResidualBlock, make_stem))
    return filled(
        "network.py.j2",
        subject=subject,
        task=subject.task,
        channels=subject.channels,
        strides=stem_strides(subject.task.height, subject.task.width),
        blocks="\n\n".join(parts).replace("  # type: ignore[no-any-return]", ""),
        layers=layers,
        sums=sums,
    )


def _cell(architecture: Architecture) -> tuple[list[str], list[str]]:
    """Return the lines that make a cell's layers, and those that sum up its nodes."""
    layers = []
    terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
    live = live_edges(architecture.ops, trained=True)
    for edge in live:
        (target, source), operation = EDGES[edge], architecture.ops[edge]
        term = f"node_{source}"
        if operation.startswith("nor_conv"):
            layer, kernel = f"self.edge_{target}_{source}", operation[-1]
            layers.append(f"{layer} = ReLUConvBN(channels, channels, {kernel})")
            term = f"{layer}({term})"
        elif operation == "avg_pool_3x3":
            term = f"self.pool({term})"
        terms[target].append(term)
    if "avg_pool_3x3" in {architecture.ops[edge] for edge in live}:
        layers.append("self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)")
    used = {EDGES[edge][1] for edge in live} | {3}
    nothing = "node_0.new_zeros(node_0.shape)"
    sums = [f"node_{n} = {' + '.join(terms[n]) or nothing}" for n in (1, 2, 3) if n in used]
    return layers, sums


def exported_weights(
    weights: Mapping[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """Return those weights of our own network that the exported one has, under its names."""
    live = live_edges(architecture.ops, trained=True)
    exported = {}
    for name, tensor in weights.items():
        parts = name.split(".")
        if parts[0] == "cells" and parts[2] == "layers":
            edge = int(parts[3])
            if edge not in live:
                continue
            parts[2:4] = ["edge_{}_{}".format(*EDGES[edge])]
        exported[".".join(parts)] = tensor
    return exported
