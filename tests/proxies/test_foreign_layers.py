"""Layers that are not what their class says: each proxy has the right value, or names the layer."""

import copy
import math
import warnings
from collections.abc import Callable

import naive_more
import naive_proxies
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.proxies import PROXIES, Probe
from zc_search.proxies.probe import passes
from zc_search.scoring.scorer import score_network

IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8) % 4


def score(network: nn.Module, name: str, labels: Tensor = LABELS) -> float:
    return score_network(network, [name], IMAGES, labels, strict=True)[name]


def chain(*features: nn.Module, width: int = 8) -> nn.Sequential:
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return build()


class NormAct(nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class StandardisedConv(nn.Conv2d):
    """As timm's StdConv2d."""

    def forward(self, x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) / deviation, self.bias)


def fused() -> nn.Module:
    return chain(nn.Conv2d(3, 8, 3), NormAct(8), nn.Conv2d(8, 8, 3), NormAct(8))


def apart() -> nn.Module:
    norms = [nn.BatchNorm2d(8), nn.ReLU()]
    return chain(nn.Conv2d(3, 8, 3), *norms, nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU())


def standardised() -> nn.Module:
    return chain(StandardisedConv(3, 8, 3), nn.ReLU())


@pytest.mark.parametrize("name", ["ntk", "gradsign", "vkdnw_entropy"])
@pytest.mark.parametrize(("build", "layer"), [(fused, "1"), (standardised, "0")])
def test_a_layer_with_a_forward_of_its_own_is_not_looked_into(
    build: Callable[[], nn.Module], layer: str, name: str
) -> None:
    with pytest.raises(ProxyError, match=f"'{layer}' cannot be looked into: .* forward of its own"):
        score(seeded(build), name)


@pytest.mark.parametrize("name", ["grasp", "grad_norm", "synflow", "naswot_relu", "jacov"])
def test_what_needs_not_look_into_a_layer_has_its_value(name: str) -> None:
    expected = score(seeded(apart), name)
    assert score(seeded(fused), name) == pytest.approx(expected, rel=1e-4)


def test_grasp_of_weights_that_are_standardised() -> None:
    network = seeded(standardised).double()
    weights = [network[0].weight, network[-1].weight]
    loss = F.cross_entropy(network(IMAGES.double()), LABELS)
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    products = torch.autograd.grad(sum((g.detach() * g).sum() for g in gradients), weights)
    expected = -sum(float((w.detach() * h).sum()) for w, h in zip(weights, products, strict=True))
    measured = Probe(network, IMAGES.double(), LABELS)
    assert float(PROXIES["grasp"](measured)) == pytest.approx(expected)


class Frozen(nn.Sequential):
    """Keeps its normalisation in evaluation mode, as norm_eval does."""

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def test_normalisation_that_insists_on_evaluation_mode_keeps_its_statistics() -> None:
    network = Frozen(*seeded(apart)).double().train()
    for norm in network[1], network[4]:
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
    images = IMAGES.double()
    measured = Probe(network, images, LABELS)
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    rows = []
    for image in images:
        gradients = torch.autograd.grad(network(image[None]).sum(), weights)
        rows.append(torch.cat([g.flatten() for g in gradients]))
    jacobian = torch.stack(rows)
    torch.testing.assert_close(measured.tangent_kernel, jacobian @ jacobian.T)
    layers = [network[0].weight, network[3].weight, network[-1].weight]
    signs = [torch.zeros_like(w) for w in layers]
    for image, label in zip(images, LABELS, strict=True):
        loss = F.cross_entropy(network(image[None]), label[None])
        for total, g in zip(signs, torch.autograd.grad(loss, layers), strict=True):
            total += g.sign()
    assert float(PROXIES["gradsign"](measured)) == sum(float(s.abs().sum()) for s in signs)


@pytest.mark.parametrize("name", ["zen", "ntk", "grasp"])
def test_synchronised_normalisation_is_normalisation(name: str) -> None:
    network = seeded(apart)
    twin = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    assert score(twin, name) == pytest.approx(score(network, name), rel=1e-5)


def test_zen_compares_two_inputs_under_the_same_dropout() -> None:
    def dropping(p: float) -> nn.Module:
        return chain(nn.Conv2d(3, 8, 3), nn.Dropout2d(p), nn.ReLU(), nn.Conv2d(8, 8, 3))

    plain, dropped = (score(seeded(lambda p=p: dropping(p)), "zen") for p in (0.0, 0.01))
    assert dropped == pytest.approx(plain, rel=0.05)


class Windows(nn.Module):
    """Windows share the first dimension with the batch, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.inside = nn.Linear(8, 8)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.act(self.inside(tokens.reshape(-1, 4, 8)))
        return self.head(tokens.reshape(len(x), 16, 8).mean(1))


@pytest.mark.parametrize("name", ["gradsign", "ntk", "fisher", "naswot", "t_cet", "swap", "wrcor"])
def test_rows_that_are_not_the_batchs_are_refused(name: str) -> None:
    with pytest.raises(ProxyError, match=r"'(inside|act)' has 32 rows for 8 images"):
        score(seeded(Windows), name)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.attention = nn.MultiheadAttention(16, 1, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


def test_a_layer_that_is_not_called_is_counted_and_not_looked_into() -> None:
    network = seeded(Attention)
    by_hand = 16 * 48 * 16 + 16 * 16 * 48 + 16 * 16 * 16 + 64 + 2 * 16 * 16 * 16
    assert score(network, "flops") == by_hand / 1e6
    assert score(network, "layers") == 3
    for name in ("ntk", "gradsign", "vkdnw_entropy"):
        with pytest.raises(ProxyError, match=r"'attention\.out_proj' is used without calling"):
            score(network, name)


COMPARED = ["snip", "naswot", "naswot_relu", "fisher", "ntk", "gradsign", "zico"]


@pytest.mark.thorough
@pytest.mark.parametrize("name", COMPARED)
def test_a_compiled_network_has_the_values_of_the_one_it_was(name: str) -> None:
    network = seeded(apart)
    expected = score(network, name)
    assert score(torch.compile(network, backend="eager"), name) == pytest.approx(expected)
    network.compile(backend="eager")
    assert score(network, name) == pytest.approx(expected)


@pytest.mark.parametrize("name", COMPARED)
def test_autocast_is_not_for_measurements(name: str) -> None:
    network = seeded(apart)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = score(network, name)
    assert inside == score(network, name)


class Wrapped(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> object:
        features = self.conv(x).relu()
        if self.how == "squeeze":
            return self.head(F.adaptive_avg_pool2d(features, 1).squeeze())
        logits = self.head(features.mean((2, 3)))
        return {"dict": {"logits": logits}, "tuple": (logits, logits), "": logits}[self.how]


@pytest.mark.parametrize("name", ["snip", "ntk", "vkdnw", "zico", "epe_nas"])
@pytest.mark.parametrize("how", ["dict", "tuple"])
def test_outputs_that_are_no_tensor_are_refused(how: str, name: str) -> None:
    with pytest.raises(ProxyError, match=f"returns a {how}; Allowed: one tensor"):
        score(Wrapped(how), name)


@pytest.mark.parametrize("name", ["vkdnw", "snip", "flops"])
def test_a_head_that_squeezes_is_one_that_flattens(name: str) -> None:
    squeezing, plain = seeded(lambda: Wrapped("squeeze")), seeded(lambda: Wrapped(""))
    assert score(squeezing, name) == pytest.approx(score(plain, name), rel=1e-4)


@pytest.mark.parametrize("name", ["snip", "epe_nas", "gradsign", "fisher", "zico"])
def test_labels_beyond_the_outputs_are_refused(name: str) -> None:
    with pytest.raises(ProxyError, match="has 4 outputs, but there is a label 6"):
        score(seeded(apart), name, LABELS + 3)


@pytest.mark.parametrize("name", ["naswot_relu", "linear_regions", "swap", "wrcor"])
def test_activations_split_at_zero_or_are_refused(name: str) -> None:
    relu, parametric = (
        seeded(lambda act=act: chain(nn.Conv2d(3, 8, 3), act, nn.Conv2d(8, 8, 3)))
        for act in (nn.ReLU(), nn.PReLU(init=0.0))
    )
    assert score(parametric, name) == pytest.approx(score(relu, name))
    for smooth in (nn.ELU(), nn.Mish()):
        assert math.isfinite(score(seeded(lambda s=smooth: chain(nn.Conv2d(3, 8, 3), s)), name))
    if name != "wrcor":
        with pytest.raises(ProxyError, match="no activation of the network is a module"):
            score(seeded(lambda: Wrapped("")), name)


def test_synaptic_flow_meets_no_ceiling() -> None:
    def deep(act: type[nn.Module]) -> nn.Module:
        layers = [nn.Conv2d(3, 32, 3), act(), nn.Conv2d(32, 32, 3), act(), nn.Conv2d(32, 32, 3)]
        return chain(*layers, act(), width=32)

    ceiling, plain = seeded(lambda: deep(nn.ReLU6)), seeded(lambda: deep(nn.ReLU))
    assert score(ceiling, "synflow") == score(plain, "synflow")
    assert {m.max_val for m in ceiling.modules() if isinstance(m, nn.ReLU6)} == {6.0}


# What cannot be seen at all -----------------------------------------------------------------------


def replaced(change: Callable[[nn.Module], nn.Module], place: int) -> nn.Module:
    network = apart()
    network[place] = change(network[place])
    return network


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(apart(), {nn.Linear})


HIDDEN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "scripted": (lambda: torch.jit.script(apart()), "network, a RecursiveScriptModule, .*TorchS"),
    "scripted layer": (lambda: replaced(torch.jit.script, 3), "module '3' .* TorchScript"),
    "exported": (lambda: torch.export.export(apart(), (IMAGES,)).module(), "torch.export made it"),
    "unflattened": (
        lambda: torch.export.unflatten(torch.export.export(apart(), (IMAGES,))),
        "torch.export made it",
    ),
    "quantised": (quantised, "module '8' .* quantised"),
    "parallel": (lambda: nn.DataParallel(apart()), "a DataParallel, .* give its .module"),
    "lazy": (lambda: replaced(lambda _: nn.LazyConv2d(8, 3), 3), "module '3' .* no values yet"),
    "meta": (lambda: apart().to("meta"), "module '0' .* is on the device meta"),
    "partly meta": (lambda: replaced(lambda m: m.to("meta"), 3), "module '3' .* device meta"),
    "partly half": (lambda: replaced(lambda m: m.half(), 3), r"module '3' .* is torch\.float16"),
}


@pytest.mark.parametrize("name", ["naswot", "params"])
@pytest.mark.parametrize("kind", HIDDEN)
def test_what_nothing_can_be_seen_of_is_refused(kind: str, name: str) -> None:
    build, message = HIDDEN[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of kinds that it means to give up
        network = seeded(build)
    with pytest.raises(ProxyError, match=f"cannot be looked into: .*|{message}") as refusal:
        score(network, name)
    assert refusal.match(message)


class OfFunctions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel).mean((2, 3))


@pytest.mark.parametrize("name", ["l2_norm", "snip", "naswot", "zen", "ntk", "vkdnw", "synflow"])
def test_a_network_without_a_layer_that_is_a_module_is_refused(name: str) -> None:
    network = seeded(OfFunctions)
    with pytest.raises(ProxyError, match="no layer of the network is a module with a weight"):
        score(network, name)


def test_a_network_that_was_traced_by_symbols_is_the_one_it_was() -> None:
    traced = torch.fx.symbolic_trace(seeded(apart))
    for name in ("snip", "ntk", "grasp", "naswot_relu"):
        assert score(traced, name) == pytest.approx(score(seeded(apart), name))


class Changed(nn.Module):
    """A layer whose output is changed by a module of its own, which a hook may do as well."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.layer(x).tanh()


@pytest.mark.parametrize("name", ["grasp", "fisher", "ntk", "gradsign", "vkdnw", "naswot", "snip"])
def test_hooks_that_change_an_output_are_as_modules_behind_the_layer(name: str) -> None:
    hooked, twin = seeded(apart), seeded(apart)
    for place in (0, 1, 3, 4):
        hooked[place].register_forward_hook(lambda _, __, output: 2 * output.tanh())
        twin[place] = Changed(twin[place])
    assert score(hooked, name) == pytest.approx(score(twin, name), rel=1e-4)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mixed, self.head = (
            nn.Conv2d(3, 8, 4, 4),
            nn.Linear(8, 24),
            nn.Linear(8, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mixed(self.patches(x).flatten(2).transpose(1, 2)).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v).mean(1))


def test_grasp_differentiates_attention_twice() -> None:
    network = seeded(Attending)
    expected = naive_proxies.grasp(network, IMAGES, LABELS)
    assert score(network, "grasp") == pytest.approx(expected, rel=1e-3)


def test_layers_behind_a_scale_of_zero_have_no_part_in_the_fisher_information() -> None:
    network = seeded(lambda: Residual(8))
    nn.init.zeros_(network.norm.weight)
    expected = naive_more.vkdnw_entropy(network, IMAGES, LABELS)
    assert score(network, "vkdnw_entropy") == pytest.approx(expected, rel=1e-4)
    assert score(network, "layers") == 2


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 4)
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.norm(self.conv(x))).mean((2, 3)))


class Kernel(nn.Module):
    """Convolves with a parameter of its own, and with which stride nobody can ask."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, stride=2)


@pytest.mark.parametrize(
    ("first", "layout"),
    [
        (nn.Conv2d(3, 8, 3, 2), torch.channels_last),
        (nn.Conv2d(3, 8, 1), torch.channels_last),
        (nn.Conv2d(3, 8, 1, 2), torch.contiguous_format),
        (nn.Conv2d(3, 8, (3, 1), (1, 2)), torch.contiguous_format),
        (Kernel(), torch.contiguous_format),
    ],
)
def test_no_layer_is_laid_out_as_torch_cannot_differentiate(
    first: nn.Module, layout: torch.memory_format
) -> None:
    """PyTorch 2.13 writes beyond memory where channels-last positions are skipped."""
    network = chain(first)
    probe = Probe(network, IMAGES, LABELS)
    assert probe.images.is_contiguous(memory_format=layout)
    found = probe.loss_gradients
    F.cross_entropy(network(IMAGES), LABELS).backward()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, network.get_submodule(name).weight.grad)


class ChannelsLast(nn.Module):
    """Stages as Swin's, whose maps are N x H x W x C between them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 2, stride=2)
        self.stages = nn.ModuleList(nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6)) for _ in "ab")
        self.blocks = nn.Sequential(*(Changed(stage) for stage in self.stages))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x).permute(0, 2, 3, 1)).mean((1, 2)))


AZ_NAS = ("az_expressivity", "az_progressivity", "az_trainability")


@pytest.mark.parametrize("name", [*AZ_NAS, "meco", "meco_opt", "dextr_svd"])
def test_maps_whose_channels_come_last_are_refused(name: str) -> None:
    match = r"has maps of 8 x 8 x 6, whose channels come last; Allowed: images x channels x"
    with pytest.raises(ProxyError, match=match):
        score(seeded(ChannelsLast), name)


@pytest.mark.parametrize("size", [(16, 16), (16, 24), (15, 31), (5, 3)])
@pytest.mark.parametrize("channels", [1, 2, 6, 8, 12, 16])
def test_maps_whose_channels_come_first_are_not(size: tuple[int, int], channels: int) -> None:
    images = torch.zeros(2, 3, *size)
    for stride in (1, 2, 3):
        maps = nn.Conv2d(3, channels, 3, stride, padding=1)(images)
        passes.require_maps("", maps, images)
        passes.require_maps("", nn.AdaptiveAvgPool2d(1)(maps), images)


@pytest.mark.parametrize(
    "register", ["register_module_forward_hook", "register_module_forward_pre_hook"]
)
def test_hooks_for_all_modules_are_refused(register: str) -> None:
    network = seeded(apart)
    expected = score(network, "snip")
    handle = getattr(torch.nn.modules.module, register)(lambda *_: None)
    try:
        with pytest.raises(ProxyError, match="torch has forward hooks for all modules"):
            score(network, "snip")
    finally:
        handle.remove()
    assert score(network, "snip") == expected


def test_statistics_of_another_type_than_the_images_are_named() -> None:
    network = seeded(apart)
    network[1].running_mean = network[1].running_mean.double()
    with pytest.raises(ProxyError, match=r"module '1' .*its running_mean is torch.float64, the im"):
        score(network, "snip")


class Attentive(nn.Module):
    """One head over the four quarters of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 8, stride=8)
        self.qkv, self.proj, self.head = nn.Linear(6, 18), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).mT
        q, k, v = self.qkv(x).chunk(3, -1)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v))
        return self.head(x.mean(1))


def test_multiply_adds_count_the_products_of_attention() -> None:
    layers = 4 * 6 * 3 * 8 * 8 + 4 * 6 * 18 + 4 * 6 * 6 + 6 * 4
    expected = (layers + 2 * 4 * 4 * 6) / 1e6
    for name in ("flops", "az_complexity"):
        assert score(seeded(Attentive), name) == pytest.approx(expected, rel=1e-12)


class Rescaled(nn.Module):
    """Branches whose weights hardly matter, as with LayerScale."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(768, 9), nn.Linear(9, 4)
        self.branches = nn.ModuleList(nn.Linear(9, 9) for _ in range(24))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(1))
        for branch in self.branches:
            x = x + 1e-8 * branch(x)
        return self.head(x)


def test_an_entropy_of_rounding_is_refused() -> None:
    with pytest.raises(ProxyError, match="nine tenths of the eigenvalues are rounding"):
        score(seeded(Rescaled), "vkdnw_entropy")


class LayerNormActivation(nn.LayerNorm):
    """As timm's LayerNormAct2d: channels first, the activation in place on what is then a view."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class Halves(nn.Module):
    """Activates a half of the channels, in place, which the whole sees, or not."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 1
        half = self.act(x[:, ::2])
        return x if self.act.inplace else torch.stack((half, x[:, 1::2]), 2).flatten(1, 2)


@pytest.mark.parametrize(
    ("act", "plain"),
    [
        (lambda: LayerNormActivation(8), lambda: LayerNormActivation(8)),
        (lambda: Halves(inplace=True), lambda: Halves(inplace=False)),
    ],
)
def test_gradients_before_a_change_in_place_of_a_view(
    act: Callable[[], nn.Module], plain: Callable[[], nn.Module]
) -> None:
    network, twin = (
        seeded(lambda: chain(nn.Conv2d(3, 8, 3), build(), nn.Conv2d(8, 8, 3), build()))  # noqa: B023
        for build in (act, plain)
    )
    expected = naive_more.wrcor(twin, IMAGES, LABELS)
    assert score(network, "wrcor") == pytest.approx(expected, rel=1e-4)
