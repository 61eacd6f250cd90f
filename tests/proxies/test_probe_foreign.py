"""Networks that are not ours: what they change in place, run again, share or call otherwise."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zc_search.errors import ProxyError
from zc_search.proxies import PROXIES
from zc_search.proxies.probe.features import _folded, blocks_before, primary_blocks
from zc_search.scoring.scorer import score_network

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4
NAMES = [name for name in PROXIES if name != "latency"]


class Block(nn.Module):
    """A residual block whose every step may be in place."""

    def __init__(self, width: int, *, inplace: bool, first: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.inplace = inplace
        self.first = first(inplace=inplace)
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.second = nn.SiLU(inplace=inplace)
        self.two = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        out: Tensor = self.two(self.second(self.norm(self.one(y))))
        if self.inplace:
            out += x  # which the activation has overwritten
            return out
        return out + y


class Net(nn.Module):
    def __init__(self, *, inplace: bool, first: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.inplace = inplace
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(6, inplace=inplace, first=first) for _ in range(2)))
        self.relu = nn.ReLU(inplace=inplace)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.sub_(0.5).div_(2) if self.inplace else x.sub(0.5).div(2)
        x = self.relu(self.blocks(self.stem(x)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


def scored(network: nn.Module, names: list[str]) -> dict[str, float]:
    return score_network(network, names, IMAGES, LABELS, strict=True)


@pytest.fixture(scope="module", params=[nn.ReLU, nn.Hardswish])
def twins(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(3)
    changing = Net(inplace=True, first=request.param)
    keeping = Net(inplace=False, first=request.param)
    keeping.load_state_dict(changing.state_dict())
    return changing, keeping


@pytest.mark.parametrize("name", NAMES)
def test_what_a_network_changes_in_place_changes_no_value(
    twins: tuple[nn.Module, nn.Module], name: str
) -> None:
    before = IMAGES.clone()
    changing, keeping = (scored(network, [name])[name] for network in twins)
    assert changing == pytest.approx(keeping, rel=1e-4, nan_ok=True)
    assert torch.equal(before, IMAGES)


def test_nor_does_the_company_of_other_proxies(twins: tuple[nn.Module, nn.Module]) -> None:
    together = scored(twins[0], NAMES)
    alone = {name: scored(twins[1], [name])[name] for name in NAMES}
    assert together == pytest.approx(alone, rel=1e-4, nan_ok=True)


def test_a_network_that_runs_parts_again_is_left_as_it_was() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)
            self.block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
            self.head = nn.Linear(4, 4)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            x = checkpoint(self.block, self.stem(x), use_reentrant=False)
            return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]

    network = Checkpointed()
    before = copy.deepcopy(network.state_dict())
    scored(network, ["snip", "zico", "ntk", "latency", "az_trainability"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_is_kept_from_a_timed_pass_can_be_trained_with() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.table: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.table is None:
                self.table = torch.linspace(0, 1, 4)
            return self.conv(x).mean((2, 3)) * self.table  # type: ignore[no-any-return]

    network = Caching()
    scored(network, ["latency"])
    network(IMAGES).sum().backward()
    assert math.isfinite(scored(network, ["snip"])["snip"])


def test_a_weight_may_be_used_without_calling_its_layer() -> None:
    class Head(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.how = how
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).relu().mean((2, 3))
            match self.how:
                case "named":
                    return self.fc(input=x)  # type: ignore[no-any-return]
                case "by hand":
                    return F.linear(x, self.fc.weight, self.fc.bias)
            return self.fc(x)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    plain, named, by_hand = (Head(how) for how in ("", "named", "by hand"))
    named.load_state_dict(plain.state_dict())
    expected = scored(plain, ["grasp", "fisher", "flops"])
    assert scored(named, ["grasp", "fisher", "flops"]) == pytest.approx(expected)
    by_hand.load_state_dict(plain.state_dict())
    assert scored(by_hand, ["grasp", "flops"]) == pytest.approx(
        {name: expected[name] for name in ("grasp", "flops")}
    )
    for name in ("ntk", "gradsign", "vkdnw_entropy"):
        with pytest.raises(ProxyError, match="'fc' is used without calling the layer"):
            scored(by_hand, [name])


def test_batch_normalisation_of_vectors_is_that_of_maps_of_one_pixel() -> None:
    class Head(nn.Module):
        def __init__(self, *, maps: bool) -> None:
            super().__init__()
            self.maps = maps
            self.conv = nn.Conv2d(3, 6, 3)
            self.first = nn.Linear(6, 6)
            self.norm = nn.BatchNorm2d(6) if maps else nn.BatchNorm1d(6)
            self.last = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(self.conv(x).relu().mean((2, 3)))
            x = self.norm(x[:, :, None, None])[:, :, 0, 0] if self.maps else self.norm(x)
            return self.last(x.relu())  # type: ignore[no-any-return]

    torch.manual_seed(1)
    vectors, maps = Head(maps=False), Head(maps=True)
    maps.load_state_dict(vectors.state_dict())
    names = ["ntk", "gradsign", "vkdnw_entropy", "grasp", "zen", "synflow"]
    assert scored(vectors, names) == pytest.approx(scored(maps, names), rel=1e-3)


def test_a_block_in_two_containers_is_one_block() -> None:
    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

    shared, other = Unit(), Unit()
    network = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared, other), nn.ReLU())
    assert list(primary_blocks(network)) == ["0.0", "1.1"]
    assert blocks_before(network)["2"] == 2


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (2, 1), (3, 2)])
def test_positions_that_a_block_merges_are_channels(stride: tuple[int, int]) -> None:
    maps = torch.arange(2 * 3 * 7 * 8.0).reshape(2, 3, 7, 8)
    merged = F.max_pool2d(maps, stride, stride, ceil_mode=True)
    folded = _folded(maps, merged.shape)
    assert folded.shape == (2, 3 * stride[0] * stride[1], *merged.shape[2:])
    assert folded.sum() == maps.sum()
    # Of each position, its channels hold just what pooling looked at there.
    by_position = folded.reshape(2, 3, -1, *merged.shape[2:]).amax(2)
    assert torch.equal(by_position, merged)


def test_a_block_that_enlarges_its_maps_is_refused() -> None:
    with pytest.raises(ValueError, match="a block makes maps of 8 x 8 of 4 x 4"):
        _folded(torch.zeros(1, 2, 4, 4), torch.Size((1, 2, 8, 8)))


def test_weights_that_are_computed_are_no_draw_of_zen() -> None:
    network = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    with pytest.raises(ProxyError, match="the weight of layer '0' is not a parameter"):
        scored(network, ["zen"])
    values = scored(network, ["naswot", "jacov", "meco", "swap"])  # need no weight
    assert all(not math.isnan(value) for value in values.values())


def test_a_network_of_doubles_is_refused_in_its_own_terms() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).double()
    with pytest.raises(ProxyError, match=r"'1' .* its weight is torch\.float64, the images"):
        score_network(network, ["snip"], IMAGES.double(), LABELS, strict=True)
