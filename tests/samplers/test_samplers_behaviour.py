"""The samplers on small spaces, where what they must do can be worked out by hand."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from zc_search.samplers import portable as samplers
from zc_search.samplers.portable import (
    DistinctSampler,
    LocalSearchSampler,
    RegularizedEvolutionSampler,
)
from zc_search.samplers.portable.memory import Memory, Outcome
from zc_search.samplers.portable.moves import draw, draw_value, is_neighbour, neighbours
from zc_search.samplers.portable.standing import Front, crowding, dominates, standing

CHOICES = ("a", "b", "c", "d", "e")
SPACE = {f"x{i}": CategoricalDistribution(CHOICES) for i in range(3)}
SIZE = len(CHOICES) ** len(SPACE)

Objective = Callable[[Mapping[str, Any]], float | list[float]]
Make = Callable[[int], BaseSampler]

MAKES: dict[str, Make] = {
    "evolution": lambda seed: RegularizedEvolutionSampler(
        population_size=10, tournament_size=3, search_space=SPACE, seed=seed
    ),
    "local search": lambda seed: LocalSearchSampler(search_space=SPACE, seed=seed),
    "distinct": lambda seed: DistinctSampler(
        RandomSampler(seed=seed), search_space=SPACE, seed=seed
    ),
}


def total(params: Mapping[str, Any]) -> float:
    """A hill with one top, at e, e, e."""
    return float(sum(CHOICES.index(value) for value in params.values()))


def both_ways(params: Mapping[str, Any]) -> list[float]:
    return [total(params), -float(CHOICES.index(params["x0"]))]


def run(
    sampler: BaseSampler,
    n_trials: int,
    objective: Objective = total,
    study: optuna.Study | None = None,
) -> optuna.Study:
    directions = ["maximize"] * np.size(objective(dict.fromkeys(SPACE, "a")))
    study = study or optuna.create_study(directions=directions)
    study.sampler = sampler
    for _ in range(n_trials):
        trial = study.ask()
        for name in SPACE:
            trial.suggest_categorical(name, CHOICES)
        study.tell(trial, objective(trial.params))
    return study


def points(study: optuna.Study) -> list[tuple[str, ...]]:
    return [tuple(trial.params[name] for name in SPACE) for trial in study.trials]


# Moves ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_neighbours_are_all_points_one_step_away_each_once(sizes: list[int], seed: int) -> None:
    space = {f"p{i}": CategoricalDistribution(tuple(range(n))) for i, n in enumerate(sizes)}
    rng = np.random.default_rng(seed)
    here = draw(space, rng)
    found = [tuple(point.values()) for point in neighbours(here, space, rng)]
    away = [
        point
        for point in product(*map(range, sizes))
        if sum(a != b for a, b in zip(point, here.values(), strict=True)) == 1
    ]
    assert sorted(found) == sorted(away)


def test_each_parameter_is_equally_likely_to_change_first() -> None:
    space = {"few": CategoricalDistribution((0, 1)), "many": CategoricalDistribution(range(20))}
    rng = np.random.default_rng(0)
    here = {"few": 0, "many": 0}
    changed = Counter(next(neighbours(here, space, rng))["few"] for _ in range(2000))
    assert 900 < changed[1] < 1100


@settings(max_examples=60)
@given(
    st.one_of(
        st.builds(
            IntDistribution,
            low=st.integers(1, 5),
            high=st.integers(5, 200),
            log=st.booleans(),
        ),
        st.builds(
            FloatDistribution,
            low=st.floats(0.5, 1.0),
            high=st.floats(1.0, 50.0),
            log=st.booleans(),
        ),
        st.builds(
            lambda step, count: FloatDistribution(-1.0, -1.0 + count * step, step=step),
            st.sampled_from([0.125, 0.5, 1.0]),
            st.integers(0, 60),
        ),
        st.builds(
            lambda step, count: IntDistribution(-3, -3 + count * step, step=step),
            st.integers(1, 5),
            st.integers(0, 60),
        ),
    ),
    st.integers(0, 2**32 - 1),
)
def test_numbers_stay_in_their_distribution(
    distribution: IntDistribution | FloatDistribution, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = int if isinstance(distribution, IntDistribution) else float
    here = {"x": draw_value(distribution, rng)}
    around = [point["x"] for point in neighbours(here, {"x": distribution}, rng)]
    assert here["x"] not in around
    assert bool(around) == (not distribution.single())
    for value in (here["x"], *around):
        assert type(value) is kind
        assert distribution._contains(distribution.to_internal_repr(value))


def test_log_integers_are_drawn_log_uniformly() -> None:
    distribution = IntDistribution(1, 1000, log=True)
    rng = np.random.default_rng(0)
    drawn = np.array([draw_value(distribution, rng) for _ in range(20_000)])
    edges = np.log([0.5, 10.5, 100.5, 1000.5])
    expected = np.diff(edges) / (edges[-1] - edges[0])
    found, _ = np.histogram(drawn, [0.5, 10.5, 100.5, 1000.5])
    np.testing.assert_allclose(found / 20_000, expected, atol=0.02)


def test_an_unknown_kind_of_distribution_is_refused() -> None:
    with pytest.raises(TypeError, match="no distribution to draw from: 'nonsense'"):
        draw_value("nonsense", np.random.default_rng(0))  # type: ignore[arg-type]


# What all of them promise -----------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_space_is_looked_at_without_repeats_until_there_is_nothing_new(make: Make) -> None:
    study = run(make(0), SIZE + 5)
    assert len(set(points(study)[:SIZE])) == SIZE
    assert len(points(study)) == SIZE + 5


@pytest.mark.parametrize("objective", [total, both_ways], ids=["one", "two objectives"])
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_the_seed_decides(make: Make, objective: Objective) -> None:
    first, again, other = (points(run(make(seed), 40, objective)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_points_of_one_key_count_as_one(make: Make) -> None:
    sampler = make(3)
    sampler._key = lambda params: tuple(sorted(params.values()))  # type: ignore[attr-defined]
    study = run(sampler, 35)
    assert len({tuple(sorted(point)) for point in points(study)}) == 35  # 5 + 20 + 10 multisets


@pytest.mark.parametrize("name", ["evolution", "local search"])
def test_a_sampler_goes_on_after_pickling_and_in_another_process_as_before(name: str) -> None:
    whole = run(MAKES[name](5), 30)
    parts = run(MAKES[name](5), 12)
    run(pickle.loads(pickle.dumps(parts.sampler)), 10, study=parts)
    run(MAKES[name](5), 8, study=parts)
    assert points(parts) == points(whole)


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_threads_do_not_suggest_the_same(make: Make) -> None:
    def objective(trial: optuna.Trial) -> float:
        return total({name: trial.suggest_categorical(name, CHOICES) for name in SPACE})

    study = optuna.create_study(direction="maximize", sampler=make(0))
    study.optimize(objective, n_trials=60, n_jobs=4)
    assert len(set(points(study))) == 60


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_what_other_workers_have_under_way_is_not_suggested(make: Make) -> None:
    study = run(make(0), 0)
    trials = [study.ask(dict(SPACE)) for _ in range(60)]
    assert len({tuple(trial.params.items()) for trial in trials}) == 60
    study.sampler = make(0)  # a worker that has not asked for those itself
    trials += [study.ask(dict(SPACE)) for _ in range(40)]
    assert len({tuple(trial.params.items()) for trial in trials}) == 100


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_failed_and_pruned_points_are_not_suggested_again(make: Make) -> None:
    study = run(make(0), 0)
    for number in range(100):
        trial = study.ask(dict(SPACE))
        match number % 3:
            case 0:
                study.tell(trial, state=TrialState.FAIL)
            case 1:
                study.tell(trial, state=TrialState.PRUNED)
            case 2:
                study.tell(trial, total(trial.params))
    assert len(set(points(study))) == 100


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_every_trial_is_read_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[int] = Counter()
    learn = Memory._learn

    def counting(self: Memory, trial: optuna.trial.FrozenTrial) -> None:
        read[trial.number] += 1
        learn(self, trial)

    monkeypatch.setattr(Memory, "_learn", counting)
    run(make(0), 50)
    assert read == Counter(range(49))  # the last one is finished when nobody asks any more


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_without_a_space_it_is_what_the_trials_have_in_common(make: Make) -> None:
    sampler = make(0)
    sampler._space = None  # type: ignore[attr-defined]
    study = run(sampler, 60)
    assert len(set(points(study))) == 60


# Standing ---------------------------------------------------------------------------------------


def outcome(*losses: float, violation: float = 0.0) -> Outcome:
    return Outcome({}, np.array(losses), violation)


def is_better(one: Outcome, other: Outcome) -> bool:
    """Constrained domination, said plainly."""
    if one.violation or other.violation:
        return one.violation < other.violation
    pairs = list(zip(one.losses, other.losses, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)),
        min_size=1,
        max_size=25,
    )
)
def test_ranks_are_those_of_a_naive_count(rows: list[tuple[int, int, int, int]]) -> None:
    outcomes = [outcome(*map(float, row[:3]), violation=float(row[3])) for row in rows]
    left, ranks, rank = set(range(len(rows))), {}, 0
    while left:
        front = {i for i in left if not any(is_better(outcomes[j], outcomes[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    places = standing(outcomes)
    assert sorted(places) == list(range(len(rows)))
    in_order = sorted(range(len(rows)), key=lambda i: places[i])
    assert [ranks[i] for i in in_order] == sorted(ranks.values())


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=25
    )
)
def test_a_front_is_what_nothing_dominates(rows: list[tuple[int, int, int]]) -> None:
    front = Front()
    outcomes = [outcome(float(a), float(b), violation=float(v)) for a, b, v in rows]
    for place, new in enumerate(outcomes):
        assert front.dominates(new) == any(is_better(old, new) for old in outcomes[:place])
        if not front.dominates(new):
            front.add(new)
    undominated = [o for o in outcomes if not any(is_better(other, o) for other in outcomes)]
    assert [id(member) for member in front.members] == [id(o) for o in undominated]


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 2)), min_size=1, max_size=20))
def test_one_objective_is_ordered_by_violation_then_value_then_age(
    rows: list[tuple[int, int]],
) -> None:
    outcomes = [outcome(float(loss), violation=float(v)) for loss, v in rows]
    order = sorted(range(len(rows)), key=lambda i: (rows[i][1], rows[i][0] * (not rows[i][1]), -i))
    assert [standing(outcomes)[i] for i in order] == list(range(len(rows)))


def test_crowding_by_hand() -> None:
    losses = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    np.testing.assert_allclose(crowding(losses), [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, np.inf])
    assert np.isinf(crowding(np.array([[1.0, np.inf], [2.0, -np.inf]]))).all()


def test_feasible_comes_before_infeasible() -> None:
    pairs = (
        (outcome(9.0), outcome(0.0, violation=0.1), True),
        (outcome(9.0, violation=0.1), outcome(0.0, violation=0.2), True),
        (outcome(1.0, 2.0), outcome(2.0, 1.0), False),
        (outcome(1.0), outcome(1.0), False),
    )
    for one, other, better in pairs:
        found = dominates(one.losses, one.violation, other.losses, other.violation)
        assert found == is_better(one, other) == better


# Regularized evolution --------------------------------------------------------------------------


def evolution(**options: Any) -> RegularizedEvolutionSampler:
    defaults = {"population_size": 8, "tournament_size": 8, "search_space": SPACE, "seed": 0}
    return RegularizedEvolutionSampler(**{**defaults, **options})


def test_the_child_differs_in_one_edge_from_the_best_of_the_young() -> None:
    study = run(evolution(), 60)
    trials = study.trials
    for number in range(8, 60):
        young = trials[number - 8 : number]
        best = max(young, key=lambda t: (t.value, t.number))
        child = trials[number].params
        if not is_neighbour(child, best.params, SPACE):
            near = [t.params for t in trials[:number]]
            assert all(point in near for point in neighbours(best.params, SPACE, RNG))


RNG = np.random.default_rng(0)


def test_the_oldest_dies_however_good() -> None:
    # Nothing comes near the first trial's value, and it leaves with the ninth.
    study = run(evolution(), 0)
    for number in range(30):
        trial = study.ask(dict(SPACE))
        study.tell(trial, 1e6 if number == 0 else float(number))
    for trial in study.trials[9:20]:
        latest = study.trials[trial.number - 1]
        assert is_neighbour(trial.params, latest.params, SPACE)


def test_a_small_tournament_lets_others_than_the_best_have_children() -> None:
    study = run(evolution(tournament_size=1), 0)
    for number in range(40):
        study.tell(study.ask(dict(SPACE)), float(number))
    of_the_best = [
        is_neighbour(trial.params, study.trials[trial.number - 1].params, SPACE)
        for trial in study.trials[9:]
    ]
    assert 0 < sum(of_the_best) < 20


def test_warm_up_starts_from_the_best_scored() -> None:
    scored: list[tuple[str, ...]] = []

    def score(params: Mapping[str, Any]) -> float:
        scored.append(tuple(params.values()))
        return total(params)

    study = run(evolution(score=score, warmup=40), 8)
    assert len(scored) == len(set(scored)) == 40
    best = sorted((total(dict(zip(SPACE, p, strict=True))) for p in scored), reverse=True)[:8]
    assert [trial.value for trial in study.trials] == best


def test_moves_take_the_best_scored_neighbour_and_tables_serve_as_scores() -> None:
    table = {p: float(p.count("c")) for p in product(CHOICES, repeat=3) if p[0] != "e"}
    study = run(evolution(score=table, moves=1000), 9)
    best = max(study.trials[:8], key=lambda t: (t.value, t.number))
    tried = [t.params for t in study.trials[:8]]
    open_to_it = [p for p in neighbours(best.params, SPACE, RNG) if p not in tried]
    child = tuple(study.trials[8].params.values())
    assert table.get(child, -np.inf) == max(
        table.get(tuple(p.values()), -np.inf) for p in open_to_it
    )


def test_a_score_that_is_no_number_is_the_least() -> None:
    def score(params: Mapping[str, Any]) -> float:
        return float("nan") if params["x0"] == "e" else total(params)

    study = run(evolution(score=score, warmup=60), 8)
    assert all(trial.params["x0"] != "e" for trial in study.trials)


def test_infeasible_members_are_parents_only_of_last_resort() -> None:
    study = run(evolution(), 0)
    for _ in range(50):
        trial = study.ask(dict(SPACE))
        trial.set_constraint("not a", 1.0 if "a" in trial.params.values() else 0.0)
        study.tell(trial, -total(trial.params))  # what is best breaks the constraint
    late = study.trials[20:]
    assert sum("a" in t.params.values() for t in late) < len(late) / 2
    for trial in late:
        young = study.trials[trial.number - 8 : trial.number]
        feasible = [t.params for t in young if t.constraints["not a"] <= 0]
        assert any(is_neighbour(trial.params, parent, SPACE) for parent in feasible)


def test_several_objectives_are_traded_off() -> None:
    found = run(evolution(population_size=20, tournament_size=5), 110, both_ways)
    front = {tuple(t.values) for t in found.best_trials}
    assert front == {(8.0 + x, -float(x)) for x in range(5)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 1, "tournament_size": 1}, "population_size=1: Allowed: at least 2"),
        ({"tournament_size": 0}, "tournament_size=0: Allowed: at least 1"),
        ({"tournament_size": 9}, "tournament_size=9 is more than population_size=8"),
        ({"warmup": 5}, "warmup=5 needs a score to choose by"),
        ({"moves": 2}, "moves=2 needs a score to choose by"),
        ({"moves": 0}, "moves=0: Allowed: at least 1"),
        ({"warmup": -1}, "warmup=-1: Allowed: at least 0"),
    ],
)
def test_wrong_arguments_of_evolution_are_explained(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evolution(**options)


# Local search -----------------------------------------------------------------------------------


def test_a_hill_is_climbed_without_a_step_aside() -> None:
    study = run(LocalSearchSampler(search_space=SPACE, seed=1), 40)
    best = study.trials[0]
    for trial in study.trials[1:]:
        assert is_neighbour(trial.params, best.params, SPACE)
        if trial.value > best.value:
            best = trial
        if best.value == 12.0:
            return
    pytest.fail("the top was not reached")


def test_from_a_top_the_search_begins_anew() -> None:
    study = run(LocalSearchSampler(search_space=SPACE, seed=0), 0)
    for number in range(20):
        study.tell(study.ask(dict(SPACE)), -float(number))
    top, *around, anew = (trial.params for trial in study.trials[:14])
    assert len(around) == 12
    assert all(is_neighbour(params, top, SPACE) for params in around)
    assert not is_neighbour(anew, top, SPACE)
    assert all(is_neighbour(trial.params, anew, SPACE) for trial in study.trials[14:])


def test_a_better_point_from_elsewhere_is_where_it_goes_on() -> None:
    study = run(LocalSearchSampler(search_space=SPACE, seed=0), 1, lambda params: 0.0)
    far = {name: "e" if study.trials[0].params[name] != "e" else "d" for name in SPACE}
    study.enqueue_trial(far)
    run(study.sampler, 1, lambda params: 5.0, study)
    run(study.sampler, 5, lambda params: 1.0, study)
    for trial in study.trials[2:]:
        assert is_neighbour(trial.params, far, SPACE)


def test_a_worse_point_from_elsewhere_is_let_be() -> None:
    study = run(LocalSearchSampler(search_space=SPACE, seed=0), 1, lambda params: 9.0)
    home = study.trials[0].params
    study.enqueue_trial({name: "e" if home[name] != "e" else "d" for name in SPACE})
    run(study.sampler, 6, lambda params: 1.0, study)
    for trial in study.trials[2:]:
        assert is_neighbour(trial.params, home, SPACE)


def test_several_objectives_are_searched_from_the_whole_front() -> None:
    study = run(LocalSearchSampler(search_space=SPACE, seed=0), 90, both_ways)
    assert {tuple(t.values) for t in study.best_trials} == {(8.0 + x, -float(x)) for x in range(5)}


# Distinct ---------------------------------------------------------------------------------------


class Stubborn(BaseSampler):
    """Says the same, whatever happens."""

    def infer_relative_search_space(self, study, trial):  # type: ignore[no-untyped-def]
        return dict(SPACE)

    def sample_relative(self, study, trial, search_space):  # type: ignore[no-untyped-def]
        return dict.fromkeys(SPACE, "c")

    def sample_independent(self, study, trial, param_name, param_distribution):  # type: ignore[no-untyped-def]
        raise AssertionError("all parameters are known")


def test_a_stubborn_sampler_gets_what_is_nearest() -> None:
    study = run(DistinctSampler(Stubborn(), search_space=SPACE, attempts=2, seed=0), 20)
    steps = [sum(value != "c" for value in point) for point in points(study)]
    assert steps == sorted(steps)
    assert steps[:14] == [0] + 12 * [1] + [2]


def test_a_sampler_that_finds_new_points_itself_is_left_alone() -> None:
    plain, wrapped = RandomSampler(seed=5), DistinctSampler(RandomSampler(seed=5), seed=1)
    both = [points(run(sampler, 10)) for sampler in (plain, wrapped)]
    assert len(set(both[0])) == 10
    assert both[0] == both[1]


def test_tpe_repeats_itself_and_distinct_tpe_does_not() -> None:
    plain = run(TPESampler(seed=0), 60)
    distinct = run(DistinctSampler(TPESampler(seed=0), search_space=SPACE, seed=0), 60)
    assert len(set(points(plain))) < 55
    assert len(set(points(distinct))) == 60
    assert distinct.best_value == 12.0


def test_distinct_hands_on_what_it_does_not_decide() -> None:
    calls: list[str] = []

    class Listening(RandomSampler):
        def reseed_rng(self) -> None:
            calls.append("reseed")

        def before_trial(self, study: Any, trial: Any) -> None:
            calls.append("before")

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            calls.append("after")

    sampler = DistinctSampler(Listening(), search_space=SPACE)
    sampler.reseed_rng()
    run(sampler, 1)
    assert calls == ["reseed", "before", "after"]
    assert str(sampler) == "DistinctSampler(Listening)"


def test_distinct_is_asked_at_least_once() -> None:
    with pytest.raises(ValueError, match="attempts=0: Allowed: at least 1"):
        DistinctSampler(RandomSampler(), attempts=0)


@pytest.mark.thorough
def test_the_example_of_the_page_runs_wherever_the_folder_is_copied_to(tmp_path: Path) -> None:
    folder = Path(samplers.__file__).parent
    shutil.copytree(folder, tmp_path / "copied")
    example = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    example = example.replace("import optunahub\n", "import copied as package\n")
    example = re.sub("package = .*\n", "", example)
    loaded = "import sys; print([m for m in sys.modules if m.startswith('zc_search')])"
    (tmp_path / "example.py").write_text(f"{example}\n{loaded}")
    said = subprocess.run(
        [sys.executable, "-W", "error", tmp_path / "example.py"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    *best, modules = said.stdout.split("\n")[:5]
    assert [line.split(": ")[1] for line in best] == [f"{3 * 2**0.5:.3f}"] * 4  # two of each
    assert modules == "[]"


def test_the_folder_needs_numpy_and_optuna_alone(tmp_path: Path) -> None:
    shutil.copytree(Path(samplers.__file__).parent, tmp_path / "copied")
    program = (
        "import sys, copied; print([m for m in sys.modules "
        "if m.split('.')[0] in ('zc_search', 'sklearn', 'scipy', 'pandas')])"
    )
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"
