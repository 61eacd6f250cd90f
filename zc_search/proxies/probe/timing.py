"""How long a forward pass takes on this machine."""

import statistics
import time

import torch
from torch import Tensor, nn

from zc_search.proxies.probe import passes


def forward_milliseconds(network: nn.Module, images: Tensor, *, repeats: int = 5) -> float:
    """Return the median time of a forward pass of the whole batch, after one to warm up.

    Args:
        network: Run in evaluation mode, without graph.
        images: N x C x H x W.
        repeats: Passes that are timed.
    """
    seconds = []
    # Not in inference mode: what a module keeps from its first pass could never be trained with.
    with passes.mode(network, training=False, graph=False):
        for _ in range(1 + repeats):
            given = images.clone()  # which some networks change in place
            _wait_for(images.device)
            start = time.perf_counter()
            network(given)
            _wait_for(images.device)
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
