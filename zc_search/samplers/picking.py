"""The search that looks at no accuracy: the best of random cells by what costs no training."""

from collections.abc import Sequence

import numpy as np

from zc_search.samplers.knowledge import read_scores
from zc_search.samplers.prior import columns_to_aggregate, structure, worth
from zc_search.spaces import Architecture, CellSpace


def zero_cost(
    space: CellSpace,
    seed: int,
    *,
    candidates: int = 3000,
    scores: str | None = None,
    aggregate: Sequence[str] | None = None,
) -> Architecture:
    """Return the best of random cells by what costs no training.

    Args:
        space: The search space.
        seed: Of the drawing.
        candidates: Cells drawn, without repeats; all if there are fewer.
        scores: See `gather`; only cells in the file are drawn.
        aggregate: See ``among`` of `gather`; the ranks are those among the cells drawn.

    Raises:
        ZcSearchError: See `gather`.
        ValueError: No candidate.
    """
    if candidates < 1:
        raise ValueError(f"candidates={candidates!r}: Allowed: at least 1")
    rng = np.random.default_rng(seed)
    known: dict[str, str] = {}
    if scores is None:
        cells = list(space)
        table = structure([str(cells[place]) for place in _drawn(rng, len(cells), candidates)])
        among = columns_to_aggregate(aggregate, table.columns, None)
    else:
        table, known = read_scores(scores)
        among = columns_to_aggregate(aggregate, known, scores)
        table = table[[Architecture.from_string(cell) in space for cell in table.index]]
        table = table.iloc[_drawn(rng, len(table), candidates)]
    return Architecture.from_string(str(worth(table, among, known).idxmax()))


def _drawn(rng: np.random.Generator, size: int, count: int) -> list[int]:
    return sorted(rng.choice(size, size=min(count, size), replace=False).tolist())
