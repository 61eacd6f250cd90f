"""The answer of a search where scores of the whole space are at hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from whole_space import write_whole_space

import zc_search
from zc_search.config import Config
from zc_search.report.page import render_report
from zc_search.report.run import load_result
from zc_search.report.text import print_result, result_document
from zc_search.scoring import scores_file as packaged
from zc_search.scoring.scores_file import load_scores
from zc_search.spaces import CellSpace
from zc_search.study import Objective, conclude, open_study, run_trials
from zc_search.study.conclusion import rank_space

Settings = Callable[..., Config]


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of all cells, of the settings of `small_search`, as the package would have them."""
    from small_search import config_in

    folder = tmp_path_factory.mktemp("tables")
    return write_whole_space(folder / "nasbench201-cifar10.parquet", config_in(folder))


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package without scores."""
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "nowhere")


def test_all_functions_are_ranked_and_the_best_unseen_named(
    scores: Path, small_config: Settings, unpacked: None
) -> None:
    quick = {"model": "linear", "features": "rank"}
    config = small_config(ensemble={"scores": str(scores), **quick}, output={"report": True})
    result = zc_search.run_search(config)
    ensemble, table = result.ensemble, load_scores(scores)[0].reset_index()
    assert ensemble is not None
    table = table[table["function_key"] != ""].drop_duplicates("function_key")
    ranked = result.ranking.set_index("architecture")
    assert len(ranked) == 5043
    predicted = ensemble.predict(table).set_axis(table["architecture"])
    pd.testing.assert_series_equal(ranked["prediction"], predicted[ranked.index], check_names=False)
    assert (np.diff(ranked["prediction"]) <= 0).all()
    keys = table.set_index("architecture")["function_key"][ranked.index]
    assert ranked["seen"].tolist() == keys.isin(result.trials["function_key"]).tolist()
    names = ranked.index[~ranked["seen"]][:10].tolist()
    assert [best.architecture for best in result.unseen] == names
    assert result.best == result.unseen[0]
    benchmark = zc_search.open_benchmark()
    for best in result.unseen:
        assert best.true == benchmark.query(best.architecture)["val_accuracy"]
        assert best.rank == benchmark.rank(best.architecture)
        assert (best.out_of, best.in_sample) == (15625, False)
        assert best.low <= best.predicted <= best.high
    seen = result.trials[result.trials["feasible"]]["val_accuracy"].max()
    assert result.best_seen is not None
    assert result.best_seen.true == seen
    assert f"ranking.csv is of the 5,043 functions in {scores}" in " ".join(result.notes)
    back = load_result(result.folder)
    assert (back.unseen, back.best_seen, back.best) == (
        result.unseen,
        result.best_seen,
        result.best,
    )
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<table class="quality unseen">') == 1
    assert f"{result.unseen[9].rank:,}</td></tr>" in page
    assert "parameters" in page.partition("effort")[0].rpartition("verdict")[2]
    console = Console(file=StringIO(), width=100)
    print_result(console, result)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Not looked at, the first 10 by prediction of 5,043 functions" in said
    assert f"true {seen:.2f} %, rank {result.best_seen.rank:,} of 15,625" in said
    unknown = {"rank": None, "out_of": None}
    nothing = tuple(replace(best, true=None, **unknown) for best in result.unseen[1:])
    partial = replace(
        result,
        unseen=(replace(result.best, **unknown), *nothing),
        best=replace(result.best, true=0.0, **unknown),
        best_seen=replace(result.best_seen, **unknown),
    )
    print_result(console, partial)
    assert f"true {seen:.2f} %\n" in console.file.getvalue()  # type: ignore[attr-defined]
    assert f"with {seen:.2f} %.</p>" in render_report(partial)
    document = json.loads(result_document(result))
    assert [one["rank"] for one in document["unseen"]] == [best.rank for best in result.unseen]


def test_limits_and_choices_hold_for_the_whole_space(
    scores: Path, small_config: Settings, unpacked: None
) -> None:
    made = small_config(
        ensemble={"scores": str(scores), "model": "linear", "features": "rank"},
        space={"op_1_0": ["nor_conv_3x3", "skip_connect"]},
        constraints={"max_params": 2500},
        study={"n_trials": 12},
    )
    objective = Objective(made)
    study = open_study(objective, "sqlite:///:memory:")
    run_trials(study, objective)
    result = conclude(study, objective)
    assert len(result.unseen) == 10
    task = objective.scorer.score(CellSpace().read(result.unseen[0].architecture))
    assert task.values["params"] <= 0.0025
    cells = [CellSpace().read(text) for text in result.ranking["architecture"]]
    assert {cell.ops[0] for cell in cells} == {"nor_conv_3x3", "skip_connect"}
    allowed = [
        a
        for a in objective.space  # type: ignore[union-attr]
        if a.reaches_output and objective.limits.check(a).refused is None
    ]
    assert len(cells) == len({a.function_key for a in allowed})


@pytest.mark.parametrize(
    ("changes", "why", "asked"),
    [
        ({"data": {"seed": 1}}, "batch: ", True),
        ({"space": {"channels": 3}}, "channels: 2 there, 3 here", True),
        ({"space": {"channels": 3}}, "channels: 2 there, 3 here", False),
        ({"proxies": {"repeats": 2}}, r"seeds: \[0\] there, \[0, 1\] here", True),
        ({"objectives": {"snip": "maximize"}}, "snip: 'not' there, 'snip, version ", True),
        ({"constraints": {"max_latency_ms": 5.0}}, "constraints.max_latency_ms", True),
        ({}, None, True),
        ({}, None, False),
    ],
)
def test_scores_of_other_settings_rank_nothing(
    changes: dict[str, dict[str, object]],
    why: str | None,
    asked: bool,
    scores: Path,
    small_config: Settings,
    monkeypatch: pytest.MonkeyPatch,
    finished_run: zc_search.SearchResult,
) -> None:
    monkeypatch.setattr(packaged, "FOLDER", scores.parent)
    ensemble = finished_run.ensemble
    assert ensemble is not None
    objective = Objective(
        small_config(**changes, **({"ensemble": {"scores": "packaged"}} if asked else {}))
    )
    if "objectives" in changes:
        scale = ensemble.features.proxies[0].model_copy(update={"proxy": "snip"})
        features = ensemble.features.model_copy(update={"proxies": (scale,)})
        ensemble = ensemble.model_copy(update={"features": features})
    ranked, notes = rank_space(objective, ensemble, finished_run.trials, objective.benchmark)
    if why is None:
        assert ranked is not None
        assert "in packaged:cifar10" in notes[0]
    else:
        assert ranked is None
        assert bool(notes) == asked
        if asked:
            assert "The whole space is not ranked" in notes[0]
            assert why.replace("\\", "") in notes[0]


def test_none_are_asked_for_or_there(
    small_config: Settings, finished_run: zc_search.SearchResult, unpacked: None
) -> None:
    ensemble, trials = finished_run.ensemble, finished_run.trials
    assert ensemble is not None
    assert rank_space(Objective(small_config()), ensemble, trials, None) == (None, [])
    for name, said in (("off", 0), ("packaged", 1), ("nowhere.parquet", 1)):
        objective = Objective(small_config(ensemble={"scores": name}))
        ranked, notes = rank_space(objective, ensemble, trials, objective.benchmark)
        assert (ranked, len(notes)) == (None, said)
