"""What a Probe can measure, which passes that takes, and what it costs."""

from collections.abc import Iterable, Mapping
from typing import Literal, cast, get_args

from zc_search.errors import ProxyError
from zc_search.proxies.catalogue import Cost

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


def cost_class(needs: Iterable[str]) -> Cost:
    """Return the class of a proxy's cost: up to 0, 1, 2 or more plain passes.

    Raises:
        ProxyError: There is no such measurement.
    """
    total = 0.0
    for name in needs:
        if name not in get_args(Measurement):
            raise ProxyError.unknown("measurement", name, get_args(Measurement), key="needs")
        total += RELATIVE_COST[cast(Measurement, name)]
    return "free" if total <= 0 else "low" if total <= 1 else "medium" if total <= 2 else "high"
