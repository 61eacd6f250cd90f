"""An ensemble in a terminal: facts, weights, figures of quality, constants, rankings."""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from zc_search.spaces.nasbench201.notation import compact, legend

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble

HEAVIEST = 30
"""Weights that are printed where all would be too many."""

_SHOWN = 6


def facts(ensemble: "Ensemble") -> Table:
    """Return what an ensemble is and what it was fitted to, a line each."""
    metadata = dict(ensemble.metadata)
    lines: dict[str, object] = {
        "model": f"{ensemble.model}, features {ensemble.feature_set}",
        "fitted to": _fitted_to(ensemble, metadata),
        "accuracies": _accuracies(ensemble, metadata),
    }
    scores = metadata.pop("scores", None)
    if isinstance(scores, dict):
        pairs = [f"{key} {str(value)[:12]}" for key, value in scores.items() if key != "name"]
        lines["scores"] = f"{scores.get('name', 'unnamed')}: {', '.join(pairs)}"
    for key in ("definitions", "dataset"):
        metadata.pop(key, None)
    lines |= {key.replace("_", "-"): value for key, value in metadata.items()}
    if ensemble.bounds is not None:
        lines["clipped"] = "predictions to {:g} to {:g} %".format(*ensemble.bounds)
    lines["off by"] = (
        f"{ensemble.residuals[0]:+.2f} to {ensemble.residuals[-1]:+.2f} percentage points (true "
        f"less predicted), {'held out' if ensemble.residuals_held_out else 'in-sample'}"
    )
    link = getattr(ensemble.predictor, "link", None)
    if link is not None:
        lines["link"] = (
            f"{link.unit}: {link.scores[0]:.3g} to {link.scores[-1]:.3g} is "
            f"{link.accuracies[0]:.4g} to {link.accuracies[-1]:.4g} % by {len(link.scores)} knots"
        )
    grid = Table.grid(padding=(0, 2))
    for key, value in lines.items():
        text = value if isinstance(value, str) else json.dumps(value)
        grid.add_row(Text(key, style="bold"), Text(text))
    return grid


def weights(ensemble: "Ensemble", heaviest: int | None = None) -> RenderableType:
    """Return the weights with their intervals, the heaviest first, or so many of them."""
    rows = ensemble.weights
    value = str(rows.columns[1])
    rows = rows.loc[rows[value].abs().sort_values(ascending=False, kind="stable").index]
    more = ""
    if heaviest is not None and len(rows) > heaviest:
        more = f", the {heaviest} heaviest of {len(rows)}"
        rows = rows.head(heaviest)
    if "importance" in rows:
        title = f"Importances{more}: what shuffling costs, in held-out Kendall's tau"
    else:
        title = f"Weights{more}; intercept {ensemble.intercept:.4g}; {ensemble.unit}"
    table = _table()
    table.add_column("feature", overflow="fold")
    headings = {"standard_error": "std. error", "standard_deviation": "std. deviation"}
    for column in rows.columns[1:]:
        if column not in ("low", "high"):
            table.add_column(headings.get(column, column), justify="right", no_wrap=True)
    if "low" in rows:
        table.add_column("90 % interval", justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        cells = [f"{row[value]:+.4g}", f"{row[rows.columns[2]]:.3g}"]
        if "low" in row:
            cells.append(f"{row['low']:+.4g} to {row['high']:+.4g}")
        table.add_row(Text(str(row["feature"])), *cells)
    return _titled(title, table)


def quality(rows: pd.DataFrame) -> RenderableType:
    """Return figures of quality with their 90% intervals, a row a predictor."""
    top_k = rows["top_k"].dropna()
    title = f"Rank correlation with the true accuracy, regret in %; {rows['judged'].iloc[0]}"
    table = _table()
    table.add_column("predictor")
    table.add_column("Kendall's tau", justify="right", no_wrap=True)
    table.add_column("Spearman", justify="right", no_wrap=True)
    if len(top_k):
        table.add_column(f"regret of top {int(top_k.iloc[0])}", justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        cells = [_interval(row, "kendall_tau", decimal), _interval(row, "spearman", decimal)]
        if len(top_k):
            cells.append(_interval(row, "top_k_regret", "{:.2f}".format))
        table.add_row(Text(str(row["predictor"])), *cells)
    return _titled(title, table)


def constants(ensemble: "Ensemble") -> Iterable[RenderableType]:
    """Yield tables of every constant of the features: proxies' scales, then the columns."""
    table = _table()
    table.add_column("proxy", overflow="fold")
    table.add_column("scale")
    table.add_column("constants")
    table.add_column("definition", overflow="fold")
    found = ensemble.metadata.get("definitions")
    definitions = found if isinstance(found, dict) else {}
    for scale in ensemble.features.proxies:
        fields = scale.model_dump(exclude={"proxy", "kind"})
        said = "; ".join(f"{name} {_numbers(value)}" for name, value in fields.items())
        defined = str(definitions.get(scale.proxy, "not recorded"))
        table.add_row(Text(scale.proxy), scale.kind, said or "-", Text(defined))
    yield _titled("Proxies: the scale that each is put on, fitted to the training rows", table)
    table = _table()
    table.add_column("feature", overflow="fold")
    table.add_column("mean", justify="right")
    table.add_column("scale", justify="right")
    for column in ensemble.features.columns:
        table.add_row(Text(column.name), f"{column.mean:.6g}", f"{column.scale:.6g}")
    yield _titled("Columns of the model: (value - mean) / scale", table)


def ranked(rows: pd.DataFrame, target: str, top: int) -> RenderableType:
    """Return the first of a ranking, and what its abbreviations mean."""
    table = _table()
    known = target in rows
    for heading in ("rank", "cell"):
        table.add_column(heading, justify="right" if heading == "rank" else "left", no_wrap=True)
    table.add_column("predicted %", justify="right")
    table.add_column("90 % interval", justify="right", no_wrap=True)
    if known:
        table.add_column("true %", justify="right")
        table.add_column("true rank", justify="right")
    for row in rows.head(top).to_dict("records"):
        mark = " *" if row.get("in_sample") is True else ""
        cells = [f"{row['prediction']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}"]
        if known:
            cells += [f"{row[target]:.2f}", f"{row['true_rank']:,}"]
        table.add_row(f"{row['predicted_rank']:,}", f"{compact(row['architecture'])}{mark}", *cells)
    starred = "; * in-sample: fitted to it, or to one that computes the same function"
    has_star = bool(rows.head(top).get("in_sample", pd.Series(dtype=bool)).any())
    below = Text(legend(rows["architecture"].head(1)) + (starred if has_star else ""), style="dim")
    return _titled(f"The first {min(top, len(rows))} of {len(rows)} by prediction", table, below)


def curve(summary: pd.DataFrame) -> RenderableType:
    """Return Kendall's tau of each predictor by the number of accuracies, with its interval."""
    table = _table()
    table.add_column("accuracies", overflow="fold")
    sizes = list(dict.fromkeys(summary["size"]))
    for size in sizes:
        table.add_column(str(size), justify="right", no_wrap=True)
    named = summary.assign(name=_names(summary))
    ensembles_first = named.sort_values(
        "predictor", key=lambda column: column != "ensemble", kind="stable"
    )
    for name, rows in ensembles_first.groupby("name", sort=False):
        by_size = {row["size"]: row for row in rows.to_dict("records")}
        cells = [_around(by_size[size], "kendall_tau", decimal, "\n") for size in sizes]
        table.add_row(Text(str(name)), *cells)
    draws = int(summary["draws"].max())
    return _titled(
        f"Kendall's tau on architectures not fitted to, by accuracies seen; {_mean_of(draws)}",
        table,
    )


def comparison(summary: pd.DataFrame) -> RenderableType:
    """Return figures of fits to the front and to random rows, one predictor after the other."""
    table = _table()
    for heading in ("predictor", "fitted to"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Kendall's tau", "Spearman", "regret of top 10, %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for predictor in _ensembles_first(summary["predictor"]):
        for row in summary[summary["predictor"] == predictor].to_dict("records"):
            table.add_row(
                Text(predictor),
                str(row["fit_on"]),
                _around(row, "kendall_tau", decimal),
                _around(row, "spearman", decimal),
                _around(row, "top_k_regret", "{:.2f}".format),
            )
    draws = int(summary["draws"].max())
    return _titled(f"On architectures not fitted to; {_mean_of(draws)}", table)


def _mean_of(draws: int) -> str:
    return f"mean of {draws} draws, ± its 90 % interval" if draws > 1 else "one draw"


def _ensembles_first(predictors: pd.Series) -> list[str]:
    return sorted(dict.fromkeys(map(str, predictors)), key=lambda name: name != "ensemble")


def _around(
    row: Mapping[Hashable, Any], name: str, shown: Callable[[float], str], between: str = " "
) -> str:
    """Write a mean with half the width of its interval; without one, or without both, less."""
    if pd.isna(row[name]):
        return "-"
    reach = row[f"{name}_high"] - row[name]
    return shown(row[name]) + ("" if pd.isna(reach) else f"{between}±{shown(reach)}")


def _names(summary: pd.DataFrame) -> pd.Series:
    """Name predictors; an ensemble by its model and features."""
    fitted = summary["model"].astype(object) + ", " + summary["feature_set"].astype(object)
    return fitted.where(summary["predictor"] == "ensemble", summary["predictor"])


def notes(console: Console, sentences: Iterable[str]) -> None:
    """Print sentences that a user should read, each once."""
    for sentence in dict.fromkeys(sentences):
        console.print(Text("note ", "yellow").append(sentence, "default"))


def decimal(value: float) -> str:
    """Write a number of -1 to 1 as papers do: ``.574``; ``-`` where there is none."""
    if pd.isna(value):
        return "-"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.0f}"


def _fitted_to(ensemble: "Ensemble", metadata: dict[str, Any]) -> str:
    drawn = metadata.pop("accuracies_drawn", None)
    if isinstance(drawn, dict):
        chosen = f"drawn at random with seed {drawn.get('seed')}"
    else:
        chosen = "the Pareto front" if ensemble.fit_on == "pareto" else "all that were usable"
    return f"{ensemble.rows} architectures, {chosen}"


def _accuracies(ensemble: "Ensemble", metadata: dict[str, Any]) -> str:
    said = f"{ensemble.target}, {metadata.get('dataset', 'data set not recorded')}"
    split, epochs = metadata.pop("split", None), metadata.pop("epochs", None)
    seeds = metadata.pop("training_seeds", None)
    if split is not None:
        said += f", split {split}, {epochs} epochs"
    if isinstance(seeds, dict):
        said += f", mean of {seeds.get('least')} to {seeds.get('most')} training seeds"
    told = metadata.pop("accuracies", None)
    return f"{said}. {told}" if told else said


def _interval(row: Mapping[Hashable, Any], name: str, shown: Callable[[float], str]) -> str:
    if pd.isna(row[name]):
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return shown(row[name]) + ("" if pd.isna(low) else f" [{shown(low)}, {shown(high)}]")


def _numbers(value: object) -> str:
    if isinstance(value, tuple | list) and value:
        if len(value) > _SHOWN:
            return f"{len(value)} from {value[0]:.5g} to {value[-1]:.5g}"
        return " ".join(_numbers(item) for item in value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))


def _titled(title: str, table: Table, *below: RenderableType) -> Group:
    # Rich would fold a title of the table's own to the table's width.
    return Group(Text(title, style="bold"), table, *below)
