"""Benchmark files that others wrote, read without running code in them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)  # the authors' API needs torch
