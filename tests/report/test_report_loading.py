"""A run's folder read back, and runs laid side by side."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_runs import made_up_run, written

from zc_search.errors import ReportError, StudyError
from zc_search.report import compare_runs, load_result, render_report
from zc_search.report.comparison import (
    get_comparison,
    get_differences,
    plot_compared_progress,
    plot_compared_quality,
    plot_compared_tau,
    run_names,
)
from zc_search.report.text import result_document
from zc_search.study.record import SearchResult


def test_a_result_comes_back_from_its_folder(tmp_path: Path) -> None:
    result = made_up_run()
    back = load_result(written(result, tmp_path / "run"))
    assert not back.config.output.report
    assert back.best == result.best
    assert back.notes == result.notes
    assert back.seconds == result.seconds
    assert back.ensemble == result.ensemble
    pd.testing.assert_frame_equal(back.trials, result.trials, check_exact=True, check_dtype=False)
    pd.testing.assert_frame_equal(
        back.ranking, result.ranking.reset_index(drop=True), check_exact=True, check_dtype=False
    )
    assert len(back.pareto) == len(result.pareto)


def test_an_ensemble_of_an_earlier_model_is_not_this_runs(tmp_path: Path) -> None:
    path = written(made_up_run(), tmp_path / "run")
    config = path / "config.toml"
    forest = 'model = "sklearn.ensemble:RandomForestRegressor"'
    config.write_text(config.read_text().replace('model = "linear"', forest))
    assert load_result(path).ensemble is None


def test_no_report_and_no_ensemble_of_an_earlier_end_are_left(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "ensemble.toml").write_text("of an earlier end")
    (tmp_path / "small" / "report.html").write_text("of an earlier end")
    path = written(made_up_run(ensemble=False), tmp_path / "small")
    assert not (path / "ensemble.toml").exists()
    assert not (path / "report.html").exists()
    assert json.loads(result_document(load_result(path)))["report"] is None


def test_the_shared_run_has_everything(finished_run: SearchResult, copied_run: Path) -> None:
    assert (copied_run / "report.html").exists()
    assert load_result(copied_run).best == finished_run.best


def test_the_manifest_counts_accuracies_that_were_looked_at(tmp_path: Path) -> None:
    result = made_up_run(30)
    result.trials.loc[:4, "val_accuracy"] = np.nan
    manifest = json.loads((written(result, tmp_path / "run") / "manifest.json").read_text())
    assert manifest["accuracies_looked_at"] == 25


def test_the_same_report_comes_from_the_folder(tmp_path: Path) -> None:
    result = made_up_run()
    path = written(result, tmp_path / "run")
    fresh, loaded = (
        render_report(replace(r, config=result.config)).partition("<footer>")[0]
        for r in (replace(result, folder=path), load_result(path))
    )
    assert loaded == fresh


@pytest.mark.parametrize(
    "options", [{"ensemble": False}, {"benchmark": False}, {"feasible": False}]
)
def test_what_is_missing_stays_missing(tmp_path: Path, options: dict[str, bool]) -> None:
    result = made_up_run(**options)  # type: ignore[arg-type]
    back = load_result(written(result, tmp_path / "run"))
    assert back.ensemble is None
    assert back.best is None
    assert len(back.trials) == len(result.trials)


def test_an_empty_run_comes_back(tmp_path: Path) -> None:
    empty = replace(made_up_run(ensemble=False), trials=pd.DataFrame(), pareto=pd.DataFrame())
    assert load_result(written(empty, tmp_path / "run")).trials.empty


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    written(made_up_run(20), tmp_path / "run")
    (tmp_path / "other").mkdir()
    with pytest.raises(StudyError, match=r"no manifest.json; there are \S*/run$"):
        load_result(tmp_path / "other")
    (tmp_path / "run" / "trials.csv").unlink()
    with pytest.raises(StudyError, match=r"has no trials.csv"):
        load_result(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("{")
    with pytest.raises(StudyError, match=r"manifest.json cannot be read"):
        load_result(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("[]")
    with pytest.raises(StudyError, match=r"is no manifest of a run"):
        load_result(tmp_path / "run")


def test_unknown_keys_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = written(made_up_run(30), tmp_path / "run") / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["best"]["later"] = 1
    path.write_text(json.dumps(manifest))
    assert load_result(path.parent).best is not None


# Side by side -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs() -> tuple[SearchResult, ...]:
    return (
        made_up_run(seed=1),
        made_up_run(40, 2, seed=2, sampler="random", folder=Path("runs/other")),
        made_up_run(benchmark=False),
    )


def test_runs_are_named_apart(runs: tuple[SearchResult, ...]) -> None:
    assert run_names(runs[:2]) == ["runs/made-up", "runs/other"]
    assert run_names([runs[0], runs[0]]) == ["runs/made-up (1)", "runs/made-up (2)"]


def test_answers_stand_side_by_side(runs: tuple[SearchResult, ...]) -> None:
    table = get_comparison(runs)
    assert list(table.columns) == run_names(runs)
    assert list(table.loc["trials"].str.split(",").str[0]) == ["60", "40", "60"]
    assert table.loc["accuracies looked at"].iloc[2] == ""


def test_the_best_looked_at_is_a_feasible_one(runs: tuple[SearchResult, ...]) -> None:
    table = runs[0].trials.copy()
    table.loc[~table["feasible"], "val_accuracy"] = 99.0
    best = table.loc[table["feasible"], "val_accuracy"].max()
    row = get_comparison([replace(runs[0], trials=table), runs[1]]).loc[
        "best feasible accuracy looked at"
    ]
    assert row.iloc[0] == f"{best:.2f} %"


def test_only_settings_that_differ_are_listed(runs: tuple[SearchResult, ...]) -> None:
    differences = get_differences(runs[:2])
    assert {"study.sampler", "study.n_trials", "objectives.synflow"} <= set(differences.index)
    assert "space.dataset" not in differences.index
    assert list(differences.loc["objectives.synflow"]) == ["maximize", "absent"]
    assert get_differences([runs[0], runs[0]]).empty


def test_compared_figures_have_a_trace_a_run_that_has_what_they_show(
    runs: tuple[SearchResult, ...],
) -> None:
    for plot in (plot_compared_tau, plot_compared_quality):
        assert [trace.name for trace in plot(runs).data] == run_names(runs)[:2]
    figure = plot_compared_progress(runs[:2])
    assert [max(trace.y) for trace in figure.data] == [
        result.trials.loc[result.trials["feasible"], "val_accuracy"].max() for result in runs[:2]
    ]
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data}) == 2


def test_runs_that_cannot_be_compared_say_why(runs: tuple[SearchResult, ...]) -> None:
    with pytest.raises(ReportError, match="a comparison needs two runs or more, got 1"):
        compare_runs(runs[:1])
    with pytest.raises(ReportError, match="no run has an accuracy or an objective to follow"):
        plot_compared_progress([replace(run, trials=pd.DataFrame()) for run in runs])
    with pytest.raises(ReportError, match="no run has true accuracies"):
        plot_compared_tau(runs[2:])
    with pytest.raises(ReportError, match="no run has an ensemble"):
        plot_compared_quality(runs[2:])


def test_the_page_of_a_comparison_stands_alone(runs: tuple[SearchResult, ...]) -> None:
    html = compare_runs(runs)
    assert "3 runs side by side" in html
    assert "Left out, as they have no val_accuracy: " in html
    assert "src=" not in html.partition("<script>")[0]
    same = compare_runs(runs[:2])
    assert "do not compare" not in same
    assert np.count_nonzero([same.count(name) > 0 for name in run_names(runs[:2])]) == 2
