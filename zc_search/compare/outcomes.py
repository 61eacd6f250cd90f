"""What came of the searches: every look, the best at the end, trajectories, tests and ranks."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wilcoxon

from zc_search._utils.files import write_atomically, writing
from zc_search.compare.run import Search, Unit, table_of
from zc_search.errors import ZcSearchError
from zc_search.spaces import Architecture

Floats = NDArray[np.float64]

NEARLY = 0.999
"""The share of the optimum that counts as nearly there."""

CLOCKS = ("accuracies", "simulated_seconds")

_ROUNDING = 1e-9  # in percent
_POINTS = 200
_QUARTILES = (0.25, 0.5, 0.75)


class Outcomes(NamedTuple):
    """All tables of a comparison.

    See `looks_table`, `summarise`, `trajectories`, `pairwise_tests` and `mean_ranks`.
    """

    looks: pd.DataFrame
    summary: pd.DataFrame
    trajectories: pd.DataFrame
    tests: pd.DataFrame
    ranks: pd.DataFrame

    def write(self, folder: Path) -> list[Path]:
        """Write every table as Parquet and, but for the looks, as CSV; return the files."""
        written = []
        with writing(str(folder), ZcSearchError):
            folder.mkdir(parents=True, exist_ok=True)
            for name, table in self._asdict().items():
                buffer = BytesIO()
                table.to_parquet(buffer, index=False)
                written.append(write_atomically(folder / f"{name}.parquet", buffer.getvalue()))
                if name != "looks":  # too long to be read by anybody
                    text = table.to_csv(index=False)
                    written.append(write_atomically(folder / f"{name}.csv", text))
        return written


def outcomes(
    looks: pd.DataFrame,
    optima: Mapping[str, float],
    at_accuracies: Sequence[int] = (),
    at_seconds: Sequence[float] = (),
) -> Outcomes:
    """Put together all tables of a comparison."""
    ends = final(looks)
    summary = summarise(looks, optima, at_accuracies, at_seconds)
    return Outcomes(looks, summary, trajectories(looks), pairwise_tests(ends), mean_ranks(ends))


def looks_table(searches: Sequence[tuple[Unit, Search]]) -> pd.DataFrame:
    """Return one row a look.

    Columns: ``dataset``, ``algorithm``, ``seed``, ``accuracies`` (looked at so far),
    ``simulated_seconds`` (their training so far), ``architecture``, ``seen`` (the accuracy told to
    the search), ``best`` (validation accuracy of the one it would choose now, mean of all training
    seeds) and, where the benchmark has it, ``test`` (that one's test accuracy). Nothing is chosen
    by test accuracy. An algorithm that looks at nothing has one row of 0 accuracies, its choice.
    """
    return pd.concat([_looks(unit, found) for unit, found in searches], ignore_index=True)


def _looks(unit: Unit, found: Search) -> pd.DataFrame:
    table = table_of(unit.dataset)
    if found.picked is None:
        indices, seen = np.array(found.looked), np.array(found.seen)
        chosen = indices[[seen[:count].argmax() for count in range(1, len(seen) + 1)]]
        count, seconds = np.arange(1, len(indices) + 1), np.cumsum(table.seconds[indices])
    else:
        indices = chosen = np.array([found.picked])
        seen, count, seconds = np.array([np.nan]), np.array([0]), np.array([0.0])
    columns: dict[str, object] = {
        "dataset": unit.dataset,
        "algorithm": unit.algorithm.label,
        "seed": unit.seed,
        "accuracies": count,
        "simulated_seconds": seconds,
        "architecture": [_name(int(index)) for index in indices],
        "seen": seen,
        "best": table.validation[chosen],
    }
    if table.test is not None:
        columns["test"] = table.test[chosen]
    return pd.DataFrame(columns)


@cache
def _name(index: int) -> str:
    return str(Architecture.from_index(index))


def final(looks: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each search."""
    return looks.drop_duplicates(["dataset", "algorithm", "seed"], keep="last", ignore_index=True)


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
        low, median, high = np.quantile(best, _QUARTILES)
        accuracies, seconds = zip(*(_first(s, NEARLY * optimum) for s in searches), strict=True)
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
            "nearly_accuracies": np.median(accuracies),
            "nearly_seconds": np.median(seconds),
        }
        if "test" in ends:
            test = ends["test"].to_numpy(float)
            row |= {"test_mean": float(test.mean()), "test_sd": _deviation(test)}
        for clock, marks, unit in zip(CLOCKS, (at_accuracies, at_seconds), ("", " s"), strict=True):
            for mark in marks:
                row[f"at {mark:g}{unit}"] = float(_best_at(searches, clock, [mark])[:, 0].mean())
        rows.append(row)
    return pd.DataFrame(rows).replace(np.inf, np.nan)


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
        first = own["simulated_seconds"][own["accuracies"] == 1].min()
        grids = {
            "accuracies": np.arange(1, int(ends["accuracies"].min()) + 1, dtype=np.float64),
            "simulated_seconds": np.geomspace(first, ends["simulated_seconds"].min(), _POINTS),
        }
        for (_, algorithm), searches in _by_algorithm(own):
            for clock, grid in grids.items():
                best = _best_at(searches, clock, grid)
                known = ~np.isnan(best).any(axis=0)
                low, median, high = np.quantile(best[:, known], _QUARTILES, axis=0)
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
        searches = [search for _, search in own.groupby("seed", sort=False)]
        yield (str(dataset), str(algorithm)), searches


def _best_at(searches: Sequence[pd.DataFrame], clock: str, grid: ArrayLike) -> Floats:
    """Return the best so far, searches x grid; NaN before a search's first look, after its end."""
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


def _deviation(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


# What is more than the luck of the seeds ----------------------------------------------------------


def pairwise_tests(ends: pd.DataFrame) -> pd.DataFrame:
    """Test each two algorithms against each other on what they found at the end.

    Wilcoxon's signed-rank test of the differences seed by seed, two-sided, equal seeds left out
    (Wilcoxon 1945); p values of one data set corrected after Holm (1979). Columns: ``dataset``,
    ``first``, ``second``, ``difference`` (median of first minus second, percent), ``wins``,
    ``ties``, ``losses`` (seeds in which the first was better, equal, worse), ``p``, ``p_holm``.
    """
    parts = []
    for dataset, best in _wide(ends):
        rows = []
        for first, second in combinations(best.columns, 2):
            pair = best[[first, second]].dropna()
            difference = (pair[first] - pair[second]).to_numpy(float)
            difference = np.where(np.abs(difference) < _ROUNDING, 0.0, difference)
            row = {
                "dataset": dataset,
                "first": first,
                "second": second,
                "difference": float(np.median(difference)),
                "wins": int(np.sum(difference > 0)),
                "ties": int(np.sum(difference == 0)),
                "losses": int(np.sum(difference < 0)),
                "p": float(wilcoxon(difference).pvalue) if difference.any() else 1.0,
            }
            rows.append(row)
        if rows:
            table = pd.DataFrame(rows)
            parts.append(table.assign(p_holm=holm(table["p"])))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def holm(p_values: ArrayLike) -> Floats:
    """Correct p values for their number (Holm 1979): the least one by all, the next by one less."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return corrected[np.argsort(order)]


def mean_ranks(ends: pd.DataFrame) -> pd.DataFrame:
    """Rank the algorithms in each seed by what they found at the end: 1 is best, ties share.

    Columns: ``dataset``, ``algorithm``, ``rank`` (mean over the seeds), ``low`` and ``high`` (its
    95 % interval, 1.96 standard errors either way; NaN of one seed, which says nothing of another).
    """
    parts = []
    for dataset, best in _wide(ends):
        ranks = best.dropna().round(9).rank(axis=1, ascending=False)
        mean, errors = ranks.mean().to_numpy(), 1.96 * ranks.sem().to_numpy()
        columns = {
            "dataset": dataset,
            "algorithm": best.columns,
            "rank": mean,
            "low": mean - errors,
            "high": mean + errors,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _wide(ends: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield for each data set what was found: a row a seed, a column an algorithm."""
    for dataset, own in ends.groupby("dataset", sort=False):
        wide = own.pivot_table(index="seed", columns="algorithm", values="best", sort=False)
        yield str(dataset), wide[list(dict.fromkeys(own["algorithm"]))]
