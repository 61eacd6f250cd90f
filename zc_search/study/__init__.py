"""An Optuna study of architectures: its objective, what a trial records, storages, workers."""

import lazy_loader

# Imported on first use: what reads a finished run needs no torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
