"""The words of the search spaces: operations, and the names of what is chosen."""

from typing import Literal, get_args

Operation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
"""The operations in the benchmark's order, which is also that of `Architecture.index`."""

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target, source) of each operation, in the order of the architecture string."""

PARAMETERS = tuple(f"op_{target}_{source}" for target, source in EDGES)
"""The names of the edges in a configuration and in an Optuna trial."""

MASE_OPERATIONS: tuple[Operation, ...] = (
    "none",
    "skip_connect",
    "nor_conv_3x3",
    "nor_conv_1x1",
    "avg_pool_3x3",
)
"""Meaning of MASE's integers 0 to 4; note that the convolutions stand in another order."""

NASLIB_OPERATIONS: tuple[Operation, ...] = (
    "skip_connect",
    "none",
    "nor_conv_3x3",
    "nor_conv_1x1",
    "avg_pool_3x3",
)
"""Meaning of NASLib's integers 0 to 4."""

CHANNELS = (8, 16, 24, 32, 40, 48, 56, 64)
"""What a stage of NATS-Bench's size space may have, in the benchmark's order."""

STAGES = tuple(f"stage_{number}" for number in range(1, 6))
"""The names of these stages in a configuration and in an Optuna trial."""

VertexOperation = Literal["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]

VERTEX_OPERATIONS: tuple[VertexOperation, ...] = get_args(VertexOperation)
"""The operations of NAS-Bench-101 in its order, which its hash depends on."""
