"""What trainings say: by group with their spread, and an ensemble refitted on their accuracies."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from zc_search._utils.text import between
from zc_search.config import Config
from zc_search.ensemble import RECOMMENDED_PROXIES, Ensemble, EnsembleSpec, ranking
from zc_search.ensemble.scores import aggregated, fit_scores
from zc_search.ensemble.tables import function_keys
from zc_search.errors import EnsembleError
from zc_search.scoring.scorer import Scorer
from zc_search.scoring.scores_file import ScoresTable
from zc_search.study.constraints import broken
from zc_search.study.storage import run_path

CHOSEN = "chosen"
RANDOM = "random"
LARGEST = "most parameters"
NAMED = "named"

EARLIER = "earlier"
"""The group of what an earlier call trained, and this one would not."""

FEWEST = 10
"""Distinct functions trained, below which nothing is fitted."""

TARGET = "val_accuracy"


class Entrant(NamedTuple):
    """An architecture to be trained, and as what: `CHOSEN`, `RANDOM`, `LARGEST` or `NAMED`."""

    group: str
    architecture: str


def refit(
    config: Config, table: pd.DataFrame, results: pd.DataFrame, scorer: Scorer
) -> tuple[Ensemble | None, pd.DataFrame, list[str]]:
    """Fit an ensemble to accuracies of the user's own, and rank all scored with it.

    Without an ensemble, as where there are fewer than `FEWEST` accuracies, or where it orders
    them no better than chance, the ranking is empty.
    """
    means = by_architecture(results)
    table = table.drop(columns=TARGET, errors="ignore").reset_index(drop=True)
    table[TARGET] = table["architecture"].map(means).to_numpy(dtype=float)
    known = table[np.isfinite(table[TARGET])]
    functions = len(set(function_keys(known)))
    if functions < FEWEST:
        few = f"{functions} different functions were trained, too few to refit the ensemble"
        return None, pd.DataFrame(), [f"{few}: {FEWEST} are needed; train more, with --top."]
    definitions = {p.name: p.definition for p in scorer.proxies}
    columns = [name for name in aggregated(config, list(definitions)) if name in definitions]
    # Prior knowledge that pays where accuracies are few; features of structure are of these cells.
    cells = config.space.name == "nasbench201" and set(RECOMMENDED_PROXIES) <= set(columns)
    model, features = ("gap", "rank+structure+aggregate") if cells else ("ridge", "rank")
    spec = EnsembleSpec(
        tuple(columns),
        target=TARGET,
        model=model,
        feature_set=features,
        fit_on="all",
        folds=min(5, functions // 2),
        repeats=config.ensemble.repeats,
        seed=config.ensemble.seed,
    )
    directions = {p.name: p.direction for p in scorer.proxies}
    about = (directions, definitions, scorer.batch.fingerprint)
    epochs, seeds = int(results["epochs"].max()), results["seed"].nunique()
    accuracies = (
        f"validation accuracy on {config.dataset} after {epochs} epochs, {seeds} training seeds, "
        "trained here"
    )
    try:
        ensemble = fit_scores(
            ScoresTable.of_trials(config, run_path(config), table, *about),
            spec,
            {"dataset": config.dataset, "accuracies": accuracies, "epochs": epochs},
        )
    except EnsembleError as error:
        return None, pd.DataFrame(), [f"The ensemble was not refitted: {error}."]
    if (reason := unconvincing(ensemble.quality)) is not None:
        return None, pd.DataFrame(), [reason]
    notes = [
        f"The ensemble was refitted on {ensemble.rows} accuracies of {config.dataset} itself "
        f"({model}, {features})."
    ]
    return ensemble, ranking(ensemble, table), notes + _quality(ensemble)


def unconvincing(quality: pd.DataFrame) -> str | None:
    """Say why nothing is recommended from an ensemble that orders no better than chance does."""
    rows = quality[quality["predictor"] == "ensemble"] if len(quality) else quality
    for row in rows.to_dict("records"):
        known = (row[f"kendall_tau{end}"] for end in ("", "_low", "_high"))
        tau, low, high = (math.nan if value is None else float(value) for value in known)
        if tau > 0 and not low <= 0:
            return None
        ends = f" (90 %: {interval})" if (interval := between(low, high)) else ""
        return (
            f"The ensemble was refitted, and its Kendall's tau in cross-validation is {tau:.2f}"
            f"{ends}, which may be chance: nothing is recommended from it. What was trained "
            "counts, and the search's own ranking; train more, with --top."
        )
    return None


def _quality(ensemble: Ensemble) -> list[str]:
    if ensemble.quality.empty:
        return []
    figures = ensemble.quality.set_index("predictor")["kendall_tau"]
    others = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
    notes = [f"Kendall's tau in cross-validation: {others}."]
    if figures["ensemble"] < figures["aggregate"]:
        notes.append(
            "The aggregate, which saw no accuracy, orders them better than the refitted "
            "ensemble does; until more are trained, trust ranking.csv of the search."
        )
    return notes


def by_architecture(results: pd.DataFrame) -> pd.Series:
    """Return the mean accuracy over training seeds, in percent, by architecture."""
    return results.groupby("architecture", sort=False)["accuracy"].mean()


def trained_table(
    config: Config,
    table: pd.DataFrame,
    results: pd.DataFrame,
    entrants: Sequence[Entrant],
    judged_by: int,
    tested: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return a row an architecture trained, those that keep all constraints first, then the best.

    Columns: ``group``; ``architecture``; ``accuracy``, the mean over training seeds in percent;
    ``standard_error`` of it in points, of so many validation images, `judged_by`, and of the seeds;
    ``test_accuracy`` and ``test_standard_error`` likewise, of `tested`, see `test_accuracies`, if
    there are images to test by; ``trainings``; the costs that are known, ``params`` and ``flops``
    in millions, a latency in milliseconds; ``feasible``.
    """
    groups: dict[str, dict[str, None]] = {}
    for entrant in entrants:
        groups.setdefault(entrant.architecture, {})[entrant.group] = None
    costs = ("params", "flops", *config.constraints.limits)
    scored = table.drop_duplicates("architecture").set_index("architecture")
    rows = []
    for text, mine in results.groupby("architecture", sort=False)["accuracy"]:
        known: dict[Any, Any] = scored.loc[text].to_dict() if text in scored.index else {}
        values = {name: float(known.get(name, math.nan)) for name in dict.fromkeys(costs)}
        allowed = bool(known.get("feasible", True)) and broken(config.constraints, values) is None
        test: dict[str, float] = {}
        if tested is not None and len(tested):
            own = tested[tested["architecture"] == text]
            test = {"test_accuracy": own["accuracy"].mean()}
            count = int(tested["images"].iloc[0])
            test["test_standard_error"] = _standard_error(own["accuracy"], count)
        rows.append(
            {
                "group": ", ".join(groups.get(str(text), {EARLIER: None})),
                "architecture": str(text),
                "accuracy": float(mine.mean()),
                "standard_error": _standard_error(mine, judged_by),
                **test,
                "trainings": len(mine),
                **{name: value for name, value in values.items() if name in scored},
                "feasible": allowed,
            }
        )
    order = ["feasible", "accuracy"]
    return pd.DataFrame(rows).sort_values(order, ascending=False, kind="stable", ignore_index=True)


def _standard_error(accuracies: pd.Series, images: int) -> float:
    """Return that of a mean over seeds, in points: of so many images, and of the seeds."""
    count = len(accuracies)
    spread = float(accuracies.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    return math.hypot(error_of_share(accuracies.mean(), images), spread)


def error_of_share(percent: float, images: int) -> float:
    """Return the standard error, in points, of a share of so many images; never 0."""
    share = (percent / 100 * images + 1) / (images + 2)
    return 100 * math.sqrt(share * (1 - share) / images)


def by_group(results: pd.DataFrame, entrants: Sequence[Entrant]) -> pd.DataFrame:
    """Summarise accuracies, in percent: one row a group, its spread over architectures."""
    trained = pd.DataFrame(entrants, columns=Entrant._fields)
    trained["accuracy"] = trained["architecture"].map(by_architecture(results))
    groups = trained.dropna().groupby("group", sort=False)["accuracy"]
    return groups.agg(
        architectures="size",
        mean="mean",
        spread="std",
        standard_error="sem",
        lowest="min",
        highest="max",
    ).reset_index()


def verdict(groups: pd.DataFrame) -> str | None:
    """Say whether the chosen were better than the random ones, and by more than chance would."""
    rows = groups.set_index("group")
    if not {CHOSEN, RANDOM} <= set(rows.index):
        return None
    chosen, other = rows.loc[[CHOSEN, RANDOM], "mean"]
    error, gain = math.hypot(*rows.loc[[CHOSEN, RANDOM], "standard_error"]), chosen - other
    said = (
        f"The chosen reach {chosen:.2f} % on average, as many random ones {other:.2f} %: a "
        f"difference of {gain:+.2f} points"
    )
    if not math.isfinite(error):
        return f"{said}, of one architecture each."
    compared = "more" if round(abs(gain), 2) > round(error, 2) else "no more"
    return f"{said}, {compared} than its standard error of {error:.2f}."
