"""From the settings of a search to its space."""

from zc_search.config import Space
from zc_search.spaces.base import AnySpace
from zc_search.spaces.nasbench101.space import ModelSpecSpace
from zc_search.spaces.nasbench201.space import CellSpace
from zc_search.spaces.nats_sss.architecture import SizeSpace


def make_space(settings: Space) -> AnySpace:
    """Return the search space that a configuration describes."""
    match settings.name:
        case "nats_sss":
            return SizeSpace(settings.stage_channels)
        case "nasbench101":
            return ModelSpecSpace(settings.vertices or 7, settings.operations or ())
        case _:
            return CellSpace(settings.choices)
