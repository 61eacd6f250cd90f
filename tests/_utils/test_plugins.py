"""Code of the user's own: what is wrong with it is said in one way, wherever it is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from zc_search.config import parse_config
from zc_search.ensemble.models import make_model
from zc_search.errors import ZcSearchError
from zc_search.images.sources import read_images
from zc_search.proxies import resolve_proxies
from zc_search.samplers import find_sampler

USES: dict[str, Callable[[str], object]] = {
    "model": make_model,
    "sampler": find_sampler,
    "proxy": lambda name: resolve_proxies([name]),
    "images": read_images,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no licence')")
    (tmp_path / "own_module.py").write_text("class A:\n    pass\n")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("broken_module:Thing", "raised RuntimeError: no licence"),
        ("no_such_module:Thing", "no_such_module"),
        ("own_module:B", "has no 'B'"),
        ("own_module:A.Model", "has no 'A.Model'"),
    ],
)
def test_what_cannot_be_loaded_is_named(use: str, name: str, reason: str) -> None:
    with pytest.raises(ZcSearchError) as caught:
        USES[use](name)
    assert reason in str(caught.value)
    assert name in (caught.value.given, *str(caught.value).split("'"))


@pytest.mark.parametrize("section", [{"study": {"sampler": "broken_module:Thing"}}])
def test_settings_take_a_name_without_importing_it(section: dict[str, object]) -> None:
    assert parse_config({**section, "objectives": {"params": "minimize"}})
