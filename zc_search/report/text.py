"""A result as text: tables for a terminal, and JSON for machines.

Tables have as many columns as fit, and no number is cut short.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from zc_search._utils.text import between, counted
from zc_search.config.metrics import METRICS
from zc_search.spaces import compact, legend

if TYPE_CHECKING:  # a search brings Optuna with it, and most tables are printed without one
    from zc_search.ensemble import Ensemble
    from zc_search.study.record import Best, Pick, SearchResult

Row = Mapping[Hashable, Any]

_HEADINGS = {
    "val_accuracy": "true %",
    "test_accuracy": "true %",
    "params": "Mparams",
    "flops": "MFLOPs",
    "latency_seconds": "ms",
}
_GAP = 2
"""Characters between two columns."""


def table(
    title: str, headings: Iterable[str], rows: Iterable[Iterable[object]], *below: str
) -> Group:
    """Return a table under a line of title, above lines that explain it; nothing in it is markup.

    A heading that begins with ``>`` is of a column of numbers, which are never broken.
    """
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        right = heading.startswith(">")
        name = Text(heading.removeprefix(">"))
        made.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    above = [Text(title, "bold")] if title else []
    return Group(*above, made, *(Text(line, "dim") for line in below if line))


def listed(facts: Mapping[str, object]) -> Table:
    """Return facts by name, a line each."""
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value)
        grid.add_row(Text(key, "bold"), Text(text))
    return grid


def notes(console: Console, sentences: Iterable[str]) -> None:
    """Print sentences that a user should read, each once."""
    grid = Table.grid(padding=(0, 1))
    for sentence in dict.fromkeys(sentences):
        grid.add_row(Text("note", "yellow"), Text(sentence, overflow="fold"))
    if grid.row_count:
        console.print(grid)


def decimal(value: float) -> str:
    """Write a number of -1 to 1 as papers do: ``.574``; ``-`` where there is none."""
    if pd.isna(value):
        return "-"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.0f}"


def percent(value: float | None) -> str:
    """Write a percentage or percentage points; ``-`` where there is none."""
    return "-" if pd.isna(value) else f"{value:.2f}"


def interval(row: Row, name: str, shown: Callable[[float], str] = decimal) -> str:
    """Write a figure with its interval, ``.574 [.512, .630]``, as far as they are known."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    ends: str = "" if pd.isna(row[name]) or pd.isna(low) else f" [{shown(low)}, {shown(high)}]"
    return shown(row[name]) + ends


def around(row: Row, name: str, shown: Callable[[float], str] = decimal, between: str = " ") -> str:
    """Write a mean with half the width of its interval, ``.574 ±.021``."""
    reach = row[f"{name}_high"] - row[name]
    return shown(row[name]) + ("" if pd.isna(reach) else f"{between}±{shown(reach)}")


# Ensembles ----------------------------------------------------------------------------------------


def weights(ensemble: Ensemble, most: int | None = None, name: str = "Ensemble") -> Group:
    """Return the weights with their intervals, or importances, the heaviest first.

    Of more than `most`, those of the proxies and, of the others, the heaviest are shown.
    """
    rows = ensemble.weights
    value, spread = map(str, rows.columns[1:3])
    rows = rows.loc[rows[value].abs().sort_values(ascending=False, kind="stable").index]
    below = ""
    if most is not None:
        others = rows.index[~rows["feature"].isin(ensemble.proxies)]
        dropped = others[max(0, most - len(rows) + len(others)) :]
        if len(dropped) > 1:  # a line that says so takes as much room as one weight
            rows, below = rows.drop(dropped), f"and {len(dropped)} of less weight"
    cells = rows[["feature"]].assign(value=rows[value].map("{:+.4g}".format))
    cells["spread"] = rows[spread].map("{:.3g}".format)
    headings = ["feature", f">{value}", ">" + spread.replace("standard", "std.").replace("_", " ")]
    more = "importance is the held-out Kendall's tau lost by shuffling"
    if "low" in rows:
        more = f"intercept {ensemble.intercept:.4g}; {ensemble.unit}"
        headings.append(">90 % interval")
        ends = zip(rows["low"], rows["high"], strict=True)
        cells["interval"] = [f"{low:+.4g} to {high:+.4g}" for low, high in ends]
    fitted = f"{counted(ensemble.rows, 'architecture')} ({ensemble.fit_on})"
    title = f"{name}: {ensemble.model}, fitted to {fitted}; {more}"
    return table(title, headings, cells.to_numpy(), below)


def quality(rows: pd.DataFrame, *, regret: bool = True) -> Group:
    """Return `Ensemble.quality`, a row a predictor, or correlations; intervals where they fit."""
    top_k = rows["top_k"].dropna()
    headings = ["predictor", ">Kendall's tau", ">Spearman", *[">nDCG"] * regret]
    if regret and len(top_k):
        headings.append(f">regret of top {int(top_k.iloc[0])}, %")
    cells = []
    for row in rows.to_dict("records"):
        texts = [interval(row, "kendall_tau"), decimal(row["spearman"])]
        texts += [decimal(row["ndcg"]), interval(row, "top_k_regret", percent)]
        cells.append([row["predictor"], *texts][: len(headings)])
    title = f"Rank correlation with the true accuracy; {rows['judged'].iloc[0]}"
    return table(title, headings, cells)


def ranked(rows: pd.DataFrame, target: str, top: int) -> Group:
    """Return the first of a ranking, and what its abbreviations mean."""
    first, known = rows.head(top), target in rows
    headings = [">rank", "cell", ">predicted %", ">90 % interval"]
    headings += [">true %", ">true rank"] * known
    cells = [
        [
            f"{row['predicted_rank']:,}",
            compact(row["architecture"]) + " *" * (row.get("in_sample") is True),
            percent(row["prediction"]),
            between(row["low"], row["high"]) or "-",
            *([percent(row[target]), f"{row['true_rank']:,}"] if known else []),
        ]
        for row in first.to_dict("records")
    ]
    below = legend(first["architecture"])
    if bool(first.get("in_sample", pd.Series(dtype=bool)).any()):
        below += "; * in-sample: fitted to it, or to one that computes the same function"
    title = f"The first {len(first)} of {len(rows)} by prediction"
    return table(title, headings, cells, below)


def curve(summary: pd.DataFrame) -> Group:
    """Return Kendall's tau of each predictor by the number of accuracies, with its interval."""
    sizes = list(dict.fromkeys(summary["size"]))
    fitted = summary["model"].astype(object) + ", " + summary["feature_set"].astype(object)
    names = fitted.where(summary["predictor"] == "ensemble", summary["predictor"])
    cells = []
    for name, rows in _ensembles_first(summary.assign(name=names)).groupby("name", sort=False):
        by_size = {row["size"]: row for row in rows.to_dict("records")}
        cells.append([name, *(around(by_size[s], "kendall_tau", between="\n") for s in sizes)])
    title = "Kendall's tau on architectures not fitted to, by accuracies seen"
    headings = ["accuracies", *(f">{size}" for size in sizes)]
    return table(f"{title}; {_mean_of(summary)}", headings, cells)


def protocol(summary: pd.DataFrame) -> Group:
    """Return Kendall's tau under a published protocol: a block a model, a line a data set, size."""
    headings = ["data set", ">accu-\nracies", ">as\npublished", ">others'", ">of\nceiling"]
    headings += [">not\nfitted to", ">first\nhalf", ">second\nhalf", ">best\n10 %"]
    blocks = []
    for kind, found in summary.groupby(["model", "feature_set"], sort=False):
        cells = []
        for key, rows in found.groupby(["dataset", "size"], sort=False):
            published, unseen, *others = rows.to_dict("records")
            beside = (decimal(published[name]) for name in ("published", "of_ceiling"))
            taus = [around(row, "kendall_tau") for row in (published, unseen)]
            halves = (decimal(row["kendall_tau"]) for row in others)
            cells.append([*key, taus[0], *beside, taus[1], *halves])
        title = f"Kendall's tau, {', '.join(map(str, kind))}"
        title += f"; {_mean_of(found)}" if found["size"].any() else ""
        blocks.append(table(title, headings, cells))
    below = (
        f"others': {summary['by'].iloc[0]}, judged as published. of ceiling: ours, of what the "
        "noise of training seeds allows. not fitted to: on other functions, on both halves of "
        "these (by SHA-256), and on the truly best 10 % of them."
    )
    return Group(*blocks, Text(below, "dim"))


def comparison(summary: pd.DataFrame) -> Group:
    """Return figures of fits to the front and to random rows, one predictor after the other."""
    headings = ["predictor", "fitted to", ">Kendall's tau", ">Spearman", ">nDCG"]
    cells = [
        [row["predictor"], row["fit_on"]]
        + [around(row, name) for name in ("kendall_tau", "spearman", "ndcg")]
        + [around(row, "top_k_regret", percent)]
        for _, rows in _ensembles_first(summary).groupby("predictor", sort=False)
        for row in rows.to_dict("records")
    ]
    title = f"On architectures not fitted to; {_mean_of(summary)}"
    return table(title, [*headings, ">regret of top 10, %"], cells)


def _mean_of(summary: pd.DataFrame) -> str:
    draws = int(summary["draws"].max())
    return f"mean of {draws} draws, ± its 90 % interval" if draws > 1 else "one draw"


def _ensembles_first(summary: pd.DataFrame) -> pd.DataFrame:
    return summary.sort_values("predictor", key=lambda names: names != "ensemble", kind="stable")


# A result -----------------------------------------------------------------------------------------


def print_result(console: Console, result: SearchResult, rows: int = 15) -> None:
    """Print the Pareto front, the ensembles, the best architecture, and where the files are."""
    for part in _parts(result, rows, console.width):
        console.print(part)
        console.print()
    if result.notes:
        notes(console, result.notes)
        console.print()
    if (result.best or result.best_seen) is not None:
        _print_best(console, result)
        console.print()
    trainable = not result.config.data.generated and result.trained.empty and len(result.ranking)
    page = result.folder / "report.html"
    lines = {
        "next": f"zc-search train {result.folder}" if trainable else "",
        "look at": page if page.exists() else "",
        "everything in": result.folder,
    }
    for what, where in lines.items():
        if where:
            console.print(Text(f"{what:15}", "bold").append(str(where), "default"), soft_wrap=True)


def _parts(result: SearchResult, rows: int, width: int) -> Iterator[Group | Text]:
    from zc_search.report.answer import difference_of_ensembles

    if len(result.trained):
        yield trained(result)
    if not result.pareto.empty:
        yield pareto(result, rows, width)
        if result.config.output.figures and (known := figures(result.pareto, width)):
            yield known
    if (chosen := result.pick) is not None:
        yield pick(chosen, result.config.output.pick)
    both = {"Ensemble": result.ensemble, "Ensemble of the front": result.pareto_ensemble}
    for name, ensemble in both.items():
        if ensemble is not None:
            yield weights(ensemble, most=12, name=name)
            judged = ensemble.quality if ensemble is result.ensemble else ensemble.quality.head(1)
            if not judged.empty:
                yield quality(judged, regret=False)
    if difference := difference_of_ensembles(result):
        yield Text(difference)


def trained(result: SearchResult) -> Group:
    """Return what was trained, a row an architecture, the best that keeps all constraints first."""
    from zc_search.report.answer import trained_rows, worst_classes

    rows = trained_rows(result)
    headings = [n if n in ("group", "architecture") else f">{n}" for n in rows[0]]
    cells = [{**row, "architecture": compact(row["architecture"])}.values() for row in rows]
    title = "Trained, the best feasible first, which is the one exported"
    below = (worst_classes(result), legend(row["architecture"] for row in rows))
    return table(title, headings, cells, *below)


def pareto(result: SearchResult, rows: int, width: int) -> Group:
    """Return the first rows of the Pareto front, in columns that fit.

    Accuracy and objectives come before costs where there is no room for all; what is left out is
    named. Architectures are written in full where they fit beside all columns.
    """
    front = result.pareto
    objectives = [o.name for o in result.config.active_objectives]
    wanted = (result.config.benchmark.metric, *objectives, "params", "flops", "latency_seconds")
    shown, cells = front.head(rows), front["architecture"].head(rows).map(str).tolist()
    trials = {">trial": [str(number) for number in shown["number"]]}
    numbers = {
        f">{_HEADINGS.get(name, name)}": [_number(name, float(value)) for value in shown[name]]
        for name in dict.fromkeys(wanted)
        if name in front.columns
    }
    columns = trials | {"architecture": cells} | numbers
    if fits := len(_fitting(columns, width)) == len(columns):
        chosen = columns
    else:
        columns = trials | {"cell": [compact(cell) for cell in cells]} | numbers
        chosen = _fitting(columns, width)
    left_out = ", ".join(name.removeprefix(">") for name in columns if name not in chosen)
    more = f", the first {rows}; all in pareto.csv" if len(front) > rows else ""
    return table(
        f"Pareto front: {counted(len(front), 'distinct architecture')}{more}",
        chosen,
        zip(*chosen.values(), strict=True),
        "" if fits else legend(cells),
        f"no room here for {left_out}: see pareto.csv" if left_out else "",
    )


def figures(front: pd.DataFrame, width: int) -> Group | None:
    """Return all that the benchmark knows of the first trials of a front, as many as fit."""
    names = [name for name in METRICS if name in front and front[name].notna().any()]
    columns = {"trial": [", ".join(filter(None, (n, METRICS[n].unit))) for n in names]}
    for number, values in zip(front["number"], front[names].to_numpy(float), strict=True):
        columns[f">{number}"] = ["-" if np.isnan(v) else f"{v:.4g}" for v in values]
    shown = _fitting(columns, width)
    if not names or len(shown) < 2:
        return None
    cut = f"the first {len(shown) - 1} of {len(front)}; all in pareto.csv"
    title, rows = "What the benchmark knows of these trials", zip(*shown.values(), strict=True)
    return table(title, shown, rows, cut if len(shown) <= len(front) else "")


def _fitting(columns: Mapping[str, list[str]], width: int) -> dict[str, list[str]]:
    """Return the columns, from the first, that a line has room for."""
    needed = [max(map(len, (name.removeprefix(">"), *c))) for name, c in columns.items()]
    ends = np.cumsum([_GAP + each for each in needed]) - _GAP
    return dict(list(columns.items())[: int((ends <= width).sum())])


def _number(name: str, value: float) -> str:
    return "-" if pd.isna(value) else f"{value * (1000 if name == 'latency_seconds' else 1):.4g}"


def _print_best(console: Console, result: SearchResult) -> None:
    best, seen = result.best, result.best_seen
    if best is not None:
        if result.unseen:
            console.print(not_looked_at(result.unseen, len(result.ranking)))
            console.print()
        title = "best by prediction" + ", of those not looked at" * bool(result.unseen)
        console.print(Text(title, "bold"))
        # Broken between nodes and nowhere else, so that it can be read where it does not fit.
        fits, cell = len(best.architecture) + 2 <= console.width, best.architecture
        for node in [cell] if fits else cell.replace("+", "+\n").splitlines():
            console.print(Text(f"  {node}"), soft_wrap=True)
        line = f"predicted {best.predicted:.2f} %"
        line += f" (90 %: {best.interval})" if best.interval else ""
        console.print(Text(line if best.true is None else f"{line}, {_true(best)}"))
        if best.in_sample:
            known = "in-sample: its true accuracy is one that the ensemble was fitted to"
            console.print(Text(known))
    if seen is None or seen.true is None or (best and seen.architecture == best.architecture):
        return
    console.print(Text("best that was looked at", "bold"))
    if best is None:
        console.print(Text(f"  {seen.architecture}"), soft_wrap=True)
        console.print(Text(_true(seen)))
    else:
        console.print(Text(f"  {compact(seen.architecture)}: {_true(seen)}"))


def _true(best: Best) -> str:
    return ", ".join(filter(None, (f"true {best.true:.2f} %", best.place)))


def pick(chosen: Pick, by: object) -> Group:
    """Return the architecture picked from the front, and by objective how far it goes."""
    headings = ["objective", ">picked", ">best on the front", ">from worst to best"]
    cells = [
        [name, f"{value:.4g}", f"{chosen.best[name]:.4g}", f"{100 * chosen.shares[name]:.0f} %"]
        for name, value in chosen.values.items()
    ]
    how = "its knee" if by == "knee" else "by your weights"
    title = f"Picked from the front, {how}: {compact(chosen.architecture)}"
    return table(title, headings, cells, legend([chosen.architecture]))


def not_looked_at(unseen: Sequence[Best], functions: int) -> Group:
    """Return the best of the whole space that a search has not looked at, by prediction."""
    known = any(best.true is not None for best in unseen)
    cells = []
    for best in unseen:
        true = [percent(best.true), f"{best.rank:,}" if best.rank else "-"] * known
        ends = [percent(best.predicted), best.interval or "-"]
        cells.append([compact(best.architecture), *ends, *true])
    headings = ["cell", ">predicted %", ">90 % interval", *[">true %", ">true rank"] * known]
    title = f"Not looked at, the first {len(unseen)} by prediction of {functions:,} functions"
    return table(title, headings, cells, legend(best.architecture for best in unseen))


def result_document(result: SearchResult) -> str:
    """Return a result as one JSON document: all that is printed, NaN as null, infinities by name.

    ``pareto`` has the rows of ``pareto.csv``; ``report``, ``ensemble`` and ``best`` may be null.
    """
    from zc_search.report.run import plain

    def row(values: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(name): plain(value) for name, value in values.items()}

    def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
        return [row(record) for record in frame.to_dict("records")]

    trials, ensemble, best = result.trials, result.ensemble, result.best
    report = result.folder / "report.html"
    document = {
        "study": result.config.study.name,
        "folder": str(result.folder),
        "report": str(report) if report.exists() else None,
        "trials": len(trials),
        "feasible": int(trials["feasible"].sum()) if len(trials) else 0,
        "functions": int(trials["function_key"].nunique()) if len(trials) else 0,
        "pareto": rows(result.pareto),
        "ensemble": ensemble
        and {
            **{name: getattr(ensemble, name) for name in ("model", "fit_on", "rows", "unit")},
            "weights": rows(ensemble.weights),
            "quality": rows(ensemble.quality),
        },
        "pick": result.pick and asdict(result.pick),
        "best": (shown := best or result.best_seen) and row(vars(shown)),
        "trained": rows(result.trained),
        "best_seen": result.best_seen and row(vars(result.best_seen)),
        "unseen": [row(vars(each)) for each in result.unseen],
        "notes": list(result.notes),
        "seconds": row(result.seconds),
    }
    return json.dumps(document, indent=2, allow_nan=False)
