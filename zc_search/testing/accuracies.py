"""The suite for sources of accuracies."""

import math
import pickle
from collections.abc import Iterable
from typing import Any

import pytest

from zc_search.errors import ZcSearchError
from zc_search.spaces import AnyArchitecture


class AccuracyTestCase:
    """What everything keeps that is asked for accuracies by ``query(architecture)``.

    >>> import pytest
    >>> from zc_search.benchmarks import open_benchmark
    >>> class TestMyTable(AccuracyTestCase):
    ...     @pytest.fixture
    ...     def source(self):
    ...         return open_benchmark()
    ...     @pytest.fixture
    ...     def architectures(self, source):
    ...         return source[:3]
    ...     @pytest.fixture
    ...     def unknown(self):
    ...         return "no architecture"
    """

    @pytest.fixture
    def source(self) -> Any:
        """Return the source; to be overridden."""
        raise NotImplementedError("override the fixture `source`")

    @pytest.fixture
    def architectures(self) -> Iterable[AnyArchitecture]:
        """Return architectures that it knows; to be overridden."""
        raise NotImplementedError("override the fixture `architectures`")

    @pytest.fixture
    def unknown(self) -> AnyArchitecture | str | None:
        """Return an architecture that it does not know; None if it knows all."""
        return None

    def test_answers_are_finite(
        self, source: Any, architectures: Iterable[AnyArchitecture]
    ) -> None:
        """Each architecture has figures by name, finite numbers, the same for its text."""
        for architecture in architectures:
            assert architecture in source
            figures = dict(source.query(architecture))
            assert figures
            assert all(math.isfinite(value) for value in figures.values())
            assert all(0 <= v <= 100 for name, v in figures.items() if name.endswith("_accuracy"))
            assert figures.keys() <= {*source.metrics}
            assert dict(source.query(str(architecture))) == figures
            first = next(iter(figures))
            assert dict(source.query(architecture, metrics=[first])) == {first: figures[first]}

    def test_metrics_have_directions(self, source: Any) -> None:
        """Every metric is maximised or minimised, and it is said where the figures come from."""
        assert source.metrics
        assert {*source.directions} == {*source.metrics}
        assert {*source.directions.values()} <= {"maximize", "minimize"}
        assert source.fingerprint
        assert source.provenance

    def test_the_unknown_is_named(self, source: Any, unknown: AnyArchitecture | str | None) -> None:
        """An unknown architecture is an error that names it, and so is an unknown metric."""
        if unknown is not None:
            assert unknown not in source
            with pytest.raises(ZcSearchError) as caught:
                source.query(unknown)
            assert str(unknown) in str(caught.value)

    def test_an_unknown_metric_is_named(
        self, source: Any, architectures: Iterable[AnyArchitecture]
    ) -> None:
        """A metric that it does not have is an error that lists those it has."""
        with pytest.raises(ZcSearchError, match="beauty"):
            source.query(next(iter(architectures)), metrics=["beauty"])

    def test_it_travels(self, source: Any, architectures: Iterable[AnyArchitecture]) -> None:
        """In another process it gives the same answers."""
        travelled = pickle.loads(pickle.dumps(source))
        first = next(iter(architectures))
        assert dict(travelled.query(first)) == dict(source.query(first))
