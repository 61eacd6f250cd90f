"""Creating a study, or going on with one that is there, if it is the same study."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import count

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from zc_search.config import Config, config_differences, config_to_toml, parse_config
from zc_search.errors import ConfigError, StudyError
from zc_search.samplers import sampler_of
from zc_search.spaces import make_space
from zc_search.study.storage import open_storage

CONFIG = "zc_search_config"
"""The key of the study's user attribute that holds the resolved configuration."""

DATA = "zc_search_data"
"""The key of the study's user attribute that holds the fingerprint of the batch."""

DEFINITIONS = "zc_search_definitions"
"""The key of the one that holds what its proxies mean: name to `Proxy.definition`."""

VERSIONS = "zc_search_versions"
"""The key of the one that holds which versions it was begun with, by package."""


def open_study(
    config: Config,
    storage: str | BaseStorage,
    data_fingerprint: str,
    definitions: Mapping[str, str] | None = None,
) -> Study:
    """Create the study of a configuration, or load it if it was begun.

    Args:
        config: The configuration; its name names the study.
        storage: An Optuna storage, or its address.
        data_fingerprint: Of the batch to be scored.
        definitions: What each proxy means, by name.

    Raises:
        StudyError: The storage cannot be reached; the study there was begun with other settings,
            other data, other proxies of the same names, or by another tool; the sampler cannot be
            made.
    """
    sampler = sampler_of(config, make_space(config.space))
    names = [objective.name for objective in config.active_objectives]
    directions = [objective.direction for objective in config.active_objectives]
    if config.study.sum_objectives:
        names, directions = ["weighted_sum"], ["maximize"]
    if isinstance(storage, str):
        storage = open_storage(storage, config.study.patience)
    study = optuna.create_study(
        study_name=config.study.name,
        storage=storage,
        sampler=sampler,
        directions=directions,
        load_if_exists=True,
    )
    stored = study.user_attrs.get(CONFIG)
    if stored is None:
        if study.get_trials(deepcopy=False):
            raise StudyError(
                f"the storage has a study {config.study.name!r} that zc-search did not make; "
                "choose another study.name"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(names)
        study.set_user_attr(DATA, data_fingerprint)
        study.set_user_attr(DEFINITIONS, dict(definitions or {}))
        study.set_user_attr(VERSIONS, installed_versions())
        study.set_user_attr(CONFIG, config_to_toml(_anywhere(config)))
        return study
    _refuse_differences(config, stored)
    if study.user_attrs.get(DATA) != data_fingerprint:
        raise StudyError(
            f"study {config.study.name!r} was begun with other images (fingerprint "
            f"{str(study.user_attrs.get(DATA))[:12]}, now {data_fingerprint[:12]}); "
            "go on with the same, or start over with --fresh"
        )
    _refuse_other_definitions(study, definitions or {})
    return study


def set_aside(name: str, storage: str, patience: float = 0.0) -> str | None:
    """Give a study another name, under which it is kept.

    Returns:
        The new name; None where there is no such study.

    Raises:
        StudyError: The storage cannot be reached.
    """
    opened = open_storage(storage, patience)
    names = optuna.get_all_study_names(opened)
    if name not in names:
        return None
    new = next(n for k in count(1) if (n := f"{name}.old-{k}") not in names)
    optuna.copy_study(
        from_study_name=name, from_storage=opened, to_storage=opened, to_study_name=new
    )
    optuna.delete_study(study_name=name, storage=opened)
    return new


def _refuse_other_definitions(study: Study, definitions: Mapping[str, str]) -> None:
    begun_with = study.user_attrs.get(DEFINITIONS, {})
    for name, definition in definitions.items():
        if begun_with.get(name, definition) != definition:
            raise StudyError(
                f"study {study.study_name!r} was begun with another proxy {name!r} "
                f"({begun_with[name]!r}, now {definition!r}): their values cannot be compared; "
                "start over with --fresh, or choose another study.name"
            )


def installed_versions() -> dict[str, str]:
    """Return the versions of what computes scores."""
    return {package: version(package) for package in ("zc-search", "torch")}


def _anywhere(config: Config) -> Config:
    """Return the settings without the storage's address, which is not the same from everywhere."""
    return config.model_copy(update={"study": config.study.model_copy(update={"storage": None})})


def _refuse_differences(config: Config, stored: str) -> None:
    try:
        differences = config_differences(_anywhere(parse_config(stored)), _anywhere(config))
    except ConfigError as error:
        raise StudyError(
            f"study {config.study.name!r} was begun by another version: {error}"
        ) from error
    if differences:
        listed = "".join(f"\n  {line}" for line in differences)
        raise StudyError(
            f"study {config.study.name!r} was begun with other settings:{listed}\n"
            "go on with the old ones, choose another study.name, or start over with --fresh"
        )


def taken_up(study: Study, trials: Iterable[FrozenTrial], parameters: int) -> Iterator[Trial]:
    """Yield trials that were cut off, ready to be asked for parameters and told.

    A trial whose `parameters` are all stored keeps them; the sampler is not asked again, since
    some samplers count how often they were.
    """
    sampler = study.sampler
    for frozen in trials:
        if len(frozen.params) == parameters:
            study.sampler = optuna.samplers.RandomSampler()
        try:
            yield Trial(study, frozen._trial_id)
        finally:
            study.sampler = sampler


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that were told, in order of their numbers."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)
