"""What is said of how to install, whoever says it, is a command that works."""

import re
import tomllib
from pathlib import Path

import pytest

from zc_search._utils.text import NAME, VERSION, install_hint

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = ("zc_search", "docs", "notebooks", "configs", "third_party")
KINDS = {".py", ".pyi", ".md", ".toml", ".ipynb", ".j2", ".js", ".cff"}
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").replace('\\"', '"')
    for path in (
        *ROOT.glob("*.md"),
        *(p for f in FOLDERS for p in (ROOT / f).rglob("*") if p.suffix in KINDS),
    )
}
EXTRA = re.compile(r"zc-search\[([^\]]*)\]")


def test_the_distribution_has_one_name() -> None:
    assert PROJECT["name"] == NAME
    assert install_hint("png") == 'pip install "optuna-zc-search[png]"'
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_names_a_distribution_that_is_not_ours(name: str) -> None:
    text = TEXTS[name]
    for found in EXTRA.finditer(text):
        before = text[: found.start()].splitlines()[-1]
        assert before.endswith('"optuna-'), f"{name}: {before}{found[0]}"
        assert found[1] in PROJECT["optional-dependencies"], f"{name}: {found[0]}"
    assert not re.search(r"pip install[^\n`]*(?<!optuna-)\bzc[-_]?search\b", text), name


@pytest.mark.parametrize("name", [n for n in TEXTS if n.startswith("zc_search/")])
def test_what_the_program_says_comes_from_one_place(name: str) -> None:
    text = TEXTS[name]
    for extra in re.findall(r"install_hint\(['\"](\w+)['\"]\)", text):
        assert extra in PROJECT["optional-dependencies"]
    assert "optuna-zc-search" not in text or name in _MAY_NAME_IT, name


_MAY_NAME_IT = ("zc_search/_utils/text.py",)


@pytest.mark.parametrize("name", [n for n in TEXTS if n.startswith("zc_search/")])
def test_the_package_names_no_file_that_is_not_in_the_wheel(name: str) -> None:
    assert not re.search(r"\b(configs|notebooks|tests)/\w", TEXTS[name]), name
