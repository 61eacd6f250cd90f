"""Pages of the documentation that are made from the code, and the check of the links of all.

mkdocs calls the functions ``on_...``; see "hooks" in mkdocs.yml.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import click
import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

from zc_search.cli.app import app
from zc_search.cli.proxies import COSTS, options_of
from zc_search.config import SPACE_KEYS, Config, parse_config, starter
from zc_search.errors import ConfigError
from zc_search.proxies.catalogue import CATALOGUE, Declaration
from zc_search.proxies.probe.probe import MEASUREMENTS

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "how-to/benchmark-files.md": "third_party/README.md",
    "how-to/samplers.md": "zc_search/samplers/portable/README.md",
    **{
        f"tutorials/{path.name}": f"notebooks/{path.name}"
        for path in ROOT.glob("notebooks/*.ipynb")
    },
    **{f"configs/{path.name}": f"configs/{path.name}" for path in ROOT.glob("configs/*.toml")},
}
"""Pages that lie where people look for them without a site: address in the site, file."""


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is written elsewhere, and what is made from the code."""
    for uri, source in ELSEWHERE.items():
        file = File(uri, str(ROOT), config.site_dir, use_directory_urls=True)
        file.abs_src_path = str(ROOT / source)
        files.append(file)
    made = {
        "reference/search-file.md": search_file(),
        "reference/commands.md": commands(),
        **proxy_pages(),
        **python_pages(),
    }
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    reference = next(part["Reference"] for part in config.nav or [] if "Reference" in part)
    for part in reference:
        for title, folder in (("Proxies", "reference/proxies/"), ("Python", "reference/python/")):
            if isinstance(part, dict) and title in part:
                part[title] = [uri for uri in made if uri.startswith(folder)]
    return files


def _text(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.txt").read_text(encoding="utf-8")


@event_priority(100)
def on_pre_page(page: Any, config: MkDocsConfig, files: Files) -> Any:
    """Say again where a notebook lies, which its plugin has forgotten."""
    if source := ELSEWHERE.get(page.file.src_uri):
        page.file.abs_src_path = str(ROOT / source)
    return page


# The search file ---------------------------------------------------------------------------------

_KEY = re.compile(r"(?:# )?([\w.]+) = (.*?)(?:\s+# (.*))?$")


def explained() -> dict[str, tuple[str, str]]:
    """Return each key's example and meaning, as the file of `zc-search init` says them."""
    known: dict[str, tuple[str, str]] = {}
    section, key, above = "", "", ""
    for line in starter().splitlines():
        if heading := re.match(r"\[(\w+)\]", line):
            section, key, above = heading[1], "", ""
        elif found := _KEY.fullmatch(line):
            key = f"{section}.{found[1]}"
            known[key] = found[2], found[3] or above
        elif key and (more := re.match(r"\s{8,}# (.*)|#\s{8,}# (.*)", line)):
            example, meaning = known[key]
            known[key] = example, f"{meaning} {more[1] or more[2]}"
        elif line.startswith("# "):
            above = line.removeprefix("# ")
    return known


def allowed(key: str) -> str:
    """Return what may stand for a key, as the errors say that refuse something else."""
    found: list[str] = []
    for wrong in ("[[]]", "-1000000000000", "-1e300"):
        try:
            parse_config('[objectives]\nsnip = "maximize"\n', [f"{key}={wrong}"])
        except ConfigError as error:
            said = [p for p in error.problems if p.allowed and str(p.key).startswith(key)]
            names = said[0].allowed if said else ()
            if len(names) > 12:
                return "names of [proxies](proxies/index.md), or `module:function`"
            if (names and names[0] != "a whole number") or not found:
                found += [n for n in names if n not in found and " = 'none'" not in n]
            if found and found[0] not in ("a number", "a whole number"):
                break
    return ", ".join(f"`{n}`" if re.fullmatch(r"[\w:.+-]+", n) else n for n in found) or "text"


def search_file() -> str:
    """Return the page of every key: its default, what is allowed, what it means, an example."""
    meanings = explained()
    lines = [
        "# The search file",
        "",
        "`zc-search init` writes a file with every key explained; a search reads it with "
        "`zc-search --config search.toml`, and `--set section.key=value` replaces a key for one "
        "run. Every key but those of `[objectives]` has a default. *absent* is a default that the "
        "file does not hold.",
        "",
    ]
    for section, field in Config.model_fields.items():
        if section == "objectives":
            lines.append(_text("objectives"))
            continue
        model: Any = type(field.default)
        lines += [f"## [{section}] {{ #{section} }}", "", str(model.__doc__).strip(), ""]
        lines += ["| key | default | allowed | meaning | example |", "|---|---|---|---|---|"]
        for name, setting in model.model_fields.items():
            key = f"{section}.{setting.alias or name}"
            if key not in meanings:
                raise PluginError(f"{key} is not in zc_search/config/search.toml")
            example, meaning = meanings[key]
            given = next((k[name] for k in SPACE_KEYS.values() if name in k), setting.default)
            given = given if section == "space" else setting.default
            default = "*absent*" if given is None else f"`{_toml(given)}`"
            row = (f"`{key.partition('.')[2]}`", default, allowed(key), meaning, f"`{example}`")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


# Commands ----------------------------------------------------------------------------------------


def commands() -> str:
    """Return the page of every command, its arguments and options."""
    root: Any = typer.main.get_command(app)
    lines = ["# Commands", "", "`zc-search COMMAND --help` prints the same.", ""]
    for name, command in _walk(root, "zc-search"):
        usage = " ".join(command.collect_usage_pieces(click.Context(root, info_name=name)))
        lines += [f"## {name}", "", f"```console\n$ {name} {usage}\n```", "", _said(command), ""]
        rows = [_parameter(p) for p in command.params if not getattr(p, "hidden", False)]
        rows = [row for row in rows if row]
        if rows:
            lines += ["| | default | |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if command.callback is not None or not getattr(command, "commands", None):
        yield name, command
    for sub, inner in getattr(command, "commands", {}).items():
        yield from _walk(inner, f"{name} {sub}")


def _said(command: Any) -> str:
    return re.sub(r"[\b\f]", "", command.help or "").strip()


def _parameter(parameter: Any) -> str:
    option = parameter.param_type_name == "option"
    names = ", ".join(f"`{n}`" for n in (*parameter.opts, *parameter.secondary_opts))
    shown = names if option else f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.default
    plain = not callable(default) and default not in (None, False, (), []) and option
    cells = (shown, f"`{default}`" if plain else "", str(getattr(parameter, "help", "") or ""))
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


# Proxies -----------------------------------------------------------------------------------------


def proxy_pages() -> dict[str, str]:
    """Return a page a proxy, and one that lists them."""
    index = [
        "# Proxies",
        "",
        _text("proxies"),
        "",
        "| proxy | direction | cost | what it is |",
        "|---|---|---|---|",
    ]
    pages = {"reference/proxies/index.md": ""}
    for name, proxy in CATALOGUE.items():
        index.append(
            f"| [`{name}`]({name}.md) | {proxy.direction} | {proxy.cost} | {proxy.summary} |"
        )
        pages[f"reference/proxies/{name}.md"] = _proxy(name, proxy)
    pages["reference/proxies/index.md"] = "\n".join(index) + "\n"
    return pages


def _proxy(name: str, proxy: Declaration) -> str:
    facts = {
        "direction": proxy.direction,
        "paper": proxy.paper,
        "cost": f"{proxy.cost}: {COSTS[proxy.cost]}",
        "options": options_of(proxy),
        "dead edges of a cell": "counted: the value belongs to the architecture as written"
        if proxy.counts_dead_edges
        else "left out: isomorphic architectures share the value",
        "version": f"{proxy.version}; it goes up when values change",
    }
    lines = [f"# {name}", "", proxy.explanation, "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in facts.items()]
    lines += ["", "## What it measures", ""]
    for need in sorted(proxy.needs):
        lines += [f"`{need}`", f":   {(MEASUREMENTS[need].__doc__ or '').strip()}", ""]
    if not proxy.needs:
        lines += ["Nothing of a pass through the network.", ""]
    lines += [*_agreement(name), "## Use it", "", "```console"]
    lines += [f"$ zc-search score --sample 100 --proxies {name} --out scores.parquet", "```", ""]
    lines += [f'```toml\n[objectives]\n{name} = "{proxy.direction}"\n```', ""]
    lines += ["What it refuses is the same for all: see [proxies](index.md#what-is-refused)."]
    return "\n".join(lines) + "\n"


def _agreement(name: str) -> Iterator[str]:
    """Say how a proxy orders architectures and agrees with published values, where measured."""
    text = (ROOT / "docs" / "results" / "proxies.md").read_text(encoding="utf-8")
    titles = (
        "How well it orders 500 architectures",
        "Agreement with published values, of 250 architectures",
    )
    found = [
        (title, _cells(heading), _cells(row))
        for title, (heading, row) in zip(titles, _rows(text, name), strict=False)
        if row
    ]
    for title, headings, cells in found:
        yield from (f"## {title}", "", "| | |", "|---|---|")
        yield from (f"| {h} | {c} |" for h, c in zip(headings[1:], cells[1:], strict=True) if c)
        yield from ("", "From [proxies beside published figures](../../results/proxies.md).", "")


def _rows(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield of each table of proxies its heading and the row of one, or "" if it has none."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        heading, _, *rows = table.splitlines()
        if heading.startswith("| proxy |"):
            yield heading, next((r for r in rows if r.startswith(f"| {name} |")), "")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


# Public names ------------------------------------------------------------------------------------


def python_pages() -> dict[str, str]:
    """Return a page a room with each public name, documented once; each must have a docstring."""
    package = griffe.load("zc_search", search_paths=[str(ROOT)], resolve_aliases=True)
    rooms = {
        path: module
        for path, module in sorted(_modules(package))
        if module.exports and module.is_init_module and not re.search(r"\._|\.cli", path)
    }
    pages: dict[str, str] = {"reference/python/index.md": ""}
    documented: dict[str, str] = {}
    undocumented = []
    for path, module in [*[*rooms.items()][1:], ("zc_search", package)]:
        lines = [f"# {path}", "", _prose(module), ""]
        page = "index.md" if module is package else f"{path.removeprefix('zc_search.')}.md"
        for name in sorted(map(str, module.exports or ())):
            member = module[name]
            target = member.final_target if member.is_alias else member
            if not target.docstring:
                undocumented.append(f"{path}.{name}")
            if target.path in documented:
                where = documented[target.path]
                lines.append(f"- [`{name}`]({where}#{target.path}): {_first(target)}")
            else:
                documented[target.path] = page
                lines += [f"::: {target.path}", ""]
        if module is package:
            listed = [line for line in lines if line.startswith("- ")]
            rest = [line for line in lines if not line.startswith("- ")]
            links = [f"- [`{p}`]({p.removeprefix('zc_search.')}.md)" for p in [*rooms][1:]]
            lines = [*rest[:4], *listed, "", "By room:", "", *links, "", *rest[4:]]
        pages[f"reference/python/{page}"] = "\n".join(lines) + "\n"
    if undocumented:
        raise PluginError(f"public names without a docstring: {', '.join(undocumented)}")
    return pages


def _modules(module: Any) -> Iterator[tuple[str, Any]]:
    yield module.path, module
    for inner in module.members.values():
        if not inner.is_alias and inner.is_module:
            yield from _modules(inner)


def _prose(module: Any) -> str:
    """Return a module's docstring, its examples fenced."""
    text = module.docstring.value if module.docstring else ""
    text = re.sub(r" +# doctest:.*", "", text)
    return re.sub(r"(?m)((?:^(?:>>>|\.\.\.).*\n?)+)", r"```python\n\1\n```\n", text)


def _first(target: Any) -> str:
    return target.docstring.value.partition("\n")[0] if target.docstring else ""


# Links -------------------------------------------------------------------------------------------

_NOTEBOOK = re.compile(r'href="(\d\d_\w+)\.ipynb"')


def on_post_page(output: str, page: Any, config: MkDocsConfig) -> str:
    """Let links between notebooks lead to their pages."""
    if page.file.src_uri.startswith("tutorials/"):
        output = _NOTEBOOK.sub(r'href="../\1/"', output)
        output = output.replace('href="../configs/', 'href="../../configs/')
    return output


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.anchors |= {str(named[key]) for key in ("id", "name") if named.get(key)}
        link = named.get("href") or named.get("src")
        if link and not re.match(r"[a-z]+:|//|\$", link):
            self.links.append(link)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site in which a link leads nowhere, those of notebooks and tables included."""
    site = Path(config.site_dir)
    pages: dict[Path, _Links] = {}
    for path in site.rglob("*.html"):
        pages[path] = _Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            address, anchor = urldefrag(unquote(link))
            to = (path.parent / address).resolve() if address else path
            to = to / "index.html" if to.is_dir() else to
            if not to.exists() or (anchor and to in pages and anchor not in pages[to].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    if broken:
        raise PluginError("links that lead nowhere:\n  " + "\n  ".join(sorted(set(broken))))
