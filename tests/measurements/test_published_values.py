"""Ranks of our values beside published ones, for the architectures of a table.

    pytest -m slow -n 0 -s tests/measurements/test_published_values.py \\
        --published nb201_proxies_published.csv [--cifar10 FOLDER]

The table has a column ``arch`` and a column a proxy, CIFAR-10. Seeds, images and batch differ
from ours, so ranks are compared: Spearman's correlation, printed for photograph patches and, where
they are at hand, for images of CIFAR-10. A batch of 64, and 250 architectures take ten minutes.
"""

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import spearmanr

from zc_search.config import parse_config
from zc_search.proxies import PROXIES
from zc_search.scoring.sweep import score_space

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

REPEATS = ["flops", "params", "snip", "grad_norm", "fisher", "l2_norm", "synflow"]
"""What depends on the network, or repeats between seeds and batches: ranks must agree."""


def test_ranks_agree_with_published_ones(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = request.config.getoption("--published")
    if path is None:
        pytest.skip("needs --published CSV")
    published = pd.read_csv(path).set_index("arch")
    names = [name for name in published.columns if name in PROXIES]
    sources = {"patches": {"source": "patches"}}
    if folder := request.config.getoption("--cifar10"):
        sources["cifar10"] = {"source": "cifar10", "path": folder}
    agreement = pd.DataFrame(index=names)
    for source, data in sources.items():
        config = parse_config(
            {
                "data": {**data, "batch_size": 64},
                "proxies": {"compute": names},
                "objectives": {"params": "minimize"},
            }
        )
        ours = score_space(published.index, config, tmp_path / f"{source}.parquet")
        agreement[source] = [
            spearmanr(ours[n], published.loc[ours.index, n], nan_policy="omit").statistic
            for n in names
        ]
    print(f"\n{agreement.round(3)}")
    assert (agreement.loc[REPEATS] > 0.9).all(axis=None)
