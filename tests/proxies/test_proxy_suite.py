"""The public suite on every built-in proxy, and on one as users write them."""

import pytest

from zc_search.proxies import PROXIES, Proxy
from zc_search.testing import ProxyTestCase

# One of each way to measure; of all of them it is asked with more patience.
SOME = {"params", "snip", "grasp", "naswot", "ntk", "zico", "synflow", "zen", "meco", "wrcor"}
PARAMS = [
    pytest.param(name, marks=[] if name in SOME else pytest.mark.thorough)
    for name in sorted({*PROXIES} - {"latency"})
]


class TestBuiltIn(ProxyTestCase):
    @pytest.fixture(params=PARAMS)
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
