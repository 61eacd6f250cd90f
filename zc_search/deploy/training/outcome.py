"""What training found: accuracies by group with their spread, and whether the choice was better."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zc_search.deploy.training.entrants import CHOSEN, LARGEST, RANDOM, Entrant
from zc_search.ensemble import Ensemble


@dataclass(frozen=True)
class Outcome:
    """What training the best few of a run gave.

    Attributes:
        folder: Holds it all.
        results: One row a training: ``architecture, seed, epochs, accuracy`` in percent of the
            validation images after the last epoch, ``seconds``.
        groups: One row a group; see `by_group`.
        ensemble: Refitted on these accuracies; None where there are too few.
        ranking: All architectures known, in the order that the accuracies suggest; see `refit`.
        notes: A sentence for each thing a user should know.
    """

    folder: Path
    results: pd.DataFrame
    groups: pd.DataFrame
    ensemble: Ensemble | None
    ranking: pd.DataFrame
    notes: tuple[str, ...]


def by_architecture(results: pd.DataFrame) -> pd.Series:
    """Return the mean accuracy over training seeds, in percent, by architecture."""
    return results.groupby("architecture", sort=False)["accuracy"].mean()


def by_group(results: pd.DataFrame, entrants: list[Entrant]) -> pd.DataFrame:
    """Summarise accuracies by group.

    Returns:
        Columns ``group``, ``architectures``, ``mean``, ``spread`` (the standard deviation over
        architectures, each the mean of its seeds), ``standard_error`` of the mean, ``lowest``,
        ``highest``; all accuracies in percent. Spread and error of a single one are missing.
    """
    means = by_architecture(results)
    rows = []
    for group in (CHOSEN, RANDOM, LARGEST):
        names = [e.architecture for e in entrants if e.group == group and e.architecture in means]
        if not names:
            continue
        values = means[names].to_numpy()
        spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        rows.append(
            {
                "group": group,
                "architectures": len(values),
                "mean": float(values.mean()),
                "spread": spread,
                "standard_error": spread / np.sqrt(len(values)),
                "lowest": float(values.min()),
                "highest": float(values.max()),
            }
        )
    return pd.DataFrame(rows)


def verdict(groups: pd.DataFrame) -> str | None:
    """Say whether the chosen were better than the random ones, and by more than chance would."""
    rows = {row["group"]: row for row in groups.to_dict("records")}
    if not {CHOSEN, RANDOM} <= rows.keys():
        return None
    chosen, other = (float(rows[group]["mean"]) for group in (CHOSEN, RANDOM))
    gain = chosen - other
    error = math.hypot(*(float(rows[group]["standard_error"]) for group in (CHOSEN, RANDOM)))
    said = (
        f"The chosen reach {chosen:.2f} % on average, as many random ones {other:.2f} %: a "
        f"difference of {gain:+.2f} points"
    )
    if not math.isfinite(error):
        return f"{said}, of one architecture each."
    compared = "more" if abs(gain) > error else "no more"
    return f"{said}, {compared} than its standard error of {error:.2f}."
