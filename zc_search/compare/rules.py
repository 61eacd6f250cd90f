"""What a reader must know before believing a comparison, in sentences."""

from zc_search.compare.algorithms import SPACE, ZERO_COST
from zc_search.compare.running import describe_all
from zc_search.compare.settings import Comparison
from zc_search.compare.table import table_of
from zc_search.samplers import FLOW_AGGREGATE, gather

_EPOCHS = 200
_PUBLISHED_EPOCHS = 12


def rules(comparison: Comparison) -> list[str]:
    """Return the rules of a comparison, those that matter most first."""
    race = comparison.compare
    tables = {dataset: table_of(dataset) for dataset in race.datasets}
    test = any(table.test is not None for table in tables.values())
    said = [
        "A search sees validation accuracies and chooses by them; "
        + (
            "test accuracy is that of the cell it chose, and nothing is chosen by it."
            if test
            else "the packaged table has no test accuracies."
        ),
        "A search sees the accuracy of one training run of a cell, drawn at random; what it chose "
        "is reported with the mean of all runs."
        if race.one_training
        else "A search sees the mean accuracy of a cell's two or three training runs, which is "
        "less noisy than the one run that training would give it.",
        f"An accuracy costs the training of one run over {_EPOCHS} epochs, in the seconds that the "
        "benchmark measured; a cell looked at again costs nothing.",
        "Published results of NAS-Bench-201 at 12,000 s (CIFAR-10: random search 90.93 with a "
        "standard deviation of 0.36, regularized evolution 91.19 with 0.31) are of searches that "
        f"trained for {_PUBLISHED_EPOCHS} epochs and were guided by the accuracy after those, "
        "which the packaged table does not have. 12,000 s of such trainings are as many "
        f"trainings as {12_000 * _EPOCHS // _PUBLISHED_EPOCHS:,} s of {_EPOCHS} epochs.",
        "Two cells that compute the same function count as one: no search looks at both, where "
        "it is not set to distinct = false.",
        "What predictors see of a cell's flow, width and noise of their models, and how far they "
        "trust them, were chosen on these tables, mostly on CIFAR-10: on another benchmark they "
        "may do less well.",
    ]
    for dataset in race.datasets:
        said += [
            f"{label} on {dataset} {knows}"
            for label, knows in _knowledge(comparison, dataset).items()
        ]
    said += [f"{dataset}: {table.benchmark.provenance}" for dataset, table in tables.items()]
    return said


def _knowledge(comparison: Comparison, dataset: str) -> dict[str, str]:
    """Say for each algorithm that knows something beforehand what that is."""
    said = {}
    for algorithm in describe_all(comparison, dataset):
        scores = algorithm.options.get("scores")
        if algorithm.kind == ZERO_COST:
            among = ", ".join(algorithm.options.get("aggregate") or FLOW_AGGREGATE)
            source = f"the proxies in {scores}" if scores else f"{among}, which the string says"
            said[algorithm.label] = f"looks at no accuracy and chooses by {source}."
        elif algorithm.guided:
            known = gather(
                SPACE,
                scores,
                proxies=algorithm.options.get("proxies"),
                among=algorithm.options.get("aggregate"),
                cell=algorithm.options.get("cell", True),
            )
            said[algorithm.label] = f"knows {known.source}, before it looks at an accuracy."
    return said
