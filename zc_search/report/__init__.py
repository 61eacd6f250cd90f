"""What people look at: the terminal, figures, and the HTML page.

Every ``plot_...`` takes a `SearchResult` or, where it makes sense, a plain table, and returns a
Plotly figure.

>>> from zc_search.report import load_result, plot_pareto
>>> plot_pareto(load_result("runs/cifar10")).show()  # doctest: +SKIP
"""

import lazy_loader

# Imported on first use, so that what needs no torch does not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
