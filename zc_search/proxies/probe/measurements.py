"""What a Probe can measure, which passes that takes, and what it costs."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

Measurement = Literal[
    "loss_gradients",
    "channel_saliency",
    "gradient_curvature",
    "relu_agreement",
    "distinct_unit_patterns",
    "layer_agreement",
    "input_jacobian",
    "smallest_eigenvalues",
    "sampled_eigenvalues",
    "block_entropies",
    "block_jacobian_norms",
    "response_correlations",
    "tangent_kernel",
    "gradient_signs",
    "half_batch_gradients",
    "fisher_information",
    "synaptic_flow",
    "gaussian_perturbation",
    "multiply_adds",
    "latency",
]
"""What a Probe can measure beyond the weights themselves."""

SHARED: frozenset[Measurement] = frozenset(get_args(Measurement)[:12])
"""Measurements that one forward pass of the whole batch serves together."""

PER_IMAGE: frozenset[Measurement] = frozenset(get_args(Measurement)[12:14])
"""Measurements that one forward pass with constant normalisation statistics serves together."""

RELATIVE_COST: Mapping[Measurement, float] = {
    "loss_gradients": 0.7,
    "channel_saliency": 0.8,
    "gradient_curvature": 3.2,
    "relu_agreement": 0.4,
    "distinct_unit_patterns": 0.4,
    "layer_agreement": 0.4,
    "input_jacobian": 0.5,
    "smallest_eigenvalues": 0.4,
    "sampled_eigenvalues": 0.3,
    "block_entropies": 0.3,
    "block_jacobian_norms": 0.6,
    "response_correlations": 1.1,
    "tangent_kernel": 1.2,
    "gradient_signs": 1.1,
    "half_batch_gradients": 0.7,
    "fisher_information": 0.6,
    "synaptic_flow": 0.1,
    "gaussian_perturbation": 0.8,
    "multiply_adds": 0.0,
    "latency": 1.4,
}
"""Time of each measurement alone, in units of a plain forward and backward pass.

Measured on a CPU with a NAS-Bench-201 network and a batch of 64; of measurements that share a
pass, the second and every further one costs only what it adds.
"""


def cost_class(needs: Iterable[Measurement]) -> str:
    """Return ``free``, ``low``, ``medium`` or ``high``: up to 0, 1, 2 or more plain passes."""
    total = sum(RELATIVE_COST[measurement] for measurement in needs)
    for limit, name in ((0, "free"), (1, "low"), (2, "medium")):
        if total <= limit:
            return name
    return "high"
