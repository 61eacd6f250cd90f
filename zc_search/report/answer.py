"""What is said of a search: the plan before it; then which architecture, how good, how sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from zc_search._utils.text import amount, counted, without_passwords
from zc_search.config import Config
from zc_search.ensemble.tables import flags
from zc_search.report.run import Trials, as_trials
from zc_search.samplers import advice, population
from zc_search.spaces import compact
from zc_search.study.record import Best, SearchResult, class_accuracies
from zc_search.study.storage import storage_url

if TYPE_CHECKING:
    from zc_search.study import Objective

_RANKED_BY = {"aggregate": "accuracy-free aggregate", "transferred": "ensemble of another data set"}

_COSTS = (
    ("params", "parameters", "M", 1),
    ("flops", "FLOPs", "M", 1),
    ("latency_seconds", "latency of a batch", "ms", 1000),
)

# Before -------------------------------------------------------------------------------------------


def search_plan(objective: Objective, folder: Path) -> dict[str, str]:
    """Return what a search will do: objectives, space, images, sampler, storage, by matter."""
    config, benchmark, space = objective.config, objective.benchmark, objective.space
    active = {o.name: o.direction for o in config.active_objectives}
    recorded = [p.name for p in objective.proxies if p.name not in active]
    summed = " as one weighted sum" if config.study.sum_objectives else ""
    count = "" if space.size is None else f" {space.size:,} architectures,"
    members = population(config)
    generation = "" if members is None else f" with generations of {members}, the first at random"
    channels, cells = config.space.channels, config.space.cells
    width = "" if channels is None else f", {channels} channels, {cells} cells a stage"
    plan = {
        "space": f"{space.name},{count} for {config.dataset}{width}",
        "objectives": ", ".join(f"{name} ({way})" for name, way in active.items()) + summed,
        "recorded": ", ".join(recorded) or "nothing else",
        "data": f"{config.data.batch_size} images from {config.data.source}, "
        f"seed {config.data.seed}",
        "benchmark": benchmark.provenance if benchmark else "none",
        "sampler": f"{config.study.sampler}{generation}, seed {config.study.seed}, "
        + bounds(config),
        "workers": "1, on the cores that are idle; --workers N scores N at once"
        if config.study.workers == 1
        else f"{config.study.workers} processes that share the cores",
        "storage": without_passwords(storage_url(config, folder)),
    }
    if limits := [(k, v) for k, v in config.constraints if v is not None]:
        shown = (f"{k} {v if isinstance(v, str) else amount(v)}" for k, v in limits)
        plan["constraints"] = ", ".join(shown)
    warnings = [advice(config.study.sampler, len(objective.directions))]
    if members is not None and members >= config.study.n_trials:
        warnings.append(
            f"{config.study.sampler} draws its first {members} trials at random, and there are "
            f"{config.study.n_trials}, so that no generation begins; take more trials, or a "
            "smaller study.sampler_options.population_size"
        )
    if any(warnings):
        plan["warning"] = "; ".join(filter(None, warnings))
    if objective.about_images:
        plan["images"] = " ".join(objective.about_images)
    return plan


def bounds(config: Config) -> str:
    """Say when the search ends, and whether it looks at anything twice."""
    study = config.study
    further = {
        "accuracies": study.max_accuracies,
        "trials without a gain": study.stagnation,
        "simulated seconds": study.max_simulated_seconds,
        "seconds": study.timeout,
    }
    limits = [counted(study.n_trials, "trial")]
    limits += [f"{limit:,.9g} {what}" for what, limit in further.items() if limit is not None]
    distinct = ", each function once" if study.distinct else ""
    return ("at most " if len(limits) > 1 else "") + " or ".join(limits) + distinct


# After --------------------------------------------------------------------------------------------


class Fact(NamedTuple):
    """A figure to show in large type."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """What a search found, in words and numbers, and what to know before any of it is believed."""

    heading: str
    architecture: str | None
    """None where no trial was feasible."""
    summary: str
    interval: Mapping[str, float] | None
    """Positions within [0, 100] of ``low, high, predicted, true``; None without a prediction."""
    facts: tuple[Fact, ...]
    effort: tuple[Fact, ...]
    caveats: tuple[str, ...]
    unseen: tuple[Best, ...] = ()
    """The best of the whole space that were not looked at, where that could be ranked."""


def answer(result: SearchResult, held_out: pd.DataFrame | None) -> Answer:
    """Put together what section 1 of the report says, from a result and `held_out_or_none`."""
    trials, best = as_trials(result), result.best
    provenance = accuracy_provenance(result)
    caveats = [f"True accuracies: {provenance}"] if provenance else []
    architecture: str | None
    if len(result.trained):
        heading, architecture, summary = _trained(result)
        best = None
        chosen = "The best of several is chosen by the same validation images that judge it, so "
        caveats = [f"{chosen}expect a little less on new ones.", *caveats]
    elif best is not None:
        heading, architecture = "Best architecture by prediction", best.architecture
        first = f"Of {len(result.ranking):,} functions first of those not looked at. "
        summary = first * bool(result.unseen) + _predicted(best)
        caveats = [_in_sample(best, result, trials, held_out), *_regret(result, trials), *caveats]
    else:
        heading, architecture, summary = _without_prediction(result, trials)
    if architecture is None:
        reasons = trials.table.get("reason", pd.Series(dtype=str)).dropna().value_counts()
        caveats = [f"{count} trials: {reason}" for reason, count in reasons.items()]
    return Answer(
        heading,
        architecture,
        summary,
        _interval(best) if best and best.interval else None,
        _facts(trials, result.ranking, architecture),
        _effort(result, trials),
        tuple(caveats),
        result.unseen,
    )


def trained_rows(result: SearchResult) -> list[dict[str, str]]:
    """Return what was trained as texts by heading, a row an architecture, the best feasible first.

    A cost that is not known is left empty, one that none has is no column.
    """
    if (table := result.trained).empty:
        return []
    columns = {name: table[name].astype(str).tolist() for name in ("group", "architecture")}
    for of, heading in (("accuracy", "accuracy, %"), ("test_accuracy", "test, %")):
        if of in table:
            pairs = table[[of, of.replace("accuracy", "standard_error")]].to_numpy(float)
            columns[heading] = [
                "" if np.isnan(value) else f"{value:.2f} \N{PLUS-MINUS SIGN} {error:.2f}"
                for value, error in pairs
            ]
    costs = {"params": "Mparams", "flops": "MFLOPs"}
    own = result.config.constraints.latency
    costs |= {name: "ms" for name in map(str, table) if "latency" in name or name == own}
    for name, heading in costs.items():
        if name in table:
            columns[heading] = ["" if pd.isna(value) else f"{value:.3g}" for value in table[name]]
    kept = flags(table, "feasible", default=False)
    columns["feasible"] = ["yes" if keeps else "no" for keeps in kept]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def trained_confusion(result: SearchResult) -> pd.DataFrame:
    """Return which class the first of those trained takes for which; no rows where none is known.

    See `zc_search.study.record.read_confusion`.
    """
    table = result.confusion
    if table.empty or result.trained.empty:
        return table.iloc[:0]
    return table[table["architecture"] == str(result.trained["architecture"].iloc[0])]


def worst_classes(result: SearchResult, most: int = 3) -> str:
    """Name the classes that the first of those trained recognises least; empty where unknown."""
    table = trained_confusion(result)
    if table.empty:
        return ""
    rows = class_accuracies(table[table["split"] == "validation"])
    named = [
        f"{name} {row['accuracy']:.0f} % (taken for {row['taken_for']})"
        for name, row in rows[rows["accuracy"] < 100].head(most).iterrows()
    ]
    if not named:
        return "The first recognises every validation image."
    return f"Of {len(rows)} classes the first recognises worst: {', '.join(named)}."


def _trained(result: SearchResult) -> tuple[str, str, str]:
    """Return heading, architecture and summary where some have been trained."""
    first, kept = result.trained.iloc[0], flags(result.trained, "feasible", default=True)
    trainings = int(first["trainings"])
    mean = f", on average of {trainings} trainings" if trainings > 1 else ""
    summary = (
        f"Trained here, it reaches {first['accuracy']:.2f} % of the validation images, with a "
        f"standard error of {first['standard_error']:.2f}{mean} (group: {first['group']}). "
    )
    if not pd.isna(first.get("test_accuracy", math.nan)):
        summary += (
            f"On the test images, which had no part in anything, it reaches "
            f"{first['test_accuracy']:.2f} %, with a standard error of "
            f"{first['test_standard_error']:.2f}. "
        )
    summary += "" if kept[0] else "None of those trained keeps the constraints. "
    summary += "It is what `zc-search export` takes."
    some = " that keep the constraints" if kept[0] and not kept.all() else ""
    heading = f"Best of the {len(kept)} architectures trained{some}"
    return heading, str(first["architecture"]), summary


def accuracy_provenance(result: SearchResult) -> str:
    """Say what the true accuracies are: data, split, epochs, seeds; empty without a benchmark."""
    if result.ensemble is not None and "accuracies" in result.ensemble.metadata:
        return str(result.ensemble.metadata["accuracies"])
    benchmark = result.config.benchmark
    if benchmark.name == "none":
        return ""
    return result.provenance or f"{benchmark.metric} of {benchmark.name}, {result.config.dataset}."


def difference_of_ensembles(result: SearchResult) -> str | None:
    """Say what the two ensembles of a run differ in; None where there are not both."""
    main, front = result.ensemble, result.pareto_ensemble
    if main is None or front is None:
        return None
    basis = "the Pareto front" if main.fit_on == "pareto" else "all distinct trials"
    return (
        f"The ensemble that ranks is {main.model} on {main.feature_set}, fitted to {basis} "
        f"({main.rows}); the ensemble of the front is {front.model} on {front.feature_set}, fitted "
        f"to the {front.rows} Pareto trials alone: its weights describe the front, and elsewhere "
        "it ranks worse."
    )


def duration(seconds: float) -> str:
    """Write a time for people: ``0.4 s``, ``92 s``, ``14 min``, ``3.2 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _predicted(best: Best) -> str:
    within = f", with a 90 % interval from {best.interval} %" if best.interval else ""
    summary = f"The ensemble predicts {best.predicted:.2f} %{within}."
    if best.true is None:
        return summary
    place = ""
    if best.rank is not None and best.out_of is not None:
        share = 100 * best.rank / best.out_of
        named = f"{share:.2g}" if share < 10 else f"{share:.0f}"
        place = f": place {best.rank:,} of {best.out_of:,}, in the best {named} %"
    return f"{summary} Training it really gave {best.true:.2f} %{place}."


def _without_prediction(result: SearchResult, trials: Trials) -> tuple[str, str | None, str]:
    """Return heading, architecture and summary where no ensemble predicts anything."""
    feasible, ranking = trials.feasible, result.ranking
    by = next((name for name in _RANKED_BY if name in ranking), None)
    if by is not None and len(ranking) and "architecture" in feasible:
        first = str(ranking["architecture"].iloc[0])
        if (feasible["architecture"] == first).any():
            return f"First by the {_RANKED_BY[by]}", first, _unchecked(result)
    name = trials.metric or next(iter(trials.objectives), "")
    if {name, "architecture"} <= set(feasible):
        values = trials.costs((name,), feasible)[:, 0]
        if np.isfinite(values).any():
            row = feasible.iloc[int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))]
            really = " %, as training really gave it." if trials.metric else "."
            return (
                f"Best architecture by {'true accuracy' if trials.metric else name}",
                str(row["architecture"]),
                "There is no ensemble, so nothing is predicted. Of the architectures looked at, "
                f"this one has the best {name}: {float(row[name]):.5g}{really}",
            )
    nothing = f"None of the {len(trials.table):,} trials was feasible."
    return "No architecture could be scored", None, nothing


def _unchecked(result: SearchResult) -> str:
    """Say what a ranking without accuracies is worth, before and after training the first few."""
    worth = "The ranking was made without accuracies, so it predicts no percentage"
    if (result.folder / "training" / "notes.json").exists():
        return f"{worth}. The notes say what the first few reached in training."
    where = "On images of your own, " if result.config.data.generated else ""
    return (
        f"{worth}, and it has not been checked. {where}`zc-search train` trains the first few and "
        "random ones, and compares them."
    )


def _in_sample(
    best: Best, result: SearchResult, trials: Trials, held_out: pd.DataFrame | None
) -> str:
    """Say whether the ensemble had seen the accuracy that it predicts."""
    if not best.in_sample:
        return "The ensemble was not fitted to this architecture: its prediction is held out."
    rows = "those" if result.ensemble is None else f"the {result.ensemble.rows}"
    text = (
        f"In-sample: this architecture is among {rows} that the ensemble was fitted to, so its "
        "true accuracy was known to the fit."
    )
    if held_out is None:
        return text
    own = trials.table["architecture"] == best.architecture
    same = held_out["function_key"].isin(trials.table.loc[own, "function_key"])
    unseen = held_out.loc[same & (held_out["how"] == "cross-validated"), "predicted"]
    for predicted in unseen[:1]:
        text += f" Fitted without it, in cross-validation, the prediction was {predicted:.2f} %."
    return text


def _regret(result: SearchResult, trials: Trials) -> list[str]:
    """Say what the best of the accuracies looked at was, if it was another one."""
    best, seen = result.best, result.best_seen
    if trials.metric is None or best is None or best.true is None:
        return []
    top = float(np.nanmax(trials.true(trials.feasible)))
    if top <= best.true:
        return ["No feasible architecture that was looked at has a higher true accuracy."]
    named = ", ".join(filter(None, (compact(seen.architecture), seen.place))) if seen else ""
    return [
        f"The highest true accuracy among the feasible ones looked at is {top:.2f} %"
        f"{f' ({named})' if named else ''}, {top - best.true:.2f} points above this one's."
    ]


def _effort(result: SearchResult, trials: Trials) -> tuple[Fact, ...]:
    table = trials.table
    facts = [Fact("trials", f"{len(table):,}", f"{len(trials.feasible):,} feasible")]
    if "architecture" in table:
        functions = table["function_key"].nunique() if "function_key" in table else 0
        note = f"{functions:,} distinct functions" if functions else ""
        facts.append(Fact("distinct architectures", f"{table['architecture'].nunique():,}", note))
    note = "" if trials.looked_at else "no benchmark"
    facts.append(Fact("accuracies looked at", f"{trials.looked_at:,}", note))
    if len(result.pareto):
        facts.append(Fact("on the Pareto front", f"{len(result.pareto):,}", "distinct functions"))
    if "duration" in table:
        spent = duration(float(np.nansum(trials.numbers("duration"))))
        facts.append(Fact("time", spent, "summed over trials"))
    return tuple(facts)


def _facts(trials: Trials, ranking: pd.DataFrame, architecture: str | None) -> tuple[Fact, ...]:
    tables = [t for t in (trials.feasible, ranking) if "architecture" in t]
    found = [own for t in tables if len(own := t[t["architecture"] == architecture])]
    known = found[0].iloc[0].dropna() if found else pd.Series(dtype=object)
    facts = [
        Fact(name, f"{known[column] * factor:.3g} {unit}")
        for column, name, unit, factor in _COSTS
        if column in known
    ]
    if "train_seconds" in known:
        facts.append(Fact("training", duration(float(known["train_seconds"])), "of this one"))
    return tuple(facts)


def _interval(best: Best) -> dict[str, float]:
    known = {"low": best.low, "high": best.high, "predicted": best.predicted}
    known |= {} if best.true is None else {"true": best.true}
    least, most = min(known.values()), max(known.values())
    pad = 0.08 * (most - least) or 1.0
    width = most - least + 2 * pad
    return {name: round(100 * (value - least + pad) / width, 2) for name, value in known.items()}
