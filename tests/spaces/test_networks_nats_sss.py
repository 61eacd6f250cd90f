"""The size space's network: published sizes, the benchmark's names, and its cell by hand."""

import pytest
import torch
from torch import nn

from zc_search.errors import DataError
from zc_search.images.datasets import DATASETS, Task
from zc_search.proxies import PROXIES, Probe
from zc_search.scoring.direct import score_architectures
from zc_search.spaces import Architecture, SizeArchitecture
from zc_search.spaces.nats_sss.network import SizeNetwork
from zc_search.spaces.network import build_network

# Parameters and multiply-adds in millions, as the benchmark's archive has them.
PUBLISHED = [
    ("8:8:8:8:8", "cifar10", 0.011714, 4.481114),
    ("8:8:8:8:8", "cifar100", 0.012524, 4.481924),
    ("8:8:8:8:8", "ImageNet16-120", 0.012704, 1.121336),
    ("8:8:8:16:32", "cifar10-valid", 0.049202, 6.84065),
    ("8:8:8:16:32", "cifar100", 0.052172, 6.84362),
    ("8:8:40:32:40", "cifar10", 0.144834, 21.827994),
    ("8:8:40:32:40", "cifar100", 0.148524, 21.831684),
    ("8:8:40:32:40", "ImageNet16-120", 0.149344, 5.461816),
]


def images(n: int = 2, side: int = 32) -> torch.Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def built(text: str, dataset: str = "cifar10") -> nn.Module:
    return build_network(SizeArchitecture.from_string(text), dataset)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "dataset", "params", "flops"), PUBLISHED)
def test_sizes_are_the_published_ones(text: str, dataset: str, params: float, flops: float) -> None:
    network = built(text, dataset)
    info = DATASETS[dataset]  # type: ignore[index]
    probe = Probe(network, images(side=info.resolution), torch.tensor([0, 1]))
    assert sum(p.numel() for p in network.parameters()) == round(params * 1e6)
    # The benchmark counts the classifier's additions of its bias too.
    assert probe.multiply_adds + info.classes == round(flops * 1e6)


def test_same_widths_are_a_nasbench201_network_of_one_cell() -> None:
    """Where no stage changes its width within a cell, the topology is one of NAS-Bench-201."""
    cell = Architecture.from_string(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
        "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    ours = built("8:16:16:32:32").eval()
    theirs = build_network(cell, channels=8, cells=1).eval()
    theirs.load_state_dict(ours.state_dict())  # names and shapes
    assert torch.allclose(ours(images()), theirs(images()), atol=1e-5)


def test_a_changing_width_is_projected() -> None:
    network = built("8:16:24:32:40").eval()
    assert isinstance(network, SizeNetwork)
    cell = network.cells[2]
    names = {name for name in cell.state_dict() if "running" not in name and "num" not in name}
    assert names == {
        *(f"layers.{edge}.op.1.weight" for edge in (0, 1, 2, 4, 5)),
        *(
            f"layers.{edge}.op.2.{which}"
            for edge in (0, 1, 2, 4, 5)
            for which in ("weight", "bias")
        ),
        *("layers.3.conv.weight", "layers.3.bn.weight", "layers.3.bn.bias"),
    }
    x = torch.randn(2, 16, 4, 4)
    one = cell.layers[0](x)
    two = cell.layers[1](x) + cell.layers[2](one)
    skip = cell.layers[3].bn(cell.layers[3].conv(x))
    by_hand = skip + cell.layers[4](one) + cell.layers[5](two)
    assert torch.allclose(cell(x), by_hand, atol=1e-6)
    assert network.features(images()).shape == (2, 40, 8, 8)
    assert network(images()).shape == (2, 10)


def test_weights_follow_from_the_seed_and_the_data_set_from_the_task() -> None:
    size = SizeArchitecture.from_string("8:8:8:8:8")
    one, same, other = (build_network(size, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    grey = build_network(size, Task("scans", 3, 1, 64, 64))
    assert grey(torch.randn(2, 1, 64, 64)).shape == (2, 3)
    with pytest.raises(DataError, match="unknown dataset 'cifar'"):
        build_network(size, "cifar")  # type: ignore[arg-type]


def test_every_proxy_has_a_value() -> None:
    table = score_architectures(["8:16:8:24:16"], list(PROXIES), batch_size=4)
    assert not table.attrs.get("failures")
    assert table.notna().all(axis=None)
