"""Tables of scores with known truth, for the tests of the ensemble."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from zc_search.spaces import Architecture
from zc_search.spaces.nasbench201.structure import features

WEIGHTS = {"alpha": 3.0, "beta": -1.0, "gamma": 0.0}
"""What one unit of each proxy adds to the accuracy of `linear_table`."""

INTERCEPT = 60.0


def linear_table(rows: int, noise: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Return distinct cells whose accuracy is linear in three independent normal proxies."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({name: random.normal(size=rows) for name in WEIGHTS})
    truth = sum(weight * table[name] for name, weight in WEIGHTS.items())
    table["val_accuracy"] = INTERCEPT + truth + noise * random.normal(size=rows)
    cells = random.choice(5**6, size=rows, replace=False)
    table["architecture"] = [Architecture.from_index(int(cell)).to_string() for cell in cells]
    table["function_key"] = [f"function {row}" for row in range(rows)]
    table["feasible"] = True
    table["pareto"] = np.arange(rows) % 3 == 0
    table["params"] = random.uniform(0.1, 1.5, size=rows)
    return table


def flow_features(cells: Iterable[str]) -> pd.DataFrame:
    """The features of the flow of cells, a row each."""
    return pd.DataFrame([features(Architecture.from_string(cell)) for cell in cells])
