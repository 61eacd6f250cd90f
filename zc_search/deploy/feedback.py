"""What trainings say: by group with their spread, and an ensemble refitted on their accuracies."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from zc_search.config import Config
from zc_search.ensemble import RECOMMENDED_PROXIES, Ensemble, EnsembleSpec, ranking
from zc_search.ensemble.scores import aggregated, fit_scores
from zc_search.ensemble.tables import function_keys
from zc_search.errors import EnsembleError
from zc_search.scoring.scorer import Scorer
from zc_search.scoring.scores_file import ScoresTable
from zc_search.study.run_folder import run_path

CHOSEN = "chosen"
RANDOM = "random"
LARGEST = "most parameters"

FEWEST = 10
"""Distinct functions trained, below which nothing is fitted."""

TARGET = "val_accuracy"


class Entrant(NamedTuple):
    """An architecture to be trained, and as what: `CHOSEN`, `RANDOM` or `LARGEST`."""

    group: str
    architecture: str


def refit(
    config: Config, table: pd.DataFrame, results: pd.DataFrame, scorer: Scorer
) -> tuple[Ensemble | None, pd.DataFrame, list[str]]:
    """Fit an ensemble to accuracies of the user's own, and rank all scored with it.

    Without an ensemble, as where there are fewer than `FEWEST` accuracies, the ranking is empty.
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
    notes = [
        f"The ensemble was refitted on {ensemble.rows} accuracies of {config.dataset} itself "
        f"({model}, {features})."
    ]
    return ensemble, ranking(ensemble, table), notes + _quality(ensemble)


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
    compared = "more" if abs(gain) > error else "no more"
    return f"{said}, {compared} than its standard error of {error:.2f}."
