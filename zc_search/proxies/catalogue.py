"""Every built-in proxy, declared in ``catalogue.toml``, readable without importing torch.

A name may carry options in brackets, where more than one definition is in use:
``fisher[weighted=false]``, ``jacov[constant=1e-3,mode=eval]``.
"""

import ast
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
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
    direction: Direction = "maximize"
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
        known: dict[str, OptionValue | str] = dict(self.defaults)
        known |= {MODE: "train"} if self.both_modes else {}
        known |= {DEAD: False} if self.dead_too else {}
        for key in given:
            if not known:
                raise ValueError(f"{self.name} has no options, but {key!r} is given")
            if key not in known:
                raise ValueError(unknown_name(f"option of {self.name}", key, known))
        return {k: _read(f"{k} of {self.name}", text, known[k]) for k, text in given.items()}


def _read(what: str, text: str, default: OptionValue | str) -> OptionValue | str:
    if choices := _CHOICES.get(type(default)):
        if text in choices:
            return choices[text]
        raise ValueError(unknown_name(what, text, choices))
    with suppress(ValueError):
        number = float(text)
        if number == default or 0 < number < float("inf"):
            return number
    raise ValueError(f"{what}: {text!r} is given; Allowed: a number above 0")


def _declared() -> dict[str, Declaration]:
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    declared = {}
    for name, said in tomllib.loads(text).items():
        said["needs"] = frozenset(said.get("needs", ()))
        declared[name] = Declaration(**{"name": name, "place": f"{name}:{name}", **said})
    return declared


CATALOGUE = _declared()
"""Every built-in proxy by its name."""

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


def check_options(name: str) -> str:
    """Return the name without its options, which are checked if the proxy is a built-in one."""
    base, given = split_options(name)
    if given and base in CATALOGUE:
        CATALOGUE[base].read_options(given)
    return base


def default_direction(name: str) -> Direction | None:
    """Return the direction of a built-in proxy, whatever its options; None of any other."""
    return DEFAULT_DIRECTIONS.get(name.partition("[")[0])
