"""``zc-search proxies``."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from zc_search.cli.proxies import proxies
from zc_search.errors import ProxyError
from zc_search.proxies import PROXIES, resolve_proxy
from zc_search.proxies.catalogue import DEFAULT_DIRECTIONS

app = typer.Typer()
app.command()(proxies)


def said(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_list_names_every_proxy_and_fits_a_terminal() -> None:
    lines = said().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    rows = {cells[0]: cells for cells in map(str.split, lines) if cells and cells[0] in PROXIES}
    assert list(rows) == list(PROXIES)
    assert {name: cells[1] for name, cells in rows.items()} == DEFAULT_DIRECTIONS
    assert rows["grasp"][2:4] == ["high", "gradient_curvature"]
    assert rows["snip"][2:] == ["low", "loss_gradients", "Lee", "et", "al.", "2019"]


@pytest.mark.parametrize("name", PROXIES)
def test_each_is_explained(name: str) -> None:
    text = said(name)
    assert text.startswith(f"{name}\n\n{PROXIES[name].summary[:40]}")
    unbroken = " ".join(text.split())
    assert f"paper: {' '.join(PROXIES[name].paper.split())}" in unbroken
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fisher", "weighted=true, mode=train (or eval), as in fisher[weighted=true]"),
        ("jacov[mode=eval]", "constant=1e-05, mode=train (or eval), as in jacov[constant=1e-05]"),
        ("zen", "dead=false (or true), as in zen[dead=false]"),
        ("meco", "none"),
    ],
)
def test_options_are_listed_with_their_defaults(name: str, options: str) -> None:
    assert f"options: {options}\n" in said(name)
    resolve_proxy(options.rpartition("as in ")[2].replace("none", "zen"))


def test_ones_own_is_explained_too() -> None:
    text = said("example_proxy:weighted_params")
    assert "Thousands of weights" in text
    assert "belongs to: the architecture as written, dead edges included" in text
    assert "measurements: none announced" in text
    assert "cost: unknown, as it announces no measurement" in text
    assert "paper: user's own" in said("example_proxy:bare")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ProxyError, match=r"^unknown proxy 'zenn'; did you mean 'zen'\? Allowed: "):
        said("zenn")


def test_a_broken_package_of_others_does_not_hide_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zc_search.proxies]\nbroken = no_such_module:f\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = " ".join(said().split())
    assert "broken" in text
    assert "snip" in text
