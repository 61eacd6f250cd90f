"""Models of the gap to the best accuracy: ridge by evidence, Gaussian process, shrinking, links."""

import warnings

import numpy as np
import pandas as pd
import pytest
from ensemble_tables import WEIGHTS, linear_table
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import Ridge

from zc_search.benchmarks import open_benchmark
from zc_search.ensemble import fit_ensemble, fit_pipeline, learning_curve, models
from zc_search.ensemble.models import (
    AGGREGATE_WORTH,
    OPERATIONS_SHARE,
    PROCESS_WORTH,
    PRODUCT_SCALE,
    PROXY_SCALE,
    GapProcess,
    GapRegression,
    Link,
    fit_ridge,
    gaps_to_ceiling,
    ridge_covariance,
    ridge_posterior,
)
from zc_search.evaluation import kendall_tau
from zc_search.spaces import Architecture

PROXIES = list(WEIGHTS)
FULL = "rank+structure+aggregate+interactions"


def columns(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    X = pd.DataFrame(random.normal(size=(rows, 4)), columns=["a", "b", "a * b", "c"])
    X = (X - X.mean()) / X.std(ddof=0)
    return X, X.to_numpy() @ [1.0, -0.5, 0.2, 0.0] + random.normal(size=rows)


def log_evidence(X: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """Likelihood of centred targets under weights of variance v / alpha and noise v, best v."""
    covariance = np.eye(len(y)) + X @ X.T / alpha
    scale = y @ np.linalg.solve(covariance, y) / len(y)
    return stats.multivariate_normal(cov=scale * covariance).logpdf(y)


# Ridge ----------------------------------------------------------------------------------------


def test_the_ridge_is_as_strong_as_makes_the_targets_likeliest() -> None:
    X, y = columns(30)
    *_, alpha = fit_ridge(X, y, None)
    scaled = X.to_numpy() * [1, 1, PRODUCT_SCALE, 1]
    centred = (y - y.mean()) / y.std()
    grid = np.logspace(-3, 3, 601)
    best = grid[np.argmax([log_evidence(scaled, centred, strength) for strength in grid])]
    assert alpha == pytest.approx(best, rel=0.05)


def test_products_are_held_back_more_than_what_they_are_made_of() -> None:
    X, y = columns(30)
    weights, intercept, alpha = fit_ridge(X, y, 7.0)
    assert alpha == 7.0
    # A column that is a third as large needs a penalty nine times as large for the same weight.
    penalty = np.diag([1, 1, 1 / PRODUCT_SCALE**2, 1]) * 7.0
    values = X.to_numpy()
    expected = np.linalg.solve(values.T @ values + penalty, values.T @ (y - y.mean()))
    np.testing.assert_allclose(weights, expected)
    assert intercept == pytest.approx(y.mean())


def test_a_ridge_without_products_is_a_ridge() -> None:
    X, y = columns(30)
    X = X[["a", "b", "c"]]
    weights, intercept, _ = fit_ridge(X, y, 3.0)
    expected = Ridge(3.0).fit(X, y)
    np.testing.assert_allclose(weights, expected.coef_)
    assert intercept == pytest.approx(expected.intercept_)


@pytest.mark.parametrize("rows", [10, 300])
def test_the_aggregate_counts_as_so_many_rows(rows: int) -> None:
    X, y = columns(rows)
    X["aggregate"] = X["a"] * 2 + 1
    weights, intercept, _ = fit_ridge(X, y, 5.0)
    plain = Ridge(5.0).fit(X * [1, 1, PRODUCT_SCALE, 1, 1], y)
    line = stats.linregress(X["aggregate"], y)
    share = AGGREGATE_WORTH / (AGGREGATE_WORTH + rows)
    expected = (1 - share) * plain.predict(X * [1, 1, PRODUCT_SCALE, 1, 1])
    expected += share * (line.intercept + line.slope * X["aggregate"])
    np.testing.assert_allclose(X.to_numpy() @ weights + intercept, expected)


def test_an_aggregate_that_misleads_is_not_turned_round() -> None:
    X, y = columns(20)
    X["aggregate"] = -y
    weights, intercept, _ = fit_ridge(X, y, 1e12)
    assert weights[-1] == pytest.approx(0, abs=1e-6)
    assert intercept == pytest.approx(y.mean())


# Target ---------------------------------------------------------------------------------------


def test_gaps_by_hand() -> None:
    ceiling, gaps = gaps_to_ceiling(np.array([10.0, 80.0, 90.0]))
    assert ceiling == 95  # half of 90 - 80 above 90
    np.testing.assert_allclose(gaps, -np.log([85, 15, 5]))


@pytest.mark.parametrize(
    "accuracies", [[90.0, 90.0, 90.0, 10.0], [50.0, 50.0], [1.0, 1.0 + 1e-12, 1.0]]
)
def test_gaps_are_finite_where_most_are_the_best(accuracies: list[float]) -> None:
    ceiling, gaps = gaps_to_ceiling(np.array(accuracies))
    assert ceiling > max(accuracies)
    assert np.isfinite(gaps).all()


def test_the_link_undoes_the_target_and_rises_beyond() -> None:
    accuracies = np.random.default_rng(0).uniform(10, 91, size=50)
    ceiling, gaps = gaps_to_ceiling(accuracies)
    link = Link.of_gaps(ceiling, gaps)
    np.testing.assert_allclose(link(gaps), accuracies, atol=0.1)
    far = link(np.linspace(gaps.min() - 9, gaps.max() + 9, 500))
    assert (np.diff(far) > 0).all()
    assert link.unit == f"-log({ceiling:g} - accuracy)"
    assert Link.model_validate_json(link.model_dump_json()) == link


def test_a_failure_does_not_turn_the_fit() -> None:
    table = linear_table(60, noise=0.3)
    table.loc[table["alpha"].idxmax(), "val_accuracy"] = 1.0
    new = linear_table(200, noise=0.0, seed=1)

    def tau(model: str) -> float:
        pipeline = fit_pipeline(table, PROXIES, model=model, feature_set="standard")
        return kendall_tau(pipeline.predict(new), new["val_accuracy"].to_numpy())

    assert tau("gap") > tau("linear") + 0.05


# Models ---------------------------------------------------------------------------------------


def test_a_fit_orders_as_its_score_does() -> None:
    X, y = columns(40)
    fitted = GapRegression().fit(X, 60 + y)
    order = stats.rankdata(X.to_numpy() @ fitted.coef_)
    assert stats.kendalltau(order, fitted.predict(X)).statistic > 0.99


# Uncertainty ----------------------------------------------------------------------------------


def test_the_posterior_of_a_ridge_is_that_of_the_textbook() -> None:
    X, y = columns(30)
    design, alpha = X.to_numpy() + 3.0, 2.0
    centred = design - design.mean(axis=0)
    inverse = np.linalg.inv(centred.T @ centred + alpha * np.eye(4))
    degrees = np.trace(centred @ inverse @ centred.T)
    fitted = Ridge(alpha).fit(design, y)
    variance = ((y - fitted.predict(design)) ** 2).sum() / (30 - 1 - degrees)
    covariance = ridge_posterior(design, y, alpha)
    np.testing.assert_allclose(covariance[1:, 1:], variance * inverse)
    # Where all columns are at their means only the mean of the targets is uncertain.
    centre = np.array([1.0, *design.mean(axis=0)])
    assert centre @ covariance @ centre == pytest.approx(variance / 30)


def test_products_and_the_aggregate_have_their_share_of_it() -> None:
    X, y = columns(30)
    scaled = X.to_numpy() * [1, 1, PRODUCT_SCALE, 1]
    factors = np.array([1, 1, 1, PRODUCT_SCALE, 1])
    plain = ridge_posterior(scaled, y, 2.0) * np.outer(factors, factors)
    np.testing.assert_allclose(ridge_covariance(X, y, 2.0), plain)
    X["aggregate"] = X["a"] * 2 + 1
    line = stats.linregress(X["aggregate"], y)
    share = AGGREGATE_WORTH / (AGGREGATE_WORTH + 30)
    own = ridge_posterior(X.to_numpy() * [1, 1, PRODUCT_SCALE, 1, 1], y, 2.0)
    expected = (1 - share) ** 2 * own[-1, -1] + share**2 * line.stderr**2
    assert ridge_covariance(X, y, 2.0)[-1, -1] == pytest.approx(expected)
    expected = (1 - share) ** 2 * own[0, 0] + share**2 * line.intercept_stderr**2
    assert ridge_covariance(X, y, 2.0)[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("features", [20, 150])
def test_intervals_hold_true_weights_as_often_as_they_say(features: int) -> None:
    """A bootstrap of the same ridge holds a quarter of them where features exceed the rows."""
    random = np.random.default_rng(7)
    held = []
    for _ in range(30):
        design = random.normal(size=(80, features))
        weights = random.normal(size=features)
        y = design @ weights + random.normal(size=80) * np.sqrt(features)
        alpha = float(features)  # noise over signal, as the truth was drawn
        errors = np.sqrt(np.diag(ridge_posterior(design, y, alpha))[1:])
        estimate = Ridge(alpha).fit(design, y).coef_
        held.append(np.abs(estimate - weights) < stats.norm.ppf(0.95) * errors)
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("model", ["gap", "ridge"])
def test_a_weight_lies_in_its_own_interval(model: str) -> None:
    ensemble = fit_ensemble(
        linear_table(60),
        PROXIES,
        model=model,
        feature_set="rank+structure+interactions",
        fit_on="all",
        repeats=1,
        folds=2,
        n_bootstrap=2,
    )
    weights = ensemble.weights
    assert len(weights) > 60, "more features than rows"
    middle = (weights["low"] + weights["high"]) / 2
    np.testing.assert_allclose(middle, weights["weight"], atol=1e-12)
    assert (weights["standard_error"] > 0).all()


def test_the_aggregate_counts_where_a_weight_contradicts_its_direction() -> None:
    """A proxy whose own weight is below 0 may raise the score through the aggregate."""
    table = linear_table(60)
    directions = dict.fromkeys(PROXIES, "maximize")
    ensemble = fit_ensemble(
        table,
        PROXIES,
        model="gap",
        feature_set="rank+aggregate",
        fit_on="all",
        repeats=1,
        folds=2,
        n_bootstrap=2,
        directions=directions,
    )
    named = " ".join(n for n in ensemble.notes if "contradict" in n)
    for proxy in PROXIES:
        low, high = (table.assign(**{proxy: table[proxy].agg(end)}) for end in ("min", "max"))
        matrices = [ensemble.features.matrix(t) for t in (low, high)]
        scores = [ensemble.predictor._score(m).mean() for m in matrices]
        assert (f"{proxy} ({directions[proxy]})" in named) == (scores[1] < scores[0])


def test_the_process_is_that_of_scikit_learn() -> None:
    X, y = columns(40)
    process = GapProcess().fit(X, 60 + y)
    ceiling, gaps = gaps_to_ceiling(60 + y)
    kernel = ConstantKernel() * Matern(8, "fixed", nu=1.5) + WhiteKernel(0.1, (0.01, 1))
    own = GaussianProcessRegressor(kernel, normalize_y=True).fit(X.to_numpy(), gaps)
    found = process.process_.log_marginal_likelihood_value_
    assert found == pytest.approx(own.log_marginal_likelihood_value_, abs=0.01)
    new, _ = columns(40, seed=1)
    expected = ceiling - np.exp(-own.predict(new.to_numpy()))
    np.testing.assert_allclose(process.predict(new), expected, atol=0.05)


def test_a_process_of_many_rows_takes_its_parameters_from_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, y = columns(40)
    X = table.to_numpy() / 8
    monkeypatch.setattr(models, "TUNED_ON", 20)
    process = GapProcess().fit(table, 60 + y).process_
    gaps = gaps_to_ceiling(60 + y)[1]
    some = [round(row) for row in np.linspace(0, 39, 20)]
    kernel = ConstantKernel() * Matern(1, "fixed", nu=1.5) + WhiteKernel(0.1, (0.01, 1))
    tuned = GaussianProcessRegressor(kernel, normalize_y=True).fit(X[some], gaps[some])
    own = GaussianProcessRegressor(tuned.kernel_, optimizer=None, normalize_y=True).fit(X, gaps)
    new = columns(40, seed=1)[0].to_numpy() / 8
    np.testing.assert_allclose(process.predict(new), own.predict(new), atol=0.02)


def test_the_process_tells_operations_by_a_weak_kernel_and_proxies_by_short_distances() -> None:
    X, _ = columns(60)
    X.columns = ["flow depth", "jacov", "nor_conv_3x3 on 1<-0", "skip_connect on 1<-0"]
    process = GapProcess(["jacov"]).fit(X, 70 + np.sin(X["flow depth"]))
    length = 4 * np.sqrt(1 + PROXY_SCALE**2)
    likeness = Matern(length, "fixed", nu=1.5)(X.to_numpy()[:, :2] * [1, PROXY_SCALE])
    likeness += OPERATIONS_SHARE * Matern(4 * 2**0.5, "fixed", nu=1.5)(X.to_numpy()[:, 2:])
    variance, noise = np.exp(process.process_.kernel_.theta)
    known = process.process_.kernel_(process.process_.X_train_)
    np.testing.assert_allclose(known, variance * likeness + noise * np.eye(60), rtol=1e-9)


@pytest.mark.parametrize("kind", ["nor_conv_3x3 on {}<-0", "flow {}"])
def test_the_process_does_with_operations_alone_or_without_any(kind: str) -> None:
    X, y = columns(40)
    X = X.set_axis([kind.format(name) for name in "abcd"], axis=1)
    assert kendall_tau(GapProcess().fit(X, 60 + y).predict(X), y) > 0.5


@pytest.mark.parametrize("rows", [10, 60])
def test_the_process_leans_on_the_aggregate_by_the_square_of_its_rows(rows: int) -> None:
    X, y = columns(rows)
    X["aggregate"] = X["a"] * 2 + 1
    ceiling, gaps = gaps_to_ceiling(60 + y)
    alone = GapProcess().fit(X.drop(columns="aggregate"), 60 + y).predict(X)
    line = stats.linregress(X["aggregate"], gaps)
    share = PROCESS_WORTH**2 / (PROCESS_WORTH**2 + rows**2)
    expected = (1 - share) * -np.log(ceiling - alone)
    expected += share * (line.intercept + line.slope * X["aggregate"])
    found = GapProcess().fit(X, 60 + y).predict(X)
    np.testing.assert_allclose(found, ceiling - np.exp(-expected), atol=0.01)


def test_the_process_is_drawn_towards_the_aggregate_when_rows_are_few() -> None:
    X, y = columns(6)
    new, _ = columns(50, seed=1)
    X["aggregate"], new["aggregate"] = y, np.linspace(-2, 2, 50)
    order = stats.kendalltau(GapProcess().fit(X, 60 + y).predict(new), new["aggregate"]).statistic
    assert order > 0.8
    without = GapProcess().fit(X.drop(columns="aggregate"), 60 + y)
    assert abs(stats.kendalltau(without.predict(new), new["aggregate"]).statistic) < 0.5


@pytest.mark.parametrize("model", ["gap", "gp"])
@pytest.mark.parametrize("rows", [2, 9])
def test_few_rows_give_finite_predictions_and_no_warning(model: str, rows: int) -> None:
    table = linear_table(40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = fit_pipeline(table[:rows], PROXIES, model=model, feature_set=FULL)
    assert np.isfinite(pipeline.predict(table)).all()


def test_a_process_has_importances_and_no_file() -> None:
    ensemble = fit_ensemble(
        linear_table(40),
        PROXIES,
        model="gp",
        feature_set="rank+structure+aggregate",
        fit_on="all",
        repeats=1,
        folds=2,
        n_bootstrap=5,
    )
    importances = ensemble.weights.set_index("feature")["importance"]
    assert list(importances.index) == [*PROXIES, "architecture"]
    assert importances["alpha"] > 0.1 > importances["gamma"]


# The benchmark --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "feature_set", "least"),
    [
        ("gap", FULL, 0.80),
        ("gp", "rank+operations+aggregate", 0.82),
        ("gap", "rank+structure", 0.0),
    ],
)
def test_structure_orders_the_benchmark(model: str, feature_set: str, least: float) -> None:
    # Sizes of networks are the one proxy that a table without scores has.
    known = open_benchmark(dataset="cifar100").table().reset_index()[::20]
    cells = [Architecture.from_string(text) for text in known["architecture"]]
    known = known[[cell.reaches_output for cell in cells]].sample(400, random_state=0)
    known["function_key"] = [
        Architecture.from_string(text).function_key for text in known["architecture"]
    ]
    judged = learning_curve(
        known, ["model_size"], [100], 2, models=[model], feature_sets=[feature_set]
    )
    tau = judged.groupby("predictor")["kendall_tau"].mean()
    assert tau["ensemble"] > max(least, tau["best single proxy"] + 0.1)
