"""What more accuracies buy, and what the Pareto front costs, for a scores file or a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from zc_search.config import Config
from zc_search.ensemble.accuracies import open_accuracies, with_accuracies
from zc_search.ensemble.compatibility import compare_definitions, compare_settings
from zc_search.ensemble.from_source import cautions, chosen_proxies
from zc_search.ensemble.judging import compare_pareto, learning_curve
from zc_search.ensemble.quality import LEVEL
from zc_search.ensemble.sources import Source, same_dataset
from zc_search.ensemble.splits import summarise, usable_rows
from zc_search.ensemble.tables import function_keys
from zc_search.errors import EnsembleError

SIZES = (10, 25, 50, 100, 200, 400, 800)
"""Numbers of accuracies of a learning curve, where the table allows them."""


class Judged(NamedTuple):
    """Fits on many draws, judged on what they had not seen.

    Attributes:
        draws: A row a draw and predictor; see `learning_curve` and `compare_pareto`.
        summary: See `summarise`.
        notes: A sentence for each thing a user should know.
    """

    draws: pd.DataFrame
    summary: pd.DataFrame
    notes: list[str]


@dataclass(frozen=True)
class Draws:
    """How fits are drawn and judged.

    Attributes:
        proxies: Columns to use; None for those of the settings, or all that the source has.
        models: See `fit_ensemble`; None for that of the settings.
        feature_sets: See `fit_ensemble`; None for that of the settings.
        dataset: Whose accuracies; None for the data set that was scored for.
        number: Random draws.
        seed: Of the draws.
        n_jobs: Processes.
    """

    proxies: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    feature_sets: tuple[str, ...] | None = None
    dataset: str | None = None
    number: int = 20
    seed: int = 0
    n_jobs: int = 1


def curve_of(
    source: Source,
    config: Config,
    draws: Draws,
    sizes: Sequence[int] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judged:
    """Judge fits to more and more accuracies of a source; see `learning_curve`.

    Args:
        source: Scores.
        config: Its sections ``ensemble`` and ``benchmark`` count.
        draws: What to fit, and how often.
        sizes: Numbers of accuracies; None for those of `SIZES` that leave something to judge.
        on_progress: See `learning_curve`.

    Raises:
        EnsembleError: As for `learning_curve`.
    """
    table, proxies, notes = _prepared(source, config, draws)
    if sizes is None:
        functions = len(np.unique(function_keys(table)))
        sizes = [size for size in SIZES if size < functions]
        if not sizes:
            raise EnsembleError(
                f"{source.path} has {functions} functions with finite proxies and an accuracy; a "
                f"learning curve from {SIZES[0]} accuracies on needs more than {SIZES[0]}"
            )
        if left_out := [str(size) for size in SIZES if size >= functions]:
            notes.append(
                f"Left out {', '.join(left_out)} accuracies: there are {functions} functions, and "
                "one at least must be left to judge."
            )
    curve = learning_curve(
        table,
        proxies,
        sizes,
        draws.number,
        models=draws.models or (config.ensemble.model,),
        feature_sets=draws.feature_sets or (config.ensemble.features,),
        target=config.benchmark.metric,
        directions=source.directions,
        seed=draws.seed,
        n_jobs=draws.n_jobs,
        on_progress=on_progress,
    )
    return Judged(curve, summarise(curve), notes)


def pareto_against_random(
    run: Source, config: Config, draws: Draws, judge_on: Source | None = None
) -> Judged:
    """Judge a fit to a run's Pareto front beside fits to as many random architectures.

    Args:
        run: A run.
        config: Its sections ``ensemble`` and ``benchmark`` count.
        draws: What to fit; one model and one feature set.
        judge_on: A population to draw the random ones from and to judge on; None for the run's
            own trials.

    Raises:
        EnsembleError: No run, a population scored for another data set, or as for
            `compare_pareto`.
    """
    if "pareto" not in run.table:
        raise EnsembleError(f"{run.path} is no run: it has no Pareto front to compare")
    if judge_on is not None and not same_dataset(run.dataset, judge_on.dataset):
        raise EnsembleError(
            f"{run.path} is scored for {run.dataset}, and {judge_on.path} for {judge_on.dataset}: "
            "the difference would be that of the data sets, not what the front costs; "
            f"--judge-on takes scores for {run.dataset} here"
        )
    trials, proxies, notes = _prepared(run, config, draws)
    population = trials
    if judge_on is not None:
        population, _, more = _prepared(judge_on, config, draws, proxies)
        notes += more
        notes += compare_definitions(proxies, run.definitions, judge_on.definitions, "run")
        notes += compare_settings(run.settings, judge_on.settings, judge_on.path.name)
    else:
        notes.append(
            "Random trials are drawn from the run and both fits judged on its other trials, which "
            "the sampler chose: --judge-on SCORES takes architectures that it did not."
        )
    found = compare_pareto(
        trials,
        population,
        proxies,
        draws.number,
        model=(draws.models or (config.ensemble.model,))[0],
        feature_set=(draws.feature_sets or (config.ensemble.features,))[0],
        target=config.benchmark.metric,
        directions=run.directions,
        seed=draws.seed,
    )
    return Judged(found, summarise(found), [_cost(found), *notes])


def _prepared(
    source: Source, config: Config, draws: Draws, proxies: tuple[str, ...] | None = None
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """Return the usable rows of a source with accuracies, the proxies, and what to say of them."""
    chosen = chosen_proxies(source, proxies or draws.proxies or config.ensemble.proxies)
    benchmark = open_accuracies(source, config, draws.dataset)
    target = config.benchmark.metric
    table = with_accuracies(source.table, benchmark, target)
    usable = usable_rows(table, chosen, target)
    notes = cautions(source, benchmark)
    feasible = int(table["feasible"].eq(True).sum()) if "feasible" in table else len(table)
    if lost := feasible - len(usable):
        notes.append(
            f"{lost} of {feasible} rows of {source.path.name} were left out: a proxy or the "
            "accuracy is not finite there."
        )
    return usable, chosen, notes


def _cost(found: pd.DataFrame) -> str:
    """Say in a sentence what the front costs in Kendall's tau."""
    taus = found[found["predictor"] == "ensemble"].pivot(
        index="draw", columns="fit_on", values="kendall_tau"
    )
    changes = (taus["pareto"] - taus["random"]).dropna()
    said = (
        f"Fitted to the {found['fitted'].iloc[0]} architectures of the Pareto front instead of as "
        "many random ones, the ensemble's Kendall's tau on others changes by "
    )
    if changes.empty:
        return f"{said}what cannot be said: it ranks them all as equal."
    said += f"{changes.mean():+.3f}"
    if len(changes) > 1 and np.ptp(changes) > 0:
        low, high = ttest_1samp(changes, 0.0).confidence_interval(LEVEL)
        said += f" (90 % interval of the mean over {len(changes)} draws: {low:+.3f} to {high:+.3f})"
    return f"{said}."
