"""From what a user names, a run's folder or a storage, to what the dashboard shows."""

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from zc_search._utils.passwords import without_passwords
from zc_search.config import Config, load_config
from zc_search.errors import StudyError, ZcSearchError
from zc_search.report import load_result
from zc_search.report.dashboard.dressing import ARTIFACTS, dress_study
from zc_search.report.dashboard.storage import open_storage
from zc_search.study.run_folder import RunFolder, storage_url
from zc_search.study.storage import journal_path


@dataclass(frozen=True)
class Opened:
    """A storage, and what to say of it.

    Attributes:
        storage: The storage.
        shown: Its address, without a password.
        studies: The numbers that Optuna gave its studies, by name.
        artifacts: Folder of files that the studies refer to, if there is one.
        said: What a user should know, a sentence each.
    """

    storage: BaseStorage
    shown: str
    studies: dict[str, int]
    artifacts: Path | None = None
    said: tuple[str, ...] = ()


def open_source(source: str) -> Opened:
    """Open a run's folder or a storage; the study of a finished run is dressed anew.

    Args:
        source: Path of a folder or of a journal, or URL of a storage.

    Raises:
        StudyError: There is no such run or storage, or it cannot be read.
        ConfigError: The run's ``config.toml`` is of another version.
    """
    if "://" in source or journal_path(source) is not None:
        storage = open_storage(source)
        return Opened(storage, without_passwords(source), _studies(storage))
    folder = Path(source)
    if folder.is_file():
        raise StudyError(
            f"{source!r} is a file: name the run's folder, {str(folder.parent)!r}, "
            f"or a storage as a URL, 'sqlite:///{source}'"
        )
    if not (folder / "config.toml").is_file():
        near = sorted(
            {p.parent for g in ("*", "runs/*") for p in folder.parent.glob(f"{g}/study.db")}
        )
        there = f"; there are {', '.join(map(str, near))}" if near else ""
        raise StudyError(f"{source!r} is no folder of a run: it has no config.toml{there}")
    config = load_config(folder / "config.toml")
    url = storage_url(config, folder)
    storage = open_storage(url)
    studies = _studies(storage)
    if config.study.name not in studies:
        raise StudyError(f"{without_passwords(url)} has no study {config.study.name!r}")
    said = _dress(storage, config, folder)
    kept = folder / ARTIFACTS
    return Opened(
        storage,
        without_passwords(url),
        {config.study.name: studies[config.study.name]},
        kept if kept.is_dir() else None,
        said,
    )


def _studies(storage: BaseStorage) -> dict[str, int]:
    return {study.study_name: study._study_id for study in storage.get_all_studies()}


def _dress(storage: BaseStorage, config: Config, folder: Path) -> tuple[str, ...]:
    """Renew note, figures and artifacts where that can be done; else say why it was not."""
    if not (folder / "manifest.json").exists():
        return ("The search is not finished: note and figures come with its end.",)
    try:
        with RunFolder(folder).locked():
            study = optuna.load_study(study_name=config.study.name, storage=storage)
            dress_study(study, load_result(folder))
    except (ZcSearchError, optuna.exceptions.StorageInternalError) as error:
        first = without_passwords(str(error)).splitlines()[0]
        return (f"Note and figures are those of the last end of the search: {first}",)
    return ()
