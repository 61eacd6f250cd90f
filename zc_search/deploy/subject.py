"""What is exported: the best network of a run with all that is known of it, or a bare cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from zc_search.config import Config
from zc_search.deploy.feedback import by_architecture
from zc_search.deploy.training import FOLDER, read_results, weights_file
from zc_search.errors import StudyError
from zc_search.images.datasets import DATASETS, Task, task_of
from zc_search.report.run import load_result, read_table
from zc_search.scoring.images import open_images
from zc_search.spaces import Architecture, CellSpace, read_architecture


@dataclass(frozen=True)
class Subject:
    """A network to export.

    Attributes:
        architecture: Its cell.
        config: Channels, cells and the settings it was found with.
        task: What it is for.
        class_names: In the order of its outputs.
        mean: Of each channel of the images trained on.
        spread: Their standard deviation.
        values: What the values of an image are before mean and spread are applied.
        weights: Trained ones, named as in our network; None if it was never trained.
        known: What to say of it in the model card, by heading.
    """

    architecture: Architecture
    config: Config
    task: Task
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    values: str
    weights: Mapping[str, Any] | None = None
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Width of the first stage."""
        return int(self.config.space.channels or CellSpace.settings["channels"])

    @property
    def cells(self) -> int:
        """Cells a stage."""
        return int(self.config.space.cells or CellSpace.settings["cells"])


def subject_of_cell(text: str, config: Config) -> Subject:
    """Take a cell that was not searched for here, with the sizes of a configuration.

    Raises:
        ArchitectureError: A text that is no architecture.
        StudyError: One that is no cell of NAS-Bench-201.
        DataError: The images of the configuration cannot be read.
    """
    return _subject(_cell(text), config, {})


def subject_of_run(run: Path, text: str | None = None) -> Subject:
    """Take the best network of a run.

    That is, of those trained, the one with the best validation accuracy; where nothing was
    trained, the first of the ranking.

    Args:
        run: Its folder.
        text: Another architecture of the run to take instead.

    Raises:
        StudyError: No finished run, or one that found nothing.
    """
    result = load_result(run)
    folder = result.folder / FOLDER
    results = read_results(folder)
    means = by_architecture(results).sort_values(ascending=False)
    if text is None:
        if not len(means) and result.ranking.empty:
            raise StudyError(f"the run in {str(run)!r} ranks no architecture to export")
        text = str(means.index[0] if len(means) else result.ranking["architecture"].iloc[0])
    cell = _cell(text)
    scores, refitted = (_table(folder / name) for name in ("scores.csv", "ranking.csv"))
    trials = pd.concat([result.trials, scores], ignore_index=True)
    known = {
        "Predicted": _predicted(result.ranking if refitted.empty else refitted, str(cell)),
        "Proxies": _values(trials, str(cell), result.config.proxies_to_compute),
    }
    weights = None
    mine = results[results["architecture"] == str(cell)]
    if len(mine):
        seed = int(mine.sort_values("accuracy", ascending=False)["seed"].iloc[0])
        file = weights_file(folder, str(cell), seed)
        weights = torch.load(file, map_location="cpu", weights_only=True)["network"]
        known["Reached"] = _reached(mine, means, str(cell))
    return _subject(cell, result.config, {k: v for k, v in known.items() if v}, weights)


def _subject(
    cell: Architecture,
    config: Config,
    known: Mapping[str, str],
    weights: Mapping[str, Any] | None = None,
) -> Subject:
    if weights is None and not config.data_decides:
        info = DATASETS[config.space.dataset]
        task = task_of(config.space.dataset)
        names = tuple(map(str, range(task.classes)))
        return Subject(cell, config, task, names, info.mean, info.std, "from 0 to 1", known=known)
    images = open_images(config.data)
    learnt, _ = images.split(config.data.validation, config.data.seed)
    mean, spread = (tuple(map(float, values)) for values in images.statistics(learnt))
    known = {**known, "Data": images.described()}
    scale = "from 0 to 255" if images.pixels.dtype == np.uint8 else "as in the data"
    names = images.class_names
    return Subject(cell, config, images.task, names, mean, spread, scale, weights, known)


def _cell(text: str) -> Architecture:
    architecture = read_architecture(text)
    if not isinstance(architecture, Architecture):
        raise StudyError(
            f"only cells of NAS-Bench-201 are exported, and {text!r} is of {architecture.space}"
        )
    return architecture


def _table(path: Path) -> pd.DataFrame:
    return read_table(path) if path.exists() else pd.DataFrame(columns=["architecture"])


def _predicted(ranking: pd.DataFrame, text: str) -> str:
    """Say where a ranking has an architecture; nothing if it has not."""
    rows = ranking[ranking["architecture"] == text] if "architecture" in ranking else ranking[:0]
    if not len(rows):
        return ""
    row = rows.iloc[0]
    place = f"place {row['predicted_rank']} of {len(ranking):,} ranked"
    if "prediction" not in row:
        transferred = "transferred" in ranking
        return place + (
            " by an ensemble fitted on another data set, a transfer"
            if transferred
            else " by the accuracy-free aggregate"
        )
    place += f", predicted {row['prediction']:.2f} % (90 %: {row['low']:.2f} to {row['high']:.2f})"
    in_sample = row.get("in_sample") in (True, "True")
    return place + ", in-sample: the ensemble was fitted to its accuracy too" * in_sample


def _values(trials: pd.DataFrame, text: str, proxies: Sequence[str]) -> str:
    rows = trials[trials["architecture"] == text]
    if not len(rows):
        return ""
    values = {name: float(rows[name].iloc[0]) for name in proxies if name in rows}
    return ", ".join(f"{n} {value:.4g}" for n, value in values.items() if math.isfinite(value))


def _reached(mine: pd.DataFrame, means: pd.Series, text: str) -> str:
    """Say what the exported weights reached, which are of the best training of several."""
    epochs, trainings = int(mine["epochs"].max()), len(mine)
    said = (
        f"{mine['accuracy'].max():.2f} % of the validation images after {epochs} "
        f"epoch{'s' * (epochs != 1)}, "
    )
    said += (
        "one training"
        if trainings == 1
        else f"the best of {trainings} trainings, {means[text]:.2f} % on average"
    )
    if first := len(means) > 1 and means.index[0] == text:
        said += f"; the best of the {len(means)} networks trained"
    if first or trainings > 1:
        said += "; chosen by these same images, so expect a little less on new ones"
    return said
