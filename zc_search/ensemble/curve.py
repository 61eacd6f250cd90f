"""What more accuracies buy, and what the Pareto front costs: fits on many draws, judged on others.

Baselines (the best single proxy of the training rows, the accuracy-free aggregate over the whole
table, params, flops) always stand beside the ensembles.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from sklearn.utils.parallel import Parallel, delayed

from zc_search.config import Config
from zc_search.ensemble.models import fit_pipeline
from zc_search.ensemble.scores import (
    cautions,
    check_draw,
    chosen_proxies,
    draw_rows,
    open_accuracies,
    spec_from,
    with_accuracies,
)
from zc_search.ensemble.tables import (
    EnsembleSpec,
    check_at_least,
    distinct,
    feasible,
    flags,
    function_keys,
    numbers,
    usable_rows,
)
from zc_search.ensemble.validation import LEVEL, baselines, best_single_proxy, metrics
from zc_search.errors import EnsembleError
from zc_search.scoring.scores_file import ScoresTable, same_dataset

SIZES = (10, 25, 50, 100, 200, 400, 800)
"""Numbers of accuracies of a learning curve, where the table allows them."""

METRICS = metrics(top_k=10)


OnProgress = Callable[[int, int], None]
"""Called with how many draws are judged, and of how many."""


def specs_of(spec: EnsembleSpec, models: Iterable[str], sets: Iterable[str]) -> list[EnsembleSpec]:
    """Return the spec with every model and feature set, each once."""
    kinds = product(dict.fromkeys(sets), dict.fromkeys(models))
    return [replace(spec, feature_set=features, model=model) for features, model in kinds]


def in_parallel(jobs: Sequence[Any], n_jobs: int, on_progress: OnProgress) -> Iterator[Any]:
    """Yield what delayed calls return, in their order, from processes of a thread each."""
    on_progress(0, len(jobs))
    with parallel_config(backend="loky", inner_max_num_threads=1):
        found = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
        for done, one in enumerate(found, start=1):
            on_progress(done, len(jobs))
            yield one


def learning_curve(
    table: pd.DataFrame,
    proxies: Sequence[str],
    sizes: Sequence[int],
    n_draws: int = 10,
    *,
    models: Sequence[str] = ("linear",),
    feature_sets: Sequence[str] = ("standard",),
    target: str = "val_accuracy",
    directions: Mapping[str, str] | None = None,
    seed: int = 0,
    n_jobs: int = 1,
    on_progress: OnProgress = lambda done, total: None,
) -> pd.DataFrame:
    """Judge every model, feature set and number of accuracies on the same draws.

    A draw takes rows in random order, one a function, the same for every model; a smaller one is
    the beginning of a larger one. Judged are the rows of all other functions, so that no isomorph
    of a training architecture is among them. Only feasible rows with finite proxies and target take
    part. Baselines stand once, with model and feature set missing. Takes scores with accuracies as
    `fit_ensemble` does, and `n_jobs` processes of a thread each.

    Returns:
        One row a draw and predictor: ``model, feature_set, size, draw, predictor, fitted, judged,
        kendall_tau, spearman, ndcg, top_k_regret``; the regret in percent accuracy, the best judged
        less the best among the top 10 predicted.
    """
    check_at_least(1, "n_draws", n_draws)
    spec = EnsembleSpec(tuple(proxies), target, seed=seed, directions=directions or {})
    specs = specs_of(spec, models, feature_sets)
    table = usable_rows(table, proxies, target)
    keys = pd.factorize(function_keys(table))[0]
    for size in sizes:
        check_draw("size", size, keys)

    def one(draw: int, size: int) -> pd.DataFrame:
        drawn = draw_rows(keys, size, [seed, draw])
        judged = judge_split(table.iloc[drawn], table[~np.isin(keys, keys[drawn])], table, specs)
        judged.insert(2, "size", size)
        judged.insert(3, "draw", draw)
        return judged

    jobs = [delayed(one)(draw, size) for size in sizes for draw in range(n_draws)]
    judged: list[pd.DataFrame] = [*in_parallel(jobs, n_jobs, on_progress)]
    return pd.concat(judged, ignore_index=True)


def compare_pareto(
    trials: pd.DataFrame, table: pd.DataFrame, spec: EnsembleSpec, n_draws: int = 20
) -> pd.DataFrame:
    """Show what it costs to fit on a Pareto front rather than on as many random architectures.

    These are of `table`, of which both are judged on the rows of functions neither was fitted to.
    As of `learning_curve`, but with ``fit_on``, ``pareto`` or ``random``, in place of the model.
    """
    front = usable_rows(trials, spec.proxies, spec.target)
    front = distinct(front[flags(front, "pareto", default=False)])
    if len(front) < 2:
        raise EnsembleError(f"the trials' Pareto front has {len(front)} usable rows; 2 are needed")
    table = usable_rows(table, spec.proxies, spec.target)
    keys = pd.factorize(function_keys(table))[0]
    judged: list[pd.DataFrame] = []
    for draw in range(n_draws):
        random = table.iloc[draw_rows(keys, len(front), [spec.seed, draw])]
        seen = np.concatenate([function_keys(front), function_keys(random)])
        rest = table[~np.isin(function_keys(table), seen)]
        if len(rest) < 3:
            drawn = f"{len(front)} architectures on the Pareto front and as many random ones"
            left = f"leave {len(rest)} of {len(table)} to judge on; 3 are needed"
            raise EnsembleError(f"{drawn} {left}")
        for fit_on, rows in (("pareto", front), ("random", random)):
            one = judge_split(rows, rest, table, [spec]).drop(columns="feature_set")
            judged.append(one.rename(columns={"model": "fit_on"}).assign(fit_on=fit_on, draw=draw))
    return pd.concat(judged, ignore_index=True)


def judge_split(
    rows: pd.DataFrame, rest: pd.DataFrame, population: pd.DataFrame, specs: Sequence[EnsembleSpec]
) -> pd.DataFrame:
    """Fit to distinct `rows` and judge on `rest`; the caller sees that they share no function.

    The aggregate ranks among `population`, whose index is unique; of rows of one architecture the
    first counts. The baselines are those of the first spec.
    """
    if "architecture" in rest:
        rest = rest.drop_duplicates("architecture")
        population = pd.concat([rest, population]).drop_duplicates("architecture")
    first = specs[0]
    true = numbers(rest, first.target)
    single = best_single_proxy(rows, first.proxies, first.target)
    beside = baselines(rest, population, single, first.proxies, first.directions)
    scores: list[tuple[Any, ...]] = [(None, None, *row) for row in beside.items()]
    for spec in specs:
        predicted = np.asarray(fit_pipeline(rows, spec, population=population).predict(rest))
        scores.append((spec.model, spec.feature_set, "ensemble", predicted))
    names = ("model", "feature_set", "predictor", "fitted", "judged", *METRICS)
    judged = [
        (*of, len(rows), len(rest), *(metric(score, true) for metric in METRICS.values()))
        for *of, score in scores
    ]
    return pd.DataFrame(judged, columns=names).astype({"model": "string", "feature_set": "string"})


def summarise(judged: pd.DataFrame) -> pd.DataFrame:
    """Average over draws, with Student's 90% interval over further draws from the same table.

    One row for each combination of the other columns: ``draws``, and for each figure its mean and
    the mean's ``_low`` and ``_high`` (NaN for a single draw).
    """
    by = [name for name in judged if name not in {*METRICS, "draw", "fitted", "judged"}]
    groups = judged.groupby(by, sort=False, dropna=False)
    summary = {"draws": groups.size()}
    for name in METRICS:
        mean, count = groups[name].mean(), groups[name].count()
        reach = student.ppf((1 + LEVEL) / 2, count - 1) * groups[name].sem()
        summary |= {name: mean, f"{name}_low": mean - reach, f"{name}_high": mean + reach}
    return pd.DataFrame(summary).reset_index()


def curve_of(
    scores: ScoresTable,
    config: Config,
    *,
    proxies: tuple[str, ...] | None = None,
    models: Sequence[str] | None = None,
    feature_sets: Sequence[str] | None = None,
    dataset: str | None = None,
    sizes: Sequence[int] | None = None,
    **draws: Any,
) -> tuple[pd.DataFrame, list[str]]:
    """Judge fits to more and more accuracies of scores; `draws` are options of `learning_curve`.

    What is None is that of the settings; sizes are those of `SIZES` that leave something to judge.
    """
    table, chosen, notes = _prepared(scores, config, proxies, dataset)
    if sizes is None:
        functions = len(np.unique(function_keys(table)))
        sizes = [size for size in SIZES if size < functions]
        known = f"{functions} functions with finite proxies and an accuracy"
        if not sizes:
            message = f"{scores.path} has {known}; a learning curve needs more than {SIZES[0]}"
            raise EnsembleError(message)
        if left_out := ", ".join(str(size) for size in SIZES if size >= functions):
            notes.append(f"Left out {left_out} accuracies: there are {known}, one left to judge.")
    curve = learning_curve(
        table,
        chosen,
        sizes,
        models=models or (config.ensemble.model,),
        feature_sets=feature_sets or (config.ensemble.features,),
        target=config.benchmark.metric,
        directions=scores.directions,
        **draws,
    )
    return curve, notes


def pareto_against_random(
    run: ScoresTable,
    config: Config,
    proxies: tuple[str, ...] | None = None,
    judge_on: ScoresTable | None = None,
    n_draws: int = 20,
    seed: int = 0,
) -> tuple[pd.DataFrame, list[str]]:
    """Judge a fit to a run's Pareto front beside fits to as many random architectures.

    These are drawn from `judge_on`, which judges both, or from the run's own trials.
    """
    if "pareto" not in run.table:
        raise EnsembleError(f"{run.path} is no run: it has no Pareto front to compare")
    if judge_on is not None and not same_dataset(run.dataset, judge_on.dataset):
        message = f"{run.path} is scored for {run.dataset}, and {judge_on.path} for "
        wanted = f"{judge_on.dataset}: --judge-on takes scores for {run.dataset} here"
        raise EnsembleError(message + wanted)
    trials, chosen, notes = _prepared(run, config, proxies)
    population = trials
    if judge_on is not None:
        population, _, more = _prepared(judge_on, config, chosen)
        notes += [*more, *run.provenance.differences(judge_on.provenance, chosen)]
    else:
        notes.append(
            "Random trials are drawn from the run and both fits judged on its other trials, which "
            "the sampler chose: --judge-on SCORES takes architectures that it did not."
        )
    spec = replace(spec_from(config, chosen), directions=run.directions, seed=seed)
    judged = compare_pareto(trials, population, spec, n_draws)
    return judged, [_cost(judged), *notes]


def _prepared(
    scores: ScoresTable,
    config: Config,
    proxies: tuple[str, ...] | None,
    dataset: str | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """Return the usable rows of scores with accuracies, the proxies, and what to say of them."""
    chosen = chosen_proxies(scores, proxies or config.ensemble.proxies)
    benchmark = open_accuracies(scores, config, dataset)
    table = with_accuracies(scores.table, benchmark, config.benchmark.metric)
    usable = usable_rows(table, chosen, config.benchmark.metric)
    notes, rows = cautions(scores, benchmark), len(feasible(table))
    if lost := rows - len(usable):
        left_out = f"{lost} of {rows} rows of {scores.path.name} were left out"
        notes.append(f"{left_out}: a proxy or the accuracy is not finite there.")
    return usable, chosen, notes


def _cost(found: pd.DataFrame) -> str:
    """Say in a sentence what the front costs in Kendall's tau."""
    taus = found[found["predictor"] == "ensemble"].pivot(
        index="draw", columns="fit_on", values="kendall_tau"
    )
    changes = (taus["pareto"] - taus["random"]).dropna()
    text = (
        f"Fitted to the {found['fitted'].iloc[0]} architectures of the Pareto front instead of as "
        "many random ones, the ensemble's Kendall's tau on others changes by "
    )
    if changes.empty:
        return f"{text}what cannot be said: it ranks them all as equal."
    text += f"{changes.mean():+.3f}"
    if len(changes) > 1 and np.ptp(changes) > 0:
        low, high = ttest_1samp(changes, 0.0).confidence_interval(LEVEL)
        text += f" (90 % interval of the mean over {len(changes)} draws: {low:+.3f} to {high:+.3f})"
    return f"{text}."
