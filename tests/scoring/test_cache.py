"""Scores kept for other searches: the same to the last bit, checked, never in the way."""

import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner
from whole_space import write_whole_space

from zc_search.cli.app import app
from zc_search.config import Config, parse_config
from zc_search.errors import ZcSearchError
from zc_search.images import load_batch
from zc_search.images.datasets import task_of
from zc_search.proxies import Probe, Proxy, resolve_proxies
from zc_search.scoring.cache import VARIABLE, PackagedCache, ScoreCache, open_cache
from zc_search.scoring.scorer import Scorer, Scores, is_cacheable
from zc_search.scoring.scores_file import load_scores
from zc_search.scoring.sweep import sweep_scorer
from zc_search.spaces import Architecture
from zc_search.study import Objective, conclude, open_study, run_trials

NAMES = ("snip", "jacov", "params", "l2_norm")
ODD = Architecture.from_index(4321)
UNREACHABLE = Architecture.from_index(0)
BATCH = load_batch("noise", batch_size=4)
OTHERS = [{"seed": 1}, {"repeats": 2}, {"channels": 3}, {"cells": 2}, {"dataset": "cifar100"}]


def scorer(folder: Path | None, *names: str, **how: object) -> Scorer:
    cache = None if folder is None else ScoreCache(folder)
    settings = {"channels": 2, "cells": 1, **how}
    return Scorer(resolve_proxies(names or NAMES), BATCH, cache=cache, **settings)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The architectures for which a network was built."""
    import zc_search.scoring.scorer

    built: list[str] = []
    build = zc_search.scoring.scorer.build_network

    def counting(architecture: Architecture, **how: object) -> object:
        built.append(str(architecture))
        return build(architecture, **how)

    monkeypatch.setattr(zc_search.scoring.scorer, "build_network", counting)
    return built


def alike(one: Scores, other: Scores) -> bool:
    return repr((one.values, one.failures)) == repr((other.values, other.failures))


@pytest.mark.parametrize("architecture", [ODD, UNREACHABLE], ids=["finite", "not finite"])
def test_what_is_kept_is_not_computed_again(
    tmp_path: Path, computed: list[str], architecture: Architecture
) -> None:
    fresh = scorer(None).score(architecture)
    assert alike(scorer(tmp_path).score(architecture), fresh)
    computed.clear()
    assert alike(scorer(tmp_path).score(architecture), fresh)
    assert computed == []
    assert scorer(tmp_path, *NAMES, "grad_norm").score(architecture).values["snip"] == (
        pytest.approx(fresh.values["snip"], nan_ok=True, abs=0)
    )
    assert len(computed) == 1  # for grad_norm alone


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_whatever_changes_a_value_changes_its_address(
    tmp_path: Path, computed: list[str], other: dict[str, object]
) -> None:
    scorer(tmp_path).score(ODD)
    computed.clear()
    scorer(tmp_path, **other).score(ODD)
    assert computed


@pytest.mark.parametrize("changed", ["networks", "probe", "definition", "images"])
def test_versions_images_and_definitions_are_part_of_the_address(
    tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    scorer(tmp_path).score(ODD)
    computed.clear()
    proxies, batch = resolve_proxies(NAMES), BATCH
    if changed == "definition":
        proxies = tuple(replace(p, version=p.version + 1) for p in proxies)
    elif changed == "images":
        batch = load_batch("noise", batch_size=4, seed=1)
    else:
        monkeypatch.setattr(f"zc_search.scoring.scorer.{changed.upper()}_VERSION", 99)
    Scorer(proxies, batch, channels=2, cells=1, cache=ScoreCache(tmp_path)).score(ODD)
    assert computed


def test_an_address_depends_on_nothing_else(tmp_path: Path) -> None:
    """An edit or a move of code must not make every entry of every user worthless."""
    scorer(tmp_path, "snip").score(ODD)
    (path,) = tmp_path.glob("*/*.json")
    assert json.loads(json.loads(path.read_text())["of"]) == {
        "architecture": str(ODD.representative()),
        "batch": BATCH.fingerprint,
        "task": repr(task_of("cifar10")),
        "channels": 2,
        "cells": 1,
        "seeds": [0],
        "device": "cpu",
        "networks": 1,
        "probe": 2,
        "torch": torch.__version__,
    }


def mine(probe: Probe) -> float:
    """A user's proxy, which may call what is not seen here."""
    return 1.0


def test_what_may_differ_next_time_is_not_kept(tmp_path: Path, computed: list[str]) -> None:
    own = f"{__name__}:mine"
    proxies = resolve_proxies([own, "latency", "snip"])
    assert [is_cacheable(p) for p in proxies] == [False, False, True]
    scorer(tmp_path, own).score(ODD)
    assert not list(tmp_path.iterdir())


def test_a_value_that_went_wrong_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluated(proxies: list[Proxy], probe: Probe) -> tuple[dict[str, float], dict[str, str]]:
        nan = "the value is nan"
        return dict.fromkeys(("snip", "jacov"), math.nan), {"snip": "MemoryError: ", "jacov": nan}

    monkeypatch.setattr("zc_search.scoring.scorer.evaluate_proxies", evaluated)
    scorer(tmp_path, "snip", "jacov").score(ODD)
    (path,) = tmp_path.glob("*/*.json")
    assert list(json.loads(path.read_text())["values"]) == ["jacov, version 1"]


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    scorer(tmp_path, "snip").score(ODD)
    (path,) = tmp_path.glob("*/*.json")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\xff\xfe" + data,
        lambda data: b"[]",
        lambda data: data.replace(b"cells", b"sells"),
    ],
    ids=["cut short", "empty", "no text", "made up", "of other conditions"],
)
def test_a_damaged_entry_is_reported_and_computed_again(
    entry: Path, tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        again = scorer(tmp_path, "snip").score(ODD)
    assert f"{entry} is damaged; what it held is computed again" in caplog.text
    assert alike(again, scorer(None, "snip").score(ODD))
    assert entry.read_bytes() == whole


def test_an_entry_under_another_name_is_not_used(entry: Path, tmp_path: Path) -> None:
    moved = entry.parent.parent / "00" / f"00{entry.stem[2:]}.json"
    moved.parent.mkdir()
    entry.rename(moved)
    assert ScoreCache(tmp_path).info().damaged == 1


def test_many_may_write_at_once(tmp_path: Path) -> None:
    def write(number: int) -> None:
        cache = ScoreCache(tmp_path)
        for architecture in "abc":
            cache.write({"architecture": architecture}, {f"p{number}": number / 7})
            read = cache.read({"architecture": architecture})
            assert set(read.items()) <= {(f"p{n}", n / 7) for n in range(8)}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [*range(8)] * 5))
    assert ScoreCache(tmp_path).info().damaged == 0
    assert ScoreCache(tmp_path).info().entries == 3
    assert not list(tmp_path.glob("*/.*"))


def test_a_cache_that_cannot_be_written_is_said_once_and_in_nobodys_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    blocked = scorer(tmp_path / "file" / "cache", "snip")
    with caplog.at_level(logging.WARNING):
        blocked.score(ODD)
        blocked.score(Architecture.from_index(77))
    assert caplog.text.count("cannot be read: Not a directory") == 1


def test_searches_and_sweeps_find_what_others_kept(tmp_path: Path, computed: list[str]) -> None:
    settings = {
        "space": {"channels": 2, "cells": 1},
        "data": {"source": "noise", "batch_size": 4},
        "proxies": {"cache": str(tmp_path / "cache")},
        "objectives": {"snip": "maximize", "params": "minimize", "flops": "minimize"},
    }
    config = parse_config(settings)
    first = Objective(config).scorer.score(ODD)
    assert computed
    computed.clear()
    assert alike(Objective(config).scorer.score(ODD), first)
    assert sweep_scorer(config).score(ODD).values == first.values
    assert not computed


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert open_cache("user") is None  # as the tests have it
    assert open_cache("off") is None
    assert open_cache("~/scores").folder == Path.home() / "scores"
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert open_cache("user").folder == tmp_path
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("ZC_SEARCH_CACHE", str(tmp_path))
    assert open_cache("user").folder == tmp_path / "scores"


def test_files_of_others_are_neither_counted_nor_removed(tmp_path: Path) -> None:
    for name in ("01/annotations.json", f"a2/{'b' * 64}.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}")
    assert ScoreCache(tmp_path).info().entries == 0
    assert ScoreCache(tmp_path).clear() == 0
    assert len([*tmp_path.rglob("*.json")]) == 2


def command(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["cache", *arguments])
    if isinstance(done.exception, ZcSearchError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_counts_checks_and_clears(entry: Path, tmp_path: Path) -> None:
    folder = ("--folder", str(tmp_path))
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    assert "1 architecture, 1 value, 0.0 MB, 0 damaged" in command("info", *folder)
    entry.write_text(json.dumps({}))
    assert "1 architecture, 0 values, 0.0 MB, 1 damaged" in command("info", *folder)
    assert f"1 architecture removed from {tmp_path}" in command("clear", *folder)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert "0 architectures, 0 values" in command("info", *folder)
    assert command("info") == command("clear") == "the cache is off\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package that has scores of the networks here; two cells' are computed."""
    folder = tmp_path_factory.mktemp("tables")
    config = parse_config(
        {
            "space": {"channels": 2, "cells": 1},
            "data": {"source": "noise", "batch_size": 4},
            "proxies": {"cache": "off"},
            "objectives": {"snip": "maximize", "l2_norm": "maximize"},
        }
    )
    write_whole_space(folder / "nasbench201-cifar10.parquet", config)
    return folder


def packaged_scorer(package: Path, monkeypatch: pytest.MonkeyPatch, others: Path | None) -> Scorer:
    monkeypatch.setattr("zc_search.scoring.scores_file.FOLDER", package)
    monkeypatch.setenv("ZC_SEARCH_SCORES", "off" if others is None else str(others))
    proxies = resolve_proxies(("snip", "l2_norm", "jacov"))
    batch = load_batch("noise", batch_size=4, seed=0)
    return Scorer(proxies, batch, channels=2, cells=1, cache=open_cache("packaged"))


@pytest.mark.parametrize("kept", [True, False])
def test_what_the_package_has_is_not_computed(
    kept: bool, package: Path, tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = packaged_scorer(package, monkeypatch, tmp_path if kept else None)
    table, _ = load_scores(package / "nasbench201-cifar10.parquet")
    values = made.score(ODD).values
    assert values["snip"] == table["snip"][str(ODD.representative())]
    assert values["l2_norm"] == table["l2_norm"][str(ODD)]
    assert len(computed) == 1  # for jacov, which it lacks
    stored = [json.loads(path.read_text())["values"] for path in tmp_path.glob("*/*.json")]
    assert [list(one) for one in stored] == [["jacov, version 1"]] * kept
    again = packaged_scorer(package, monkeypatch, tmp_path if kept else None)
    assert again.score(ODD).values == values
    assert len(computed) == (1 if kept else 2)
    assert isinstance(made.cache, PackagedCache)
    trials = pd.DataFrame([{"architecture": str(ODD), **values}])
    definitions = {p.name: p.definition for p in made.proxies}
    assert made.cache.taken(made.conditions, trials, definitions) == (2, 3)


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_scores_of_other_conditions_are_not_taken(
    other: dict[str, object], package: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zc_search.scoring.scores_file.FOLDER", package)
    sizes = {"channels": 2, "cells": 1, **other}
    proxies, batch = resolve_proxies(("snip",)), load_batch("noise", batch_size=4, seed=0)
    Scorer(proxies, batch, **sizes, cache=open_cache("packaged")).score(ODD)  # type: ignore[arg-type]
    assert computed


def test_a_search_says_how_many_scores_it_took(
    package: Path, small_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zc_search.scoring.scores_file.FOLDER", package)
    sections = {"proxies": {"cache": "packaged"}, "ensemble": {"scores": "off"}}
    config = small_config("objectives.snip='maximize'", "study.n_trials=5", **sections)
    objective = Objective(config)
    study = open_study(objective, "sqlite:///:memory:")
    run_trials(study, objective)
    result = conclude(study, objective)
    scored = result.trials.drop_duplicates("architecture")
    scored = scored[scored["params"].notna()]
    note = f"{3 * len(scored):,} of {4 * len(scored):,} scores were taken from the package."
    assert note in result.notes
