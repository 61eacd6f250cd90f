"""The size space of NATS-Bench: its architectures as values, and their networks."""

from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from zc_search.errors import ArchitectureError, DataError
from zc_search.images.datasets import DATASETS, Task
from zc_search.proxies import PROXIES, Probe
from zc_search.scoring.architectures import score_architectures
from zc_search.spaces import Architecture, SizeArchitecture, SizeSpace, read_architecture
from zc_search.spaces.nats_sss.architecture import CHANNELS, STAGES
from zc_search.spaces.nats_sss.network import SizeNetwork
from zc_search.spaces.network import build_network


@pytest.mark.parametrize(
    ("index", "text"),  # of the benchmark's own list meta_archs
    [
        *((0, "8:8:8:8:8"), (1, "8:8:8:8:16"), (8, "8:8:8:16:8"), (11, "8:8:8:16:32")),
        *((284, "8:8:40:32:40"), (32_767, "64:64:64:64:64")),
    ],
)
def test_numbers_are_the_benchmarks(index: int, text: str) -> None:
    assert str(SizeArchitecture.from_index(index)) == text
    assert SizeArchitecture.from_string(f" {text}\n").index == index


def test_functions_differ_and_are_told_from_texts() -> None:
    keys = {size.function_key for size in SizeSpace()}
    assert len(keys) == len(SizeSpace()) == SizeSpace().size == 32_768
    assert not keys & {str(size) for size in SizeSpace()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SizeArchitecture((8,) * 4), "has 5 values .stage_1, "),
        (lambda: SizeArchitecture((8, 8, 12, 8, 8)), "stage_3: unknown number of channels 12;"),
        (lambda: SizeArchitecture.from_string("8:8:8"), "has 5 values"),
        (lambda: SizeArchitecture.from_string("\x1e0:0"), "has 5 values"),
        (lambda: SizeArchitecture.from_string("8:8:8:8:٨"), "not an architecture of the size spac"),
        (lambda: SizeArchitecture.from_string("8,8,8,8,8"), "not an architecture of the size spac"),
        (lambda: read_architecture("8:8:8:8:72"), "stage_5: unknown number of channels 72;"),
        (lambda: SizeArchitecture.from_index(32_768), "index 32768 is not in 0 to 32767"),
        (lambda: SizeArchitecture.from_index(True), "index True is not in"),
        (lambda: SizeSpace({"stage_0": (8,)}), "unknown stage 'stage_0'; did you mean 'stage_"),
        (
            lambda: SizeSpace(dict.fromkeys(STAGES, ())),
            r"stage_1: \(\) is given",
        ),
        (lambda: SizeSpace(dict.fromkeys(STAGES, (8, 9))), "stage_1: unknown choice 9"),
        (lambda: SizeSpace(dict.fromkeys(STAGES, (8, 8))), r"stage_1: \(8, 8\) is given"),
        (lambda: SizeSpace().architecture({"stage_1": 8}), "nothing given for stage_2"),
    ],
)
def test_what_is_no_architecture_is_named(make: object, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        make()  # type: ignore[operator]


SMALL = SizeSpace({stage: CHANNELS[: place + 1] for place, stage in enumerate(STAGES)})


def test_a_restricted_space_lists_and_draws_its_own() -> None:
    listed = list(SMALL)
    assert len(listed) == len(SMALL) == prod(range(1, 6)) == len(set(listed))
    rng = np.random.default_rng(0)
    assert {SMALL.sample(rng) for _ in range(2000)} == set(listed)
    outside = SizeArchitecture((16, 8, 8, 8, 8))
    assert outside not in SMALL
    assert "8:8:8:8:8" not in SMALL
    with pytest.raises(ArchitectureError, match="16:8:8:8:8 is outside the search space"):
        SMALL.parameters(outside)


def test_neighbours_differ_in_one_stage() -> None:
    here = SizeArchitecture((8, 16, 24, 8, 8))
    found = list(SMALL.neighbours(here))
    assert len(found) == len(set(found)) == 0 + 1 + 2 + 3 + 4
    for other in found:
        assert other in SMALL
        assert sum(a != b for a, b in zip(here.channels, other.channels, strict=True)) == 1


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
