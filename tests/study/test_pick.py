"""One architecture of a front."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_search import config_in

import zc_search as zc
from zc_search.config import parse_config
from zc_search.errors import ConfigError
from zc_search.report import load_result
from zc_search.report.text import result_document
from zc_search.study.record import picked


def front(gain: list[float], cost: list[float]) -> pd.DataFrame:
    names = [f"cell {number}" for number in range(len(gain))]
    return pd.DataFrame({"architecture": names, "synflow": gain, "params": cost})


def config(pick: object) -> zc.Config:
    objectives = {"synflow": "maximize", "params": "minimize"}
    output = {} if pick is None else {"pick": pick}
    return parse_config({"objectives": objectives, "output": output})


# Shares of the front's range by hand: (0, 1), (.6, .8), (.9, .4), (1, 0).
GAIN, COST = [10.0, 16.0, 19.0, 20.0], [1.0, 1.2, 1.6, 2.0]


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        ("knee", "cell 1"),  # 1, 1.4, 1.3, 1
        ({"synflow": 1.0}, "cell 3"),
        ({"params": 3, "synflow": 0}, "cell 0"),
        ({"synflow": 2, "params": 1}, "cell 2"),  # 1, 2, 2.2, 2
    ],
)
def test_the_weighted_sum_of_shares_decides(pick: object, expected: str) -> None:
    chosen = picked(front(GAIN, COST), config(pick))
    assert chosen.architecture == expected
    row = int(expected.split()[1])
    assert chosen.values == {"synflow": GAIN[row], "params": COST[row]}
    shares = [[0, 1], [0.6, 0.8], [0.9, 0.4], [1, 0]][row]
    assert [*chosen.shares.values()] == pytest.approx(shares)
    assert chosen.best == {"synflow": 20.0, "params": 1.0}


def test_the_knee_is_farthest_from_the_line_through_the_ends() -> None:
    rng = np.random.default_rng(0)
    gain = np.sort(rng.uniform(size=30))
    cost = np.sort(rng.uniform(size=30)) ** 2 * 1e6
    ends = np.array([[gain[0], cost[0]], [gain[-1], cost[-1]]])
    width = ends[1] - ends[0]
    points = (np.stack([gain, cost], axis=1) - ends[0]) / width
    signed = (points[:, 0] - points[:, 1]) / 2**0.5  # of the line x = y, positive on its good side
    chosen = picked(front(gain.tolist(), cost.tolist()), config("knee"))
    assert chosen.architecture == f"cell {signed.argmax()}"


def test_what_does_not_differ_decides_nothing_and_what_has_no_value_is_left_out() -> None:
    chosen = picked(front([1.0, 1.0, np.nan], [3.0, 2.0, 1.0]), config("knee"))
    assert chosen.architecture == "cell 1"
    assert chosen.shares == {"synflow": 1.0, "params": 1.0}
    assert picked(front([np.nan], [1.0]), config("knee")) is None
    assert picked(front(GAIN, COST), config(None)) is None
    assert picked(front([], []), config("knee")) is None


@pytest.mark.parametrize(
    "wrong", ["knees", {}, {"synflow": -1}, {"synflow": 0}, {"params": "x"}, 3]
)
def test_a_wrong_pick_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError) as caught:
        config(wrong)
    assert caught.value.key == "output.pick"


def test_weights_are_of_objectives() -> None:
    with pytest.raises(ConfigError, match="did you mean 'params'") as caught:
        config({"param": 1})
    assert caught.value.given == "param"


def test_it_is_shown_and_read_from_the_folder(tmp_path: Path) -> None:
    settings = config_in(tmp_path, output={"pick": "knee", "report": True})
    result = zc.run_search(settings)
    assert result.pick.architecture in set(result.pareto["architecture"])
    assert load_result(result.folder).pick.architecture == result.pick.architecture
    assert result.pick.architecture in result_document(result)
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert f"Picked from the front: <code>{result.pick.architecture}</code>" in page
