"""The page of a comparison of search algorithms: what they find, and for what price."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from zc_search._utils.text import counted
from zc_search.compare.figures import search_drawings
from zc_search.compare.outcomes import Outcomes
from zc_search.compare.run import SPACE, ZERO_COST, algorithms_of, table_of
from zc_search.compare.settings import Comparison
from zc_search.report import style
from zc_search.report.page import panel, render
from zc_search.samplers import FLOW_AGGREGATE, gather

_SIGNIFICANT = 0.05
_RULES = (
    "An accuracy costs the training of one run over 200 epochs, in the seconds that the benchmark "
    "measured; a cell looked at again costs nothing.",
    "Published results of NAS-Bench-201 at 12,000 s (CIFAR-10: random search 90.93 with a standard "
    "deviation of 0.36, regularized evolution 91.19 with 0.31) are of searches that trained for 12 "
    "epochs and were guided by the accuracy after those, which the packaged table does not have. "
    "12,000 s of such trainings are as many trainings as 200,000 s of 200 epochs.",
    "Two cells that compute the same function count as one: no search looks at both, where it is "
    "not set to distinct = false.",
    "What predictors see of a cell's flow, width and noise of their models, and how far they trust "
    "them, were chosen on these tables, mostly on CIFAR-10: on another benchmark they may do less "
    "well.",
)


def render_searches(outcomes: Outcomes, comparison: Comparison) -> str:
    """Return the page of a comparison, which loads nothing from anywhere."""
    panels: dict[str, list[Any]] = {}
    for drawing in search_drawings(outcomes):
        panels.setdefault(drawing.id.partition("-")[2], []).append(panel(drawing))
    datasets = [str(dataset) for dataset in dict.fromkeys(outcomes.summary["dataset"])]
    return render(
        "searches.html.j2",
        title=comparison.compare.name,
        data={
            "name": "searches",
            "templates": {"light": style.LIGHT, "dark": style.DARK},
            "brighter": style.BRIGHTER,
        },
        sections=[
            {
                "dataset": dataset,
                "id": dataset.lower(),
                "answer": answer(outcomes.summary, dataset),
                "table": shown_summary(outcomes.summary, dataset),
                "panels": panels[dataset.lower()],
            }
            for dataset in datasets
        ],
        rules=rules(comparison),
        settings={
            "Every search": {key: _written(value) for key, value in comparison.compare},
            "Algorithms": {
                label: ", ".join(f"{key} = {value}" for key, value in options.items()) or "defaults"
                for label, options in comparison.algorithms.items()
            },
        },
    )


def _written(value: object) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def answer(summary: pd.DataFrame, dataset: str) -> str:
    """Say in a sentence who found most on a data set, and how soon."""
    own = summary[summary["dataset"] == dataset].sort_values(
        ["mean", "nearly_accuracies"], ascending=[False, True]
    )
    best = own.iloc[0]
    text = f"{best['algorithm']} found {best['mean']:.2f} % on average"
    if best["accuracies"]:
        text += f" with {best['accuracies']:.0f} accuracies"
    text += (
        f", and the optimum in {round(best['optimum'] * best['seeds'])} of {best['seeds']} seeds"
    )
    if not pd.isna(best["nearly_accuracies"]):
        text += f"; half of them had 99.9 % of it after {best['nearly_accuracies']:.0f}"
    return text + "."


def shown_summary(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return a data set's results as a reader wants them: texts, the best mean first."""
    own = summary[summary["dataset"] == dataset].sort_values("mean", ascending=False)
    own = own.set_index("algorithm")
    shares = (100 * own[["optimum", "nearly"]]).map("{:.0f} %".format)
    middle = own[["median", "low", "high"]].itertuples(index=False)
    shown = own[["accuracies"]].map("{:.0f}".format).set_axis(["looked at"], axis=1)
    shown["mean"] = _with_deviations(own["mean"], own["sd"])
    shown["median [middle half]"] = [f"{m:.2f} [{low:.2f}, {high:.2f}]" for m, low, high in middle]
    if "test_mean" in own:
        shown["test"] = _with_deviations(own["test_mean"], own["test_sd"])
    shown[["optimum", "99.9 % of it"]] = shares
    shown["after accuracies"] = own["nearly_accuracies"].map("{:,.0f}".format)
    shown["after seconds"] = own["nearly_seconds"].map("{:,.0f}".format)
    for column in own.columns[own.columns.str.startswith("at ")]:
        shown[column] = own[column].map("{:.2f}".format)
    return shown.replace("nan", "\N{EN DASH}")


def _with_deviations(means: pd.Series, deviations: pd.Series) -> list[str]:
    """Return texts; of one search there is no deviation."""
    return [
        f"{mean:.2f}" + ("" if pd.isna(sd) else f" \N{PLUS-MINUS SIGN} {sd:.2f}")
        for mean, sd in zip(means, deviations, strict=True)
    ]


def few_seeds(seeds: int) -> list[str]:
    """Say it where no difference between algorithms can be significant, whatever they find."""
    least = min(1.0, 2.0 ** (1 - seeds))  # p of Wilcoxon's test if all seeds agree
    if least <= _SIGNIFICANT:
        return []
    return [
        f"{counted(seeds, 'seed')} cannot show a difference: if all agree, Wilcoxon's test has "
        f"p = {least:.2g}. Run at least 6, and more where there are many algorithms."
    ]


def rules(comparison: Comparison) -> list[str]:
    """Return the rules of a comparison, those that matter most first."""
    race = comparison.compare
    tables = {dataset: table_of(dataset) for dataset in race.datasets}
    test = "test accuracy is that of the cell it chose, and nothing is chosen by it."
    if all(table.test is None for table in tables.values()):
        test = "the packaged table has no test accuracies."
    seen = (
        "the accuracy of one training run of a cell, drawn at random; what it chose is reported "
        "with the mean of all runs."
        if race.one_training
        else "the mean accuracy of a cell's two or three training runs, which is less noisy than "
        "the one run that training would give it."
    )
    return [
        *few_seeds(race.seeds),
        f"A search sees validation accuracies and chooses by them; {test}",
        f"A search sees {seen}",
        *_RULES,
        *(text for dataset in race.datasets for text in _knowledge(comparison, dataset)),
        *(f"{dataset}: {table.benchmark.provenance}" for dataset, table in tables.items()),
    ]


def _knowledge(comparison: Comparison, dataset: str) -> Iterator[str]:
    """Say for each algorithm that knows something beforehand what that is."""
    for algorithm in algorithms_of(comparison, dataset):
        who = f"{algorithm.label} on {dataset}"
        scores = algorithm.options.get("scores")
        if algorithm.kind == ZERO_COST:
            among = ", ".join(algorithm.options.get("aggregate") or FLOW_AGGREGATE)
            source = f"the proxies in {scores}" if scores else f"{among}, which the string says"
            yield f"{who} looks at no accuracy and chooses by {source}."
        elif algorithm.guided:
            options = algorithm.options
            wanted = {"proxies": options.get("proxies"), "among": options.get("aggregate")}
            known = gather(SPACE, scores, cell=options.get("cell", True), **wanted)
            yield f"{who} knows {known.source}, before it looks at an accuracy."
