"""The public suite on every space that is shipped, and on spaces as users write them."""

import pytest

from zc_search.spaces import (
    AnySpace,
    CellSpace,
    FunctionSpace,
    MicroSpace,
    MobileNetSpace,
    ModelSpecSpace,
    ProductOfChoices,
    SizeSpace,
    own_space,
)
from zc_search.testing import SpaceTestCase


class TestCells(SpaceTestCase):
    sizes = {"channels": 4, "cells": 1}  # noqa: RUF012

    @pytest.fixture
    def space(self) -> AnySpace:
        return CellSpace()


class TestSizes(SpaceTestCase):
    @pytest.fixture
    def space(self) -> AnySpace:
        return SizeSpace()


class TestModelSpecs(SpaceTestCase):
    same_weights = False  # only the first isomorph is built where it matters
    sizes = {"channels": 8, "cells": 1}  # noqa: RUF012

    @pytest.fixture
    def space(self) -> AnySpace:
        return ModelSpecSpace()


class TestBuilders(SpaceTestCase):
    """A ViT, a ResNet of conditional depth, activations that are functions, and a plain one."""

    proxies = ("params", "flops", "snip", "synflow", "jacov")
    built, draws = 1, 8

    @pytest.fixture(params=["vit", "resnet", "functional", "build"])
    def space(self, request: pytest.FixtureRequest) -> AnySpace:
        return FunctionSpace(f"own_networks:{request.param}")


class TestProduct(SpaceTestCase):
    @pytest.fixture
    def space(self) -> AnySpace:
        choices = {"depth": [1, 2], "width": [8, 16], "norm": ["batch", "group"]}
        return ProductOfChoices("own_networks:product", choices=choices)


class TestClasses(SpaceTestCase):
    """A class of the user's, listed or not, and an object with a few methods beside ``build``."""

    built, draws = 1, 8

    @pytest.fixture(params=["BranchSpace", "PlainBranchSpace", "Choices"])
    def space(self, request: pytest.FixtureRequest) -> AnySpace:
        return own_space(f"own_networks:{request.param}")


class TestMobileNets(SpaceTestCase):
    built = 1

    @pytest.fixture
    def space(self) -> AnySpace:
        return MobileNetSpace()


class TestMicroCells(SpaceTestCase):
    built = 1
    same_weights = False  # layers are drawn by the names of their edges

    @pytest.fixture
    def space(self) -> AnySpace:
        return MicroSpace()
