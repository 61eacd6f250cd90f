"""What running the network costs: operations of one image, and time on this machine."""

import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from zc_search.proxies.probe.measurement import Measurement
from zc_search.proxies.probe.passes import Subject


class MultiplyAdds(Measurement[int]):
    """Multiply-accumulate operations of convolutions and matrix products, for one image.

    A network that leaves out what does not reach its output has a method
    ``multiply_adds(height, width)``, which is asked; any other is run once.
    """

    cost = 0.0

    def measure(self) -> int:
        subject = self.subject
        known = getattr(subject.network, "multiply_adds", None)
        if callable(known):
            return int(known(*subject.images.shape[-2:]))
        with subject.mode(training=False, graph=False), FlopCounterMode(display=False) as counter:
            subject.call(subject.parameters, subject.images[:1])
        return int(counter.get_total_flops()) // 2


class Latency(Measurement[float]):
    """Median time of a forward pass of the batch in evaluation mode, in milliseconds."""

    cost = 1.4

    def measure(self) -> float:
        return forward_milliseconds(self.subject, len(self.subject.images))


def forward_milliseconds(subject: Subject, images: int, *, repeats: int = 5) -> float:
    """Return the median time of a forward pass of some images, after one to warm up."""
    batch = subject.images[:images]
    seconds = []
    # Not in inference mode: what a module keeps from its first pass could never be trained with.
    with subject.mode(training=False, graph=False):
        for _ in range(1 + repeats):
            given = batch.clone()  # which some networks change in place
            _wait_for(batch.device)
            start = time.perf_counter()
            subject.network(given)
            _wait_for(batch.device)
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
