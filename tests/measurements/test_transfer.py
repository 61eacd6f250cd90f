"""How well the weights of an ensemble transfer between data sets.

    pytest -m slow -n 0 -s tests/measurements/test_transfer.py

Fitted to accuracies of some architectures on one data set, judged by Kendall's tau on other
functions, with proxies and accuracies of another; all from the scores that the package has.
"""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from zc_search.benchmarks import open_benchmark
from zc_search.ensemble import aggregate, fit_pipeline
from zc_search.ensemble.scores import with_accuracies
from zc_search.ensemble.tables import finite
from zc_search.evaluation import kendall_tau
from zc_search.scoring.scores_file import ScoresTable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

MODEL, FEATURES = "gap", "rank+structure+aggregate+interactions"
TARGET = "val_accuracy"
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


def usable(source: ScoresTable) -> pd.DataFrame:
    """A function a row, with accuracies on the source's own data set."""
    table = with_accuracies(source.table, open_benchmark(dataset=source.dataset), TARGET)
    table = table[table["feasible"] & finite(table, [TARGET, *source.proxies])]
    return table.drop_duplicates("function_key").set_index("function_key", drop=False)


def transfers(sources: list[ScoresTable], accuracies: int, draws: int) -> pd.DataFrame:
    """Kendall's tau by ``fitted`` and ``judged`` data set, one row a draw; also the aggregate."""
    tables = {source.dataset: usable(source) for source in sources}
    rows = []
    for draw in range(draws):
        rng = np.random.default_rng([draw, accuracies])
        # One draw of functions for all data sets, so that the same ones are never both.
        every = sorted(set().union(*(table.index for table in tables.values())))
        place = {key: n for n, key in enumerate(rng.permutation(every))}
        ordered = {
            name: t.loc[sorted(t.index, key=place.__getitem__)] for name, t in tables.items()
        }
        seen = {key for t in ordered.values() for key in t.index[:accuracies]}
        rest = {name: t[~t.index.isin(seen)].reset_index(drop=True) for name, t in ordered.items()}
        for judged, table in rest.items():
            true = table[TARGET].to_numpy()
            rows.append((draw, "aggregate", judged, kendall_tau(aggregate(table).to_numpy(), true)))
        for fitted, source in zip(ordered, sources, strict=True):
            pipeline = fit_pipeline(
                ordered[fitted][:accuracies].reset_index(drop=True),
                source.proxies,
                population=ordered[fitted],
                target=TARGET,
                model=MODEL,
                feature_set=FEATURES,
                directions=source.directions,
            )
            for judged, table in rest.items():
                tau = kendall_tau(pipeline.predict(table), table[TARGET].to_numpy())
                rows.append((draw, fitted, judged, tau))
    return pd.DataFrame(rows, columns=["draw", "fitted", "judged", "tau"])


def test_a_transfer_of_a_hundred_beats_ranking_without_accuracies() -> None:
    sources = [ScoresTable.read("packaged", dataset) for dataset in DATASETS]
    for accuracies in (25, 100):
        found = transfers(sources, accuracies, draws=20)
        summary = found.groupby(["fitted", "judged"])["tau"].agg(["mean", "sem"]).unstack("judged")
        print(f"\n{accuracies} accuracies, mean and standard error of 20 draws\n{summary.round(3)}")
    means = found.groupby(["fitted", "judged"])["tau"].mean()
    for fitted, judged in permutations(DATASETS, 2):
        assert means[fitted, judged] > means["aggregate", judged]
