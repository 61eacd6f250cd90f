"""The comparison of search algorithms: rules, tables against hand computation, files, command."""

import json
import os
import signal
import sys
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.compare import Comparison, compare, load_comparison
from zc_search.compare.outcomes import (
    final,
    holm,
    looks_table,
    mean_ranks,
    pairwise_tests,
    summarise,
    trajectories,
)
from zc_search.compare.page import (
    answer,
    plot_ranks,
    plot_tests,
    render_searches,
    search_drawings,
    shown_summary,
)
from zc_search.compare.run import Algorithm, Search, plan, run_searches, search, table_of
from zc_search.compare.settings import Race
from zc_search.errors import ConfigError, ReportError, StudyError, ZcSearchError
from zc_search.spaces import Architecture

SHIPPED = Path(__file__).parents[2] / "zc_search" / "compare" / "compare.toml"


def comparison(tmp_path: Path, algorithms: dict[str, Any] | None = None, **race: Any) -> Comparison:
    settings = {"folder": str(tmp_path), "datasets": ["cifar10"], "seeds": 2, "accuracies": 8}
    return Comparison.model_validate(
        {
            "compare": {**settings, "workers": 1, **race},
            "algorithms": {"random": {}, "local_search": {}} if algorithms is None else algorithms,
        }
    )


# Settings ---------------------------------------------------------------------------------------


def test_the_shipped_file_is_valid_and_all_its_algorithms_can_be_made() -> None:
    shipped = load_comparison(SHIPPED, {"datasets": ["cifar10"]})
    for label, options in shipped.algorithms.items():
        algorithm = Algorithm.of(label, options, None)
        if algorithm.looks:
            algorithm.sampler(0)
        else:
            algorithm.pick(0)
    assert len(shipped.algorithms) > 11


def test_changes_replace_what_the_file_says() -> None:
    changed = load_comparison(SHIPPED, {"seeds": 3, "scores": "x.parquet"})
    assert changed.compare.seeds == 3
    assert changed.compare.scores_of("cifar10") == "x.parquet"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[compare]\nseeds = 0\n[algorithms]\nrandom = {}", r"compare\.seeds: 0 is given"),
        ("[compare]\nseed = 1\n[algorithms]\nrandom = {}", r"did you mean 'seeds'\?"),
        (
            "[compare]\ndatasets = ['cifar']\n[algorithms]\nrandom={}",
            r"1 setting is wrong\n  compare\.datasets\[0\]: unknown name 'cifar'; did you mean ",
        ),
        ("[algorithm]\nrandom = {}", r"did you mean 'algorithms'\?"),
        ("[compare]\nseeds = 3", r"algorithms: (missing|is empty); Allowed: "),
        ("[compare]\ndatasets = []\n[algorithms]\nrandom = {}", r"compare\.datasets: is empty"),
        ("[algorithms]", r"algorithms: (missing|is empty); Allowed: "),
        ("[algorithms]\nrandom = 3", r"algorithms\.random: 3 is given"),
        (
            "[compare]\ndatasets = ['cifar10']\nscores = {cifar100 = 'x'}\n[algorithms]\nrandom={}",
            "compare.scores: unknown compared dataset 'cifar100'",
        ),
        ("compare = 3", r"compare: 3 is given"),
        ("[compare", "no valid TOML"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "compare.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_comparison(path)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "compare.toml").write_text("")
    with pytest.raises(ConfigError, match=r"no such file; did you mean '.*compare\.toml'\?"):
        load_comparison(tmp_path / "compar.toml")


@pytest.mark.parametrize(
    ("algorithms", "message"),
    [
        ({"rando": {}}, r"algorithms\.rando: unknown sampler 'rando'; did you mean 'random'\?"),
        ({"x": {"sampler": "zero_cots"}}, r"algorithms\.x: .*did you mean 'zero_cost'\?"),
        ({"tpe": {"multivariat": True}}, r"algorithms\.tpe\..*did you mean 'multivariate'\?"),
        ({"nsgaii": {"population_size": 1}}, r"algorithms\.nsgaii: 'nsgaii': "),
        ({"local_search": {"x": 1}}, r"algorithms\.local_search\.x: unknown option"),
        ({"zero_cost": {"candidates": 0}}, r"candidates=0: Allowed: at least 1"),
        ({"zero_cost": {"number": 3}}, r"unknown option of 'zero_cost' 'number'"),
        ({"predictor_guided": {"scores": "no.parquet"}}, r"no\.parquet: no such file"),
        ({"x": {"sampler": "no_such:Thing"}}, "cannot import 'no_such'"),
    ],
)
def test_an_algorithm_that_cannot_be_made_is_explained_before_anything_runs(
    tmp_path: Path, algorithms: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        list(plan(comparison(tmp_path, {"random": {}, **algorithms})))


def test_scores_go_to_the_algorithms_that_know_something(tmp_path: Path) -> None:
    given = {
        label: Algorithm.of(label, options, "all.parquet").options.get("scores")
        for label, options in {
            "random": {},
            "regularized_evolution": {},
            "warm": {"sampler": "regularized_evolution", "warmup": 10},
            "predictor_guided": {},
            "own": {"sampler": "predictor_guided", "scores": "own.parquet"},
            "zero_cost": {},
        }.items()
    }
    assert given == {
        "random": None,
        "regularized_evolution": None,
        "warm": "all.parquet",
        "predictor_guided": "all.parquet",
        "own": "own.parquet",
        "zero_cost": "all.parquet",
    }


# One search -------------------------------------------------------------------------------------


def test_the_table_is_the_benchmarks() -> None:
    table = table_of("cifar10")
    for index in (0, 77, 9000):
        figures = table.benchmark.query(Architecture.from_index(index))
        assert table.validation[index] == figures["val_accuracy"]
        assert table.seconds[index] == figures["train_seconds"]
    assert table.optimum == pytest.approx(91.607, abs=1e-3)
    assert table.test is None


def test_a_search_ends_with_its_accuracies_and_looks_at_no_cell_twice() -> None:
    random = Algorithm.of("random", {}, None)
    found = search(random, Race(accuracies=25), "cifar10", 0)
    assert len(found.looked) == len(set(found.looked)) == 25
    assert found.seen == [table_of("cifar10").validation[index] for index in found.looked]
    again = search(random, Race(accuracies=25), "cifar10", 0)
    assert again.looked == found.looked
    assert search(random, Race(accuracies=25), "cifar10", 1).looked != found.looked


def test_a_search_ends_with_its_simulated_seconds() -> None:
    race = Race(accuracies=500, simulated_seconds=20_000.0)
    found = search(Algorithm.of("random", {}, None), race, "cifar10", 0)
    seconds = table_of("cifar10").seconds[found.looked]
    assert seconds[:-1].sum() < 20_000 <= seconds.sum()


def test_a_cell_suggested_again_costs_nothing() -> None:
    stubborn = Algorithm.of("x", {"sampler": f"{__name__}:OneCell", "distinct": False}, None)
    found = search(stubborn, Race(accuracies=3), "cifar10", 0)
    assert len(found.looked) == 1
    insisted = Algorithm.of("x", {"sampler": f"{__name__}:OneCell"}, None)
    assert len(search(insisted, Race(accuracies=3), "cifar10", 0).looked) == 3


class OneCell(optuna.samplers.RandomSampler):
    """Always says the same."""

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        return distribution.choices[0]


def test_one_training_shows_single_runs_and_reports_their_mean(tmp_path: Path) -> None:
    table = table_of("cifar10")
    units = run_searches(comparison(tmp_path, {"random": {}}, one_training=True, accuracies=30))
    _, found = units[0]
    runs = [
        {
            table.benchmark.query(Architecture.from_index(i), seed=s)["val_accuracy"]
            for s in range(table.benchmark.query(Architecture.from_index(i)).seeds)
        }
        for i in found.looked
    ]
    assert all(seen in of for seen, of in zip(found.seen, runs, strict=True))
    looks = looks_table(units[:1])
    chosen = found.looked[int(np.argmax(found.seen))]
    assert looks["best"].iloc[-1] == table.validation[chosen]


def test_the_pick_looks_at_nothing() -> None:
    found = search(Algorithm.of("zero_cost", {}, None), Race(), "cifar10", 0)
    assert found.looked == []
    assert found.picked is not None


# All searches -----------------------------------------------------------------------------------


def test_what_has_been_run_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    few = comparison(tmp_path)
    first = run_searches(few, lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]

    ran: list[int] = []

    def counting(algorithm: Any, race: Any, dataset: Any, seed: int) -> Search:
        ran.append(seed)
        return search(algorithm, race, dataset, seed)

    monkeypatch.setattr("zc_search.compare.run.search", counting)
    assert run_searches(few) == first
    assert ran == []
    first[0][0].path.write_text("{ damaged")
    repeated = run_searches(few)
    assert ran == [0]
    assert [found.looked for _, found in repeated] == [found.looked for _, found in first]
    run_searches(comparison(tmp_path, seeds=3))
    assert ran == [0, 2, 2]
    run_searches(comparison(tmp_path, accuracies=9))
    assert len(ran) == 7


def test_a_label_may_change_and_options_may_not(tmp_path: Path) -> None:
    def paths(algorithms: dict[str, Any]) -> set[Path]:
        return {unit.path for unit in plan(comparison(tmp_path, algorithms))}

    before = paths({"nsgaii": {"population_size": 5}})
    assert paths({"renamed": {"sampler": "nsgaii", "population_size": 5}}) == before
    assert not paths({"nsgaii": {"population_size": 6}}) & before


def test_each_folder_says_what_is_in_it(tmp_path: Path) -> None:
    (unit, *_) = [unit for unit, _ in run_searches(comparison(tmp_path))]
    said = json.loads((unit.path.parent / "what.json").read_text())
    assert said["dataset"] == "cifar10"
    assert said["kind"] == "random"
    assert said["accuracies"] == 8


@pytest.mark.thorough
def test_processes_find_the_same(tmp_path: Path) -> None:
    alone = run_searches(comparison(tmp_path / "a"))
    together = run_searches(comparison(tmp_path / "b", workers=2))
    assert [f.looked for _, f in alone] == [f.looked for _, f in together]


class Killed(optuna.samplers.RandomSampler):
    """Ends the worker process that it is in, as the system does where memory runs out."""

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        if parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample_independent(study, trial, name, distribution)


@pytest.mark.thorough
def test_a_killed_process_is_a_sentence(tmp_path: Path) -> None:
    algorithms = {"random": {}, "killed": {"sampler": f"{__name__}:Killed"}}
    few = comparison(tmp_path, algorithms, workers=2, seeds=1)
    with pytest.raises(StudyError, match="was killed, twice") as caught:
        run_searches(few)
    assert caught.value.given == "killed"


@pytest.mark.skipif(sys.platform != "linux", reason="permissions")
def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "compare").write_text("in the way")
    with pytest.raises(ZcSearchError, match="cannot be written"):
        run_searches(comparison(tmp_path))


# Tables -----------------------------------------------------------------------------------------


def looks(rows: dict[tuple[str, int], tuple[list[float], list[float]]]) -> pd.DataFrame:
    """Return a table of looks of one data set, from bests and simulated seconds."""
    return pd.concat(
        pd.DataFrame(
            {
                "dataset": "d",
                "algorithm": algorithm,
                "seed": seed,
                "accuracies": np.arange(1, len(best) + 1) if seconds[-1] else 0,
                "simulated_seconds": seconds,
                "best": best,
            }
        )
        for (algorithm, seed), (best, seconds) in rows.items()
    ).reset_index(drop=True)


HAND = looks(
    {
        ("a", 0): ([50.0, 50.0, 100.0], [10.0, 20.0, 30.0]),
        ("a", 1): ([99.9, 99.9, 99.9], [5.0, 25.0, 45.0]),
        ("a", 2): ([40.0, 60.0, 80.0], [10.0, 20.0, 30.0]),
        ("b", 0): ([70.0, 70.0, 70.0], [10.0, 20.0, 30.0]),
        ("b", 1): ([70.0, 70.0, 70.0], [10.0, 20.0, 30.0]),
        ("b", 2): ([80.0, 80.0, 80.0], [10.0, 20.0, 30.0]),
        ("pick", 0): ([75.0], [0.0]),
        ("pick", 1): ([75.0], [0.0]),
        ("pick", 2): ([75.0], [0.0]),
    }
)


def test_the_summary_by_hand() -> None:
    table = summarise(HAND, {"d": 100.0}, [1, 3, 4], [20.0, 31.0]).set_index("algorithm")
    a, b, chosen = table.loc["a"], table.loc["b"], table.loc["pick"]
    assert (a["seeds"], a["accuracies"]) == (3, 3.0)
    assert a["mean"] == pytest.approx((100 + 99.9 + 80) / 3)
    assert a["sd"] == pytest.approx(np.std([100, 99.9, 80], ddof=1))
    assert (a["median"], a["low"], a["high"]) == pytest.approx((99.9, 89.95, 99.95))
    assert a["optimum"] == pytest.approx(1 / 3)
    assert a["nearly"] == pytest.approx(2 / 3)
    assert (a["nearly_accuracies"], a["nearly_seconds"]) == (3.0, 30.0)
    assert a["at 1"] == pytest.approx((50 + 99.9 + 40) / 3)
    assert a["at 20 s"] == pytest.approx((50 + 99.9 + 60) / 3)
    assert np.isnan(a["at 4"])
    assert np.isnan(a["at 31 s"])  # two of them had ended
    assert np.isnan(b["nearly_accuracies"])
    assert (chosen["accuracies"], chosen["at 1"], chosen["at 31 s"]) == (0.0, 75.0, 75.0)


def test_one_search_has_no_deviation() -> None:
    table = summarise(HAND[HAND["seed"] == 0], {"d": 100.0}, [1], [])
    assert table["sd"].isna().all()
    assert shown_summary(table, "d")["mean"].tolist() == ["100.00", "75.00", "70.00"]


def test_trajectories_by_hand() -> None:
    table = trajectories(HAND)
    a = table[(table["algorithm"] == "a") & (table["clock"] == "accuracies")].set_index("at")
    assert list(a.index) == [1, 2, 3]
    assert a.loc[2, "mean"] == pytest.approx((50 + 99.9 + 60) / 3)
    assert a.loc[2, "median"] == 60.0
    assert (a.loc[2, "low"], a.loc[2, "high"]) == pytest.approx((55.0, 79.95))
    seconds = table[(table["clock"] == "simulated_seconds")]
    assert seconds["at"].max() == 30.0  # where the first search ends
    first = seconds[seconds["algorithm"] == "a"]["at"].min()
    assert first == pytest.approx(10.05, abs=0.1)  # where the last one has looked once
    chosen = table[table["algorithm"] == "pick"]
    assert set(chosen["median"]) == {75.0}


def test_the_end_of_each_search() -> None:
    ends = final(HAND)
    assert len(ends) == 9
    assert list(ends["best"]) == [100.0, 99.9, 80.0, 70.0, 70.0, 80.0, 75.0, 75.0, 75.0]


def test_pairwise_tests_are_scipys_with_holms_correction() -> None:
    rng = np.random.default_rng(0)
    ends = pd.DataFrame(
        [
            {"dataset": "d", "algorithm": name, "seed": seed, "best": shift + rng.normal()}
            for name, shift in (("a", 0.0), ("b", 0.8), ("c", 2.0))
            for seed in range(20)
        ]
    )
    table = pairwise_tests(ends).set_index(["first", "second"])
    wide = ends.pivot_table(index="seed", columns="algorithm", values="best")
    p = {pair: wilcoxon(wide[pair[0]], wide[pair[1]]).pvalue for pair in table.index}
    for pair, row in table.iterrows():
        assert row["p"] == pytest.approx(p[pair])
        difference = wide[pair[0]] - wide[pair[1]]
        assert row["difference"] == pytest.approx(difference.median())
        assert (row["wins"], row["losses"]) == ((difference > 0).sum(), (difference < 0).sum())
    least, middle, most = sorted(p, key=lambda pair: p[pair])
    assert table.loc[least, "p_holm"] == pytest.approx(3 * p[least])
    assert table.loc[middle, "p_holm"] == pytest.approx(max(2 * p[middle], 3 * p[least]))
    assert table.loc[most, "p_holm"] == pytest.approx(
        min(1.0, max(p[most], 2 * p[middle], 3 * p[least]))
    )


def test_algorithms_that_found_the_same_do_not_differ() -> None:
    same = looks({(name, seed): ([70.0 + seed], [1.0]) for name in "ab" for seed in range(8)})
    (row,) = pairwise_tests(final(same)).to_dict("records")
    assert (row["p"], row["p_holm"], row["ties"], row["difference"]) == (1.0, 1.0, 8, 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_what_its_procedure_rejects(p_values: list[float]) -> None:
    corrected = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    for alpha in (0.01, 0.05, 0.5):
        rejected = set()
        for step, at in enumerate(order):  # as Holm 1979 writes it down
            if p_values[at] * (len(p_values) - step) > alpha:
                break
            rejected.add(int(at))
        assert {i for i, p in enumerate(corrected) if p <= alpha} == rejected


def test_ranks_by_hand() -> None:
    table = mean_ranks(final(HAND)).set_index("algorithm")
    # seed 0: a 1, pick 2, b 3; seed 1 alike; seed 2: a and b share 1.5, pick 3.
    assert list(table["rank"]) == pytest.approx([3.5 / 3, 7.5 / 3, 7 / 3])
    error = 1.96 * np.std([1, 1, 1.5], ddof=1) / np.sqrt(3)
    assert table.loc["a", "high"] == pytest.approx(3.5 / 3 + error)


def test_one_seed_has_ranks_and_no_interval() -> None:
    table = mean_ranks(final(HAND[HAND["seed"] == 0]))
    assert list(table["rank"]) == [1.0, 3.0, 2.0]
    assert table[["low", "high"]].isna().all(axis=None)
    figure = plot_ranks(table, "d")
    assert "one seed gives no interval" in figure.layout.meta["caption"]


# Published results ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "published", "spread"),
    [
        ("random", {"distinct": False}, 90.93, 0.36),
        ("regularized_evolution", {"population_size": 10, "tournament_size": 3}, 91.19, 0.31),
    ],
)
def test_published_results_are_reproduced_within_their_spread(
    tmp_path: Path, name: str, options: dict[str, Any], published: float, spread: float
) -> None:
    race = {"seeds": 12, "accuracies": 400, "simulated_seconds": 200_000.0, "one_training": True}
    found = compare(comparison(tmp_path, {name: options}, at_seconds=[200_000.0 - 4_000], **race))
    assert abs(found.summary["mean"].item() - published) < spread
    assert 80 < found.summary["accuracies"].item() < 130  # as 12,000 s of 12 epochs buy


# Files and page ---------------------------------------------------------------------------------


def test_files_are_written_and_read_back(tmp_path: Path) -> None:
    few = comparison(tmp_path)
    found = compare(few)
    files = found.write(tmp_path / "out")
    assert {path.name for path in files} == {
        "looks.parquet",
        *(
            f"{name}.{kind}"
            for name in ("summary", "trajectories", "tests", "ranks")
            for kind in ("parquet", "csv")
        ),
    }
    for name, table in found._asdict().items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"out/{name}.parquet"), table)
    with pytest.raises(ZcSearchError, match="cannot be written"):
        found.write(files[0])


def test_the_page_has_the_answer_every_figure_and_the_rules(tmp_path: Path) -> None:
    few = comparison(
        tmp_path, {"random": {}, "a <b>": {"sampler": "local_search"}, "zero_cost": {}}
    )
    found = compare(few)
    html = render_searches(found, few)
    assert "a &lt;b&gt;" in html
    assert "a <b>" not in html
    for drawing in search_drawings(found):
        assert f'id="{drawing.id}"' in html
        assert drawing.figures()
    assert "looks at no accuracy and chooses by stage pools, flow depth, stage 3x3 depth" in html
    assert "200,000 s of 200 epochs" in html


def test_the_answer_names_the_best() -> None:
    said = answer(summarise(HAND, {"d": 100.0}), "d")
    assert said == (
        "a found 93.30 % on average with 3 accuracies, and the optimum in 1 of 3 seeds; "
        "half of them had 99.9 % of it after 3."
    )


def test_pairs_are_blue_for_the_better_and_say_their_p() -> None:
    better = looks(
        {
            (name, seed): ([value + seed / 100], [1.0])
            for name, value in (("a", 2.0), ("b", 1.0))
            for seed in range(9)
        }
    )
    figure = plot_tests(pairwise_tests(final(better)), "d")
    np.testing.assert_array_equal(figure.data[0].z, [[np.nan, 1.0], [-1.0, np.nan]])
    assert figure.data[0].text[0][1] == ".004"  # 2 / 2**9
    with pytest.raises(ReportError, match="nothing to compare on other"):
        plot_tests(pairwise_tests(final(better)), "other")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(
        "[compare]\nname = 'x'\ndatasets = ['cifar10']\nseeds = 2\naccuracies = 6\nworkers = 1\n"
        "at_accuracies = [3, 50]\n[algorithms]\nrandom = {}\nlocal_search = {}\nzero_cost = {}\n"
    )
    return tmp_path


def test_the_command_prints_the_table_and_writes_the_page(in_folder: Path) -> None:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["compare", "--config", "c.toml"])
    assert result.exit_code == 0, result.output
    assert "cifar10, 2 seeds" in result.output
    assert "at 3" in result.output
    assert "at 50" not in result.output
    assert "searches: 6 of 6" in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines()[:-1])
    assert sorted(path.name for path in Path("runs/x").iterdir()) == [
        "looks.parquet",
        "ranks.csv",
        "ranks.parquet",
        "report.html",
        "searches",
        "summary.csv",
        "summary.parquet",
        "tests.csv",
        "tests.parquet",
        "trajectories.csv",
        "trajectories.parquet",
    ]


def test_the_command_takes_changes(in_folder: Path) -> None:
    options = ["--seeds", "1", "--accuracies", "3", "--dataset", "cifar100", "--workers", "1"]
    result = CliRunner().invoke(app, ["compare", "--config", "c.toml", *options])
    assert result.exit_code == 0, result.output
    assert "cifar100, 1 seed\n" in result.output
    table = pd.read_csv("runs/x/summary.csv")
    assert set(table["dataset"]) == {"cifar100"}
    assert set(table["accuracies"]) == {0.0, 3.0}
    assert os.listdir("runs/x/searches")  # noqa: PTH208


def test_so_few_seeds_that_nothing_can_be_significant_are_said() -> None:
    from scipy.stats import wilcoxon

    from zc_search.compare.page import few_seeds

    for seeds in (3, 5, 6, 20):
        least = wilcoxon(np.arange(1.0, seeds + 1)).pvalue
        assert bool(few_seeds(seeds)) == (least > 0.05)
        assert not few_seeds(seeds) or f"p = {least:.2g}" in few_seeds(seeds)[0]
