"""The field's own protocols for predictors of NAS-Bench-201, with what was reported under them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.parallel import delayed

from zc_search.config import Config
from zc_search.ensemble.curve import METRICS, OnProgress, in_parallel, specs_of, summarise
from zc_search.ensemble.features import DEFAULT_AGGREGATE
from zc_search.ensemble.models import fit_pipeline
from zc_search.ensemble.scores import (
    cautions,
    chosen_proxies,
    open_accuracies,
    spec_from,
    with_accuracies,
)
from zc_search.ensemble.tables import (
    EnsembleSpec,
    Flags,
    Floats,
    check_at_least,
    function_keys,
    numbers,
    usable_rows,
)
from zc_search.ensemble.validation import aggregate
from zc_search.errors import EnsembleError
from zc_search.evaluation import SUBSETS
from zc_search.scoring.scores_file import ScoresTable
from zc_search.spaces import Architecture, CellSpace
from zc_search.spaces.nasbench201.architecture import live_edges
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES


class Protocol(NamedTuple):
    """How others judge a predictor: of which cells how many are drawn, and what they report."""

    sizes: tuple[int, ...]
    valid_only: bool  # of the cells, those without an operation that no live path passes
    refit_judges: bool  # whether the cells drawn are among those judged
    by: str
    published: dict[tuple[str, int], float]  # Kendall's tau by data set and size


PROTOCOLS = {
    "nnformer": Protocol(
        (156, 469, 781, 1563),
        valid_only=False,
        refit_judges=True,
        by="NN-Former (Xu et al. 2025)",
        published={("cifar10", 156): 0.804, ("cifar10", 1563): 0.890},
    ),
    "graf": Protocol(
        (32, 128, 1024),
        valid_only=True,
        refit_judges=False,
        by="VKDNW with GRAF's features (Tybl and Neumann 2025)",
        published={
            ("cifar10", 1024): 0.859,
            ("cifar100", 1024): 0.847,
            ("ImageNet16-120", 1024): 0.842,
        },
    ),
}

AS_PUBLISHED = "as published"
UNSEEN = "functions not fitted to"
HALVES = ("their first half", "their second half")
TOP = "their best 10 %"
FEATURES = {"gap": "rank+structure+aggregate+interactions", "gp": "rank+operations+aggregate"}
"""What a model is judged with if nothing is asked; others as ``gap``."""


def in_first_half(keys: Iterable[str]) -> Flags:
    """Tell which functions are in the half that features may be chosen with.

    Those whose key's SHA-256 begins with an even byte.
    """
    return np.array([hashlib.sha256(key.encode()).digest()[0] % 2 == 0 for key in keys], dtype=bool)


def is_valid(cells: Iterable[str]) -> Flags:
    """Tell which cells hold no operation that the signal does not pass on its way to the output."""

    def valid(text: str) -> bool:
        ops = Architecture.from_string(text).ops
        return len(live_edges(ops)) == sum(op != "none" for op in ops) > 0

    return np.array([valid(text) for text in cells], dtype=bool)


def run_protocol(
    scores: ScoresTable,
    config: Config,
    name: str,
    *,
    proxies: tuple[str, ...] | None = None,
    datasets: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    feature_sets: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    n_draws: int = 20,
    seed: int = 0,
    n_jobs: int = 1,
    on_progress: OnProgress = lambda done, total: None,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Judge models as the protocol of that name does, and without the functions fitted to.

    ``nnformer``: 1, 3, 5 and 10 % of the 15,625 cells at random, all cells judged. ``graf``: 32,
    128 and 1,024 of the cells without dead operations (9,444), the others judged. Cells whose
    output is always zero take no part in either; published figures have them, or one of them. The
    same draws serve all models and data sets, whose accuracies are `datasets`, by default that of
    the scores. What else is None is the protocol's, or models and sets of `FEATURES`.

    Returns:
        A row a draw, with the columns of `learning_curve` and ``dataset``, ``judged_on``, those of
        size 0 being of `DEFAULT_AGGREGATE` where its proxy is among the chosen; the same
        summarised, beside ``ceiling`` (what seed noise allows), ``of_ceiling``, ``published`` and
        ``by``; and what there is to know.

    Raises:
        EnsembleError: No such protocol, another search space, or too few cells.
    """
    if (protocol := PROTOCOLS.get(name)) is None:
        raise EnsembleError.unknown("protocol", name, PROTOCOLS)
    if (space := scores.config.space.name) != CellSpace.name:
        message = f"protocols are of {CellSpace.name}, and {scores.path} is of {space}"
        raise EnsembleError(message, key="space.name", given=space, allowed=(CellSpace.name,))
    check_at_least(1, "draws", n_draws)
    chosen = chosen_proxies(scores, proxies or config.ensemble.proxies)
    spec = replace(spec_from(config, chosen, seed=seed), directions=scores.directions)
    specs = [
        one
        for model in models or FEATURES
        for one in specs_of(spec, [model], feature_sets or [FEATURES.get(model, FEATURES["gap"])])
    ]
    jobs: list[Any] = []
    found: list[pd.DataFrame] = []
    ceilings: dict[tuple[str, str], float] = {}
    notes: list[str] = []
    for dataset in datasets or (scores.dataset,):
        benchmark = open_accuracies(scores, config, dataset)
        table = with_accuracies(scores.table, benchmark, spec.target)
        table = usable_rows(table, chosen, spec.target)
        if protocol.valid_only:
            table = table[is_valid(table["architecture"])].reset_index(drop=True)
        of = benchmark.ceilings.get(spec.target, {})
        ceilings |= {(dataset, k): of[subset].tau for k, subset in _SUBSETS.items() if of}
        notes += [note for note in cautions(scores, benchmark) if note not in notes]
        if set(DEFAULT_AGGREGATE) <= {*chosen, *FLOW_FEATURES}:
            found.append(_judge_unfitted(table, spec.target, dataset))
        asked = sizes or protocol.sizes
        _check_sizes(asked, len(table))
        jobs += [
            delayed(_judge)(table, specs, size, [seed, draw], protocol, dataset)
            for size in asked
            for draw in range(n_draws)
        ]
    judged = pd.concat([*found, *in_parallel(jobs, n_jobs, on_progress)], ignore_index=True)
    return judged, _beside_published(summarise(judged), protocol, ceilings), notes


def _check_sizes(sizes: Sequence[int], cells: int) -> None:
    if not 2 <= min(sizes) <= max(sizes) <= cells // 2:
        raise EnsembleError(
            f"{', '.join(map(str, sizes))} accuracies cannot be drawn of {cells} usable cells and "
            f"half of them left to judge: Allowed: 2 to {cells // 2}, or scores of the whole space",
            key="--accuracies",
            given=max(sizes),
        )


def _beside_published(
    summary: pd.DataFrame, protocol: Protocol, ceilings: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """Add what is possible, and what others report where they judge alike."""
    on = summary["judged_on"]
    cells = [*zip(summary["dataset"], on, summary["size"], strict=True)]
    published = [protocol.published.get((dataset, size), np.nan) for dataset, _, size in cells]
    summary["ceiling"] = [ceilings.get((dataset, on), np.nan) for dataset, on, _ in cells]
    summary["of_ceiling"] = summary["kendall_tau"] / summary["ceiling"]
    summary["published"] = np.where(on == AS_PUBLISHED, published, np.nan)
    summary["by"] = protocol.by
    return summary


_SUBSETS = dict.fromkeys((AS_PUBLISHED, UNSEEN, *HALVES), next(iter(SUBSETS))) | {TOP: "top 10 %"}


def _judge(
    table: pd.DataFrame,
    specs: Sequence[EnsembleSpec],
    size: int,
    seed: list[int],
    protocol: Protocol,
    dataset: str,
) -> pd.DataFrame:
    """Fit to one draw and judge on each part of the table."""
    drawn = np.random.default_rng(seed).permutation(len(table))[:size]
    true = numbers(table, specs[0].target)
    parts = _parts(table, drawn, true, refit=protocol.refit_judges)
    judged = []
    for spec in specs:
        predicted = np.asarray(
            fit_pipeline(table.iloc[drawn], spec, population=table).predict(table)
        )
        of = {"model": spec.model, "feature_set": spec.feature_set, "size": size}
        judged.append(_figures(predicted, true, parts, **of, dataset=dataset, draw=seed[1]))
    return pd.concat(judged)


def _judge_unfitted(table: pd.DataFrame, target: str, dataset: str) -> pd.DataFrame:
    """Judge `DEFAULT_AGGREGATE`, which has seen no accuracy of the table."""
    true, nothing = numbers(table, target), np.empty(0, dtype=np.intp)
    parts = _parts(table, nothing, true, refit=True)
    of = {"model": "aggregate", "feature_set": "no accuracy", "size": 0}
    return _figures(aggregate(table).to_numpy(), true, parts, **of, dataset=dataset, draw=0)


def _figures(
    predicted: Floats, true: Floats, parts: Mapping[str, Flags], **of: Any
) -> pd.DataFrame:
    """Return a row for each part of the table, with the figures of its rows."""
    rows = []
    for on, part in parts.items():
        figures = {name: metric(predicted[part], true[part]) for name, metric in METRICS.items()}
        counts = {"fitted": of["size"], "judged": int(part.sum())}
        rows.append({**of, "judged_on": on, **counts, **figures})
    return pd.DataFrame(rows)


def _parts(
    table: pd.DataFrame, drawn: npt.NDArray[np.intp], true: Floats, *, refit: bool
) -> dict[str, Flags]:
    """Return which rows judge, by what they are called."""
    keys = function_keys(table)
    unseen, first = ~np.isin(keys, keys[drawn]), in_first_half(keys)
    others = np.ones(len(table), dtype=bool)
    others[drawn] = refit
    best = true >= np.quantile(true[unseen], 0.9)
    halves = dict(zip(HALVES, (unseen & first, unseen & ~first), strict=True))
    return {AS_PUBLISHED: others, UNSEEN: unseen, **halves, TOP: unseen & best}
