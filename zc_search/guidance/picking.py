"""The search that looks at no accuracy: the best of random cells by their proxies."""

from collections.abc import Sequence

import numpy as np

from zc_search.ensemble import aggregate as aggregated
from zc_search.errors import ZcSearchError
from zc_search.guidance.knowledge import (
    columns_to_aggregate,
    directions_of,
    live_parameters,
    read_scores,
)
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
        scores: See `gather`; only cells in the file are drawn. Without it the cells are compared by
            the parameters of their live convolutions.
        aggregate: See ``among`` of `gather`; the ranks are those among the cells drawn.

    Raises:
        ZcSearchError: See `gather`.
        ValueError: No candidate.
    """
    if candidates < 1:
        raise ValueError(f"candidates={candidates!r}: Allowed: at least 1")
    if scores is None and aggregate:
        raise ZcSearchError("aggregate: there are no scores; name a file with scores = ...")
    table, known = read_scores(scores) if scores is not None else (None, {})
    cells = map(Architecture.from_string, table.index) if table is not None else iter(space)
    pool = [str(cell) for cell in cells if cell in space]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(pool), size=min(candidates, len(pool)), replace=False)
    names = [pool[place] for place in np.sort(drawn)]
    if table is None or scores is None:
        worth = live_parameters(names)
    else:
        among = columns_to_aggregate(scores, aggregate, known)
        worth = aggregated(table.loc[names], among, directions_of(known)).to_numpy()
    return Architecture.from_string(names[int(np.argmax(worth))])
