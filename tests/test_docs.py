"""The pages that are made from the code: whole, and of what there is."""

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="pip install mkdocs-material")
pytest.importorskip("griffe", reason="pip install mkdocstrings")

sys.path.append(str(Path(__file__).parents[1] / "docs"))

import pages

from zc_search.config import Config
from zc_search.proxies.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def keys() -> dict[str, list[str]]:
    """Return the rows of the page of keys: default, allowed, meaning, example by key."""
    rows: dict[str, list[str]] = {}
    section = ""
    for line in pages.search_file().splitlines():
        if heading := re.match(r"## \[(\w+)\]", line):
            section = heading[1]
        elif line.startswith("| `"):
            name, *cells = (c.strip() for c in re.split(r"(?<!\\)\|", line.strip("|")))
            rows[f"{section}.{name.strip('`')}"] = cells
    return rows


def test_every_key_is_explained(keys: dict[str, list[str]]) -> None:
    expected = {
        f"{section}.{setting.alias or name}"
        for section, field in Config.model_fields.items()
        if section != "objectives"
        for name, setting in type(field.default).model_fields.items()
    }
    assert set(keys) == expected
    assert all(all(cells) for cells in keys.values()), [k for k, c in keys.items() if not all(c)]


def test_what_is_allowed_is_what_the_settings_allow(keys: dict[str, list[str]]) -> None:
    assert keys["study.n_trials"][:2] == ["`150`", "a whole number, at least 1"]
    assert keys["data.fit"][:2] == ['`"crop"`', "`crop`, `pad`, `stretch`"]
    assert "`predictor_guided`" in keys["study.sampler"][1]
    assert keys["study.timeout"][0] == "*absent*"


def test_every_command_and_option_has_a_help_text() -> None:
    text = pages.commands()
    for command in ("search", "ensemble fit", "data fetch", "compare", "worker", "cache clear"):
        assert command == "search" or f"\n## zc-search {command}\n" in text
    empty = [line for line in text.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert empty == []


def test_every_proxy_has_a_page_with_what_it_measures() -> None:
    made = pages.proxy_pages()
    assert set(made) == {f"reference/proxies/{n}.md" for n in ("index", *CATALOGUE)}
    fisher = made["reference/proxies/fisher.md"]
    assert "| Kendall's tau | .35 / .39 / .32 |" in fisher
    assert "channel_saliency" in fisher
    assert all("## What it measures" in t for n, t in made.items() if "index" not in n)


def test_every_public_name_is_documented_once() -> None:
    text = "\n".join(pages.python_pages().values())
    documented = re.findall(r"^::: (.*)$", text, re.MULTILINE)
    assert len(documented) == len(set(documented)) > 100
    assert "zc_search.search.run_search" in documented
