"""A scores file of all of NAS-Bench-201 in no time: proxies that are the accuracy with noise."""

from pathlib import Path

import numpy as np
import pandas as pd

from zc_search.benchmarks import open_benchmark
from zc_search.config import Config
from zc_search.scoring.store import about, to_arrow, to_bytes
from zc_search.scoring.sweep import sweep_scorer
from zc_search.spaces import CellSpace

CELLS = [*CellSpace()]
KEYS = [cell.function_key for cell in CELLS]


def made_up_scores(config: Config) -> pd.DataFrame:
    """Return a table as `zc-search score` writes it, equal for equal functions but for costs."""
    frame = pd.DataFrame({"architecture": [*map(str, CELLS)], "function_key": KEYS})
    accuracy = open_benchmark(dataset=config.dataset).table()["val_accuracy"]
    first = frame.groupby("function_key")["architecture"].transform("first")
    true, function = accuracy[first].to_numpy(), pd.factorize(frame["function_key"])[0]
    convolutions = np.array([sum(op.startswith("nor_conv") for op in cell.ops) for cell in CELLS])
    rng = np.random.default_rng(0)
    for scale, proxy in enumerate(sweep_scorer(config).proxies, start=1):
        if proxy.counts_dead_edges:
            frame[proxy.name] = 0.1 + scale * convolutions / 3
        else:
            frame[proxy.name] = true + scale * rng.normal(size=function.max() + 1)[function]
    return frame.assign(seconds=0.1, failures=None)


def write_whole_space(path: Path, config: Config, frame: pd.DataFrame | None = None) -> Path:
    """Write such a table, by default that of `made_up_scores`, with what a sweep says of itself."""
    frame = made_up_scores(config) if frame is None else frame
    path.write_bytes(to_bytes(to_arrow(frame, about(config, sweep_scorer(config)))))
    return path
