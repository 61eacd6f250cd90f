"""One more process for a study that another began: its settings come from the study itself."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from zc_search._utils.plugins import is_plugin
from zc_search._utils.text import versions
from zc_search.config import Config, ensemble_file
from zc_search.config.settings import tables
from zc_search.errors import StudyError
from zc_search.study.objective import Objective
from zc_search.study.record import OnTrial
from zc_search.study.storage import CONFIG, VERSIONS, begun_with, open_storage, open_study, run_path
from zc_search.study.trials import run_trials

logger = logging.getLogger("zc_search")

OnJoined = Callable[[Config, int], None]
"""Called with a study's settings and the number of its trials, before the first one is scored."""


class Local(NamedTuple):
    """What depends on the machine that joins, and not on the study; None is as the study says."""

    workers: int = 1
    device: str | None = None
    images: str | None = None  # their folder


def join_study(
    address: str,
    name: str,
    sampler_of: Callable[..., BaseSampler],
    *,
    local: Local | None = None,
    allow_code: bool = False,
    own: Config | None = None,
    on_joined: OnJoined = lambda config, trials: None,
    on_trial: OnTrial = lambda number, record: None,
) -> int:
    """Work on a study until it has its trials; return how many of them are finished.

    Code that the study names is loaded where `allow_code` says so, or where the user's `own`
    settings, which must be the study's, name it too. A StudyError is raised where this
    installation would score otherwise: another version, other images, proxies or accuracies.
    """
    storage = open_storage(address, own.study.patience if own else 60.0, create=False)
    theirs, begun_by = _settings(storage, name)
    _refuse_other_version(name, begun_by)
    if own is None and not allow_code and (code := custom_code(theirs)):
        message = f"study {name!r} names code: {', '.join(code)}; if you trust it, add --allow-code"
        raise StudyError(message, key="--allow-code", given=code)
    objective = Objective(_settled(own or theirs, local or Local()))
    sampler = sampler_of(objective.config, objective.space, objective.refuses)
    study = open_study(objective, storage, sampler, own or theirs)
    objective.keep_in(run_path(objective.config))
    on_joined(objective.config, len(study.get_trials(deepcopy=False)))
    run_trials(study, objective, on_trial)
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _settings(storage: BaseStorage, name: str) -> tuple[Config, dict[str, str]]:
    """Read from a study its settings and the versions that it was begun with."""
    studies = {study.study_name: study for study in optuna.get_all_study_summaries(storage)}
    if not studies:
        raise StudyError(f"the storage has no study yet; begin {name!r} with `zc-search`")
    if name not in studies:
        raise StudyError.unknown("study", name, studies)
    attributes = studies[name].user_attrs
    if not isinstance(attributes.get(CONFIG), str):
        raise StudyError(f"study {name!r} is not of zc-search, or just being begun")
    return begun_with(name, attributes), attributes.get(VERSIONS, {})


def _refuse_other_version(name: str, begun_by: dict[str, str]) -> None:
    here = versions("torch")
    there = begun_by.get("zc-search", "of an unknown version")
    if there != here["zc-search"]:
        message = f"study {name!r} was begun by zc-search {there}, here is {here['zc-search']}"
        raise StudyError(f"{message}: install the same, for the scores to be comparable")
    if begun_by.get("torch") != here["torch"]:
        message = "study %r was begun with torch %s, here is %s: scores agree to float tolerance"
        logger.warning(message, name, begun_by.get("torch"), here["torch"])


def _settled(config: Config, local: Local) -> Config:
    """Return a study's settings as they are on this machine."""
    here = {
        ("study", "workers"): local.workers,
        ("proxies", "device"): local.device,
        ("data", "path"): local.images,
    }
    sections = {
        name: getattr(config, name).model_copy(update={key: value})
        for (name, key), value in here.items()
        if value is not None
    }
    return config.model_copy(update=sections)


_PLACES = ("study.name", "study.storage", "data.path", "benchmark.path", "output.folder")


def custom_code(config: Config) -> list[str]:
    """Return the names in a configuration at which code would be loaded, ``module:attribute``."""
    named = (
        text
        for section, table in tables(config).items()
        for key, value in table.items()
        if f"{section}.{key}" not in _PLACES
        for text in _texts([key, value])
    )
    # Options may stand behind a proxy's name, in brackets.
    code = (t for t in named if is_plugin(t.partition("[")[0]) and not ensemble_file(t))
    return [*dict.fromkeys(code)]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
