"""The batch that is scored, and every source of images, as one `ImageSet`."""

import lazy_loader

# Imported on first use, so that what needs no torch does not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
