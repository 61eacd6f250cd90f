"""What an ensemble says of a whole search space, where scores of all of it are at hand."""

from contextlib import suppress

import pandas as pd

from zc_search.benchmarks.base import Benchmark
from zc_search.ensemble import Ensemble, ranking
from zc_search.ensemble.scores import with_accuracies
from zc_search.ensemble.tables import distinct
from zc_search.errors import EnsembleError, ScoresError
from zc_search.scoring.cache import differing
from zc_search.scoring.scores_file import PACKAGED, available, load_scores, of_dataset
from zc_search.study.objective import Objective

OFF = "off"


def rank_space(
    objective: Objective, ensemble: Ensemble, trials: pd.DataFrame, benchmark: Benchmark
) -> tuple[pd.DataFrame | None, list[str]]:
    """Rank every function that a search may look at, where its scores are at hand.

    As `ranking` does, with ``seen``, whether a trial has looked at it, and ``params`` and
    ``flops``, in millions. None where there are no scores, or of other images, networks or proxies;
    and sentences that say why not, where the settings name some.
    """
    config, asked = objective.config, objective.config.ensemble.scores
    if asked == OFF:
        return None, []
    source = of_dataset(asked or PACKAGED, config.dataset)
    if asked is None and (config.data_decides or config.dataset not in available()):
        return None, []
    try:
        rows = _candidates(objective, ensemble, source)
        with suppress(EnsembleError):  # it knows none of them
            rows = with_accuracies(rows, benchmark, ensemble.target)
        ranked = ranking(ensemble, rows)
    except (EnsembleError, ScoresError) as error:
        return None, [] if asked is None else [f"The whole space is not ranked: {error}"]
    seen = rows["function_key"].isin(trials["function_key"])
    ranked = ranked.join(rows[["params", "flops"]]).assign(seen=seen)
    count = f"{len(ranked):,} functions in {source}, {int(seen.sum()):,} of which were looked at"
    return ranked, [f"ranking.csv is of the {count}."]


def _candidates(objective: Objective, ensemble: Ensemble, source: str) -> pd.DataFrame:
    """Return the scores of the first architecture of each function that the search allows."""
    table, said = load_scores(source)
    asked = {name: objective.definitions[name] for name in ensemble.proxies}
    if lines := differing(said, objective.scorer.conditions, asked):
        raise ScoresError("\n  ".join((f"{source} holds scores of other settings:", *lines)))
    if objective.config.constraints.max_latency_ms is not None:
        raise ScoresError("constraints.max_latency_ms: which networks keep it is not known")
    space, limits = objective.space, objective.limits
    cells = [space.read(text) for text in table.index]
    allowed = [a in space and limits.check(a).refused is None for a in cells]
    rows = distinct(table.reset_index()[allowed])
    if rows.empty:
        raise ScoresError(f"{source} has no architecture that the search allows")
    return rows.reset_index(drop=True)
