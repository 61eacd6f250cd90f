"""Every built-in proxy, declared once, readable without importing torch.

A name may carry options in brackets, where more than one definition is in use:
``fisher[weighted=false]``, ``jacov[constant=1e-3,mode=eval]``.
"""

import ast
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from zc_search.errors import unknown_name

Direction = Literal["maximize", "minimize"]
Cost = Literal["free", "low", "medium", "high"]
OptionValue = bool | float

MODE = "mode"
"""The option of proxies with `both_modes`: ``train`` (the default) or ``eval``."""

DEAD = "dead"
"""The option of proxies with `dead_too`: whether dead edges are run and counted, by default not."""

PUBLISHED = "published"
"""The option of proxies that measure as published code does, the architecture as written."""

ENTRY_POINT_GROUP = "zc_search.proxies"
"""Where an installed package announces proxies of its own."""

_WITH_OPTIONS = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")
_CHOICES: Mapping[type, Mapping[str, OptionValue | str]] = {
    bool: {"true": True, "false": False},
    str: {"train": "train", "eval": "eval"},
}


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is known of a proxy before it is computed."""

    name: str
    direction: Direction
    paper: str
    needs: frozenset[str] = frozenset()  # other measurements work too, at a pass of their own
    cost: Cost = "free"  # alone: up to 0, 1, 2 or more plain passes forward and back
    counts_dead_edges: bool = False  # if not, all isomorphic architectures share the value
    both_modes: bool = False  # whether evaluation mode may be asked for
    dead_too: bool = False  # whether dead edges may be counted, as published code does
    defaults: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)
    version: int = 1  # goes up when the values change, so that no others are taken for them
    place: str = ""  # "module:function" in this package, of a built-in one

    @property
    def definition(self) -> str:
        """What makes the values of two installations comparable: name, options, version."""
        return f"{self.name}, version {self.version}"

    @property
    def explanation(self) -> str:
        """The function's docstring: formula, shapes, sign, what published code does."""
        module, _, name = self.place.partition(":")
        source = Path(__file__).with_name(f"{module}.py")  # whose import would load torch
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return ast.get_docstring(node) or ""
        return ""

    @property
    def summary(self) -> str:
        """The first line of the explanation."""
        return self.explanation.partition("\n")[0]

    def read_options(self, given: Mapping[str, str]) -> dict[str, OptionValue | str]:
        """Turn options as `split_options` returns them into values, or raise a ValueError."""
        extra: dict[str, bool | str] = {MODE: "train"} if self.both_modes else {}
        defaults = {**self.defaults, **extra, **({DEAD: False} if self.dead_too else {})}
        allowed = list(defaults)
        values: dict[str, OptionValue | str] = {}
        for key, text in given.items():
            if not allowed:
                raise ValueError(f"{self.name} has no options, but {key!r} is given")
            if key not in allowed:
                raise ValueError(unknown_name(f"option of {self.name}", key, allowed))
            default, what = defaults[key], f"{key} of {self.name}"
            if isinstance(default, bool | str):
                choices = _CHOICES[type(default)]
                if text not in choices:
                    raise ValueError(unknown_name(what, text, choices))
                values[key] = choices[text]
            else:
                values[key] = _number(what, text, default)
        return values


CATALOGUE: dict[str, Declaration] = {}
"""Every built-in proxy by its name."""


def _declare(
    name: str,
    cost: Cost,
    paper: str,
    *needs: str,
    place: str = "",
    direction: Direction = "maximize",
    dead: bool = False,
    modes: bool = False,
    dead_too: bool = False,
    version: int = 1,
    **options: OptionValue,
) -> None:
    CATALOGUE[name] = Declaration(
        name=name,
        direction=direction,
        paper=paper,
        needs=frozenset(needs),
        cost=cost,
        counts_dead_edges=dead,
        both_modes=modes,
        dead_too=dead_too,
        defaults=options,
        version=version,
        place=place if ":" in place else f"{place or name}:{name}",
    )


_TENAS = "Chen et al. 2021, Neural Architecture Search on ImageNet in Four GPU Hours"
_NASWOT = "Mellor et al. 2021, Neural Architecture Search without Training, eq. 3"
_SWAP = "Peng et al. 2024, SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS"
_MECO = "Jiang et al. 2023, MeCo: Zero-Shot NAS with One Data and Single Forward Pass"
_AZ_NAS = "Lee and Ham 2024, AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search"
_VKDNW = (
    "Tybl and Neumann 2025, Training-free NAS through Variance of Knowledge of Deep Network Weights"
)
_LIGHT = "Abdelfattah et al. 2021, Zero-Cost Proxies for Lightweight NAS"
_SNIP = "Lee et al. 2019, SNIP: Single-shot Network Pruning, eq. 4"
_GRASP = "Wang et al. 2020, Picking Winning Tickets Before Training (GraSP), eq. 8"
_FISHER = "Theis et al. 2018, Fisher pruning; Turner et al. 2020, BlockSwap, eq. 3"
_PLAIN = "Mozer and Smolensky 1989, Skeletonization; as in Abdelfattah et al. 2021"
_ZICO = "Li et al. 2023, ZiCo: Zero-shot NAS via Inverse Coefficient of Variation, eq. 12"
_SYNFLOW = "Tanaka et al. 2020, Pruning neural networks without any data, eq. 4"
_T_CET = "ViolinSolo 2023, the metric tcet of the tool alethiometer"
_JACOV = "Mellor et al. 2020, Neural Architecture Search without Training, version 1, eq. 2"
_EPE_NAS = "Lopes et al. 2021, EPE-NAS: Efficient Performance Estimation Without Training for NAS"
_GRADSIGN = "Zhang and Jia 2022, GradSign: Model Performance Inference with Theoretical Insights"
_DEXTR = "Asthana et al. 2025, Dextr: Zero-Shot NAS with SVD and Extrinsic Curvature"
_WRCOR = "Jing et al. 2025, Zero-Shot NAS with Weighted Response Correlation, WRCor"
_ZEN = "Lin et al. 2021, Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition"

_declare("grad_norm", "low", f"{_LIGHT}, section 3.1", "loss_gradients", modes=True, by_layer=True)
_declare("snip", "low", _SNIP, "loss_gradients", modes=True)
_declare("grasp", "high", _GRASP, "gradient_curvature", modes=True)
_declare("fisher", "low", _FISHER, "channel_saliency", modes=True, weighted=True)
_declare("plain", "low", _PLAIN, "loss_gradients", modes=True)
_declare("l2_norm", "free", f"{_LIGHT} (baseline)", place="baselines", dead=True, by_layer=True)
_signs = partial(_declare, modes=True, dead_too=True)
_signs("naswot", "low", f"{_NASWOT}; as in MASE", "layer_agreement")
_signs("naswot_relu", "low", _NASWOT, "relu_agreement", place="naswot", version=2)
_signs("nwot", "low", _NASWOT, "relu_agreement", place="naswot:naswot_relu", version=2)
_declare("tenas", "medium", f"{_TENAS}, eqs. 2, 3", "relu_agreement", "tangent_kernel", version=2)
_declare("ntk", "medium", _TENAS, "tangent_kernel", place="tenas")
_declare("linear_regions", "low", _TENAS, "relu_agreement", place="tenas", modes=True, version=2)
_declare("zico", "low", _ZICO, "half_batch_gradients", modes=True)
_declare("synflow", "low", _SYNFLOW, "synaptic_flow", log=True)
_declare("t_cet", "low", _T_CET, "layer_agreement", "synaptic_flow")
_declare("jacov", "low", _JACOV, "input_jacobian", modes=True, constant=1e-05)
_declare("epe_nas", "low", _EPE_NAS, "input_jacobian", modes=True, version=2, constant=1e-05)
_declare("gradsign", "medium", _GRADSIGN, "gradient_signs", mean=False)
_declare("wrcor", "medium", _WRCOR, "response_correlations", modes=True)
_declare("zen", "low", _ZEN, "gaussian_perturbation", dead_too=True)
_signs("swap", "low", _SWAP, "distinct_unit_patterns", version=2)
_signs(
    "reg_swap",
    "low",
    f"{_SWAP}, regularised SWAP-Score",
    "distinct_unit_patterns",
    place="swap",
    version=2,
    mu=1.5,
    sigma=1.0,
)
_declare("meco", "low", _MECO, "smallest_eigenvalues")
_declare("meco_opt", "low", f"{_MECO}, MeCo_opt", "sampled_eigenvalues", place="meco")
_declare("az_expressivity", "low", _AZ_NAS, "block_entropies", place="az_nas")
_declare("az_progressivity", "low", _AZ_NAS, "block_entropies", place="az_nas")
_declare("az_trainability", "low", _AZ_NAS, "block_jacobian_norms", place="az_nas")
_declare("az_complexity", "free", _AZ_NAS, "multiply_adds", place="az_nas", dead=True, version=2)
_dextr = partial(_declare, place="dextr")
_dextr("dextr", "low", _DEXTR, "inverse_conditions", "output_curvature", dead_too=True)
_dextr("dextr_svd", "low", f"{_DEXTR}, the half of the maps", "inverse_conditions", dead_too=True)
_dextr("dextr_curvature", "low", f"{_DEXTR}, the half of the outputs", "output_curvature")
_vkdnw = partial(_declare, place="vkdnw", published=False)
_vkdnw("vkdnw", "medium", f"{_VKDNW}, VKDNW_single", "fisher_information", "loss_gradients")
_vkdnw("vkdnw_entropy", "low", f"{_VKDNW}, VKDNW", "fisher_information")
_declare("layers", "low", "baseline", "loss_gradients", place="baselines", modes=True)

_cost = partial(_declare, place="baselines", direction="minimize", dead=True)
_cost("params", "free", "baseline")
_cost("flops", "free", "baseline", "multiply_adds", version=2)
_cost("latency", "medium", "measured here", "latency", images=0, version=2)

VKDNW_AGGREGATE = ("vkdnw", "jacov", "az_expressivity", "az_trainability", "flops")
"""What VKDNW_agg aggregates the ranks of, all of it the more the better (VKDNW, eq. 15)."""

DEFAULT_DIRECTIONS: dict[str, Direction] = {n: d.direction for n, d in CATALOGUE.items()}
"""Every built-in proxy with the direction that ``"default"`` means for it as an objective."""


def installed_proxies() -> tuple[str, ...]:
    """Return the names of proxies that other installed packages offer, importing none of them."""
    return tuple(sorted(entry_points(group=ENTRY_POINT_GROUP).names))


def split_names(text: str) -> list[str]:
    """Split a list at its commas, but not at those between options."""
    return [part.strip() for part in re.split(r",(?![^\[\]]*\])", text) if part.strip()]


def split_options(name: str) -> tuple[str, dict[str, str]]:
    """Take ``proxy[option=value,...]`` apart; any other name has no options."""
    match = _WITH_OPTIONS.fullmatch(name)
    if match is None:
        return name, {}
    options: dict[str, str] = {}
    for part in match[2].split(","):
        key, equals, value = (text.strip() for text in part.partition("="))
        if not (key and equals and value) or key in options:
            message = "Allowed: each option once, as in jacov[constant=1e-3,mode=eval]"
            raise ValueError(f"{name!r}: {part.strip()!r} is no option; {message}")
        options[key] = value
    return match[1].strip(), options


def _number(what: str, text: str, default: float) -> float:
    number = float("nan")
    with suppress(ValueError):
        number = float(text)
    if number != default and not 0 < number < float("inf"):
        raise ValueError(f"{what}: {text!r} is given; Allowed: a number above 0")
    return number


def check_options(name: str) -> str:
    """Return the name without its options, which are checked if the proxy is a built-in one."""
    base, given = split_options(name)
    if given and base in CATALOGUE:
        CATALOGUE[base].read_options(given)
    return base


def default_direction(name: str) -> Direction | None:
    """Return the direction of a built-in proxy, whatever its options; None of any other."""
    return DEFAULT_DIRECTIONS.get(name.partition("[")[0])
