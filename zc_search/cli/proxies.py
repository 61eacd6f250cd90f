"""``zc-search proxies``: what there is to score networks with."""

from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.printing import plain_console
from zc_search.errors import ProxyError
from zc_search.proxies.catalogue import CATALOGUE, Declaration, installed_proxies, split_options

if TYPE_CHECKING:
    from rich.table import Table

COSTS = {
    "free": "no pass through the network",
    "low": "up to one plain forward and backward pass, if computed alone",
    "medium": "up to two plain forward and backward passes, if computed alone",
    "high": "more than two plain forward and backward passes, if computed alone",
}


def proxies(
    name: Annotated[str | None, typer.Argument(help="Explain it; or module:function.")] = None,
) -> None:
    """List the proxies, or explain one."""
    console = plain_console()
    if name is None:
        console.print(_table())
        console.print("zc-search proxies NAME explains one.")
    else:
        console.print(_explanation(_look_up(name)))


def _look_up(name: str) -> Declaration:
    if name in CATALOGUE:  # which torch need not be loaded for
        return CATALOGUE[name]
    from zc_search.proxies import resolve_proxy

    return resolve_proxy(name)


def _table() -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("proxy", "direction", "cost", "measurements", "paper"):
        table.add_column(heading, no_wrap=heading != "paper")
    for name in dict.fromkeys((*CATALOGUE, *installed_proxies())):
        try:
            proxy = _look_up(name)
        except ProxyError as error:  # a broken package of somebody else's must not hide ours
            table.add_row(name, "", "", "", str(error))
            continue
        needs = "\n".join(sorted(proxy.needs))
        table.add_row(name, proxy.direction, proxy.cost, needs, proxy.paper.partition(", ")[0])
    return table


def _explanation(proxy: Declaration) -> str:
    """Return everything about a proxy, a paragraph a line."""
    known = proxy.needs or proxy.place
    facts = {
        "direction": proxy.direction,
        "paper": proxy.paper,
        "measurements": ", ".join(sorted(proxy.needs)) or "none announced",
        "cost": f"{proxy.cost}, {COSTS[proxy.cost]}"
        if known
        else "unknown, as it announces no measurement",
        "options": options_of(proxy),
        "belongs to": "the architecture as written, dead edges included"
        if proxy.counts_dead_edges
        else "the function, which isomorphic architectures share",
    }
    paragraphs = [" ".join(p.split()) for p in proxy.explanation.split("\n\n") if p.strip()]
    listed = "\n".join(f"{key}: {value}" for key, value in facts.items())
    return "\n\n".join([proxy.name, *(paragraphs or ["It has no docstring."]), listed])


def options_of(proxy: Declaration) -> str:
    """Return what may be put in brackets, each option with its default."""
    options = [f"{name}={str(value).lower()}" for name, value in proxy.defaults.items()]
    if proxy.both_modes:
        options.append("mode=train (or eval)")
    if proxy.dead_too:
        options.append("dead=false (or true)")
    if not options:
        return "none"
    example = options[0].partition(" ")[0]
    return f"{', '.join(options)}, as in {split_options(proxy.name)[0]}[{example}]"
