"""Search algorithms side by side on a tabular benchmark: what do they find, and for what price?

>>> from zc_search.compare import compare, load_comparison
>>> outcomes = compare(load_comparison("compare.toml"))  # doctest: +SKIP
>>> outcomes.summary[["dataset", "algorithm", "mean", "sd"]]  # doctest: +SKIP
"""

from collections.abc import Callable

from zc_search.compare.outcomes import Outcomes, looks_table, outcomes
from zc_search.compare.run import folder_of, run_searches, table_of
from zc_search.compare.settings import Comparison, load_comparison

__all__ = ["Comparison", "Outcomes", "compare", "folder_of", "load_comparison"]


def compare(
    comparison: Comparison, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Outcomes:
    """Run what a comparison lacks of its searches, and put all of them into tables.

    `on_progress` is called with how many searches are done, and how many there are.
    """
    race = comparison.compare
    looks = looks_table(run_searches(comparison, on_progress))
    optima = {str(dataset): table_of(dataset).optimum for dataset in race.datasets}
    reached = [count for count in race.at_accuracies if count <= race.accuracies]
    return outcomes(looks, optima, reached, race.at_seconds)
