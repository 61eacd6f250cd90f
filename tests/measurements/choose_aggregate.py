"""Choose the columns of `zc_search.ensemble.DEFAULT_AGGREGATE`: proxies and features of the flow.

    python tests/measurements/choose_aggregate.py

First of the flow alone, from a few random columns on, then with the packaged proxies from there on,
the aggregate takes, leaves or exchanges one column at a time for as long as Kendall's tau with
CIFAR-10's accuracies rises, a column costing `--worth`. Only functions of the first half
(`in_first_half`) are looked at; printed is what the choice reaches on the second half, and on other
data sets. Takes a minute.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from zc_search import open_benchmark, packaged_scores
from zc_search.ensemble.features import structure_of
from zc_search.ensemble.protocol import in_first_half
from zc_search.evaluation import kendall_tau
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
Chosen = frozenset[tuple[str, int]]


def columns() -> tuple[pd.DataFrame, pd.Series]:
    """Return log ranks, cells x (name, sign), and each cell's function."""
    table, about = packaged_scores("cifar10")
    table = table[np.isfinite(table[[*about["proxies"]]]).all(axis=1)]
    flow = pd.DataFrame([*map(structure_of, table.index)])
    values = {name: table[name].to_numpy() for name in about["proxies"]}
    values |= {name: flow[name].to_numpy() for name in FLOW_FEATURES}
    ranked = {
        (name, sign): np.log(rankdata(sign * column) / len(table))
        for name, column in values.items()
        for sign in (1, -1)
    }
    return pd.DataFrame(ranked, index=table.index), table["function_key"]


def neighbours(chosen: Chosen, every: list[tuple[str, int]]) -> Iterator[Chosen]:
    """Yield what is one column away."""
    names = {name for name, _ in chosen}
    free = [column for column in every if column[0] not in names]
    yield from (chosen | {column} for column in free)
    if len(chosen) > 1:
        yield from (chosen - {column} for column in chosen)
    yield from (chosen - {old} | {new} for new in free for old in chosen)


def climb(logs: pd.DataFrame, true: np.ndarray, worth: float, start: Chosen) -> Chosen:
    """Return the columns that no step improves on."""
    every = list(logs)

    def value(chosen: Chosen) -> float:
        return kendall_tau(logs[sorted(chosen)].sum(axis=1), true) - worth * len(chosen)

    while True:
        best = max(neighbours(start, every), key=value)
        if value(best) <= value(start) + 1e-4:
            return start
        start = best


def main() -> None:
    """Choose, and say what the choice is worth where it was not made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worth", type=float, default=0.003, help="what a column has to gain")
    parser.add_argument("--starts", type=int, default=5)
    asked = parser.parse_args()
    logs, keys = columns()
    first, rng = in_first_half(keys), np.random.default_rng(1)
    true = {name: open_benchmark(dataset=name).of(logs.index, "val_accuracy") for name in DATASETS}
    known, looked_at = logs[first], true["cifar10"][first]
    flow, found = known[[*FLOW_FEATURES]], {}
    for _ in range(asked.starts):
        drawn = rng.choice(flow.shape[1], 3, replace=False)
        chosen = climb(flow, looked_at, asked.worth, frozenset(list(flow)[i] for i in drawn))
        found[chosen] = kendall_tau(flow[sorted(chosen)].sum(axis=1), looked_at)
    chosen = climb(known, looked_at, asked.worth, max(found, key=found.__getitem__))
    print(*(f"{sign:+d} {name}" for name, sign in sorted(chosen)), sep="\n")
    together = logs[sorted(chosen)].sum(axis=1)
    for name, accuracies in true.items():
        halves = [kendall_tau(together[part], accuracies[part]) for part in (first, ~first)]
        print(f"{name}: {halves[0]:.3f} first half, {halves[1]:.3f} second half")


if __name__ == "__main__":
    main()
