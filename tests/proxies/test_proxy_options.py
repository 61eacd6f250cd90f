"""Proxies with options: other definitions that are in use, and how they are named."""

import copy
import inspect
import itertools
import math
import pickle
import re
import zlib
from dataclasses import replace

import naive_proxies as naive
import pytest
import torch
from example_proxy import weighted_params
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zc_search.config import parse_config
from zc_search.errors import ConfigError, ProxyError
from zc_search.proxies import PROXIES, Probe, resolve_proxy
from zc_search.proxies.catalogue import CATALOGUE, Declaration, split_names, split_options
from zc_search.scoring.architectures import score_architectures
from zc_search.scoring.scorer import score_network
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

CELL = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
)


@pytest.fixture
def case() -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    network = build_network(Architecture.from_string(CELL), channels=4, cells=1)
    images = torch.randn(10, 3, 8, 8, generator=generator)
    return network.double(), images.double(), torch.arange(10) % 4


def score(name: str, case: tuple[nn.Module, Tensor, Tensor]) -> float:
    network, images, labels = case
    return float(resolve_proxy(name)(Probe(network, images, labels)))


def test_options_are_those_of_the_functions() -> None:
    for name, found in PROXIES.items():
        parameters = inspect.signature(found.function).parameters.values()
        assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} == set(found.defaults), name


def test_other_definitions_are_those_of_a_naive_version(case) -> None:
    gradients = [g for _, g in naive.weights_and_gradients(*case)]
    flat = torch.cat([g.flatten() for g in gradients])
    assert score("grad_norm[by_layer=false]", case) == pytest.approx(float(flat.norm()))
    assert score("grad_norm[by_layer=true]", case) == score("grad_norm", case)
    weights = torch.cat([layer.weight.detach().flatten() for layer in naive.layers(case[0])])
    assert score("l2_norm[by_layer=false]", case) == pytest.approx(float(weights.norm()))
    assert math.log(score("synflow[log=false]", case)) == pytest.approx(score("synflow", case))


def test_fisher_without_the_number_of_weights() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    case = (network.double(), torch.randn(6, 3, 8, 8).double(), torch.arange(6) % 2)
    output = network[0](case[1]).detach().requires_grad_()
    logits = network[3](output.relu().flatten(1))
    nn.functional.cross_entropy(logits, case[2]).backward()
    convolution = (output * output.grad).sum((2, 3)).square().mean(0).sum() / 2
    logits = logits.detach().requires_grad_()
    nn.functional.cross_entropy(logits, case[2]).backward()
    linear = (logits * logits.grad).square().mean(0).sum() / 2
    convolution, linear = convolution.detach(), linear.detach()
    expected = float(convolution + linear)
    assert score("fisher[weighted=false]", case) == pytest.approx(expected)
    weighted = float(convolution * 27 + linear * 144)
    assert score("fisher", case) == pytest.approx(weighted)


def test_the_constant_of_jacov(case) -> None:
    network, images, _ = case
    rows = images.clone().requires_grad_()
    network.train()(rows).sum().backward()
    eigenvalues = torch.linalg.eigvalsh(torch.corrcoef(rows.grad.flatten(1)))
    expected = -float(((eigenvalues + 0.5).log() + 1 / (eigenvalues + 0.5)).sum())
    assert score("jacov[constant=0.5]", case) == pytest.approx(expected)
    assert score("epe_nas[constant=0.5]", case) != score("epe_nas", case)


class WholeCell(nn.Module):
    """A cell as the benchmark runs it: every edge, and a node's sum of what enters it."""

    def __init__(self, layers: nn.ModuleList, ops: tuple[str, ...]) -> None:
        super().__init__()
        self.layers, self.ops = layers, ops

    def forward(self, x: Tensor) -> Tensor:
        nodes, edge = [x], 0
        for target in (1, 2, 3):
            node = torch.zeros_like(x)
            for source in range(target):
                if self.ops[edge] != "none":
                    node = node + self.layers[edge](nodes[source])
                edge += 1
            nodes.append(node)
        return nodes[-1]


DEAD_ENDS = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|nor_conv_3x3~0|none~1|none~2|",
    "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|",
)


OF_DEAD_EDGES = [name for name, p in CATALOGUE.items() if p.dead_too]


@pytest.mark.parametrize(
    ("name", "text"), [("naswot", CELL), *itertools.product(OF_DEAD_EDGES, DEAD_ENDS)]
)
def test_dead_edges_may_be_counted_as_published_code_does(name: str, text: str, case) -> None:
    cell = Architecture.from_string(text)
    network = build_network(cell, channels=4, cells=1).double()
    whole = copy.deepcopy(network)
    for place in (0, 2, 4):
        whole.cells[place] = WholeCell(whole.cells[place].layers, cell.ops)
    expected = score(name, (whole, *case[1:]))
    found = score(f"{name}[dead=true]", (network, *case[1:]))
    assert found == pytest.approx(expected, rel=1e-12)
    if text != DEAD_ENDS[1]:  # whose dead units, fed with zeros, have no new pattern
        without = score(f"{name}[dead=false]", (network, *case[1:]))
        assert without == score(name, (network, *case[1:]))
        assert (found == pytest.approx(without, rel=1e-12)) == (text == CELL)


def test_with_dead_edges_the_value_is_of_the_cell_as_written() -> None:
    names, cells = ["naswot", "naswot[dead=true]"], [DEAD_ENDS[0], *map(str, REPRESENTATIVE)]
    table = score_architectures(cells, names, batch_size=4, channels=4, cells=1)
    assert table["naswot"].nunique() == 1
    assert table["naswot[dead=true]"].nunique() == 2
    assert resolve_proxy("naswot[dead=true]").counts_dead_edges
    probe = Probe(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.randn(4, 3, 2, 2), LABELS)
    assert probe.with_dead_edges is probe  # which a network that is not ours has none of


REPRESENTATIVE = (Architecture.from_string(DEAD_ENDS[0]).representative(),)
LABELS = torch.arange(4) % 2


def test_gradsign_by_weight(case) -> None:
    weights = sum(layer.weight.numel() for layer in naive.layers(case[0]))
    assert score("gradsign[mean=true]", case) == pytest.approx(score("gradsign", case) / weights)
    assert score("gradsign[mean=false]", case) == score("gradsign", case)


def epe_nas(case: tuple[nn.Module, Tensor, Tensor], classes: int | None) -> float:
    return float(PROXIES["epe_nas"](Probe(*case, classes=classes)))


def test_epe_nas_goes_by_the_classes_of_the_data_set(case) -> None:
    network, images, _ = case
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3, 4, 5, 6])
    rows = images.clone().requires_grad_()
    network.train()(rows).sum().backward()
    terms = (torch.corrcoef(rows.grad.flatten(1)).abs() + 1e-5).log()
    two, three = float(terms[:2, :2].sum()), float(terms[2:5, 2:5].sum())
    single = math.log(1 + 1e-5)
    few = abs(two) + abs(three) + 5 * single
    assert epe_nas((network, images, labels), 100) == pytest.approx(few, rel=1e-9)
    assert epe_nas((network, images, labels), None) == pytest.approx(few, rel=1e-9)  # by logits
    many = abs(two / 2 - three / 3)  # 2 of these, over the two classes that have two images
    assert epe_nas((network, images, labels), 120) == pytest.approx(many, rel=1e-9)


def test_epe_nas_ranks_no_rounding() -> None:
    cells = [Architecture.from_index(index) for index in (900, 5000, 12_000)]
    how = {"batch_size": 16, "channels": 4, "cells": 1}
    values = score_architectures(cells, ["epe_nas"], dataset="cifar100", **how)["epe_nas"]
    assert values.nunique() == 1  # sixteen images of as many classes
    assert values.iloc[0] == pytest.approx(16 * math.log(1 + 1e-5), rel=1e-12)
    table = score_architectures(cells, ["epe_nas"], dataset="ImageNet16-120", **how)
    assert table["epe_nas"].isna().all()
    for reasons in table.attrs["failures"].values():
        assert "no class has two of the 16 images; Allowed: a larger" in reasons["epe_nas"]


class Affine(nn.Module):
    """What batch normalisation does in evaluation mode before any training."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.shift, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.weight[:, None, None], self.shift[:, None, None]
        return x / math.sqrt(1 + self.eps) * scale + shift


@pytest.mark.parametrize("name", [name for name, p in CATALOGUE.items() if p.both_modes])
def test_evaluation_mode_uses_running_statistics(name: str, case) -> None:
    network, images, labels = case
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        for child, norm in list(module.named_children()):
            if isinstance(norm, nn.BatchNorm2d):
                setattr(module, child, Affine(norm))
    before = [module.training for module in network.modules()]
    found = score(f"{name}[mode=eval]", case)
    assert found == pytest.approx(score(name, (plain, images, labels)))
    assert [module.training for module in network.modules()] == before
    assert score(f"{name}[mode=train]", case) == score(name, case)


def test_both_modes_share_one_call(case) -> None:
    network, images, labels = case
    names = ["snip", "snip[mode=eval]", "grad_norm[mode=eval]"]
    together = score_network(network.float(), names, images.float(), labels)
    network.double()
    assert list(together) == names
    assert together["snip"] != together["snip[mode=eval]"]


def test_a_search_and_a_table_take_them_by_name() -> None:
    name = "reg_swap[mu=0.2,sigma=0.5]"
    config = parse_config({"objectives": {name: "default", "table_latency": "default"}})
    assert [(o.name, o.direction) for o in config.objectives] == [
        (name, "maximize"),
        ("latency_seconds", "minimize"),
    ]
    table = score_architectures([CELL], [name, "swap"], batch_size=4, channels=4, cells=1)
    assert table[name].iloc[0] < table["swap"].iloc[0]
    assert pickle.loads(pickle.dumps(resolve_proxy(name))).options == {"mu": 0.2, "sigma": 0.5}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jacov[konstant=1]", r"^unknown option of jacov 'konstant'; did you mean 'constant'\?"),
        ("jacov[constant=x]", r"^constant of jacov: 'x' is given; Allowed: a number above 0$"),
        ("reg_swap[sigma=0]", r"^sigma of reg_swap: '0' is given; Allowed: a number above 0$"),
        ("snip[mode=evaluation]", r"^unknown mode of snip 'evaluation'.*Allowed: train, eval$"),
        ("zen[dead=yes]", r"^unknown dead of zen 'yes'.*Allowed: true, false$"),
        ("fisher[weighted=no]", r"^unknown weighted of fisher 'no'.*Allowed: true, false$"),
        ("params[a=1]", r"^params has no options, but 'a' is given$"),
        ("jacov[constant]", r"^'jacov\[constant\]': 'constant' is no option; Allowed: each option"),
        ("jacov[constant=1,constant=2]", r"'constant=2' is no option; Allowed: each option once"),
        ("jakov[constant=1]", r"^unknown proxy 'jakov'; did you mean 'jacov'\?"),
    ],
)
def test_a_wrong_option_is_named(name: str, message: str) -> None:
    with pytest.raises(ProxyError, match=message):
        resolve_proxy(name)
    with pytest.raises(ConfigError):
        parse_config({"objectives": {name: "maximize"}})


def test_ones_own_proxy_has_options_too(case) -> None:
    own = resolve_proxy("test_proxy_options:scaled_logits[scale=3]")
    probe = Probe(*case)
    assert float(own(probe)) == pytest.approx(3 * float(scaled_logits(probe)))
    with pytest.raises(ProxyError, match=r"^unknown option of test_proxy_options:scaled_logits"):
        resolve_proxy("test_proxy_options:scaled_logits[size=3]")


def scaled_logits(probe: Probe, *, scale: float = 1.0) -> Tensor:
    return probe.logits.sum() * scale


def test_a_definition_tells_values_apart_that_cannot_be_compared() -> None:
    assert PROXIES["snip"].definition == "snip, version 1"
    changed = replace(resolve_proxy("fisher[weighted=false]"), version=2)
    assert changed.definition == "fisher[weighted=false], version 2"
    assert resolve_proxy("fisher[weighted=false]").definition == "fisher[weighted=false], version 1"
    own = resolve_proxy("example_proxy:weighted_params").definition
    assert own.startswith("example_proxy:weighted_params, source ")
    assert own != resolve_proxy("example_proxy:bare").definition.replace("bare", "weighted_params")
    assert weighted_params.definition.endswith(own[-12:])


@given(
    st.sampled_from([name for name, p in CATALOGUE.items() if p.defaults]),
    st.dictionaries(
        st.sampled_from(["constant", "mu", "log"]), st.floats(1e-9, 1e9) | st.booleans(), min_size=1
    ),
)
def test_options_round_trip(name: str, options: dict[str, float | bool]) -> None:
    written = {k: str(v).lower() for k, v in options.items()}
    text = f"{name}[{','.join(f'{k}={v}' for k, v in written.items())}]"
    assert split_names(f"{text} , snip") == [text, "snip"]
    base, found = split_options(text)
    assert base == name
    declared = Declaration(name=name, direction="maximize", paper="", defaults=options)
    assert declared.read_options(found) == options


@given(st.text("snip[]=,:. \n0", max_size=30))
def test_junk_is_no_proxy(text: str) -> None:
    with pytest.raises(ProxyError, match=re.compile("Allowed|form|import|option", re.DOTALL)):
        resolve_proxy(f"jacov[{text}")


def published_fisher(network: nn.Module, images: Tensor) -> Tensor:
    """One entry of each parameter tensor at a time, one image after the other."""
    parameters = dict(network.named_parameters())
    total: Tensor | float = 0.0
    for x in images:
        logits = network(x[None])[0]
        gradients = [
            torch.autograd.grad(logit, [*parameters.values()], retain_graph=True, allow_unused=True)
            for logit in logits
        ]
        rows = torch.tensor(
            [[0.0 if g is None else float(g.flatten()[0]) for g in of] for of in gradients],
            dtype=torch.float64,
        )[:, :128]
        p = 0.95 * logits.softmax(0).detach() + 0.05 / len(logits)
        # The Cholesky factor by its recursion, column by column.
        covariance, factor = p.diag() - torch.outer(p, p), torch.zeros(len(p), len(p)).double()
        for j in range(len(p) - 1):
            factor[j, j] = (covariance[j, j] - factor[j, :j].square().sum()).sqrt()
            for i in range(j + 1, len(p)):
                known = (factor[i, :j] * factor[j, :j]).sum()
                factor[i, j] = (covariance[i, j] - known) / factor[j, j]
        total = total + (factor @ rows).T @ (factor @ rows)
    return total / len(images)


@pytest.mark.parametrize(("text", "cells"), [(CELL, 1), (DEAD_ENDS[0], 1), (DEAD_ENDS[1], 2)])
def test_vkdnw_as_published(text: str, cells: int) -> None:
    generator = torch.Generator().manual_seed(0)
    network = build_network(Architecture.from_string(text), channels=4, cells=cells).double()
    network.lastact[0].running_mean.fill_(3.0)  # which the published one never has
    images = torch.randn(5, 3, 8, 8, generator=generator).double()
    labels = torch.arange(5)
    twin = copy.deepcopy(network).eval()
    for name, module in twin.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            random = torch.Generator().manual_seed(zlib.crc32(f"0:{name}".encode()))
            drawn = torch.randn(module.weight.shape, generator=random).double()
            module.weight.data = drawn * math.sqrt(2 / drawn[0].numel())
        if isinstance(module, nn.Linear):
            module.bias.data.zero_()
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).double()
    fisher = published_fisher(twin, noise)
    probe = Probe(network, images, labels)
    found = probe.published_fisher_information
    torch.testing.assert_close(found, fisher, rtol=1e-9, atol=1e-9 * float(fisher.abs().max()))
    deciles = torch.linalg.svdvals(fisher).quantile(torch.arange(1, 10).double() / 10)
    shares = deciles / deciles.sum()
    entropy = float(torch.special.entr(shares).sum())
    assert score("vkdnw_entropy[published=true]", (network, images, labels)) == pytest.approx(
        entropy, rel=1e-6
    )
    whole = len([*network.parameters()]) + entropy
    assert score("vkdnw[published=true]", (network, images, labels)) == pytest.approx(whole)
    assert found.shape[0] == min(128, len([*network.parameters()]))
    assert resolve_proxy("vkdnw[published=true]").counts_dead_edges


def test_vkdnw_as_published_is_of_layers_that_the_paper_has() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    case = network, torch.randn(4, 3, 2, 2), LABELS
    with pytest.raises(ProxyError, match=r"published=true is about .* '2\.weight' is of none"):
        score("vkdnw_entropy[published=true]", case)
