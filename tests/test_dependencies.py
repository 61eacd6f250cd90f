"""The review of what is installed is of what is installed."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "explanation" / "dependencies.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([a-z0-9-]+) \| (\S+) \| (\S+) \| (.+) \|$", PAGE, re.MULTILINE)
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().splitlines()
    if "==" in line
)
EXTRAS = {k: v for k, v in PROJECT["optional-dependencies"].items() if k not in ("dev", "docs")}


def named(requirement: str) -> tuple[str, str]:
    """Return a requirement's package and its lowest version."""
    found = re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", requirement)
    assert found, requirement
    return found[1].lower(), found[2]


FLOORS = dict(map(named, [*PROJECT["dependencies"], *(r for rs in EXTRAS.values() for r in rs)]))


def test_every_package_that_users_get_is_reviewed_once() -> None:
    reviewed = [name for name, *_ in ROWS if name != "package"]
    assert sorted(reviewed) == sorted(FLOORS)


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] != "package"], ids=lambda r: r[0])
def test_a_review_is_of_this_version_and_licence(row: tuple[str, str, str, str]) -> None:
    name, version, licence, said = row
    installed = distribution(name)
    assert version == PINS[name] == installed.version.partition("+")[0]
    metadata = installed.metadata
    stated = " ".join(
        [
            metadata.get("License-Expression") or metadata.get("License") or "",
            *(c for c in metadata.get_all("Classifier") or [] if c.startswith("License")),
        ]
    )
    words = stated.replace("Apache Software License", "Apache-2.0")
    assert licence in words if words.strip() else licence == "unstated", stated
    if floor := re.search(r"from ([\d.]+) on", said):
        assert FLOORS[name] == floor[1]


def test_everything_beside_the_code_is_in_the_wheel() -> None:
    package = ROOT / "zc_search"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    patterns = tomllib.loads(text)["tool"]["setuptools"]["package-data"]["zc_search"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    there = {p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {path for path in there if path.suffix != ".py"} == packed


def test_developers_get_no_older_packages_than_users() -> None:
    for name, floor in map(named, PROJECT["optional-dependencies"]["dev"]):
        assert FLOORS.get(name, floor) == floor, name
