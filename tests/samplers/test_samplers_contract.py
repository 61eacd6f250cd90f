"""Optuna's own published tests of what a sampler must do, run on every sampler of the package."""

from collections.abc import Callable
from functools import partial

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from sklearn.linear_model import Ridge

from zc_search.samplers.portable import (
    DistinctSampler,
    LocalSearchSampler,
    PredictorGuidedSampler,
    RegularizedEvolutionSampler,
)

Make = Callable[[], BaseSampler]


thorough = partial(pytest.param, marks=pytest.mark.thorough)


class TestRegularizedEvolution(
    BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase
):
    @pytest.fixture(params=[{}, thorough({"population_size": 2, "tournament_size": 1})])
    def sampler(self, request: pytest.FixtureRequest) -> Make:
        return lambda: RegularizedEvolutionSampler(**request.param)


class TestLocalSearch(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return LocalSearchSampler


class TestDistinct(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(
        params=[
            optuna.samplers.RandomSampler,
            thorough(optuna.samplers.TPESampler),
            thorough(optuna.samplers.NSGAIISampler),
        ]
    )
    def sampler(self, request: pytest.FixtureRequest) -> Make:
        return lambda: DistinctSampler(request.param())


class TestPredictorGuided(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=["ucb", thorough("thompson")])
    def sampler(self, request: pytest.FixtureRequest) -> Make:
        candidates = [{"x": x, "y": y} for x in (0, 1, 10) for y in (1, -10)]
        features = [[point["x"], point["y"]] for point in candidates]
        return lambda: PredictorGuidedSampler(
            candidates, features, lambda seed: Ridge(), acquisition=request.param, startup=2
        )
