"""Zero-cost proxies: functions of a `Probe`, one file a paper; `PROXIES` is the whole list.

A user's own is the same kind of function, named ``module:function`` or announced by a package
under the entry point group `ENTRY_POINT_GROUP`.
"""

import lazy_loader

# Imported on first use, so that what needs no torch does not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
