"""The note that a study carries: the answer in Markdown, above whatever a user writes below."""

import re
from collections.abc import Mapping

import optuna

from zc_search.report.answer import Answer, Fact
from zc_search.report.tables import short
from zc_search.study.result import SearchResult

END = "*zc-search renews what stands above this line; what you write below it stays.*"
"""The last line of what is written here."""


def write_note(
    study: optuna.Study, result: SearchResult, found: Answer, links: Mapping[str, str]
) -> None:
    """Write or renew the study's note; what a user wrote is kept.

    Args:
        study: Of the search.
        result: What it found.
        found: See `zc_search.report.answer.answer`.
        links: Paths on the dashboard's server to files of the run, by name.
    """
    from optuna_dashboard import get_note, save_note

    before = get_note(study)
    _, ours, users = before.partition(END)
    users = (users if ours else before).strip()
    save_note(study, f"{note(result, found, links)}\n\n{END}\n\n{users}".rstrip())


def note(result: SearchResult, found: Answer, links: Mapping[str, str]) -> str:
    """Return the answer as Markdown."""
    parts = [f"# {_plain(found.heading)}"]
    if found.architecture is not None:
        parts.append(f"**{_plain(short(found.architecture))}**")
        parts.append(f"`{found.architecture}`")
    parts.append(_plain(found.summary))
    parts.append("\n".join(map(_line, (*found.facts, *found.effort))))
    if found.caveats:
        parts.append("## Before you believe it")
        parts.append("\n".join(f"- {_plain(text)}" for text in found.caveats))
    if result.notes:
        parts.append("## What was noticed")
        parts.append("\n".join(f"- {_plain(text)}" for text in result.notes))
    parts.append("## Everything else")
    listed = [f"[{name}]({path})" for name, path in links.items()]
    parts.append(
        " and ".join(listed)
        + f" open here if the dashboard was started with `zc-search dashboard {result.folder}`; "
        f"all files are in `{result.folder.resolve()}`."
    )
    return "\n\n".join(part for part in parts if part)


def _line(fact: Fact) -> str:
    return f"- {_plain(fact.name)}: **{_plain(fact.value)}**" + (
        f", {_plain(fact.note)}" if fact.note else ""
    )


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", text)
