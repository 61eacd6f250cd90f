"""The public suite on every built-in proxy, and on one as users write them."""

import pytest

from zc_search.proxies import PROXIES, Proxy
from zc_search.testing import ProxyTestCase


class TestBuiltIn(ProxyTestCase):
    @pytest.fixture(params=sorted({*PROXIES} - {"latency"}))
    def proxy(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class TestLatency(ProxyTestCase):
    repeatable = False

    @pytest.fixture
    def proxy(self) -> Proxy:
        return PROXIES["latency"]


class TestUsers(ProxyTestCase):
    @pytest.fixture(params=["example_proxy:weighted_params", "example_proxy:bare"])
    def proxy(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)
