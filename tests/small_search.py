"""The settings of a search that is over in a second or two."""

import json
from pathlib import Path
from typing import Any

from zc_search.config import Config, parse_config

SMALL = """
[study]
name = "small"
n_trials = 12
sampler = "random"
[space]
channels = 2
cells = 1
[data]
source = "noise"
batch_size = 4
[objectives]
naswot_relu = "maximize"
params = "minimize"
"""


def config_in(folder: Path, *overrides: str, **sections: dict[str, Any]) -> Config:
    """Return `SMALL`, without the report, writing to `folder`, and changed.

    >>> config_in(tmp_path, "study.seed=1", proxies={"compute": ["snip"]})  # doctest: +SKIP
    """
    changes = {"output": {"report": False}, **sections}
    return parse_config(
        SMALL,
        [
            f"output.folder={json.dumps(str(folder))}",
            "ensemble.folds=2",
            "ensemble.repeats=1",
            *(
                f"{section}.{key}={json.dumps(value)}"
                for section, table in changes.items()
                for key, value in table.items()
            ),
            *overrides,
        ],
    )
