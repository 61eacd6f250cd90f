"""A search's settings: TOML in, frozen and validated values out.

The file is described in ``zc_search/config/search.toml``, which `starter` returns.
"""

import lazy_loader

# Imported on first use: a look-up of accuracies asks for the metrics' names and needs no pydantic.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
