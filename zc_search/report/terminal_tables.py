"""A result's tables for a terminal: as many columns as fit, no number cut short."""

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zc_search.ensemble import Ensemble
from zc_search.spaces.nasbench201.notation import compact, legend
from zc_search.study.result import SearchResult

_HEADINGS = {
    "val_accuracy": "true %",
    "test_accuracy": "true %",
    "params": "Mparams",
    "flops": "MFLOPs",
    "latency_seconds": "ms",
}
_FACTORS = {"latency_seconds": 1000}
_GAP = 2
"""Characters between two columns."""


def pareto(result: SearchResult, rows: int, width: int) -> Group:
    """Return the first rows of the Pareto front, in columns that fit.

    Accuracy and objectives come before costs where there is no room for all; what is left out is
    named. Architectures are written in full where they fit beside all columns.

    Args:
        result: Of a search.
        rows: How many at most.
        width: Of the terminal, in characters.
    """
    front = result.pareto
    objectives = [o.name for o in result.config.active_objectives]
    wanted = (result.config.benchmark.metric, *objectives, "params", "flops", "latency_seconds")
    names = [name for name in dict.fromkeys(wanted) if name in front.columns]
    shown = front.head(rows)
    columns = [
        (
            _HEADINGS.get(name, name),
            [_number(float(value) * _FACTORS.get(name, 1)) for value in shown[name]],
        )
        for name in names
    ]
    trials = ("trial", [str(number) for number in shown["number"]])
    cells = [str(cell) for cell in shown["architecture"]]
    short = ("cell", [compact(cell) for cell in cells])
    full = ("architecture", cells)
    fits = _fitting([trials, full, *columns], width) == 2 + len(columns)
    first = [trials, full if fits else short]
    number = _fitting([*first, *columns], width) - 2
    table = _table()
    for place, (heading, _) in enumerate([*first, *columns[:number]]):
        table.add_column(Text(heading), justify="left" if place == 1 else "right", no_wrap=True)
    for row in zip(*(texts for _, texts in [*first, *columns[:number]]), strict=True):
        table.add_row(*map(Text, row))
    more = f", the first {rows}; all in pareto.csv" if len(front) > rows else ""
    below = [] if fits else [Text(legend(cells), "dim")]
    if left_out := [heading for heading, _ in columns[number:]]:
        below.append(Text(f"no room here for {', '.join(left_out)}: see pareto.csv", "dim"))
    return _titled(
        f"Pareto front: {len(front):,} distinct architecture{'s' * (len(front) != 1)}{more}",
        table,
        *([Text()] if below else []),
        *below,
    )


def weights(ensemble: Ensemble, rows: int = 12) -> Group:
    """Return the weights of an ensemble with their intervals, or its importances.

    Args:
        ensemble: Of a search.
        rows: How many at most: those of the proxies and, of the others, the heaviest.
    """
    frame = ensemble.weights
    proxies = frame["feature"].isin(ensemble.proxies)
    others = frame.loc[~proxies, frame.columns[1]].abs().sort_values(ascending=False, kind="stable")
    room = max(0, rows - int(proxies.sum()))
    left_out = len(others) - room
    if left_out > 1:  # a line that says so takes as much room as one weight
        frame = frame.loc[[*frame.index[proxies], *others.index[:room]]]
    table = _table()
    table.add_column("feature", overflow="fold")
    for column in frame.columns[1:]:
        table.add_column(str(column).replace("_", " "), justify="right", no_wrap=True)
    for _, row in frame.iterrows():
        cells = (
            f"{row[c]:.3f}" if str(c).startswith("standard") else f"{row[c]:+.3f}"
            for c in frame.columns[1:]
        )
        table.add_row(Text(str(row["feature"])), *cells)
    scale = f"{ensemble.unit}; 90 % intervals" if "weight" in frame else "Kendall's tau lost"
    return _titled(
        f"Ensemble: {ensemble.model}, fitted to {ensemble.rows} architectures "
        f"({ensemble.fit_on}); {scale}",
        table,
        *(
            [Text(), Text(f"and {left_out} of less weight: see ensemble.toml", "dim")]
            if left_out > 1
            else []
        ),
    )


def quality(frame: pd.DataFrame) -> Group:
    """Return how well an ensemble and what it has to beat rank what they have not seen.

    Args:
        frame: See `Ensemble.quality`.
    """
    table = _table()
    table.add_column("predictor", overflow="fold")
    table.add_column("Kendall's tau", justify="right", no_wrap=True)
    table.add_column("Spearman", justify="right", no_wrap=True)
    for _, row in frame.iterrows():
        table.add_row(Text(str(row["predictor"])), *(_interval(row, k) for k in _CORRELATIONS))
    return _titled(
        f"Rank correlation with the true accuracy; {frame['judged'].iloc[0]}",
        table,
    )


_CORRELATIONS = ("kendall_tau", "spearman")


def _interval(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return "undefined"
    if pd.isna(row[name + "_low"]):
        return f"{row[name]:.3f}"
    return f"{row[name]:.3f} ({row[name + '_low']:.3f} to {row[name + '_high']:.3f})"


def _fitting(columns: Sequence[tuple[str, list[str]]], width: int) -> int:
    """Return how many of the columns, from the first, a line has room for."""
    used = -_GAP
    for place, (heading, texts) in enumerate(columns):
        used += _GAP + max(map(len, (heading, *texts)))
        if used > width:
            return place
    return len(columns)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _titled(title: str, table: Table, *below: RenderableType) -> Group:
    return Group(Text(title, "bold"), Text(), table, *below)


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.4g}"
