"""The whole job on small networks: files, resumption, honesty, and what mistakes print."""

import json
import shutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import tomlkit
from typer.testing import CliRunner

import zc_search
from zc_search.cli.app import app
from zc_search.config import Config, parse_config
from zc_search.config.settings import tables
from zc_search.ensemble import Ensemble
from zc_search.errors import BenchmarkError, EnsembleError, ProxyError, StudyError
from zc_search.proxies import Probe
from zc_search.report.answer import bounds

SMALL = """
[study]
name = "small"
n_trials = 12
sampler = "random"

[space]
channels = 2
cells = 1

[data]
source = "noise"
batch_size = 4

[proxies]
compute = ["snip", "params"]

[objectives]
grad_norm = "maximize"
naswot_relu = "maximize"
"""

FILES = {
    "config.toml",
    "ensemble.toml",
    "ensemble-pareto.toml",
    "manifest.json",
    "pareto.csv",
    "ranking.csv",
    "run.log",
    "study.db",
    "trials.csv",
}


QUICK = ("ensemble.repeats=1", "ensemble.folds=2")


def configured(folder: Path, *overrides: str) -> Config:
    places = [f"output.folder={json.dumps(str(folder))}", "output.report=false"]
    return parse_config(SMALL, [*places, *QUICK, *overrides])


CALLS: Counter[str] = Counter()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> zc_search.SearchResult:
    """A search with its report, whose calls are counted; looked at, and gone on with, by many."""
    settings = ("ensemble.fit_on='all'", "ensemble.proxies=['snip']", "output.report=true")
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "zc_search.benchmarks.catalogue.open_benchmark",
            "zc_search.ensemble.fit.cross_validate",
            "zc_search.study.conclusion.fit_trials",
        ):
            module, _, function = name.rpartition(".")
            real = getattr(import_module(module), function)

            def counting(*args: Any, name: str = function, real: Any = real, **options: Any) -> Any:
                CALLS[name] += 1
                return real(*args, **options)

            patch.setattr(name, counting)
        return zc_search.run_search(configured(tmp_path_factory.mktemp("runs"), *settings))


def test_it_opens_its_benchmark_and_fits_the_held_out_folds_once(
    result: zc_search.SearchResult,
) -> None:
    # The second fit is to the Pareto front, of enough trials; the report fits nothing.
    assert {**CALLS} == {"open_benchmark": 1, "cross_validate": 2, "fit_trials": 2}


def test_everything_is_in_files(result: zc_search.SearchResult) -> None:
    assert {path.name for path in result.folder.iterdir()} >= FILES
    trials = pd.read_csv(result.folder / "trials.csv")
    assert len(trials) == 12
    pd.testing.assert_series_equal(
        trials["snip"], result.trials["snip"], check_exact=False, rtol=1e-12
    )
    manifest = json.loads((result.folder / "manifest.json").read_text())
    assert manifest["trials"] == 12
    assert set(manifest["versions"]) >= {"zc-search", "torch", "optuna", "python"}
    assert manifest["accuracies_looked_at"] == trials["architecture"].nunique()
    resolved = tomlkit.parse((result.folder / "config.toml").read_text())
    assert parse_config(resolved.unwrap()) == result.config


def test_a_run_says_what_its_proxies_mean(result: zc_search.SearchResult) -> None:
    manifest = json.loads((result.folder / "manifest.json").read_text())
    versions = {"grad_norm": 1, "naswot_relu": 2, "snip": 1}
    meanings = {name: f"{name}, version {version}" for name, version in versions.items()}
    assert manifest["definitions"].items() >= meanings.items()
    assert result.ensemble is not None
    said = Ensemble.load(result.folder / "ensemble.toml").metadata
    assert said["definitions"] == manifest["definitions"]
    assert said["scores"]["data.batch_size"] == 4


def test_files_are_complete_or_absent(result: zc_search.SearchResult) -> None:
    assert not [path for path in result.folder.iterdir() if path.name.endswith((".tmp", "~"))]
    assert not list(result.folder.glob(".*.csv.*"))


def test_the_pareto_table_is_the_studys_front_without_repeats(
    result: zc_search.SearchResult,
) -> None:
    front = result.pareto
    assert not front["function_key"].duplicated().any()
    feasible = result.trials[result.trials["feasible"]]
    for _, row in front.iterrows():
        better = (feasible["grad_norm"] >= row["grad_norm"]) & (
            feasible["naswot_relu"] >= row["naswot_relu"]
        )
        strictly = (feasible["grad_norm"] > row["grad_norm"]) | (
            feasible["naswot_relu"] > row["naswot_relu"]
        )
        assert not (better & strictly).any()


def test_the_best_is_the_first_of_the_ranking_with_its_true_rank(
    result: zc_search.SearchResult,
) -> None:
    assert result.best is not None
    benchmark = zc_search.open_benchmark()
    assert result.best.architecture == result.ranking["architecture"].iloc[0]
    assert result.best.predicted == result.ranking["prediction"].max()
    assert result.best.true == benchmark.query(result.best.architecture)["val_accuracy"]
    column = benchmark.column("val_accuracy")
    assert result.best.rank == 1 + int((column > result.best.true).sum())


def test_the_exported_ensemble_predicts_what_the_ranking_says(
    result: zc_search.SearchResult,
) -> None:
    ensemble = Ensemble.load(result.folder / "ensemble.toml")
    again = ensemble.predict(result.trials[result.trials["feasible"]])
    ranked = result.ranking.set_index("architecture")["prediction"]
    rows = result.trials.loc[again.index, "architecture"]
    assert (again.to_numpy() == ranked.loc[rows].to_numpy()).all()


def test_every_run_fits_the_regression_on_the_pareto_trials_too(
    result: zc_search.SearchResult,
) -> None:
    both = result.ensemble, result.pareto_ensemble
    assert [(e.model, e.fit_on) for e in both if e] == [("gap", "all"), ("linear", "pareto")]
    assert both[0].rows > both[1].rows
    saved = Ensemble.load(result.folder / "ensemble-pareto.toml")
    assert saved.predict(result.trials).equals(both[1].predict(result.trials))


def test_the_ensemble_may_change_and_is_not_fitted_twice_where_it_is_the_ordinary_one(
    result: zc_search.SearchResult, tmp_path: Path
) -> None:
    shutil.copytree(result.folder, tmp_path / "small")
    assert (tmp_path / "small" / "ensemble-pareto.toml").exists()
    ordinary = {"fit_on": "pareto", "model": "linear", "features": "rank"}
    settings = [f"ensemble.{key}='{value}'" for key, value in ordinary.items()]
    again = zc_search.run_search(configured(tmp_path, "ensemble.proxies=['snip']", *settings))
    assert again.ensemble is not None
    assert again.ensemble.model == "linear"
    assert again.pareto_ensemble is None
    assert not (tmp_path / "small" / "ensemble-pareto.toml").exists()


def test_any_optuna_user_can_open_the_study(result: zc_search.SearchResult) -> None:
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{result.folder}/study.db")
    assert study.metric_names == ["grad_norm", "naswot_relu"]
    assert {t.number for t in study.best_trials} == set(
        result.trials.loc[result.trials["pareto"], "number"]
    )


BARE = ("study.n_trials=2", "benchmark.name=none")


def test_fresh_sets_the_earlier_run_aside(tmp_path: Path) -> None:
    config = configured(tmp_path, *BARE)
    zc_search.run_search(config)
    changed = configured(tmp_path, *BARE, "study.seed=1")
    with pytest.raises(StudyError, match=r"study\.seed: 0 before, 1 now"):
        zc_search.run_search(changed)
    zc_search.run_search(changed, fresh=True)
    assert "earlier run moved to" in (tmp_path / changed.study.name / "run.log").read_text()
    assert (tmp_path / "small.old-1" / "trials.csv").exists()
    with pytest.raises(StudyError, match=r"study\.seed: 1 before, 0 now"):
        zc_search.run_search(config)


def test_a_model_that_is_not_there_is_said_before_the_first_trial(tmp_path: Path) -> None:
    for model in ("sklearn.linear_model:Ridgee", "os:getcwd"):
        wrong = configured(tmp_path, f"ensemble.model={json.dumps(model)}")
        with pytest.raises(EnsembleError, match=model.partition(":")[2]):
            zc_search.run_search(wrong)
    assert not (tmp_path / "small").exists()


def test_fresh_keeps_the_study_of_a_storage_under_another_name(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    settings = [f"study.storage={json.dumps(storage)}", *BARE]
    zc_search.run_search(configured(tmp_path, *settings))
    changed = configured(tmp_path, *settings, "study.seed=1")
    result = zc_search.run_search(changed, fresh=True)
    assert len(result.trials) == 2
    assert sorted(optuna.get_all_study_names(storage)) == ["small", "small.old-1"]
    kept = optuna.load_study(study_name="small.old-1", storage=storage)
    assert len(kept.trials) == 2


def test_without_a_benchmark_there_is_no_ensemble_and_a_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path("what? 100%25 #1")
    result = zc_search.run_search(configured(name, *BARE))
    assert result.ensemble is None
    assert result.best is None
    assert any("No benchmark" in note for note in result.notes)
    assert "val_accuracy" not in result.trials
    assert [path.name for path in tmp_path.iterdir()] == [str(name)]
    (run,) = name.iterdir()
    assert (run / "study.db").stat().st_size > 0
    assert len(zc_search.run_search(configured(name, *BARE, "study.n_trials=3")).trials) == 3


def test_one_trial_is_explained_not_fatal(tmp_path: Path) -> None:
    result = zc_search.run_search(configured(tmp_path, "study.n_trials=1"))
    assert result.ensemble is None
    assert any(note.startswith("No ensemble: ") for note in result.notes)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    from zc_search.study.storage import RunFolder

    config = configured(tmp_path, "study.n_trials=1")
    with (
        RunFolder(tmp_path / "small").locked(),
        pytest.raises(StudyError, match="another process is working in"),
    ):
        zc_search.run_search(config)


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("benchmark.metric=test_accuracy", BenchmarkError, "test_accuracy"),
        ("proxies.device=cuda:7", ProxyError, r"proxies\.device: 'cuda:7' is not there"),
        ('proxies.compute=["nomodule:f"]', ProxyError, "cannot import 'nomodule'"),
        ("output.folder=/proc/nowhere", StudyError, r"output\.folder: cannot write to"),
    ],
)
def test_mistakes_are_found_before_the_first_trial(
    tmp_path: Path, override: str, error: type[Exception], message: str
) -> None:
    config = configured(tmp_path, override)
    with pytest.raises(error, match=message):
        zc_search.run_search(config)
    assert not (tmp_path / "small" / "study.db").exists()


def run(config: Path, *settings: str) -> Any:
    options = [option for setting in settings for option in ("--set", setting)]
    return CliRunner().invoke(app, ["--config", str(config), *options], env={"COLUMNS": "80"})


def test_the_same_search_as_a_command_prints_it_and_changes_nothing(
    result: zc_search.SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(result.folder.parents[1])
    folder = result.folder.parent.name
    places = (f"output.folder={folder}", "output.report=false")
    done = run(result.folder / "config.toml", *places)
    assert done.exit_code == 0, done.exception
    for part in (
        "objectives  grad_norm (maximize), naswot_relu (maximize)",
        "Pareto front:",
        "Ensemble",
        "best single proxy",
        "held out",
        "best by prediction",
        "of 15,625",
        f"{folder}/small/",
    ):
        assert part in done.stdout
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    again = pd.read_csv(result.folder / "trials.csv")
    names = ["number", "architecture", "grad_norm", "snip", "pareto", "val_accuracy"]
    pd.testing.assert_frame_equal(again[names], result.trials[names], check_dtype=False)


def test_the_command_explains_all_mistakes_at_once(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(SMALL)
    done = run(tmp_path / "search.toml", "study.samplr=tpe", "objectives.snpi=maximize")
    said = str(done.exception)
    assert "study.samplr: unknown key; did you mean 'sampler'?" in said
    assert "objectives.snpi: unknown objective 'snpi'; did you mean 'snip'?" in said


def broken(probe: Probe) -> float:
    """A user's proxy with a mistake in it."""
    raise ValueError("boom")


def test_a_recorded_proxy_that_fails_costs_nothing_but_itself(tmp_path: Path) -> None:
    name = f"{__name__}:broken"
    computed = f"proxies.compute=['{name}', 'snip', 'params']"
    result = zc_search.run_search(configured(tmp_path, computed, "study.n_trials=8"))
    assert result.ensemble is not None
    assert name not in result.ensemble.proxies
    assert f"The ensemble is without {name}, which has no value at all." in result.notes
    scored = result.trials[result.trials["snip"].notna()]
    (note,) = (note for note in result.notes if "such as" in note)
    count = scored["architecture"].nunique()
    assert note == (
        f"{name} has no value for {count} of {count} architectures, such as "
        f"{scored['architecture'].iloc[0]}: ValueError: boom "
        f"(test_pipeline.py, line {broken.__code__.co_firstlineno + 2}, in broken: "
        'raise ValueError("boom"))'
    )
    log = (result.folder / "run.log").read_text()
    assert log.count("WARNING proxy") == 1  # and once in the terminal
    assert "Traceback (most recent call last)" in log


def test_a_search_in_which_everything_fails_ends_early_and_says_so(tmp_path: Path) -> None:
    objectives = {f"{__name__}:broken": "maximize"}
    config = configured(tmp_path, "study.n_trials=30", "space.op_1_0=['nor_conv_3x3']")
    config = parse_config(tables(config) | {"objectives": objectives})
    with pytest.raises(StudyError, match=r"has a value, .*ValueError: boom .*in broken"):
        zc_search.run_search(config)
    trials = pd.read_csv(tmp_path / config.study.name / "trials.csv")
    assert 10 <= len(trials) <= 15  # some have no network
    with pytest.raises(StudyError, match="none of the"):  # it does not go on in vain
        zc_search.run_search(config)


def never(architecture: object) -> float:
    """Measure nothing."""
    raise RuntimeError("no GPU")


def test_a_search_whose_every_measurement_fails_ends_early_too(tmp_path: Path) -> None:
    config = configured(tmp_path, "study.n_trials=30")
    changed = {
        "objectives": {"val_accuracy": "maximize"},
        "benchmark": {"name": f"{__name__}:never"},
        "proxies": {"compute": []},
    }
    with pytest.raises(StudyError, match=r"has a value, .*never: raised RuntimeError: no GPU"):
        zc_search.run_search(parse_config(tables(config) | changed))
    assert 10 <= len(pd.read_csv(tmp_path / config.study.name / "trials.csv")) <= 15


def test_a_search_without_anything_feasible_says_so(tmp_path: Path) -> None:
    limited = ("constraints.max_latency_ms=1e-6", "study.n_trials=3")
    result = zc_search.run_search(configured(tmp_path, *limited))
    assert result.ensemble is None
    assert result.notes[0].startswith("None of the 3 trials is feasible, so nothing is ranked; ")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ((), "random, seed 0, 12 trials"),
        (("study.max_accuracies=5",), "random, seed 0, at most 12 trials or 5 accuracies"),
        (
            ("study.max_simulated_seconds=1e6", "study.timeout=60", "study.distinct=true"),
            "at most 12 trials or 1,000,000 simulated seconds or 60 seconds, each function once",
        ),
    ],
)
def test_the_plan_says_when_the_search_ends(overrides: tuple[str, ...], said: str) -> None:
    config = parse_config(SMALL, ["study.sampler='random'", "study.n_trials=12", *overrides])
    assert f"random, seed {config.study.seed}, {bounds(config)}".endswith(said)
