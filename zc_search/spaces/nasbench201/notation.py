"""Architectures in few characters, for tables in a terminal, and what the characters mean."""

from collections.abc import Iterable
from typing import Any

from zc_search.errors import ArchitectureError
from zc_search.spaces import Architecture, ModelSpec, SizeArchitecture, read_architecture

_CODES = {
    "none": "-",
    "skip_connect": "s",
    "nor_conv_1x1": "1",
    "nor_conv_3x3": "3",
    "avg_pool_3x3": "p",
    "conv1x1-bn-relu": "1",
    "conv3x3-bn-relu": "3",
    "maxpool3x3": "p",
}
_LEGENDS: dict[type[Any], str] = {
    SizeArchitecture: "cell: channels of the five stages",
    ModelSpec: "cell: operation/sources of vertices 1|2|..., then the output's sources, 0 being "
    "the input; 3 conv3x3-bn-relu, 1 conv1x1-bn-relu, p maxpool3x3",
    Architecture: "cell: edges into node 1|2|3 from nodes 0, 1, 2; 3 nor_conv_3x3, "
    "1 nor_conv_1x1, p avg_pool_3x3, s skip_connect, - none",
}


def compact(architecture: str) -> str:
    """Write an architecture in at most 25 characters, those of NAS-Bench-201 in nine.

    A cell of NAS-Bench-101 loses its dead vertices; a text that is no architecture stays.

    >>> compact("|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    '3|1-|s-p'
    >>> compact("110.01.1:conv3x3-bn-relu,maxpool3x3")
    '3/0|p/0|/12'
    """
    try:
        read = read_architecture(architecture)
    except ArchitectureError:
        return architecture
    match read:
        case Architecture():
            codes = "".join(_CODES[operation] for operation in read.ops)
            return f"{codes[:1]}|{codes[1:3]}|{codes[3:]}"
        case ModelSpec():
            return "|".join(_vertices(read.pruned or read))
    return architecture


def _vertices(spec: ModelSpec) -> Iterable[str]:
    for vertex, operation in enumerate(spec.ops[1:], start=1):
        sources = "".join(str(s) for s in range(vertex) if spec.matrix[s][vertex])
        yield f"{_CODES.get(operation, '')}/{sources}"


def legend(architectures: Iterable[str]) -> str:
    """Say how `compact` wrote the first of some architectures."""
    first = next(iter(architectures), "")
    kinds = (kind for kind in _LEGENDS if kind.is_written(first))
    return _LEGENDS[next(kinds, Architecture)]
