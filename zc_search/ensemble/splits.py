"""One fit judged on rows it has not seen, and many such judgements summed up."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student

from zc_search.ensemble.baselines import baselines, check_directions
from zc_search.ensemble.fitting import fit_pipeline
from zc_search.ensemble.quality import METRICS
from zc_search.ensemble.scales import Floats
from zc_search.ensemble.tables import finite, flags, numbers
from zc_search.errors import EnsembleError
from zc_search.evaluation import kendall_tau, spearman, top_k_regret


def judge_split(
    rows: pd.DataFrame,
    rest: pd.DataFrame,
    population: pd.DataFrame,
    proxies: Sequence[str],
    *,
    models: Sequence[str] = ("linear",),
    feature_sets: Sequence[str] = ("standard",),
    target: str = "val_accuracy",
    directions: Mapping[str, str] | None = None,
    top_k: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit to `rows` and judge on `rest`; the caller sees to it that they share no function.

    Args:
        rows: Distinct rows, all finite.
        rest: Rows to judge on, all finite, part of `population`; of rows with one
            ``architecture``, such as a search's repeated trials, the first counts.
        population: Rows among which the aggregate ranks; its index must be unique.
        proxies: See `judge`.
        models: Models to fit; one named twice is fitted once.
        feature_sets: Feature sets to fit each model with; likewise.
        target: See `judge`.
        directions: See `judge`.
        top_k: See `judge`.
        seed: Of an imported regressor.

    Returns:
        ``model, feature_set, predictor, fitted, judged`` and the three figures of `judge`; the
        baselines stand once, without model and feature set.
    """
    if "architecture" in rest:
        rest = rest.drop_duplicates("architecture")
        population = pd.concat([rest, population]).drop_duplicates("architecture")
    others = baselines(rows, population, proxies, target, check_directions(directions))
    scores: list[tuple[str | None, str | None, str, Floats]] = [
        (None, None, name, scorer(rest)) for name, scorer in others.items()
    ]
    for feature_set, model in product(dict.fromkeys(feature_sets), dict.fromkeys(models)):
        pipeline = fit_pipeline(
            rows,
            proxies,
            target=target,
            model=model,
            feature_set=feature_set,
            directions=directions,
            seed=seed,
        )
        scores.append((model, feature_set, "ensemble", np.asarray(pipeline.predict(rest))))
    true = numbers(rest, target)
    return pd.DataFrame(
        {
            "model": pd.Series([model for model, *_ in scores], dtype="string"),
            "feature_set": pd.Series(
                [feature_set for _, feature_set, *_ in scores], dtype="string"
            ),
            "predictor": [predictor for *_, predictor, _ in scores],
            "fitted": len(rows),
            "judged": len(rest),
            "kendall_tau": [kendall_tau(score, true) for *_, score in scores],
            "spearman": [spearman(score, true) for *_, score in scores],
            "top_k_regret": [top_k_regret(score, true, top_k) for *_, score in scores],
        }
    )


def summarise(judged: pd.DataFrame) -> pd.DataFrame:
    """Average over draws, with the 90% interval of each mean over further draws.

    Student's t over draws from one and the same table: it does not cover another search space or
    data set.

    Args:
        judged: What `judge`, `learning_curve` or `compare_pareto` returned.

    Returns:
        One row for each combination of the other columns: ``draws``, and for each figure its mean
        and the mean's ``_low`` and ``_high`` (NaN for a single draw).
    """
    by = [name for name in judged if name not in {*METRICS, "draw", "fitted", "judged"}]
    records = []
    for group, rows in judged.groupby(by, sort=False, dropna=False):
        record = dict(zip(by, group, strict=True)) | {"draws": len(rows)}
        for metric in METRICS:
            values = rows[metric].dropna().to_numpy()
            mean, reach = (values.mean() if len(values) else np.nan), np.nan
            if len(values) > 1:
                reach = student.ppf(0.95, len(values) - 1) * values.std(ddof=1)
                reach /= np.sqrt(len(values))
            record |= {metric: mean, f"{metric}_low": mean - reach, f"{metric}_high": mean + reach}
        records.append(record)
    return pd.DataFrame(records)


def draw_rows(keys: npt.NDArray[np.intp], size: int, seed: list[int]) -> npt.NDArray[np.intp]:
    """Return positions of the first `size` distinct keys in a random order of all rows."""
    order = np.random.default_rng(seed).permutation(len(keys))
    _, first = np.unique(keys[order], return_index=True)
    drawn: npt.NDArray[np.intp] = order[np.sort(first)[:size]]
    return drawn


def usable_rows(table: pd.DataFrame, proxies: Sequence[str], target: str) -> pd.DataFrame:
    """Return the feasible rows with finite proxies and target, on a fresh index.

    Raises:
        EnsembleError: There is none.
    """
    feasible = flags(table, "feasible", default=True)
    usable = feasible & finite(table, [target, *proxies])
    if not usable.any():
        rows = table[feasible]
        broken = [name for name in (target, *proxies) if not finite(rows, [name]).any()]
        reason = f"; {', '.join(broken)} is finite in none" if broken else ""
        raise EnsembleError(
            f"none of the {len(rows)} feasible rows has a finite {target} and finite proxies"
            f"{reason}"
        )
    return table[usable].reset_index(drop=True)
