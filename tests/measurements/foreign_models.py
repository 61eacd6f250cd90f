"""Which proxies have a value for networks of timm, and whether it is that of a naive float64 twin.

Not part of the test suite: `python tests/measurements/foreign_models.py [MODEL ...]` in the root of
the repository, with timm beside torch, prints a line a model and proxy where the value is not its
twin's, and a table: ``=`` equal in float64 and to .1 % in float32; ``~`` equal in float64, and how
far rounding takes float32; ``!`` another value; ``-`` refused; ``?`` no twin, or it has no value.
"""

import copy
import math
import sys
from collections import Counter
from pathlib import Path

import timm
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zc_search.proxies import PROXIES, Probe
from zc_search.scoring.scorer import score_network

sys.path.insert(0, str(Path(__file__).parents[1] / "proxies"))
import naive_more
import naive_proxies


def flops(network: torch.nn.Module, images: torch.Tensor, _: torch.Tensor) -> float:
    """Count products of attention too, which the twin of convolutional networks has none of."""
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(network).eval()(images[:1])
    return counter.get_total_flops() / 2e6


TWINS = {**naive_more.NAIVE, **naive_proxies.NAIVE, "flops": flops, "az_complexity": flops}
TWINS["vkdnw"] = lambda *of: naive_more.layers(*of) + naive_more.vkdnw_entropy(*of)
NAMES = [name for name in PROXIES if name != "latency"]
IMAGES = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 4


def compared(network: torch.nn.Module, name: str) -> tuple[str, str]:
    """Return the sign of the comparison and what there is to say."""
    try:
        value = score_network(network, [name], IMAGES, LABELS)[name]
        doubles = naive_proxies.double(network)
        exact = float(PROXIES[name](Probe(doubles, IMAGES.double(), LABELS, PROXIES[name].needs)))
    except Exception as error:
        return "-", str(error).partition(" failed: ")[2]
    try:
        twin = TWINS[name](network, IMAGES, LABELS)
    except Exception as error:
        return "?", f"{value:.6g}; the twin: {type(error).__name__} {error}"
    if not math.isclose(exact, twin, rel_tol=1e-6, abs_tol=1e-9) and str(exact) != str(twin):
        return "!", f"{value:.6g}, in float64 {exact:.6g}; the twin: {twin:.6g}"
    if math.isclose(value, twin, rel_tol=1e-3) or str(value) == str(twin):
        return "=", ""
    return "~", f"{value:.6g}, in float64 {exact:.6g}: {abs(value / exact - 1):.1%}"


def main() -> None:
    models = sys.argv[1:] or timm.list_models("test_*")
    signs: dict[str, list[str]] = {name: [] for name in NAMES}
    for model in models:
        sized = {"img_size": 64} if "vit" in model or "coatnet" in model else {}
        torch.manual_seed(0)
        network = timm.create_model(model, num_classes=4, **sized)
        for module in network.modules():  # the twins draw other masks
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for name in NAMES:
            sign, text = compared(network, name)
            signs[name].append(sign)
            if text:
                print(f"{model} {name} {sign} {text}"[:160], flush=True)
    print("\n" + ", ".join(models))
    for name, row in signs.items():
        print(f"{name:18}{' '.join(row)}")
    print(Counter(sign for row in signs.values() for sign in row))


if __name__ == "__main__":
    main()
