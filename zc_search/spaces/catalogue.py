"""The search spaces by name: a space is entered here, and everything else follows."""

from collections.abc import Mapping
from typing import Any

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import AnyArchitecture, AnySpace
from zc_search.spaces.nasbench101.architecture import ModelSpecSpace
from zc_search.spaces.nasbench201.architecture import CellSpace
from zc_search.spaces.nats_sss.architecture import SizeSpace

SPACES: Mapping[str, type[AnySpace]] = {
    space.name: space for space in (CellSpace, SizeSpace, ModelSpecSpace)
}


def make_space(section: Any) -> AnySpace:
    """Return the search space that a section ``[space]`` describes.

    It has ``name`` and the keys in that space's `SearchSpace.settings` as attributes.
    """
    return SPACES[section.name].from_settings(section)


def is_written(text: str) -> bool:
    """Whether a text has the form of an architecture, of whichever search space."""
    return any(space.kind.is_written(text) for space in SPACES.values())


def read_architecture(text: str) -> AnyArchitecture:
    """Read the text form of an architecture; its form says of which space it is.

    Raises:
        ArchitectureError: A text that is no architecture.
    """
    for space in SPACES.values():
        if isinstance(text, str) and space.kind.is_written(text):
            architecture: AnyArchitecture = space.kind.from_string(text)
            return architecture
    *examples, last = (space.example for space in SPACES.values())
    raise ArchitectureError(
        f"not an architecture string: {text!r}; such as {', '.join(examples)} or {last}",
        given=text,
        allowed=(*examples, last),
    )
