"""A ranking where no accuracy is known: by the aggregate, or by another data set's ensemble."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zc_search.config import Config
from zc_search.ensemble.baselines import COSTS, DEFAULT_AGGREGATE, RECOMMENDED_PROXIES
from zc_search.ensemble.compatibility import (
    check_definitions,
    check_proxies,
    check_space,
    setting_differences,
)
from zc_search.ensemble.fitted import Ensemble
from zc_search.ensemble.ranking import aggregate_ranking, transfer_ranking
from zc_search.ensemble.sources import COSTLY, settings_of
from zc_search.ensemble.tables import flags
from zc_search.proxies.catalogue import split_options


def load_transferred(config: Config, definitions: Mapping[str, str]) -> Ensemble | None:
    """Load the ensemble of another data set that a search ranks by; None if it names none.

    Args:
        config: The search's.
        definitions: By proxy that is computed, what it means; see `check_definitions`.

    Raises:
        EnsembleError: It cannot be read, or needs a search space of cells, or proxies that are not
            computed or mean something else here.
    """
    if config.ensemble.from_ is None:
        return None
    ensemble = Ensemble.load(config.ensemble.from_)
    check_space(ensemble, config.space.name, f"ensemble.from = {config.ensemble.from_!r}")
    check_proxies(ensemble, list(definitions), "proxies.compute")
    check_definitions(ensemble, definitions)
    return ensemble


def rank_without_accuracies(
    config: Config,
    trials: pd.DataFrame,
    directions: Mapping[str, str],
    definitions: Mapping[str, str],
) -> tuple[pd.DataFrame, list[str]]:
    """Rank the feasible architectures of a search that looked no accuracy up.

    Args:
        config: The search's; by ``ensemble.from`` if there is one, else by the aggregate of
            ``ensemble.proxies``, by default `DEFAULT_AGGREGATE` where all of it is computed, else
            of all proxies that are no constraint's.
        trials: Its trials.
        directions: See `aggregate`.
        definitions: See `load_transferred`.

    Returns:
        The ranking, empty where nothing is feasible, and a sentence for each thing to know.

    Raises:
        EnsembleError: See `load_transferred`.
    """
    notes = ["No benchmark, so no accuracy to fit an ensemble to."]
    if trials.empty or not flags(trials, "feasible", default=True).any():
        return pd.DataFrame(), [*notes, nothing_feasible(trials)]
    ensemble = load_transferred(config, definitions)
    if ensemble is not None:
        ranked = transfer_ranking(ensemble, trials)
        fitted = ensemble.metadata.get("dataset", "another data set")
        notes.append(
            f"ranking.csv is a transfer: by {config.ensemble.from_}, fitted to accuracies on "
            f"{fitted}. The order may carry over to {config.dataset}; its percentages do not, and "
            f"nothing here was checked on {config.dataset}. First is "
            f"{ranked['architecture'].iloc[0]}."
        )
        notes += check_definitions(ensemble, definitions)
        return ranked, notes + setting_differences(ensemble, settings_of(config), config.study.name)
    proxies, without = with_values(aggregated(config, list(definitions)), trials, "aggregate")
    notes += without
    if not proxies:
        return pd.DataFrame(), notes
    ranked = aggregate_ranking(trials, proxies, directions)
    notes.append(
        "ranking.csv is by the accuracy-free aggregate, the mean of the logarithms of the "
        f"ranks in {', '.join(proxies)}; it is no percentage. First is "
        f"{ranked['architecture'].iloc[0]}."
    )
    return ranked, notes


def aggregated(config: Config, computed: Sequence[str]) -> tuple[str, ...]:
    """Return what the aggregate of a search is made of; see `rank_without_accuracies`."""
    if config.ensemble.proxies is not None:
        return config.ensemble.proxies
    if set(RECOMMENDED_PROXIES) <= set(computed) and config.space.name == "nasbench201":
        return tuple(DEFAULT_AGGREGATE)
    # A latency is no promise of accuracy; parameters and FLOPs are the field's baseline.
    slow = set(COSTLY) - set(COSTS)
    return tuple(name for name in computed if split_options(name)[0] not in slow)


def with_values(
    proxies: Sequence[str], trials: pd.DataFrame, what: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the proxies that have a value anywhere, and a sentence for each other one."""
    empty = [name for name in proxies if name in trials and not np.isfinite(trials[name]).any()]
    said = [f"The {what} is without {name}, which has no value at all." for name in empty]
    return tuple(name for name in proxies if name not in empty), said


def nothing_feasible(trials: pd.DataFrame) -> str:
    """Say that no architecture can be ranked, with the first reason."""
    reasons = trials["reason"].dropna() if "reason" in trials else pd.Series(dtype="string")
    why = f"; the first one: {reasons.iloc[0]}" if len(reasons) else ""
    return f"None of the {len(trials):,} trials is feasible, so nothing is ranked{why}."
