"""What cells are thought to be worth before an accuracy is looked at: ranks, aggregated."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from zc_search.ensemble import aggregate, cell_features
from zc_search.ensemble.baselines import COSTS, DEFAULT_AGGREGATE
from zc_search.errors import ZcSearchError, unknown_name
from zc_search.proxies.catalogue import Direction
from zc_search.spaces.nasbench201.flow import FLOW_FEATURES

FLOW_AGGREGATE: dict[str, Direction] = {
    "stage pools": "minimize",
    "flow depth": "maximize",
    "stage 3x3 depth": "maximize",
    "stage log energy": "maximize",
}
"""What to aggregate where no proxy is known: features of the flow, from the cell's string alone.

The features were chosen with accuracies on CIFAR-10 (see `FLOW_FEATURES`), and these four of them
from few combinations, so that figures of NAS-Bench-201 are optimistic for them.
"""

PARAMS = "params"


def structure(cells: Sequence[str]) -> pd.DataFrame:
    """Return a table of cells of which no proxy is known.

    Args:
        cells: Architecture strings.

    Returns:
        The parameters of the live convolutions, in those of a 1x1 convolution, as ``params``; the
        strings are the index.
    """
    counts = cell_features(cells)
    live = 9 * counts["live nor_conv_3x3"] + counts["live nor_conv_1x1"]
    return pd.DataFrame({PARAMS: live.to_numpy()}, index=pd.Index(cells, name="architecture"))


def columns_to_aggregate(
    among: Sequence[str] | None, known: Collection[str], path: str | None
) -> tuple[str, ...]:
    """Return what a prior is aggregated from.

    Args:
        among: What is asked for; None for `FLOW_AGGREGATE` without a file, what there is of
            `DEFAULT_AGGREGATE` with one, or all of a file that has none of its proxies.
        known: The proxies known.
        path: The file that they come from; None if there is none.

    Raises:
        ZcSearchError: Something asked for is neither known nor a feature of the flow.
    """
    if among:
        check_columns(among, (*known, *FLOW_FEATURES), path)
        return tuple(among)
    if path is None:
        return tuple(FLOW_AGGREGATE)
    if not any(name in known for name in DEFAULT_AGGREGATE):
        return tuple(known)
    return tuple(name for name in DEFAULT_AGGREGATE if name in known or name in FLOW_FEATURES)


def check_columns(names: Sequence[str], known: Collection[str], path: str | None) -> None:
    """Check that columns are known.

    Raises:
        ZcSearchError: One is not.
    """
    for name in names:
        if name not in known:
            said = unknown_name("column", name, known)
            raise ZcSearchError(
                f"{path}: {said}"
                if path
                else f"there are no scores; name a file with scores = ...: {said}"
            )


def worth(table: pd.DataFrame, among: Sequence[str], known: Mapping[str, str]) -> pd.Series:
    """Return how promising cells are, more being better.

    Args:
        table: Rows of cells, with their strings as index.
        among: Columns or features of the flow.
        known: The proxies' directions; large networks count as better, if dearer.
    """
    directions = FLOW_AGGREGATE | {name: way for name, way in known.items() if name not in COSTS}
    return aggregate(table.assign(architecture=table.index), among, directions)
