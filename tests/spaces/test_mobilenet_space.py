"""Inverted residuals: texts, the published networks, costs without a network, searches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from zc_search.config import config_to_toml, parse_config
from zc_search.errors import ArchitectureError, ConfigError
from zc_search.images import Task
from zc_search.proxies import PROXIES
from zc_search.samplers.knowledge import gather
from zc_search.scoring.architectures import sample_space, score_architectures, whole_space
from zc_search.search import run_search
from zc_search.spaces import MobileNet, MobileNetSpace, read_architecture
from zc_search.spaces.mobilenet.network import InvertedResidual, MobileNetwork

SPACE = MobileNetSpace()
IMAGENET = Task("ImageNet", 1000, 3, 224, 224)
SMALL = "mb16-r1k3e1c8-r1k5e2c16se-r2k3e1c24-r1k7e4c24se-r1k3e6c32-r1k5e2c56-r1k3e1c112-640"


def on_meta(architecture: MobileNet, task: Task) -> MobileNetwork:
    with torch.device("meta"):
        return MobileNetwork(architecture, task).eval()


def counted(network: nn.Module, task: Task) -> tuple[int, float]:
    """Count parameters, and multiply-adds as torch does."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, task.channels, task.height, task.width, device="meta"))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() / 2


# Sandler et al. 2018, table 4, for 1.0: 3.4 M parameters and 300 M multiply-adds; in TensorFlow's
# table of MobileNetV2 59 M, 97 M, 209 M, 300 M. The parameters of 1.0 are those of torchvision.
@pytest.mark.parametrize(("width", "millions"), [(0.35, 59), (0.5, 97), (0.75, 209), (1.0, 300)])
def test_the_published_networks_are_points_of_the_space(width: float, millions: int) -> None:
    architecture = MobileNet.published(width)
    assert architecture in SPACE
    costs = SPACE.costs(architecture, IMAGENET)
    assert int(costs["flops"]) == millions
    params, flops = counted(on_meta(architecture, IMAGENET), IMAGENET)
    assert costs == {"params": params / 1e6, "flops": flops / 1e6}
    if width == 1.0:
        assert (params, flops) == (3_504_872, 300_774_272)


@given(st.integers(0, 2**32 - 1), st.integers(8, 256), st.integers(8, 256), st.integers(1, 4))
@settings(max_examples=3, deadline=None)
def test_costs_are_those_of_the_network(seed: int, height: int, width: int, channels: int) -> None:
    architecture = SPACE.sample(np.random.default_rng(seed))
    task = Task("images", 7, channels, height, width)
    params, flops = counted(on_meta(architecture, task), task)
    assert SPACE.costs(architecture, task) == {"params": params / 1e6, "flops": flops / 1e6}
    network = on_meta(architecture, task)
    assert network.multiply_adds(height, width) == flops
    _, larger = counted(network, task._replace(height=2 * height))
    assert network.multiply_adds(2 * height, width) == larger


@given(st.integers(0, 2**32 - 1))
def test_texts_and_numbers_lead_back(seed: int) -> None:
    architecture = SPACE.sample(np.random.default_rng(seed))
    assert read_architecture(f" {architecture}\n") == architecture
    assert MobileNet.from_index(architecture.index) == architecture
    assert architecture.index < SPACE.size < 2**63


@pytest.mark.parametrize(
    ("side", "stem", "halved", "last"),
    [
        *((32, 1, (3, 4, 6), 4), (64, 1, (2, 3, 4, 6), 4), (96, 1, (2, 3, 4, 6), 6)),
        *((128, 2, (2, 3, 4, 6), 4), (224, 2, (2, 3, 4, 6), 7), (4, 1, (), 4)),
    ],
)
def test_strides_follow_from_the_images(
    side: int, stem: int, halved: tuple[int, ...], last: int
) -> None:
    task = Task("images", 10, 3, side, side)
    stride, blocks = MobileNet.published().blocks(task)
    ends = np.cumsum([stage.depth for stage in MobileNet.published().stages])
    found = [int(np.searchsorted(ends, at + 1)) + 1 for at, b in enumerate(blocks) if b.stride > 1]
    assert (stride, tuple(found)) == (stem, halved)
    maps = on_meta(MobileNet.published(), task).features(
        torch.zeros(1, 3, side, side, device="meta")
    )
    assert maps.shape == (1, 1280, last, last)


def test_a_block_by_hand() -> None:
    torch.manual_seed(0)
    architecture = MobileNet.from_string(SMALL)
    network = SPACE.build(architecture, Task("images", 10, 3, 32, 32), 0).eval()
    block = network.features[2]  # of the second stage: 8 to 16 channels, expanded twice, 5x5, se
    assert isinstance(block, InvertedResidual)
    x = torch.randn(2, 8, 6, 6)
    (expand, depthwise, excite, project, norm) = block.conv
    wide = F.relu6(expand[1](F.conv2d(x, expand[0].weight)))
    deep = F.relu6(depthwise[1](F.conv2d(wide, depthwise[0].weight, padding=2, groups=16)))
    squeezed = F.relu(excite.squeeze(deep.mean((2, 3), keepdim=True)))
    gated = deep * torch.sigmoid(excite.excite(squeezed))
    torch.testing.assert_close(block(x), norm(F.conv2d(gated, project.weight)))
    skipping = network.features[4]  # the second of the third stage, whose expansion is 1
    assert len(skipping.conv) == 3
    y = torch.randn(2, 24, 6, 6)
    torch.testing.assert_close(skipping(y), y + skipping.conv(y))


def test_names_are_those_of_the_published_weights() -> None:
    names = set(on_meta(MobileNet.published(), IMAGENET).state_dict())
    assert {
        *("features.0.0.weight", "features.0.1.running_mean", "features.1.conv.0.0.weight"),
        *("features.1.conv.1.weight", "features.1.conv.2.bias", "features.2.conv.0.0.weight"),
        *("features.17.conv.2.weight", "features.17.conv.3.weight", "features.18.1.weight"),
        *("classifier.1.weight", "classifier.1.bias"),
    } <= names
    assert len(names) == 314  # as torchvision's


def test_every_proxy_has_a_value() -> None:
    table = score_architectures([SMALL], list(PROXIES), batch_size=2)
    assert not table.attrs.get("failures")
    assert np.isfinite(table.to_numpy()).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MobileNet.from_string("mb32-1280"), "no inverted residuals: 'mb32-1280'"),
        (lambda: MobileNet.from_string(SMALL.replace("k7", "k9")), "kernel_4: unknown value 9"),
        (lambda: MobileNet.from_string(SMALL.replace("-r1k3e1c112", "")), "has 37 values"),
        (lambda: MobileNet.published(1.4), "stem: unknown value 48"),
        (lambda: MobileNetSpace.of_choices({"depth_2": (1, 5)}), "depth_2: unknown choice 5"),
        (lambda: MobileNetSpace.of_choices({"depht_2": (1,)}), "did you mean 'depth_2'"),
        (lambda: MobileNetSpace.of_choices({"stem": ()}), "stem: .* is given"),
    ],
)
def test_what_is_no_network_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ArchitectureError, ConfigError), match=message):
        make()


def test_the_space_is_too_large_to_list_and_can_be_drawn_from() -> None:
    assert whole_space(SPACE) is None
    assert SPACE.size > 10**18
    drawn = sample_space(SPACE, 30, 0)
    assert len({a.function_key for a in drawn}) == 30
    known = gather(SPACE)
    assert len(known.architectures) == len(known.features) == 500


CONFIG = """
[study]
n_trials = 6
sampler = "{sampler}"
distinct = true
[space]
name = "mobilenet"
choices = {{ depth_3 = [1, 2], stem = [16], se_2 = [false, true], kernel_1 = [3] }}
[data]
source = "digits"
batch_size = 4
[constraints]
max_flops = "12M"
max_params = "1.2M"
[benchmark]
name = "none"
[objectives]
snip = "maximize"
params = "minimize"
[proxies]
compute = ["jacov", "flops"]
cache = "off"
[output]
folder = '{folder}'
report = {report}
"""


@pytest.mark.parametrize(
    "sampler", ["nsgaii", pytest.param("regularized_evolution", marks=pytest.mark.thorough)]
)
def test_a_search_keeps_its_limits_and_draws_what_it_finds(tmp_path: Path, sampler: str) -> None:
    report = str(sampler == "nsgaii").lower()
    text = CONFIG.format(sampler=sampler, folder=tmp_path.as_posix(), report=report)
    if sampler != "nsgaii":
        text = text.replace('params = "minimize"', 'params = { direction = "minimize", scale = 0 }')
    config = parse_config(text)
    assert parse_config(config_to_toml(config)) == config
    result = run_search(config)
    scored = result.trials[result.trials["feasible"]]
    assert len(scored) > 3
    assert (scored["flops"] <= 12).all()
    first = MobileNet.from_string(scored["architecture"].iloc[0])
    assert first.chosen[0] == 16
    assert any(drawing.startswith("<svg") for drawing in result.drawings.values())
    page = result.folder / "report.html"
    assert sampler != "nsgaii" or 'class="modules"' in page.read_text(encoding="utf-8")


def test_a_wrong_choice_is_named_before_the_first_trial() -> None:
    text = CONFIG.format(sampler="nsgaii", folder="runs", report="true").replace(
        "depth_3 = [1, 2]", "depth_3 = [9]"
    )
    with pytest.raises(
        ConfigError, match=r"space.choices.*depth_3: unknown choice 9; Allowed: 1, "
    ):
        parse_config(text)
