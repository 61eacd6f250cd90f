"""How well the weights of an ensemble transfer between data sets.

    zc-search score --sample 500 --proxies ... --set space.dataset=cifar100 --out cifar100.parquet
    pytest -m slow tests/measurements/test_transfer.py -s --scores a.parquet --scores b.parquet ...

Fitted to accuracies of some architectures on one data set, judged by Kendall's tau on other
architectures, with proxies and accuracies of another. The draws are those of architectures.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zc_search.benchmarks import open_benchmark
from zc_search.ensemble import RECOMMENDED_PROXIES, aggregate, fit_pipeline
from zc_search.ensemble.scores import with_accuracies
from zc_search.ensemble.tables import finite
from zc_search.evaluation import kendall_tau
from zc_search.scoring.scores_file import ScoresTable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

MODEL, FEATURES = "gap", "rank+structure+aggregate+interactions"
TARGET = "val_accuracy"
PROXIES = list(RECOMMENDED_PROXIES)


def usable(source: ScoresTable) -> pd.DataFrame:
    """Scores with accuracies, those of the source's own data set."""
    table = with_accuracies(source.table, open_benchmark(dataset=source.dataset), TARGET)
    table = table[table["feasible"] & finite(table, [TARGET, *PROXIES])]
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
                PROXIES,
                target=TARGET,
                model=MODEL,
                feature_set=FEATURES,
                directions=source.directions,
            )
            for judged, table in rest.items():
                tau = kendall_tau(pipeline.predict(table), table[TARGET].to_numpy())
                rows.append((draw, fitted, judged, tau))
    return pd.DataFrame(rows, columns=["draw", "fitted", "judged", "tau"])


def test_a_transfer_beats_ranking_without_accuracies(request: pytest.FixtureRequest) -> None:
    files = request.config.getoption("--scores")
    if not files:
        pytest.skip("needs --scores FILE, at least twice")
    sources = [ScoresTable.read(Path(file)) for file in files]
    for accuracies in (25, 100):
        found = transfers(sources, accuracies, draws=20)
        summary = found.groupby(["fitted", "judged"])["tau"].agg(["mean", "sem"]).unstack("judged")
        print(f"\n{accuracies} accuracies, mean and standard error of 20 draws\n{summary.round(3)}")
    means = found.groupby(["fitted", "judged"])["tau"].mean()
    for fitted in {source.dataset for source in sources}:
        for judged in {source.dataset for source in sources} - {fitted}:
            assert means[fitted, judged] > means["aggregate", judged]
