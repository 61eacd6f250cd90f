"""What is said of how to install, whoever says it, is a command that works."""

import re
import tomllib
from pathlib import Path

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


def test_no_file_names_a_distribution_that_is_not_ours() -> None:
    for name, text in TEXTS.items():
        for found in EXTRA.finditer(text):
            before = text[: found.start()].splitlines()[-1]
            assert before.endswith('"optuna-'), f"{name}: {before}{found[0]}"
            assert found[1] in PROJECT["optional-dependencies"], f"{name}: {found[0]}"
        assert not re.search(r"pip install[^\n`]*(?<!optuna-)\bzc[-_]?search\b", text), name


def test_the_package_says_how_to_install_in_one_place_and_names_what_is_in_the_wheel() -> None:
    for name, text in TEXTS.items():
        if name.startswith("zc_search/"):
            for extra in re.findall(r"install_hint\(['\"](\w+)['\"]\)", text):
                assert extra in PROJECT["optional-dependencies"]
            assert "optuna-zc-search" not in text or name == "zc_search/_utils/text.py", name
            assert not re.search(r"\b(configs|notebooks|tests)/\w", text), name
