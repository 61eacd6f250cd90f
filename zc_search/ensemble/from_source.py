"""An ensemble fitted to a run or a scores file, with a record of all that it rests on."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zc_search.benchmarks import Benchmark
from zc_search.config import Config
from zc_search.ensemble.accuracies import (
    hide_all_but,
    open_accuracies,
    provenance,
    with_accuracies,
)
from zc_search.ensemble.compatibility import check_definitions, setting_differences
from zc_search.ensemble.fitted import Ensemble
from zc_search.ensemble.fitting import fit_ensemble
from zc_search.ensemble.sources import COMPARED, Source, load_source, same_dataset
from zc_search.ensemble.tables import select_rows
from zc_search.errors import EnsembleError, unknown_name


@dataclass(frozen=True)
class Request:
    """What an ensemble is to be fitted to.

    Attributes:
        proxies: Columns to use; None for those of the settings, or all that the source has.
        accuracies: How many accuracies, drawn at random, may be looked at; None for all.
        seed: Of the draw.
        dataset: Whose accuracies; None for the data set that was scored for.
        judge_on: A scores file or run that judges too; see `fit_ensemble`.
    """

    proxies: tuple[str, ...] | None = None
    accuracies: int | None = None
    seed: int = 0
    dataset: str | None = None
    judge_on: Path | None = None


def fit_source(source: Source, config: Config, request: Request | None = None) -> Ensemble:
    """Fit an ensemble to a source.

    It is judged by cross-validation and, where there are architectures with accuracies that it
    was not fitted to, on these: those not drawn, the trials beside the front, or ``judge_on``.

    Args:
        source: See `load_source`.
        config: Its sections ``ensemble`` and ``benchmark`` count; see `with_settings`.
        request: What to fit to.

    Raises:
        EnsembleError: As `fit_ensemble`, an unknown proxy, or no accuracies to be had.
        BenchmarkError: A benchmark, data set or metric that cannot be had.
    """
    request = request or Request()
    proxies = chosen_proxies(source, request.proxies or config.ensemble.proxies)
    target = config.benchmark.metric
    benchmark = open_accuracies(source, config, request.dataset)
    table = known = with_accuracies(source.table, benchmark, target)
    fit_on: str = config.ensemble.fit_on
    drawn: dict[str, Any] = {}
    if request.accuracies is not None:
        table = hide_all_but(known, proxies, target, request.accuracies, request.seed)
        fit_on = "all"
        drawn = {"accuracies_drawn": {"number": request.accuracies, "seed": request.seed}}
    rows, fitted_on, _ = select_rows(table, proxies, target, fit_on)
    judge_on, name = None, ""
    other = load_source(request.judge_on) if request.judge_on is not None else None
    if other is not None:
        chosen_proxies(other, proxies)
        judge_on, name = with_accuracies(other.table, benchmark, target), other.path.name
    elif drawn:
        judge_on, name = known, f"{source.path.name}, whose accuracies were not looked at"
    elif fitted_on == "pareto":
        judge_on, name = known, f"{source.path.name}, beside its front"
    ensemble = fit_ensemble(
        table,
        proxies,
        target=target,
        model=config.ensemble.model,
        feature_set=config.ensemble.features,
        fit_on=fit_on,
        folds=config.ensemble.folds,
        repeats=config.ensemble.repeats,
        seed=config.ensemble.seed,
        directions=source.directions,
        metadata={**provenance(benchmark, rows), **drawn, **describe(source, proxies)},
        judge_on=judge_on,
        judge_on_name=name,
    )
    notes = [*ensemble.notes, *cautions(source, benchmark)]
    if other is not None:
        if not same_dataset(other.dataset, benchmark.dataset):
            notes.append(
                f"Judged on scores computed for {other.dataset}, by accuracies on "
                f"{benchmark.dataset}."
            )
        notes += check_definitions(ensemble, other.definitions)
        notes += setting_differences(ensemble, other.settings, other.path.name)
    return ensemble.model_copy(update={"notes": notes})


def chosen_proxies(source: Source, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the proxies to use, by default all of a source.

    Raises:
        EnsembleError: The source has no proxy of such a name.
    """
    for name in names or ():
        if name not in source.proxies:
            raise EnsembleError(f"{source.path}: {unknown_name('proxy', name, source.proxies)}")
    return names or source.proxies


def describe(source: Source, proxies: tuple[str, ...]) -> dict[str, Any]:
    """Return what an ensemble should remember of the scores that it is fitted to."""
    definitions = source.definitions
    recorded = ("space.name", "space.dataset", *COMPARED)
    return {
        "scores": {
            "name": source.path.resolve().name,
            **{key: source.settings.get(key) for key in recorded},
            "data.fingerprint": source.settings.get("data.fingerprint"),
        },
        "definitions": None
        if definitions is None
        else {proxy: definitions[proxy] for proxy in proxies if proxy in definitions},
        "zc_search": version("zc-search"),
    }


def cautions(source: Source, benchmark: Benchmark) -> list[str]:
    """Say what else a user should know of the scores."""
    notes = []
    if not same_dataset(source.dataset, benchmark.dataset):
        notes.append(
            f"Scores computed for {source.dataset}, accuracies on {benchmark.dataset}: a transfer."
        )
    dead = int((~source.table["feasible"].eq(True)).sum()) if "feasible" in source.table else 0
    if dead:
        notes.append(
            f"{dead} of {len(source.table)} rows of {source.path.name} are infeasible and took no "
            "part: as a rule the input does not reach the output."
        )
    return notes
