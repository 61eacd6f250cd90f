"""Samplers by name, and the promise that a study goes on as if it had not been cut off."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import optuna
import pytest
import scipy.stats
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from zc_search.config import SAMPLERS, parse_config
from zc_search.errors import ConfigError
from zc_search.samplers import advice, function_key, make_sampler, population, sampler_of
from zc_search.spaces import OPERATIONS as CHOICES
from zc_search.spaces import PARAMETERS as EDGES
from zc_search.spaces import CellSpace
from zc_search.study.trials import taken_up

is_complete = CellSpace().is_complete

OURS = ("regularized_evolution", "local_search", "predictor_guided")


def objective(trial: optuna.trial.Trial) -> tuple[float, float]:
    codes = [CHOICES.index(trial.suggest_categorical(edge, CHOICES)) for edge in EDGES]
    return float(sum(codes)), float(codes[0] * codes[1] - codes[2])


def one_of_them(trial: optuna.trial.Trial) -> float:
    return objective(trial)[0]


def a_study(sampler: BaseSampler) -> optuna.Study:
    return optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])


POPULATION = {"population_size": 5}
OPTIONS: dict[str, dict[str, object]] = {
    "nsgaii": POPULATION,
    "nsgaiii": POPULATION,
    "regularized_evolution": {**POPULATION, "tournament_size": 3, "warmup": 30, "moves": 3},
    "predictor_guided": {"model": "linear", "refit_every": 3},
}


def run(name: str, parts: list[int], *, seed: int = 3, distinct: bool = False) -> optuna.Study:
    """Run a study in parts, each with a sampler made anew, as a resumed search does."""
    study = None
    for n_trials in parts:
        sampler = make_sampler(name, OPTIONS.get(name, {}), seed=seed, distinct=distinct)
        if name in ("gp", "predictor_guided"):
            study = study or optuna.create_study(direction="maximize")
            study.sampler = sampler
            study.optimize(one_of_them, n_trials=n_trials)
        else:
            study = study or a_study(sampler)
            study.sampler = sampler
            study.optimize(objective, n_trials=n_trials)
    assert study is not None
    return study


@pytest.mark.parametrize(
    ("name", "distinct"),
    [
        pytest.param(name, distinct, marks=[pytest.mark.thorough] if dear and distinct else [])
        for name in SAMPLERS
        for dear in [name in ("gp", "tpe")]
        for distinct in (False, True)
    ],
)
def test_a_study_goes_on_as_if_it_had_not_been_cut_off(name: str, distinct: bool) -> None:
    # The ten first trials of two of them are random.
    first, last = (11, 3) if name in ("gp", "tpe") else (8, 9)
    whole, halves = (run(name, p, distinct=distinct) for p in ([first + last], [first, last]))
    assert [t.params for t in whole.trials] == [t.params for t in halves.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_seeds_give_different_studies(name: str) -> None:
    first, second = (run(name, [11], seed=seed) for seed in (0, 1))
    assert [t.params for t in first.trials] != [t.params for t in second.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_distinct_study_repeats_no_function(name: str) -> None:
    n_trials = {"gp": 12, "tpe": 16}.get(name, 40)
    study = run(name, [n_trials], distinct=True)
    assert len({function_key(t.params) for t in study.trials}) == n_trials


def test_a_sampler_of_our_own_keeps_to_the_space() -> None:
    few = dict.fromkeys(EDGES, ("none", "nor_conv_3x3"))
    few["op_3_0"] = ("skip_connect",)
    space = CellSpace(few)
    for name in OURS:
        study = optuna.create_study(
            sampler=make_sampler(name, {}, seed=0, space=space), direction="maximize"
        )
        for _ in range(10):
            trial = study.ask()
            for edge in EDGES:
                assert trial.suggest_categorical(edge, few[edge]) in few[edge]
            study.tell(trial, float(trial.number))


def test_resumable_draws_follow_the_trial_number_not_the_instance() -> None:
    sampler = make_sampler("random", {}, seed=0)
    study = a_study(sampler)
    study.optimize(objective, n_trials=40)
    assert len({tuple(t.params.values()) for t in study.trials}) > 35


def test_a_trial_cut_off_while_scored_keeps_its_parameters() -> None:
    study = a_study(make_sampler("qmc", {}, seed=0))
    study.optimize(objective, n_trials=5)
    cut_off = study.ask()
    params = {edge: cut_off.suggest_categorical(edge, CHOICES) for edge in EDGES}
    sampler = study.sampler
    (again,) = taken_up(study, [study.trials[-1]], is_complete)
    assert {edge: again.suggest_categorical(edge, CHOICES) for edge in EDGES} == params
    assert again.number == cut_off.number
    assert study.sampler is sampler


@pytest.mark.parametrize("name", ["nsgaii", "random", "tpe", "brute_force"])
def test_a_trial_cut_off_while_asked_for_is_completed_by_the_sampler(name: str) -> None:
    options = {"population_size": 4} if name == "nsgaii" else {}
    study = a_study(make_sampler(name, options, seed=0))
    study.optimize(objective, n_trials=9)
    partly = study.ask()
    partly.suggest_categorical(EDGES[0], CHOICES)
    twin = a_study(make_sampler(name, options, seed=0))
    twin.optimize(objective, n_trials=10)
    (again,) = taken_up(study, [study.trials[-1]], is_complete)
    params = {edge: again.suggest_categorical(edge, CHOICES) for edge in EDGES}
    assert params == twin.trials[-1].params


class KilledError(Exception):
    """Stands for whatever ends a process."""


class Killing(InMemoryStorage):
    """Ends the process before it writes for the n-th time; never for -1."""

    def __init__(self) -> None:
        super().__init__()
        self.left = -1


def _dying(write: str) -> Callable[..., object]:
    def method(self: Killing, *args: object, **options: object) -> object:
        self.left -= 1
        if self.left == -1:
            raise KilledError
        return getattr(InMemoryStorage, write)(self, *args, **options)

    return method


WRITES = ("create_new_trial", *(n for n in dir(InMemoryStorage) if n.startswith("set_")))
for _write in WRITES:
    setattr(Killing, _write, _dying(_write))


_QUICKLY_KILLED = {("random", True), ("qmc", False)}


def go_on(
    storage: Killing, name: str, options: dict[str, object], trials: int, *, distinct: bool
) -> None:
    """Bring a study to its number of trials, whatever of it is there."""
    space = CellSpace()
    sampler = make_sampler(name, options, seed=1, space=space, distinct=distinct)
    study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
    for trial in taken_up(study, study.get_trials(states=(TrialState.RUNNING,)), is_complete):
        study.tell(trial, objective(trial))
    while len(study.trials) < trials:
        trial = study.ask()
        study.tell(trial, objective(trial))


@pytest.mark.parametrize(
    ("name", "distinct"),
    [
        pytest.param(*pair, marks=[] if pair in _QUICKLY_KILLED else pytest.mark.thorough)
        for pair in product(
            ("random", "tpe", "qmc", "brute_force", "nsgaii", "nsgaiii", "gp"), (False, True)
        )
    ],
)
def test_a_study_killed_before_any_write_goes_on_as_if_it_had_not_been(
    name: str, distinct: bool
) -> None:
    options = {"population_size": 4} if name.startswith("nsga") else {}
    trials, first = 11, 0
    if name == "gp":
        options, trials, first = {"n_startup_trials": 3}, 6, 24  # its model begins there

    def begun() -> Killing:
        storage = Killing()
        optuna.create_study(study_name="s", storage=storage, directions=["maximize", "minimize"])
        return storage

    def params(storage: Killing) -> list[dict[str, object]]:
        return [t.params for t in storage.get_all_trials(storage.get_study_id_from_name("s"))]

    whole = begun()
    whole.left = 10_000
    go_on(whole, name, options, trials, distinct=distinct)
    writes = 10_000 - whole.left
    assert writes >= trials * 8
    for before in range(first, writes, 1 if name.startswith("nsga") else 5):
        cut = begun()
        cut.left = before
        with pytest.raises(KilledError):
            go_on(cut, name, options, trials, distinct=distinct)
        cut.left = -1
        go_on(cut, name, options, trials, distinct=distinct)
        assert params(cut) == params(whole), before


def test_trials_follow_the_points_of_one_quasi_random_sequence() -> None:
    study = a_study(make_sampler("qmc", {}, seed=5))
    study.optimize(objective, n_trials=33)
    points = scipy.stats.qmc.Sobol(len(EDGES), seed=5, scramble=True).random(64)
    expected = [[CHOICES[int(5 * x)] for x in point] for point in points]
    assert [[t.params[e] for e in EDGES] for t in study.trials] == expected[:33]
    # Another process, whose sampler has given nothing yet, takes none of them again.
    study.sampler = make_sampler("qmc", {}, seed=5)
    study.optimize(objective, n_trials=1)
    assert [study.trials[-1].params[e] for e in EDGES] == expected[33]


class Unseeded(BaseSampler):
    """A sampler of somebody else's, without a seed."""

    def __init__(self, choice: str = "none") -> None:
        self.choice = choice

    def infer_relative_search_space(self, study, trial):  # type: ignore[no-untyped-def]
        return {}

    def sample_relative(self, study, trial, search_space):  # type: ignore[no-untyped-def]
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):  # type: ignore[no-untyped-def]
        assert isinstance(param_distribution, CategoricalDistribution)
        return self.choice


def test_any_importable_sampler_serves() -> None:
    study = a_study(make_sampler(f"{__name__}:Unseeded", {"choice": "avg_pool_3x3"}, seed=0))
    study.optimize(objective, n_trials=2)
    assert all(set(t.params.values()) == {"avg_pool_3x3"} for t in study.trials)
    assert all(t.state == TrialState.COMPLETE for t in study.trials)


NEIGHBOURS = "sklearn.neighbors:KNeighborsRegressor"
GRID = "optuna.samplers:GridSampler"


@pytest.mark.parametrize(
    "name", ["nsgai", "optuna:NoSampler", "no_such_module_x:Y", "pathlib:Path"]
)
def test_a_sampler_that_is_not_there_is_said_with_its_key(name: str) -> None:
    with pytest.raises(ConfigError) as failure:
        make_sampler(name, {}, seed=0)
    assert (failure.value.key, failure.value.given) == ("study.sampler", name)
    assert failure.value.hint == ("nsgaii" if name == "nsgai" else None)


@pytest.mark.parametrize(
    ("name", "options", "wrong", "said"),
    [
        ("nsgaii", {"populationsize": 9}, ".populationsize", "'population_size'"),
        ("nsgaii", {"population_size": 1}, "", "population_size"),
        ("nsgaii", {"population_size": 5.5}, ".population_size", "a whole number"),
        ("nsgaii", {"population_size": True}, ".population_size", "a whole number"),
        ("nsgaii", {"mutation_prob": "x"}, ".mutation_prob", "a number"),
        ("nsgaii", {"crossover": "uniform"}, "", "'uniform' is not a valid crossover"),
        ("tpe", {"multivariate": 1}, ".multivariate", "true or false"),
        ("tpe", {"gamma": 0.25}, ".gamma", "a function"),
        ("regularized_evolution", {"population": 9}, ".population", "'population_size'"),
        (
            "regularized_evolution",
            {"population_size": 5, "tournament_size": 9},
            "",
            "tournament_size=9 is more than population_size=5",
        ),
        ("regularized_evolution", {"scores": "all.parquet"}, "", "no use without warmup"),
        ("regularized_evolution", {"warmup": 10, "aggregate": "meco"}, "", "column 'meco'"),
        ("local_search", {"restarts": 2}, ".restarts", "unknown option of 'local_search'"),
        ("predictor_guided", {"model": "linaer"}, "", r"did you mean 'linear'\?"),
        ("predictor_guided", {"model": "numpy:ndarray"}, "", "scikit-learn regressor|cannot be"),
        (
            "predictor_guided",
            {"model": NEIGHBOURS, "startup": 4},
            "",
            "to the first 4 accuracies: Expected n_",
        ),
        ("predictor_guided", {"kappa": -1.0}, "", r"kappa=-1\.0: Allowed: at least 0"),
        ("predictor_guided", {"acquisition": "ubc"}, "", "'ubc': Allowed: ucb, thompson"),
        ("predictor_guided", {"startup": "many"}, ".startup", "a whole number"),
        ("predictor_guided", {"copies": 2.5}, ".copies", "a whole number"),
        ("predictor_guided", {"scores": "no.parquet"}, "", r"no\.parquet: no such file"),
        ("predictor_guided", {"proxies": ["snip"]}, "", "proxies: there are no scores"),
        ("predictor_guided", {"cell": False}, "", "cell = false: there are no scores"),
        (GRID, {"search_space": ["x"]}, "", "GridSampler"),
        (GRID, {"search_space": {"op_1_0": ["none"]}}, ".search_space", "op_2_0, op_2_1, op_3_0"),
    ],
)
def test_options_that_a_sampler_does_not_take_are_said_before_the_first_trial(
    name: str, options: dict[str, object], wrong: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as failure:
        make_sampler(name, options, seed=0)
    assert failure.value.key == f"study.sampler_options{wrong}"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("predictor_guided", {"model": NEIGHBOURS, "startup": 9, "refit_every": 5}),
        ("predictor_guided", {"kappa": 1}),
        ("nsgaii", {"mutation_prob": 1}),
        (f"{__name__}:Relaxed", {"scale": 2.0, "file": "a.txt"}),
    ],
)
def test_options_that_a_sampler_takes(name: str, options: dict[str, object]) -> None:
    make_sampler(name, options, seed=0)


class Relaxed(optuna.samplers.RandomSampler):
    """A sampler of somebody's own whose options say little of themselves."""

    def __init__(self, scale=1.0, file: Path = Path(), seed=None):  # type: ignore[no-untyped-def]
        super().__init__(seed)


class OwnQMC(optuna.samplers.QMCSampler):
    """A quasi-random sequence of somebody's own."""


def test_a_sequence_of_ones_own_is_one_sequence_too() -> None:
    study = a_study(make_sampler(f"{__name__}:OwnQMC", {"scramble": True}, seed=0))
    study.optimize(objective, n_trials=5)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert len([key for key in attributes if key.startswith("qmc:")]) == 1


def test_a_grid_is_looked_at_once_by_itself() -> None:
    grid = {"search_space": {edge: ["none"] for edge in EDGES}}
    with pytest.raises(ConfigError, match=r"study\.distinct: a grid looks at no point twice"):
        make_sampler("optuna.samplers:GridSampler", grid, seed=0, distinct=True)


@pytest.mark.parametrize("name", ["local_search", "regularized_evolution", "tpe", "qmc"])
def test_what_a_user_fixed_stays_and_repeats_no_function(name: str) -> None:
    study = optuna.create_study(sampler=make_sampler(name, {}, seed=0, distinct=True))
    fixed = dict.fromkeys(EDGES[:4], "nor_conv_3x3")
    for _ in range(12):
        study.enqueue_trial(fixed)
    study.optimize(one_of_them, n_trials=12)
    assert all(t.params[edge] == "nor_conv_3x3" for t in study.trials for edge in fixed)
    assert len({function_key(t.params) for t in study.trials}) == 12


def test_nothing_is_guided_where_no_signal_arrives() -> None:
    space = CellSpace(dict.fromkeys(EDGES, ("none",)))
    with pytest.raises(ConfigError, match="in no cell of the search space does the input reach"):
        make_sampler("predictor_guided", {}, seed=0, space=space)


def test_advice_where_another_sampler_serves_better() -> None:
    for name, objectives in (
        ("tpe", 3),
        ("gp", 3),
        ("nsgaiii", 10),
        ("local_search", 1),
        ("random", 1),
    ):
        assert advice(name, objectives) is None
    for name, objectives, better in (
        ("tpe", 4, "nsgaiii"),
        ("gp", 4, "nsgaiii"),
        ("predictor_guided", 2, "nsgaii"),
        ("nsgaii", 1, "predictor_guided"),
    ):
        assert f"'{better}'" in (advice(name, objectives) or "")
        assert advice(better, objectives) is None


@pytest.mark.parametrize(
    ("sampler", "options", "n_trials", "members"),
    [
        ("nsgaii", {}, 12, 4),
        ("nsgaiii", {}, 30, 10),
        ("nsgaii", {}, 150, 50),  # as Optuna's own, for the default number of trials and more
        ("nsgaii", {}, 1000, 50),
        ("nsgaii", {"population_size": 7}, 12, 7),
        ("random", {}, 12, None),
    ],
)
def test_the_first_population_follows_from_the_number_of_trials(
    sampler: str, options: dict, n_trials: int, members: int | None
) -> None:
    study = {"sampler": sampler, "sampler_options": options, "n_trials": n_trials}
    config = parse_config(
        {"study": study, "objectives": {"meco": "maximize", "params": "minimize"}}
    )
    assert population(config) == members
    if members is None or n_trials > 30:
        return
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=sampler_of(config, CellSpace())
    )
    study.optimize(lambda t: (CellSpace().suggest(t).index, t.number), n_trials=n_trials)
    generations = [
        value
        for trial in study.trials
        for key, value in trial.system_attrs.items()
        if key.endswith(":generation")
    ]
    assert generations.count(0) == members
    assert max(generations) >= 1
