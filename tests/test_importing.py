"""Code of the user's own is found where a console script runs, after all that is installed."""

import sys
from pathlib import Path

import pytest

from zc_search._utils.plugins import import_here
from zc_search.config import parse_config
from zc_search.ensemble.models import make_model
from zc_search.errors import ConfigError, DataError, EnsembleError, ProxyError
from zc_search.images.readers import read_dataset
from zc_search.proxies import resolve_proxy
from zc_search.samplers import find_sampler


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folders = [f for f in sys.path if f not in ("", str(Path.cwd()))]
    monkeypatch.setattr(sys, "path", folders)
    return tmp_path


def test_the_current_folder_is_searched_last_and_kept_if_it_was_of_use(here: Path) -> None:
    (here / "only_here_1.py").write_text("import only_here_2\nvalue = only_here_2.value\n")
    (here / "only_here_2.py").write_text("value = 7\n")
    (here / "optuna.py").write_text("raise SystemExit\n")
    assert hasattr(import_here("optuna"), "create_study")
    assert str(here) not in sys.path
    assert import_here("only_here_1").value == 7
    assert sys.path[-1] == str(here)


@pytest.mark.parametrize("name", ["nowhere_1", "nowhere_1.inner", "json.nowhere_1"])
def test_what_is_nowhere_leaves_no_trace(here: Path, name: str) -> None:
    before = [*sys.path]
    with pytest.raises(ModuleNotFoundError, match="nowhere_1"):
        import_here(name)
    assert sys.path == before


def test_everything_that_users_name_is_found(here: Path) -> None:
    (here / "only_here_3.py").write_text(
        "from optuna.samplers import RandomSampler as Sampler\n"
        "from sklearn.linear_model import Ridge as Regressor\n"
        "def proxy(probe): return 1.0\n"
        "images = [([[k] * 8] * 8, k % 2) for k in range(8)]\n"
    )
    assert resolve_proxy("only_here_3:proxy").name == "only_here_3:proxy"
    assert find_sampler("only_here_3:Sampler").__name__ == "RandomSampler"
    assert type(make_model("only_here_3:Regressor")).__name__ == "Ridge"
    assert read_dataset("only_here_3:images").task.classes == 2
    for find, error in (
        (resolve_proxy, ProxyError),
        (find_sampler, ConfigError),
        (make_model, EnsembleError),
        (read_dataset, DataError),
    ):
        with pytest.raises(error, match="No module named 'nowhere_2'"):
            find("nowhere_2:thing")


def test_an_inner_attribute_is_accepted_by_settings_and_loaders_alike(here: Path) -> None:
    (here / "only_here_4.py").write_text(
        "from types import SimpleNamespace\n"
        "from optuna.samplers import RandomSampler as Sampler\n"
        "def proxy(probe): return 1.0\n"
        "inner = SimpleNamespace(Sampler=Sampler, proxy=proxy)\n"
    )
    sampler, proxy = "only_here_4:inner.Sampler", "only_here_4:inner.proxy"
    config = parse_config({"objectives": {proxy: "maximize"}}, [f"study.sampler={sampler}"])
    assert find_sampler(config.study.sampler).__name__ == "RandomSampler"
    assert resolve_proxy(config.objectives[0].name).name == proxy


def test_a_module_that_raises_is_a_sentence(here: Path) -> None:
    (here / "only_here_5.py").write_text("1 / 0\n")
    for find, error in (
        (resolve_proxy, ProxyError),
        (find_sampler, ConfigError),
        (read_dataset, DataError),
    ):
        with pytest.raises(error, match="ZeroDivisionError"):
            find("only_here_5:thing")
