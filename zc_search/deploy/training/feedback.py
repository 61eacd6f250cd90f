"""The loop closed: an ensemble refitted on the accuracies that the user's own images gave."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from zc_search.config import Config
from zc_search.deploy.training.outcome import by_architecture
from zc_search.ensemble import RECOMMENDED_PROXIES, Ensemble, fit_ensemble, ranking
from zc_search.ensemble.sources import COSTLY, settings_of
from zc_search.ensemble.tables import function_keys
from zc_search.ensemble.without_accuracies import aggregated
from zc_search.errors import EnsembleError
from zc_search.proxies import Proxy

FEWEST = 10
"""Distinct functions trained, below which nothing is fitted."""

TARGET = "val_accuracy"


def refit(
    config: Config,
    table: pd.DataFrame,
    results: pd.DataFrame,
    proxies: Sequence[Proxy],
    fingerprint: str,
) -> tuple[Ensemble | None, pd.DataFrame, list[str]]:
    """Fit an ensemble to accuracies of the user's own, and rank with it.

    Args:
        config: The search's.
        table: All architectures scored: of the search, and those trained beside.
        results: See `Outcome`.
        proxies: What was computed.
        fingerprint: Of the batch they were computed on.

    Returns:
        The ensemble, the ranking with the reached accuracies, both empty where there are fewer
        than `FEWEST` accuracies, and a sentence for each thing to know.
    """
    means = by_architecture(results)
    table = table.drop(columns=TARGET, errors="ignore").reset_index(drop=True)
    table[TARGET] = table["architecture"].map(means).to_numpy(dtype=float)
    known = table[np.isfinite(table[TARGET])]
    functions = len(set(function_keys(known)))
    if functions < FEWEST:
        return (
            None,
            pd.DataFrame(),
            [
                f"{functions} different functions were trained, too few to refit the ensemble: "
                f"{FEWEST} are needed; train more with a larger --top."
            ],
        )
    definitions = {p.name: p.definition for p in proxies}
    columns = [name for name in aggregated(config, list(definitions)) if name in definitions]
    # Prior knowledge that pays where accuracies are few; features of the flow are of these cells.
    cells = config.space.name == "nasbench201" and set(RECOMMENDED_PROXIES) <= set(columns)
    model, features = ("gap", "rank+flow+aggregate") if cells else ("ridge", "rank")
    try:
        ensemble = fit_ensemble(
            table,
            columns,
            target=TARGET,
            model=model,
            feature_set=features,
            fit_on="all",
            folds=min(5, functions // 2),
            repeats=config.ensemble.repeats,
            seed=config.ensemble.seed,
            directions={p.name: p.direction for p in proxies if p.name not in COSTLY},
            metadata={
                "dataset": config.dataset,
                "accuracies": f"validation accuracy on {config.dataset} after "
                f"{int(results['epochs'].max())} epochs, {results['seed'].nunique()} training "
                "seeds, trained here",
                "epochs": int(results["epochs"].max()),
                "scores": settings_of(config) | {"data.fingerprint": fingerprint},
                "definitions": definitions,
            },
        )
    except EnsembleError as error:
        return None, pd.DataFrame(), [f"The ensemble was not refitted: {error}."]
    notes = [
        f"The ensemble was refitted on {ensemble.rows} accuracies of {config.dataset} itself "
        f"({model}, {features})."
    ]
    quality = ensemble.quality
    if not quality.empty:
        figures = quality.set_index("predictor")["kendall_tau"]
        others = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        notes.append(f"Kendall's tau in cross-validation: {others}.")
        if figures["ensemble"] < figures["aggregate"]:
            notes.append(
                "The aggregate, which saw no accuracy, orders them better than the refitted "
                "ensemble does; until more are trained, trust ranking.csv of the search."
            )
    return ensemble, ranking(ensemble, table), notes
