"""The first thing a reader wants to know: which architecture, how good, how sure, at what price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from zc_search.benchmarks import open_benchmark
from zc_search.ensemble.tables import function_keys, select_rows
from zc_search.errors import BenchmarkError, EnsembleError
from zc_search.report.predictions import CROSS_VALIDATED
from zc_search.report.tables import Trials

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult


class Fact(NamedTuple):
    """A figure to show in large type."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """What a search found, in words and numbers.

    Attributes:
        heading: What the architecture is best at.
        architecture: Its string; None where no trial was feasible.
        summary: The finding in a sentence or two.
        interval: Positions within [0, 100] of ``low, high, predicted, true`` on a common scale,
            and the ends of that scale in percent accuracy; None without a prediction.
        facts: About the architecture.
        effort: About the search.
        caveats: What must be known before any of it is believed.
    """

    heading: str
    architecture: str | None
    summary: str
    interval: dict[str, float] | None
    facts: tuple[Fact, ...]
    effort: tuple[Fact, ...]
    caveats: tuple[str, ...]


def answer(result: SearchResult, trials: Trials, held_out: pd.DataFrame | None) -> Answer:
    """Put together what section 1 of the report says.

    Args:
        result: Of the search.
        trials: Its trials.
        held_out: See `held_out_predictions`; None where there are none.
    """
    effort = _effort(result, trials)
    caveats = []
    if provenance := accuracy_provenance(result):
        caveats.append(f"True accuracies: {provenance}")
    if result.best is not None:
        best = result.best
        summary = (
            f"The ensemble predicts {best.predicted:.2f} %, with a 90 % interval from "
            f"{best.low:.2f} to {best.high:.2f} %."
        )
        if best.true is not None:
            summary += f" Training it really gave {best.true:.2f} %"
            if best.rank is not None and best.out_of is not None:
                share = 100 * best.rank / best.out_of
                summary += (
                    f": place {best.rank:,} of {best.out_of:,}, in the best {_share(share)} %"
                )
            summary += "."
        caveats = [*_in_sample(result, trials, held_out), *_regret(result, trials), *caveats]
        return Answer(
            "Best architecture by prediction",
            best.architecture,
            summary,
            _interval(best.predicted, best.low, best.high, best.true),
            _facts(trials, best.architecture),
            effort,
            tuple(caveats),
        )
    ranked = _first_ranked(result, trials)
    row = _first(trials) if ranked is None else ranked[1]
    if row is None:
        return Answer(
            "No architecture could be scored",
            None,
            f"None of the {len(trials.table):,} trials was feasible.",
            None,
            (),
            effort,
            tuple(_reasons(trials)),
        )
    if ranked is not None:
        return Answer(
            f"First by the {ranked[0]}",
            str(row["architecture"]),
            _unchecked(result),
            None,
            _facts(trials, str(row["architecture"])),
            effort,
            tuple(caveats),
        )
    by = trials.metric or next(iter(trials.objectives), "")
    summary = (
        f"There is no ensemble, so nothing is predicted. Of the architectures looked at, this one "
        f"has the best {by}: {float(row[by]):.5g}"
        + (" %, as training really gave it." if trials.metric else ".")
    )
    return Answer(
        f"Best architecture by {'true accuracy' if trials.metric else by}",
        str(row["architecture"]),
        summary,
        None,
        _facts(trials, str(row["architecture"])),
        effort,
        tuple(caveats),
    )


def _unchecked(result: SearchResult) -> str:
    """Say what a ranking without accuracies is worth, before and after training the first few."""
    said = "No accuracy was known to the ranking, so no percentage is predicted"
    if (result.folder / "training" / "notes.json").exists():
        return f"{said}; what training the first few gave is among the notes."
    where = "on images of your own, " if result.config.data.generated else ""
    advice = f"{where}`zc-search train` trains the first few against random ones."
    return f"{said} and nothing here was checked: {advice}"


def accuracy_provenance(result: SearchResult) -> str:
    """Say what the true accuracies are: data, split, epochs, seeds; empty without a benchmark."""
    if result.ensemble is not None and "accuracies" in result.ensemble.metadata:
        return str(result.ensemble.metadata["accuracies"])
    config = result.config
    if config.benchmark.name == "none":
        return ""
    try:
        return open_benchmark(
            config.benchmark.name, config.space.dataset, config.benchmark.path
        ).provenance
    except BenchmarkError:
        return f"{config.benchmark.metric} of {config.benchmark.name}, {config.space.dataset}."


def optimum(result: SearchResult) -> float | None:
    """Return the best value that the benchmark holds; None where it cannot be asked."""
    config = result.config
    if config.benchmark.name == "none":
        return None
    try:
        opened = open_benchmark(config.benchmark.name, config.space.dataset, config.benchmark.path)
        return opened.best(config.benchmark.metric)[1]
    except BenchmarkError:
        return None


def _effort(result: SearchResult, trials: Trials) -> tuple[Fact, ...]:
    table = trials.table
    facts = [Fact("trials", f"{len(table):,}", f"{len(trials.feasible):,} feasible")]
    if "architecture" in table:
        functions = table["function_key"].nunique() if "function_key" in table else 0
        facts.append(
            Fact(
                "distinct architectures",
                f"{table['architecture'].nunique():,}",
                f"{functions:,} distinct functions" if functions else "",
            )
        )
    note = "" if trials.looked_at else "no benchmark"
    facts.append(Fact("accuracies looked at", f"{trials.looked_at:,}", note))
    if len(result.pareto):
        facts.append(Fact("on the Pareto front", f"{len(result.pareto):,}", "distinct functions"))
    if "duration" in table:
        spent = duration(float(np.nansum(trials.numbers("duration"))))
        facts.append(Fact("time", spent, "summed over trials"))
    return tuple(facts)


def _facts(trials: Trials, architecture: str) -> tuple[Fact, ...]:
    rows = trials.feasible[trials.feasible["architecture"] == architecture]
    if rows.empty:
        return ()
    row, facts = rows.iloc[0], []
    for column, name, unit, factor in (
        ("params", "parameters", "M", 1),
        ("flops", "FLOPs", "M", 1),
        ("latency_seconds", "latency of a batch", "ms", 1000),
    ):
        if column in rows and pd.notna(row[column]):
            facts.append(Fact(name, f"{row[column] * factor:.3g} {unit}"))
    if "train_seconds" in rows and pd.notna(row["train_seconds"]):
        facts.append(Fact("training", duration(float(row["train_seconds"])), "in the benchmark"))
    return tuple(facts)


def _first(trials: Trials) -> pd.Series | None:
    """Return the feasible trial with the best accuracy, else the best first objective."""
    name = trials.metric or next(iter(trials.objectives), None)
    if name is None or name not in trials.feasible or "architecture" not in trials.feasible:
        return None
    values = trials.numbers(name, trials.feasible)
    if not np.isfinite(values).any():
        return None
    best = np.nanargmax if trials.direction(name) == "maximize" else np.nanargmin
    return trials.feasible.iloc[int(best(np.where(np.isfinite(values), values, np.nan)))]


def _first_ranked(result: SearchResult, trials: Trials) -> tuple[str, pd.Series] | None:
    """Return the trial that a ranking without accuracies puts first, and what it ranks by."""
    known = {"aggregate": "accuracy-free aggregate", "transferred": "ensemble of another data set"}
    by = next((name for column, name in known.items() if column in result.ranking), None)
    if by is None or result.ranking.empty:
        return None
    best = result.ranking["architecture"].iloc[0]
    rows = trials.feasible[trials.feasible["architecture"] == best]
    return None if rows.empty else (by, rows.iloc[0])


def _in_sample(result: SearchResult, trials: Trials, held_out: pd.DataFrame | None) -> list[str]:
    """Say whether the ensemble had seen the accuracy that it predicts."""
    ensemble, best = result.ensemble, result.best
    if ensemble is None or best is None:
        return []
    own = trials.table[trials.table["architecture"] == best.architecture]
    try:
        fitted, _, _ = select_rows(trials.table, ensemble.proxies, ensemble.target, ensemble.fit_on)
    except EnsembleError:
        return []
    if not np.isin(function_keys(own), function_keys(fitted)).any():
        return ["The ensemble was not fitted to this architecture: its prediction is held out."]
    said = (
        f"In-sample: this architecture is among the {ensemble.rows} that the ensemble was fitted "
        "to, so its true accuracy was known to the fit."
    )
    if held_out is not None:
        mine = held_out[
            np.isin(held_out["function_key"], function_keys(own))
            & (held_out["how"] == CROSS_VALIDATED)
        ]
        if len(mine):
            said += (
                f" Fitted without it, in cross-validation, the prediction was "
                f"{mine['predicted'].iloc[0]:.2f} %."
            )
    return [said]


def _regret(result: SearchResult, trials: Trials) -> list[str]:
    """Say what the best of the accuracies looked at was, if it was another one."""
    if trials.metric is None or result.best is None or result.best.true is None:
        return []
    values = trials.true(trials.feasible)
    top = float(np.nanmax(values))
    if top <= result.best.true:
        return ["No feasible architecture that was looked at has a higher true accuracy."]
    return [
        f"The highest true accuracy among the feasible ones looked at is {top:.2f} %, "
        f"{top - result.best.true:.2f} points above this one's."
    ]


def _reasons(trials: Trials) -> list[str]:
    if "reason" not in trials.table:
        return []
    counts = trials.table["reason"].dropna().value_counts()
    return [f"{count} trials: {reason}" for reason, count in counts.items()]


def _interval(predicted: float, low: float, high: float, true: float | None) -> dict[str, float]:
    inside = [low, high, predicted, *([] if true is None else [true])]
    left, right = min(inside), max(inside)
    pad = 0.08 * (right - left) or 1.0
    left, right = left - pad, right + pad

    def place(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    places = {"low": place(low), "high": place(high), "predicted": place(predicted)}
    return places | ({} if true is None else {"true": place(true)})


def _share(percent: float) -> str:
    return f"{percent:.2g}" if percent < 10 else f"{percent:.0f}"


def duration(seconds: float) -> str:
    """Write a time for people: ``0.4 s``, ``92 s``, ``14 min``, ``3.2 h``."""
    for limit, size, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / size:.{1 if limit == 10 else 0}f} {unit}"
    return f"{seconds / 3600:,.1f} h"
