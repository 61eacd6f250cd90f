"""LIBRA's choice, and the ceiling of noise, against what is known by construction."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from zc_search.errors import EvaluationError
from zc_search.evaluation import SUBSETS, choose_proxies, kendall_tau, noise_ceiling
from zc_search.evaluation.choice import information_gain


def noisy(rng: np.random.Generator, y: np.ndarray, by: float) -> np.ndarray:
    return y + by * rng.normal(size=len(y))


def test_information_gained_is_scikit_learns_conditional_mutual_information() -> None:
    rng = np.random.default_rng(0)
    y, given, z = (rng.permutation(1000) for _ in range(3))
    y = y + given  # so that given tells something
    tenths = [(np.argsort(np.argsort(x, kind="stable")) // 100).tolist() for x in (given, z)]
    of_y = np.minimum(
        (np.searchsorted(np.sort(y), y) + np.searchsorted(np.sort(y), y, "right")) / 2 * 10 // 1000,
        9,
    )
    # I(y; given, z) - I(y; given), in nats.
    both = [10 * a + b for a, b in zip(*tenths, strict=True)]
    expected = mutual_info_score(of_y, both) - mutual_info_score(of_y, tenths[0])
    assert information_gain(y, given, z) == pytest.approx(expected / np.log(2))


def test_a_choice_by_hand() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=4000)
    size = noisy(rng, y, 1)
    scores = {
        "good": noisy(rng, y, 0.5),
        "other": noisy(rng, y, 0.58),  # tells something of its own
        "large": y + 0.45 * (size - y) + noisy(rng, 0 * y, 0.4),  # more biased by size than y is
        "useless": rng.normal(size=4000),
    }
    scores["copy"] = noisy(rng, scores["good"], 0.25)  # tells nothing new
    scores["broken"] = np.full(4000, 1.0)
    found = choose_proxies(scores, y, size)
    assert found["proxy"].tolist() == ["good", "copy", "other"]
    assert found["chosen_for"].tolist() == ["correlation", "information gain", "bias"]
    assert choose_proxies(scores, y, size, 1)["proxy"].tolist() == ["good"]
    # No more than are within .1 of the best.
    assert set(choose_proxies(scores, y, size, 9)["proxy"]) == {"good", "copy", "other", "large"}


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no proxy varies"):
        choose_proxies({"still": [1, 1, 1]}, [1, 2, 3], [1, 2, 3])
    with pytest.raises(EvaluationError, match="k=0 must be at least 1"):
        choose_proxies({"a": [1, 2, 3]}, [1, 2, 3], [1, 2, 3], 0)


def trained(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return expected accuracies and those of two or three seeds, noisier where they are low."""
    rng = np.random.default_rng(seed)
    expected = 90 + 3 * rng.normal(size=6000) - 3 * abs(rng.normal(size=6000))
    spread = noise * (0.3 + 0.1 * (95 - expected).clip(0))
    accuracies = expected[:, None] + spread[:, None] * rng.standard_t(5, size=(6000, 3))
    accuracies[rng.random(6000) < 0.5, 2] = np.nan
    return expected, accuracies


@pytest.mark.parametrize("noise", [0.3, 0.8])
def test_a_ceiling_is_the_tau_of_the_expected_accuracy(noise: float) -> None:
    expected, accuracies = trained(0, noise)
    seen = np.nanmean(accuracies, axis=1)
    found = noise_ceiling(accuracies, draws=3)
    for subset, share in SUBSETS.items():
        best = seen >= np.sort(seen)[-round(share * len(seen))]
        tau, error = found[subset]
        slack = 4 * error + 0.012 * (share < 1)
        assert tau == pytest.approx(kendall_tau(expected[best], seen[best]), abs=slack), subset
    # Higher than what one seed tells of another.
    assert found["all"].tau > kendall_tau(*accuracies[:, :2].T) + 0.01


def test_a_ceiling_without_noise_is_one_and_without_seeds_unknown() -> None:
    same = np.repeat(np.random.default_rng(0).normal(size=(400, 1)), 2, axis=1)
    assert noise_ceiling(same, draws=1)["all"].tau == pytest.approx(1)
    with pytest.raises(EvaluationError, match="300 architectures of two seeds, got 0"):
        noise_ceiling(np.c_[same[:, 0], np.full(400, np.nan)])
