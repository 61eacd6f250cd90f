"""A probe that is dropped must take its graph with it, or a sweep runs out of memory."""

import gc
import weakref

import torch
from torch import Tensor, nn

from zc_search.proxies import Probe
from zc_search.proxies.probe.probe import MEASUREMENTS
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

CELL = Architecture.from_string(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
)


def test_no_tensor_of_a_pass_outlives_its_probe() -> None:
    network = build_network(CELL, channels=2, cells=1)
    seen: list[weakref.ref[Tensor]] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(weakref.ref(output))

    for module in network.modules():
        module.register_forward_hook(note)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 8, 8, generator=generator)
    probe = Probe(network, images, torch.arange(4), MEASUREMENTS)
    for measurement in MEASUREMENTS:
        getattr(probe, measurement)
    assert len(seen) > 100
    del probe
    gc.collect()
    assert not [output for output in seen if output() is not None]
