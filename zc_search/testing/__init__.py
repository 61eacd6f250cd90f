"""Public pytest suites: subclass one for a search space, proxy or source of accuracies of yours.

>>> from zc_search.testing import SpaceTestCase  # doctest: +SKIP

pytest runs every test of a class in a test file that is derived from one of them.
"""

import pytest

pytest.register_assert_rewrite(
    f"{__name__}.accuracies", f"{__name__}.proxies", f"{__name__}.spaces"
)

from zc_search.testing.accuracies import AccuracyTestCase  # noqa: E402  so that failures are shown
from zc_search.testing.proxies import ProxyTestCase  # noqa: E402
from zc_search.testing.spaces import SpaceTestCase  # noqa: E402

__all__ = ["AccuracyTestCase", "ProxyTestCase", "SpaceTestCase"]
