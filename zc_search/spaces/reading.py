"""From a text to an architecture, of whichever search space."""

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import AnyArchitecture
from zc_search.spaces.nasbench101.architecture import EXAMPLE as SPEC_EXAMPLE
from zc_search.spaces.nasbench101.architecture import ModelSpec
from zc_search.spaces.nasbench201.architecture import Architecture
from zc_search.spaces.nats_sss.architecture import EXAMPLE as SIZE_EXAMPLE
from zc_search.spaces.nats_sss.architecture import SizeArchitecture


def is_written(text: str) -> bool:
    """Whether a text has the form of an architecture, of whichever search space."""
    return "|" in text or SizeArchitecture.is_written(text) or ModelSpec.is_written(text)


def read_architecture(text: str) -> AnyArchitecture:
    """Read the text form of an architecture; its form says of which space it is.

    Raises:
        ArchitectureError: A text that is no architecture.
    """
    if isinstance(text, str) and SizeArchitecture.is_written(text):
        return SizeArchitecture.from_string(text)
    if isinstance(text, str) and ModelSpec.is_written(text):
        return ModelSpec.from_string(text)
    try:
        return Architecture.from_string(text)
    except ArchitectureError as error:
        if isinstance(text, str) and "|" in text:
            raise
        raise ArchitectureError(f"{error}, {SIZE_EXAMPLE} or {SPEC_EXAMPLE}") from None
