"""Judging ensembles where all answers are known: on architectures that no fit has seen."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.utils.parallel import Parallel, delayed

from zc_search.ensemble.splits import draw_rows, judge_split, usable_rows
from zc_search.ensemble.tables import distinct, flags, function_keys
from zc_search.errors import EnsembleError


def judge(
    table: pd.DataFrame,
    proxies: Sequence[str],
    fit_size: int,
    n_draws: int = 20,
    *,
    model: str = "linear",
    feature_set: str = "standard",
    target: str = "val_accuracy",
    directions: Mapping[str, str] | None = None,
    top_k: int = 10,
    seed: int = 0,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Fit on random draws, and judge each fit on all architectures it has not seen.

    A draw takes rows in random order, one a function; judged are the rows of all other functions,
    so that no isomorph of a training architecture is among them. Only feasible rows with finite
    proxies and target take part.

    Args:
        table: Scores with accuracies; see `fit_ensemble`.
        proxies: Columns to predict from.
        fit_size: Accuracies seen by each fit.
        n_draws: Independent draws.
        model: See `fit_ensemble`.
        feature_set: See `fit_ensemble`.
        target: Column with the accuracy, in percent.
        directions: See `fit_ensemble`.
        top_k: How many of the best predicted are looked at for the regret.
        seed: Of the draws; the same seed gives every model and size the same order of rows.
        n_jobs: Processes.

    Returns:
        One row a draw and predictor (the ensemble, the best single proxy of the training rows,
        the accuracy-free aggregate over the whole table, params, flops): ``draw, predictor,
        fitted, judged, kendall_tau, spearman, top_k_regret``; the regret in percent accuracy, the
        best judged less the best among the top k predicted.

    Raises:
        EnsembleError: As for `fit_ensemble`, or fewer functions than asked for.
    """
    return learning_curve(
        table,
        proxies,
        [fit_size],
        n_draws,
        models=[model],
        feature_sets=[feature_set],
        target=target,
        directions=directions,
        top_k=top_k,
        seed=seed,
        n_jobs=n_jobs,
    ).drop(columns=["model", "feature_set", "size"])


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
    top_k: int = 10,
    seed: int = 0,
    n_jobs: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Judge every model, feature set and number of accuracies on the same draws.

    A smaller draw is the beginning of a larger one, so that sizes compare too. Baselines do not
    depend on model and features, and stand once, with these two columns missing.

    Args:
        table: See `judge`.
        proxies: See `judge`.
        sizes: Numbers of accuracies.
        n_draws: See `judge`.
        models: See `fit_ensemble`.
        feature_sets: See `fit_ensemble`.
        target: See `judge`.
        directions: See `judge`.
        top_k: See `judge`.
        seed: See `judge`.
        n_jobs: Processes, with a thread each.
        on_progress: Called with how many draws are judged, and of how many.

    Returns:
        As for `judge`, after the columns ``model, feature_set, size``.

    Raises:
        EnsembleError: As for `judge`.
    """
    if n_draws < 1:
        raise EnsembleError(f"n_draws: {n_draws} is given; allowed are 1 and more")
    table = usable_rows(table, proxies, target)
    keys = pd.factorize(function_keys(table))[0]
    functions = int(keys.max(initial=-1)) + 1
    for size in sizes:
        if not 2 <= size < functions:
            raise EnsembleError(
                f"size {size}: allowed are 2 to {functions - 1}, because one at least of the "
                f"{functions} usable functions must be left to judge"
            )

    def one(draw: int, size: int) -> pd.DataFrame:
        drawn = draw_rows(keys, size, [seed, draw])
        judged = judge_split(
            table.iloc[drawn],
            table[~np.isin(keys, keys[drawn])],
            table,
            proxies,
            models=models,
            feature_sets=feature_sets,
            target=target,
            directions=directions,
            top_k=top_k,
            seed=seed,
        )
        judged.insert(2, "size", size)
        judged.insert(3, "draw", draw)
        return judged

    jobs = [(draw, size) for size in sizes for draw in range(n_draws)]
    on_progress(0, len(jobs))
    judged: list[pd.DataFrame] = []
    with parallel_config(backend="loky", inner_max_num_threads=1):
        running = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(one)(*job) for job in jobs)
        for found in running:
            judged.append(found)
            on_progress(len(judged), len(jobs))
    return pd.concat(judged, ignore_index=True)


def compare_pareto(
    trials: pd.DataFrame,
    table: pd.DataFrame,
    proxies: Sequence[str],
    n_draws: int = 20,
    *,
    model: str = "linear",
    feature_set: str = "standard",
    target: str = "val_accuracy",
    directions: Mapping[str, str] | None = None,
    top_k: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Show what it costs to fit on a Pareto front rather than on as many random architectures.

    Both are judged on the rows of `table` whose function neither of them was fitted to.

    Args:
        trials: A search's trials, with ``pareto``.
        table: Scores with accuracies of the whole population.
        proxies: See `judge`.
        n_draws: Random draws to compare with.
        model: See `judge`.
        feature_set: See `judge`.
        target: See `judge`.
        directions: See `judge`.
        top_k: See `judge`.
        seed: See `judge`.

    Returns:
        As for `judge`, after a column ``fit_on``: ``pareto`` or ``random``.

    Raises:
        EnsembleError: As for `judge`, a front of fewer than two functions, or one so large that
            nothing is left to judge on.
    """
    front = usable_rows(trials, proxies, target)
    front = distinct(front[flags(front, "pareto", default=False)])
    if len(front) < 2:
        raise EnsembleError(f"the trials' Pareto front has {len(front)} usable rows; 2 are needed")
    table = usable_rows(table, proxies, target)
    keys = pd.factorize(function_keys(table))[0]
    found: list[pd.DataFrame] = []
    for draw in range(n_draws):
        random = table.iloc[draw_rows(keys, len(front), [seed, draw])]
        seen = np.concatenate([function_keys(front), function_keys(random)])
        rest = table[~np.isin(function_keys(table), seen)]
        if len(rest) < 3:
            raise EnsembleError(
                f"{len(front)} architectures on the Pareto front and as many random ones leave "
                f"{len(rest)} of {len(table)} to judge on; 3 are needed"
            )
        for fit_on, rows in (("pareto", front), ("random", random)):
            judged = judge_split(
                rows,
                rest,
                table,
                proxies,
                models=[model],
                feature_sets=[feature_set],
                target=target,
                directions=directions,
                top_k=top_k,
                seed=seed,
            ).drop(columns=["model", "feature_set"])
            judged.insert(0, "fit_on", fit_on)
            judged.insert(1, "draw", draw)
            found.append(judged)
    return pd.concat(found, ignore_index=True)
