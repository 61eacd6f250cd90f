"""The scores that come with the package: how they are made, found and read, and that they hold."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import package_scores
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from whole_space import CELLS, made_up_scores, write_whole_space

import zc_search
from zc_search.cli.app import app
from zc_search.compare import load_comparison
from zc_search.config import Config, parse_config
from zc_search.errors import ScoresError
from zc_search.proxies.catalogue import split_options
from zc_search.samplers.catalogue import sampler_of
from zc_search.samplers.knowledge import gather
from zc_search.scoring import scores_file as packaged
from zc_search.scoring.scores_file import ScoresTable, load_scores
from zc_search.scoring.sweep import sweep_scorer
from zc_search.spaces import CellSpace


def config_of(dataset: str = "cifar10", *proxies: str) -> Config:
    return parse_config(
        {
            "space": {"channels": 2, "cells": 1, "dataset": dataset},
            "data": {"source": "noise", "batch_size": 4},
            "objectives": dict.fromkeys(proxies or ("meco", "jacov"), "maximize"),
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scores of two data sets, in two files for one of them, and what is made of it."""
    folder = tmp_path_factory.mktemp("packaged")
    (folder / "tables").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packaged, "FOLDER", folder / "tables")
        for dataset in ("cifar10", "ImageNet16-120"):
            parts = [("meco", "jacov"), ("synflow",)] if dataset == "cifar10" else [("meco",)]
            files = [
                write_whole_space(folder / f"{dataset}-{n}.parquet", config_of(dataset, *proxies))
                for n, proxies in enumerate(parts)
            ]
            if dataset == "cifar10":
                package_scores.main([*map(str, files)])
            else:
                shutil.copy(files[0], packaged.file_of(dataset))
    return folder


@pytest.fixture
def tables(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, with these scores in place of its own."""
    monkeypatch.setattr(packaged, "FOLDER", made / "tables")
    return made


def test_files_are_joined_and_rounded_to_float32_where_values_vary(tables: Path) -> None:
    table, said = zc_search.packaged_scores()
    one, about = load_scores(tables / "cifar10-0.parquet")
    other, _ = load_scores(tables / "cifar10-1.parquet")
    assert table.index.tolist() == [str(cell) for cell in CELLS]
    assert sorted(said["proxies"]) == ["flops", "jacov", "meco", "params", "synflow"]
    assert set(said["definitions"]) == set(said["proxies"])
    assert said["settings"] == {**about["settings"], "proxies": sorted(said["proxies"])}
    assert said["versions"].items() >= {"probe": "2", "networks": "1"}.items()
    for name, truth in (("meco", one), ("jacov", one), ("synflow", other)):
        np.testing.assert_array_equal(table[name], truth[name].astype(np.float32))
    for name in ("params", "flops"):
        np.testing.assert_array_equal(table[name], one[name])
    assert table["seconds"].isna().all()
    kinds = pq.read_schema(packaged.file_of("cifar10"))
    assert str(kinds.field("meco").type) == "float"
    assert str(kinds.field("params").type) == "double"
    assert packaged.file_of("cifar10").stat().st_size < 100_000 + 45_000 * len(said["proxies"])


def test_only_the_whole_space_of_one_setting_is_packaged(tables: Path, tmp_path: Path) -> None:
    config = config_of()
    frame = made_up_scores(config)
    part = write_whole_space(tmp_path / "part.parquet", config, frame.iloc[1:])
    with pytest.raises(ScoresError, match=r"lacks 1 of the 15,625 cells .* \|none~0\|"):
        package_scores.compact([part])
    with pytest.raises(ScoresError, match="space\\.dataset: 'cifar10' before, 'ImageNet16-120'"):
        package_scores.compact([tables / "cifar10-0.parquet", tables / "ImageNet16-120-0.parquet"])
    frame.loc[0, ["meco", "failures"]] = [math.nan, '{"meco": "why"}']
    lacking = write_whole_space(tmp_path / "lacking.parquet", config, frame)
    (tmp_path / "again.parquet").write_bytes(package_scores.compact([lacking])[1])
    table, _ = load_scores(tmp_path / "again.parquet")
    assert table["failures"].dropna().to_dict() == {str(CELLS[0]): '{"meco": "why"}'}
    assert math.isnan(table["meco"].iloc[0])


def test_a_name_means_a_data_set_of_the_package(tables: Path) -> None:
    assert packaged.available() == ("cifar10", "ImageNet16-120")
    for source, dataset, meant in (
        ("packaged", None, "cifar10"),
        ("packaged", "cifar10-valid", "cifar10"),
        ("packaged", "ImageNet16-120", "ImageNet16-120"),
        ("packaged:ImageNet16-120", "cifar10", "ImageNet16-120"),
    ):
        assert packaged.located(source, dataset) == packaged.file_of(meant)
        assert ScoresTable.read(source, dataset).dataset == meant
    assert packaged.located("packaged.parquet") == Path("packaged.parquet")
    assert packaged.located(Path("./runs/packaged")) == Path("runs/packaged")
    with pytest.raises(ScoresError, match="no scores for cifar100, but for cifar10, Im") as caught:
        zc_search.packaged_scores("cifar100")
    assert (caught.value.key, caught.value.given) == ("packaged", "cifar100")
    assert caught.value.allowed == ("cifar10", "ImageNet16-120")
    assert "zc-search score --all --set space.dataset=cifar100" in (caught.value.hint or "")
    with pytest.raises(ScoresError, match="unknown data set 'cifar101'; did you mean 'cifar10'"):
        load_scores("packaged:cifar101")


@pytest.fixture
def few(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three hundred cells of it, with which no command takes long."""
    rows = np.random.default_rng(0).permutation(len(CELLS))[:300]
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    for dataset in ("cifar10", "ImageNet16-120"):
        whole, _ = load_scores(tables / f"{dataset}-0.parquet")
        path, config = packaged.file_of(dataset), config_of(dataset)
        write_whole_space(path, config, whole.assign(jacov=1.0).iloc[rows].reset_index())
    return tmp_path


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "120"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_commands_take_the_name(few: Path, tmp_path: Path) -> None:
    said = invoke("evaluate", "packaged", "--dataset=ImageNet16-120", "--bootstrap=0")
    assert "all, ImageNet16-120" in said
    assert "Scores computed for" not in said
    file = tmp_path / "e.toml"
    fitted = "--dataset=ImageNet16-120", "--accuracies=30", "--out", file
    invoke("ensemble", "fit", "packaged", *fitted, "--judge-on=packaged")
    said = invoke("ensemble", "apply", file, "packaged:cifar10")
    assert "A transfer" in " ".join(said.split())


@pytest.mark.thorough
def test_every_command_takes_the_name(few: Path, tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    fitted = "--dataset=ImageNet16-120", "--accuracies=30", "--out", file
    invoke("ensemble", "fit", "packaged", *fitted)
    said = invoke("ensemble", "apply", file, "packaged")
    assert "The first 10 of 29" in said  # but cells whose output is always zero
    assert "transfer" not in said
    judge = "--benchmark=analog", "--metric=int8_retention"
    assert "Benmeziane" in invoke("evaluate", "packaged", "--bootstrap=0", *judge)
    said = " ".join(invoke("ensemble", "apply", file, "packaged:cifar10", *judge).split())
    assert "True ones are int8_retention: Each architecture was trained once" in said
    out = tmp_path / "curve"
    curve = "--proxies=meco", "--models=ridge", "--features=rank", "--draws=2", "--accuracies=20"
    invoke("ensemble", "curve", "packaged", *curve, "--out", out, "--workers=1")
    assert len(pd.read_csv(out / "draws.csv"))


def test_searches_take_the_name_for_their_data_set(few: Path, tmp_path: Path) -> None:
    known = gather(CellSpace(), "packaged:ImageNet16-120")
    functions = len(known.architectures)
    assert 200 < functions < 300
    assert known.source.startswith(f"{functions} functions scored in packaged:ImageNet16-120, by")
    settings = {
        "study": {"sampler": "predictor_guided", "sampler_options": {"scores": "packaged"}},
        "space": {"dataset": "ImageNet16-120"},
        "proxies": {"compute": []},
        "objectives": {"val_accuracy": "maximize"},
    }
    assert sampler_of(parse_config(settings), CellSpace())
    (tmp_path / "c.toml").write_text(
        "[compare]\nscores = 'packaged'\n[algorithms.zero_cost]\nsampler = 'zero_cost'\n"
    )
    race = load_comparison(tmp_path / "c.toml").compare
    assert race.scores_of("cifar100") == "packaged:cifar100"


@pytest.mark.thorough
def test_the_scores_are_read_without_torch() -> None:
    code = (
        "import sys, zc_search; assert len(zc_search.packaged_scores()[0]) == 15625\n"
        "assert not {'torch', 'optuna', 'plotly'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The package's own -------------------------------------------------------------------------------


CHEAP = ("params", "flops", "l2_norm", "synflow", "naswot_relu", "layers")
NOISY = {"zico": 0.02, "grasp": 0.05, "plain": 0.01, "ntk": 0.05, "tenas": 0.05}
"""Relative tolerances of proxies that rounding moves; of the others one ten-thousandth."""


def recomputed(dataset: str, rows: list[int], proxies: tuple[str, ...] | None) -> None:
    """Compare cells of a packaged table with what is computed now, by its own settings."""
    table, said = zc_search.packaged_scores(dataset)
    names = [n for n in said["proxies"] if proxies is None or n in proxies]
    changed = {"proxies.compute": names, "proxies.cache": "off"}
    config = parse_config(
        said["config"], [f"{k}={v!r}".replace("'", '"') for k, v in changed.items()]
    )
    scorer = sweep_scorer(config)
    assert scorer.batch.fingerprint == said["settings"]["data.fingerprint"]
    assert {p.name: p.definition for p in scorer.proxies}.items() >= {
        name: said["definitions"][name] for name in names
    }.items()
    for row in rows:
        scores = scorer.score(CELLS[row])
        for name in names:
            allowed = NOISY.get(split_options(name)[0], 1e-4)
            then = table[name].iloc[row]
            assert scores.values[name] == pytest.approx(then, rel=allowed, nan_ok=True), name


@pytest.mark.parametrize("dataset", packaged.available())
def test_a_sample_of_the_package_is_computed_again(dataset: str) -> None:
    recomputed(dataset, [1462, 9930, 15624], CHEAP)


@pytest.mark.thorough
@pytest.mark.parametrize("dataset", packaged.available())
def test_all_proxies_of_some_cells_are_computed_again(dataset: str) -> None:
    recomputed(dataset, [1462, 2713, 9930, 11111], None)


@pytest.mark.parametrize("dataset", packaged.available())
def test_the_package_has_one_value_of_a_function(dataset: str) -> None:
    table, said = zc_search.packaged_scores(dataset)
    assert table.index.tolist() == [str(cell) for cell in CELLS]
    by_default = {"meco", "jacov", "synflow", "params", "flops"}  # what a first search is made of
    assert set(said["proxies"]) >= by_default
    for name in said["proxies"]:
        if not said["definitions"][name].startswith(
            ("params", "flops", "l2_norm", "az_complexity")
        ):
            assert (table.groupby("function_key")[name].nunique() <= 1).all(), name
