"""Cells of NAS-Bench-101 that are published."""

from zc_search.spaces import ModelSpec
from zc_search.spaces.nasbench101.architecture import VERTEX_OPERATIONS

CONV3, CONV1, POOL = VERTEX_OPERATIONS

# The first cell of nasbench_only108.tfrecord.
FIRST = ModelSpec(
    (
        (0, 1, 0, 0, 1, 1, 0),
        (0, 0, 1, 0, 0, 0, 0),
        (0, 0, 0, 1, 0, 0, 1),
        (0, 0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 0),
    ),
    ("input", CONV3, POOL, CONV3, CONV3, CONV1, "output"),
)
# The Inception-like cell of the benchmark's README, and what its API answers for it.
INCEPTION = ModelSpec(
    (
        (0, 1, 1, 1, 0, 1, 0),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 1, 0, 0),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 0),
    ),
    ("input", CONV1, CONV3, CONV3, CONV3, POOL, "output"),
)
ANSWERED = ModelSpec(
    (
        (0, 1, 1, 1, 1, 0, 0),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 1, 0),
        (0, 0, 0, 0, 0, 0, 1),
        (0, 0, 0, 0, 0, 0, 0),
    ),
    ("input", CONV3, CONV1, POOL, CONV3, CONV3, "output"),
)
