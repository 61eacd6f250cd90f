"""What came of each algorithm: one table of results, and trajectories on common grids."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from zc_search.compare.significance import mean_ranks, pairwise_tests

Floats = NDArray[np.float64]

NEARLY = 0.999
"""The share of the optimum that counts as nearly there."""

CLOCKS = ("accuracies", "simulated_seconds")

_ROUNDING = 1e-9
_POINTS = 200


class Outcomes(NamedTuple):
    """All tables of a comparison.

    Attributes:
        looks: See `looks_table`.
        summary: One row a data set and algorithm; see `summarise`.
        trajectories: See `trajectories`.
        tests: See `pairwise_tests`.
        ranks: See `mean_ranks`.
    """

    looks: pd.DataFrame
    summary: pd.DataFrame
    trajectories: pd.DataFrame
    tests: pd.DataFrame
    ranks: pd.DataFrame


def outcomes(
    looks: pd.DataFrame,
    optima: Mapping[str, float],
    at_accuracies: Sequence[int] = (),
    at_seconds: Sequence[float] = (),
) -> Outcomes:
    """Put together all tables of a comparison.

    Args:
        looks: See `looks_table`.
        optima: The best validation accuracy of each data set, in percent.
        at_accuracies: Numbers of accuracies whose best is in the summary.
        at_seconds: Simulated seconds whose best is in the summary.
    """
    ends = final(looks)
    return Outcomes(
        looks,
        summarise(looks, optima, at_accuracies, at_seconds),
        trajectories(looks),
        pairwise_tests(ends),
        mean_ranks(ends),
    )


def final(looks: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each search."""
    keys = ["dataset", "algorithm", "seed"]
    return looks.drop_duplicates(keys, keep="last").reset_index(drop=True)


def summarise(
    looks: pd.DataFrame,
    optima: Mapping[str, float],
    at_accuracies: Sequence[int] = (),
    at_seconds: Sequence[float] = (),
) -> pd.DataFrame:
    """Return one row a data set and algorithm.

    Columns, over the seeds and in percent accuracy where nothing else is said: ``seeds``;
    ``accuracies`` (mean number looked at); ``mean``, ``sd``, ``median``, ``low`` and ``high`` (the
    quartiles) of the best at the end; ``test_mean`` and ``test_sd`` of the same cells, where the
    benchmark has test accuracies; ``optimum`` (share of seeds that found it); ``nearly`` (share
    that reached `NEARLY` of it), ``nearly_accuracies`` and ``nearly_seconds`` (median number of
    accuracies and of simulated seconds that took; NaN if half the seeds did not get there); and
    ``at 24``, ``at 12000 s``: mean of the best by then, NaN if a search had ended before.
    """
    rows = []
    for (dataset, algorithm), searches in _by_algorithm(looks):
        optimum = optima[dataset]
        ends = pd.DataFrame([search.iloc[-1] for search in searches])
        best = ends["best"].to_numpy(float)
        low, median, high = np.quantile(best, [0.25, 0.5, 0.75])
        near = [_first(search, NEARLY * optimum) for search in searches]
        row = {
            "dataset": dataset,
            "algorithm": algorithm,
            "seeds": len(searches),
            "accuracies": float(ends["accuracies"].mean()),
            "mean": float(best.mean()),
            "sd": _deviation(best),
            "median": median,
            "low": low,
            "high": high,
            "optimum": float(np.mean(best >= optimum - _ROUNDING)),
            "nearly": float(np.mean(best >= NEARLY * optimum)),
            "nearly_accuracies": _median([n for n, _ in near]),
            "nearly_seconds": _median([s for _, s in near]),
        }
        if "test" in ends:
            test = ends["test"].to_numpy(float)
            row |= {"test_mean": float(test.mean()), "test_sd": _deviation(test)}
        for clock, marks, unit in zip(CLOCKS, (at_accuracies, at_seconds), ("", " s"), strict=True):
            for mark in marks:
                row[f"at {mark:g}{unit}"] = float(_best_at(searches, clock, [mark])[:, 0].mean())
        rows.append(row)
    return pd.DataFrame(rows)


def trajectories(looks: pd.DataFrame) -> pd.DataFrame:
    """Return the best so far on grids that all searches of a data set share.

    Columns: ``dataset``, ``algorithm``, ``clock`` (`CLOCKS`), ``at``, and over the seeds ``mean``,
    ``median``, ``low`` and ``high`` (the quartiles), in percent. A grid ends where the first search
    does, and that of seconds is logarithmic; rows before the first look of any seed are left out.
    """
    parts = []
    for dataset, own in looks.groupby("dataset", sort=False):
        ends = final(own[own["accuracies"] > 0])
        if ends.empty:
            continue
        grids = {
            "accuracies": np.arange(1, int(ends["accuracies"].min()) + 1, dtype=np.float64),
            "simulated_seconds": np.geomspace(
                own["simulated_seconds"][own["accuracies"] == 1].min(),
                ends["simulated_seconds"].min(),
                _POINTS,
            ),
        }
        for (_, algorithm), searches in _by_algorithm(own):
            for clock, grid in grids.items():
                best = _best_at(searches, clock, grid)
                known = ~np.isnan(best).any(axis=0)
                low, median, high = np.quantile(best[:, known], [0.25, 0.5, 0.75], axis=0)
                columns = {
                    "dataset": dataset,
                    "algorithm": algorithm,
                    "clock": clock,
                    "at": grid[known],
                    "mean": best[:, known].mean(axis=0),
                    "median": median,
                    "low": low,
                    "high": high,
                }
                parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _by_algorithm(looks: pd.DataFrame) -> Iterator[tuple[tuple[str, str], list[pd.DataFrame]]]:
    for (dataset, algorithm), own in looks.groupby(["dataset", "algorithm"], sort=False):
        yield (
            (str(dataset), str(algorithm)),
            [search for _, search in own.groupby("seed", sort=False)],
        )


def _best_at(searches: Sequence[pd.DataFrame], clock: str, grid: ArrayLike) -> Floats:
    """Return the best so far, searches x grid; NaN before a search's first look and after its end.

    What looked at nothing knows its choice from the start.
    """
    grid = np.asarray(grid, dtype=np.float64)
    result = np.full((len(searches), len(grid)), np.nan)
    for row, search in zip(result, searches, strict=True):
        times, best = search[clock].to_numpy(float), search["best"].to_numpy(float)
        place = np.searchsorted(times, grid + _ROUNDING, side="right") - 1
        known = (place >= 0) & ((grid <= times[-1] + _ROUNDING) | (times[-1] == 0))
        row[known] = best[place[known]]
    return result


def _first(search: pd.DataFrame, accuracy: float) -> tuple[float, float]:
    """Return how many accuracies and simulated seconds it took to reach one; else infinity."""
    reached = np.flatnonzero(search["best"].to_numpy(float) >= accuracy)
    if not reached.size:
        return np.inf, np.inf
    row = search.iloc[reached[0]]
    return float(row["accuracies"]), float(row["simulated_seconds"])


def _median(values: Sequence[float]) -> float:
    middle = float(np.median(values))
    return middle if np.isfinite(middle) else np.nan


def _deviation(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan
