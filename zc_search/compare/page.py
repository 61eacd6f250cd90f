"""The page of a comparison of search algorithms: what they find, and for what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from zc_search.compare.figures import search_drawings
from zc_search.report import style
from zc_search.report.page import panel, render

if TYPE_CHECKING:
    from zc_search.compare.outcomes import Outcomes


def render_searches(
    outcomes: Outcomes,
    *,
    name: str,
    rules: Sequence[str],
    settings: Mapping[str, Mapping[str, str]],
) -> str:
    """Return the page of a comparison, which loads nothing from anywhere.

    Args:
        outcomes: All its tables.
        name: What it is called.
        rules: What a reader must know before believing it, one sentence each.
        settings: Option by option, section by section.
    """
    panels: dict[str, list[Any]] = {}
    for drawing in search_drawings(outcomes):
        panels.setdefault(drawing.id.partition("-")[2], []).append(panel(drawing))
    datasets = [str(dataset) for dataset in dict.fromkeys(outcomes.summary["dataset"])]
    return render(
        "searches.html.j2",
        title=name,
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
        rules=rules,
        settings=settings,
    )


def answer(summary: pd.DataFrame, dataset: str) -> str:
    """Say in a sentence who found most on a data set, and how soon."""
    own = summary[summary["dataset"] == dataset].sort_values(
        ["mean", "nearly_accuracies"], ascending=[False, True]
    )
    best = own.iloc[0]
    text = f"{best['algorithm']} found {best['mean']:.2f} % on average"
    if best["accuracies"]:
        text += f" with {best['accuracies']:.0f} accuracies"
    text += f", and the optimum in {_share(best['optimum'], best['seeds'])} seeds"
    if not pd.isna(best["nearly_accuracies"]):
        text += f"; half of them had 99.9 % of it after {best['nearly_accuracies']:.0f}"
    return text + "."


def shown_summary(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return a data set's results as a reader wants them: texts, the best mean first."""
    own = summary[summary["dataset"] == dataset].sort_values("mean", ascending=False)
    shown = pd.DataFrame(index=own["algorithm"])
    shown["looked at"] = [f"{n:.0f}" for n in own["accuracies"]]
    shown["mean"] = _with_deviations(own["mean"], own["sd"])
    shown["median [middle half]"] = [
        f"{row.median_} [{row.low_}, {row.high_}]"
        for row in own.assign(
            median_=own["median"].map("{:.2f}".format),
            low_=own["low"].map("{:.2f}".format),
            high_=own["high"].map("{:.2f}".format),
        ).itertuples()
    ]
    if "test_mean" in own:
        shown["test"] = _with_deviations(own["test_mean"], own["test_sd"])
    shown["optimum"] = [f"{100 * share:.0f} %" for share in own["optimum"]]
    shown["99.9 % of it"] = [f"{100 * share:.0f} %" for share in own["nearly"]]
    shown["after accuracies"] = own["nearly_accuracies"].map(_count).to_list()
    shown["after seconds"] = own["nearly_seconds"].map(_count).to_list()
    for column in own.columns[own.columns.str.startswith("at ")]:
        shown[column] = own[column].map(_percent).to_list()
    return shown


def _with_deviations(means: pd.Series, deviations: pd.Series) -> list[str]:
    """Return texts; of one search there is no deviation."""
    return [
        f"{mean:.2f}" + ("" if pd.isna(sd) else f" \N{PLUS-MINUS SIGN} {sd:.2f}")
        for mean, sd in zip(means, deviations, strict=True)
    ]


def _share(share: float, seeds: int) -> str:
    return f"{round(share * seeds)} of {seeds}"


def _count(value: float) -> str:
    return "\N{EN DASH}" if pd.isna(value) else f"{value:,.0f}"


def _percent(value: float) -> str:
    return "\N{EN DASH}" if pd.isna(value) else f"{value:.2f}"
