"""A search file whose one objective is an ensemble's prediction, the user's comments kept."""

from pathlib import Path
from typing import Any

import tomlkit

from zc_search._utils.files import write_atomically
from zc_search.config import ENSEMBLE, Config, config_to_toml, load_config, parse_config
from zc_search.ensemble.compatibility import check_space, setting_differences
from zc_search.ensemble.fitted import Ensemble
from zc_search.ensemble.sources import same_dataset, settings_of
from zc_search.errors import EnsembleError


def write_search_file(
    ensemble: Ensemble, ensemble_file: str | Path, search_file: str | Path, target: str | Path
) -> list[str]:
    """Copy a search file, with the prediction of an ensemble in place of its objectives.

    The objectives so far are recorded only (their scale becomes 0), and what the ensemble needs
    is computed.

    Args:
        ensemble: As loaded from `ensemble_file`.
        ensemble_file: Its path, which goes into the search file as it stands here.
        search_file: What to copy.
        target: Where to; nothing may be there.

    Returns:
        A sentence for each thing a user should know.

    Raises:
        ConfigError: The search file is none.
        EnsembleError: There is something at `target`, or it cannot be written, or the search
            space has no cells, of which the ensemble has features.
    """
    target = Path(target)
    if target.exists():
        raise EnsembleError(f"{target} is there already; name another file with --to")
    config = load_config(search_file)
    check_space(ensemble, config.space.name, str(search_file))
    document = tomlkit.parse(Path(search_file).read_text(encoding="utf-8-sig"))
    if "search" in document:  # MASE's layout has no place for it
        document = tomlkit.parse(config_to_toml(config))
    _edit(document, config, ensemble, f"{ENSEMBLE}{ensemble_file}")
    text = tomlkit.dumps(document)
    parse_config(text, source=str(target))
    try:
        write_atomically(target, text)
    except OSError as error:
        raise EnsembleError(f"{target} cannot be written: {error.strerror}") from error
    return _notes(ensemble, config, str(search_file))


def _edit(document: Any, config: Config, ensemble: Ensemble, name: str) -> None:
    objectives = document.setdefault("objectives", tomlkit.table())
    # By place, as a name in the file may be an alias.
    for key, objective in zip(list(objectives), config.objectives, strict=True):
        if objective.scale and key != name:
            value = tomlkit.inline_table()
            value.update({"direction": objective.direction, "scale": 0})
            objectives[key] = value
    said = f"predicted {ensemble.target}, fitted on {ensemble.metadata.get('dataset', 'unknown')}"
    objectives[name] = tomlkit.item("maximize").comment(said)
    missing = [p for p in ensemble.proxies if p not in config.proxies_to_compute]
    if missing:
        proxies = document.setdefault("proxies", tomlkit.table())
        if "compute" in proxies:
            proxies["compute"].extend(missing)
        else:
            proxies["compute"] = [*config.proxies.compute, *missing]
    study = document.setdefault("study", tomlkit.table())
    study["name"] = f"{config.study.name}-ensemble"
    if config.study.sum_objectives:
        study["sum_objectives"] = False


def _notes(ensemble: Ensemble, config: Config, name: str) -> list[str]:
    notes = []
    fitted = ensemble.metadata.get("dataset")
    if isinstance(fitted, str) and not same_dataset(fitted, config.dataset):
        notes.append(
            f"A transfer: fitted to accuracies on {fitted}, to search on {config.dataset}."
        )
    return notes + setting_differences(ensemble, settings_of(config), name)
