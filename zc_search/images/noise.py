"""Gaussian noise for images: beside it shows what a ranking owes to natural images."""

import numpy as np

from zc_search.images.sampling import Request, Sample, balanced_labels


def load_noise(request: Request) -> Sample:
    """Return standard normal images, as normalised images would have it, with random labels."""
    labels = balanced_labels(request)
    side = request.info.resolution
    shape = (request.batch_size, 3, side, side)
    return Sample(request.rng.standard_normal(shape, dtype=np.float32), labels)
