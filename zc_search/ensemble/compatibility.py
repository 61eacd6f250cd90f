"""Whether an ensemble may be applied to a table: same space and proxies, unseen or not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from zc_search.ensemble.fitted import Ensemble
from zc_search.ensemble.sources import COMPARED, same_dataset
from zc_search.ensemble.tables import function_keys
from zc_search.errors import EnsembleError, nearest
from zc_search.spaces import Architecture, CellSpace


def scores_of(ensemble: Ensemble) -> dict[str, Any]:
    """Return what an ensemble recorded of the scores that it was fitted to, by dotted key.

    Files from before ``space.name`` was recorded have it where it can be told.
    """
    found = ensemble.metadata.get("scores")
    recorded = found if isinstance(found, dict) else {}
    of_cells = ensemble.features.cell or ensemble.fitted_to is not None
    return ({"space.name": CellSpace.name} if of_cells else {}) | recorded


def check_space(ensemble: Ensemble, space: str, where: str) -> None:
    """Check that the architectures of a search space have the features that an ensemble needs.

    Args:
        ensemble: To be applied.
        space: ``space.name`` of what it is to be applied to.
        where: What has that setting, for the message.

    Raises:
        EnsembleError: An ensemble with features of the cell or flow, and a space without cells.
    """
    if ensemble.features.cell and space != CellSpace.name:
        raise EnsembleError(
            f"{where}: space.name = {space!r}, but the ensemble has features of the cell or flow "
            f"({ensemble.feature_set}), which only cells of NAS-Bench-201 have; Allowed: "
            f"space.name = {CellSpace.name!r}, or an ensemble without +cell and +flow"
        )


def check_proxies(ensemble: Ensemble, present: Sequence[str], where: str) -> None:
    """Check that all proxies of an ensemble are there.

    Args:
        ensemble: To be applied.
        present: Names of the proxies, or of a table's columns.
        where: What has them, for the message.

    Raises:
        EnsembleError: One is missing; the message names the nearest one.
    """
    missing = [proxy for proxy in ensemble.proxies if proxy not in present]
    if missing:
        close = nearest(missing[0], present)
        hint = f"did you mean {close!r}? " if close else ""
        raise EnsembleError(
            f"{where} lacks {', '.join(missing)}, which the ensemble was fitted to; {hint}"
            f"it has: {', '.join(present)}"
        )


def check_definitions(ensemble: Ensemble, definitions: Mapping[str, str] | None) -> list[str]:
    """Check that the proxies mean what they meant when the ensemble was fitted.

    Args:
        ensemble: To be applied; its own are in ``metadata["definitions"]``.
        definitions: By proxy, a text that is the same where values are comparable; None where
            the scores do not say.

    Returns:
        A sentence if some could not be checked, because one side does not say.

    Raises:
        EnsembleError: Two definitions of one proxy differ.
    """
    found = ensemble.metadata.get("definitions")
    recorded = {k: str(v) for k, v in found.items()} if isinstance(found, dict) else None
    return compare_definitions(ensemble.proxies, recorded, definitions, "ensemble")


def compare_definitions(
    proxies: Sequence[str],
    fitted: Mapping[str, str] | None,
    now: Mapping[str, str] | None,
    fitted_to: str,
) -> list[str]:
    """Compare the definitions of proxies on two sides; see `check_definitions`.

    Args:
        proxies: Those that must agree.
        fitted: Definitions on the side that is fitted to.
        now: Definitions on the other side.
        fitted_to: What the first side is, in a word.

    Raises:
        EnsembleError: Two definitions of one proxy differ.
    """
    fitted, now = fitted or {}, now or {}
    for proxy in proxies:
        if proxy in fitted and proxy in now and fitted[proxy] != now[proxy]:
            raise EnsembleError(
                f"proxy {proxy!r} is not the one that was fitted to: its definition was "
                f"{fitted[proxy]!r}, and is {now[proxy]!r} now; score the architectures as then, "
                "or fit anew"
            )
    unchecked = [p for p in proxies if p not in fitted or p not in now]
    if not unchecked:
        return []
    silent = f"{fitted_to} does" if any(p not in fitted for p in unchecked) else "scores do"
    return [
        f"The {silent} not say how {', '.join(unchecked)} "
        f"{'is' if len(unchecked) == 1 else 'are'} defined, so it could not be checked that the "
        "proxies mean the same as in the fit."
    ]


def setting_differences(ensemble: Ensemble, settings: Mapping[str, Any], name: str) -> list[str]:
    """Say in which settings scores differ from those that an ensemble was fitted to.

    Args:
        ensemble: To be applied; for its own see `scores_of`.
        settings: Those of the scores, by dotted key; see `settings_of`.
        name: What to call the scores.
    """
    return compare_settings(scores_of(ensemble), settings, name)


def compare_settings(
    fitted: Mapping[str, Any], settings: Mapping[str, Any], name: str
) -> list[str]:
    """Say whether space, data set and settings in `COMPARED` differ; see `setting_differences`.

    What one side does not say, or a search space does not have, is no difference.
    """
    differing = [
        key
        for key in ("space.name", "space.dataset", *COMPARED)
        if fitted.get(key) is not None
        and settings.get(key) is not None
        and not _agree(key, fitted[key], settings[key])
    ]
    notes = []
    if "space.name" in differing:
        differing.remove("space.name")
        notes.append(
            f"Another search space: fitted to architectures of {fitted['space.name']}, and those "
            f"of {name} are of {settings['space.name']}. Whether the order carries over is not "
            f"known; predicted percentages and their intervals are those of {fitted['space.name']}."
        )
    if differing:
        found = [f"{key} {settings[key]!r} (fitted with {fitted[key]!r})" for key in differing]
        notes.append(
            f"Scores of {name} are computed otherwise than those fitted to: {', '.join(found)}. "
            "Values may lie elsewhere, and predictions with them."
        )
    return notes


def _agree(key: str, one: Any, other: Any) -> bool:
    if key == "space.dataset":
        return same_dataset(str(one), str(other))
    return bool(one == other)


def in_sample(ensemble: Ensemble, table: pd.DataFrame) -> npt.NDArray[np.bool_] | None:
    """Return which rows are, or compute the function of, an architecture fitted to.

    None where it is not known which those were.

    Raises:
        EnsembleError: The table says neither architectures nor functions.
    """
    if ensemble.fitted_to is None:
        return None
    fitted = [Architecture.from_index(index) for index in ensemble.fitted_to]
    known = np.isin(function_keys(table), [cell.function_key for cell in fitted])
    if "architecture" in table:
        known |= table["architecture"].isin([str(cell) for cell in fitted]).to_numpy(dtype=bool)
    return known
