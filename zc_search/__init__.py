"""Multi-objective neural architecture search that trains nothing.

>>> import zc_search
>>> result = zc_search.run_search(zc_search.load_config("search.toml"))  # doctest: +SKIP
"""

import lazy_loader

# Imported on first use, so that what needs no torch does not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
