"""What is exported: the best network of a run with all that is known of it, or a bare cell."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from zc_search._utils.plugins import is_plugin
from zc_search._utils.text import between, counted
from zc_search.config import Config
from zc_search.deploy.feedback import by_architecture
from zc_search.ensemble.tables import flags
from zc_search.errors import DataError, StudyError
from zc_search.images.datasets import DATASETS, Task, task_of
from zc_search.images.image_set import ImageSet, Learnt
from zc_search.report.run import load_result, read_table
from zc_search.scoring.scorer import open_images
from zc_search.spaces import (
    PLUGIN,
    AnyArchitecture,
    AnySpace,
    CellSpace,
    make_space,
    read_architecture,
)
from zc_search.study.constraints import UNITS
from zc_search.study.training import FOLDER, LEARNT, differing_images, read_results, weights_file


@dataclass(frozen=True)
class Subject:
    """A network to export, and what its model card says of it by heading, ``known``.

    ``mean`` and ``spread`` are of the images trained on, ``values`` what those of an image are
    before: with the classes they belong to the weights, as training kept them. ``weights`` are
    named as in our network; None if it was never trained. ``notes`` are sentences for the user.
    ``scale`` is what a byte of a picture file is multiplied by to be such a value; None where that
    is not known. ``images`` are those trained on, where they are at hand. ``training`` and
    ``measured`` are figures of the training, and costs by proxy, for machines.
    """

    architecture: AnyArchitecture
    config: Config
    task: Task
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    values: str
    weights: Mapping[str, Any] | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scale: float | None = 1.0
    images: ImageSet | None = field(default=None, repr=False, compare=False)
    training: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def raw(self) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
        """What programs take: which values, and their mean and deviation by channel."""
        scale, values = self.scale, "from 0 to 255"
        if scale is None:
            scale, values = 1.0, self.values
        mean, deviation = (tuple(v / scale for v in of) for of in (self.mean, self.spread))
        return values, mean, deviation

    @property
    def limits(self) -> list[tuple[str, str, float, str]]:
        """Constraints asked: the proxy, their name, limit and unit."""
        limits = self.config.constraints.limits
        return [(proxy, name, limit, UNITS[name]) for proxy, (name, limit) in limits.items()]

    def build(self) -> Any:
        """Return the network with fresh weights."""
        sizes = self.config.space.model_dump(include={"channels", "cells"})
        seed = self.config.proxies.seed
        return self.space.build(self.architecture, self.task, seed, **sizes)

    @property
    def space(self) -> AnySpace:
        """Where the architecture comes from."""
        return make_space(self.config.space, self.task)

    @property
    def channels(self) -> int:
        """Width of the first stage."""
        return int(self.config.space.channels or CellSpace.settings["channels"])

    @property
    def cells(self) -> int:
        """Cells a stage."""
        return int(self.config.space.cells or CellSpace.settings["cells"])


def subject_of_cell(text: str, config: Config) -> Subject:
    """Take a cell that was not searched for here, with the sizes of a configuration."""
    return _subject(_cell(text, config), config, {})


def subject_of_run(run: Path, text: str | None = None) -> Subject:
    """Take the best network of a run, or another of its architectures, `text`.

    The best is, of those trained that keep the constraints, the one with the best validation
    accuracy; where nothing was trained, the first of the ranking.
    """
    result = load_result(run)
    folder = result.folder / FOLDER
    results = read_results(folder)
    means = by_architecture(results).sort_values(ascending=False)
    if text is None:
        trained = result.trained
        if trained.empty:
            beyond = set(
                result.trials.loc[~flags(result.trials, "feasible", default=True), "architecture"]
            )
            keeping = [name for name in means.index if name not in beyond] or [*means.index]
            trained = pd.DataFrame({"architecture": keeping}) if keeping else result.ranking
        if trained.empty:
            raise StudyError(f"the run in {str(run)!r} ranks no architecture to export")
        text = str(trained["architecture"].iloc[0])
    cell = _cell(text, result.config)
    scores, refitted = (
        read_table(file) if (file := folder / name).exists() else pd.DataFrame()
        for name in ("scores.csv", "ranking.csv")
    )
    ranking = result.ranking if refitted.empty else refitted
    row = _row(pd.concat([result.trials, scores]), str(cell))
    values = {n: float(row[n]) for n in result.config.proxies_to_compute if n in row}
    known = {
        "Predicted": _predicted(_row(ranking, str(cell)), len(ranking)),
        "Proxies": ", ".join(f"{n} {v:.4g}" for n, v in values.items() if math.isfinite(v)),
    }
    weights, figures = None, {}
    mine = results[results["architecture"] == str(cell)]
    if len(mine):
        best = mine.nlargest(1, "accuracy").iloc[0]
        seed = int(best["seed"])
        figures = {
            "validation_accuracy": float(best["accuracy"]),
            "epochs": int(best["epochs"]),
            "seed": seed,
            "trainings": len(mine),
            "mean_accuracy": float(means[str(cell)]),
        }
        file = weights_file(folder, str(cell), seed)
        weights = torch.load(file, map_location="cpu", weights_only=True)["network"]
        known["Reached"] = _reached(mine, means, str(cell))
    kept = Learnt.read(folder / LEARNT) if weights else None
    subject = _subject(cell, result.config, {k: v for k, v in known.items() if v}, weights, kept)
    costs = {proxy: float(row[proxy]) for proxy in result.config.constraints.limits if proxy in row}
    costs = {proxy: cost for proxy, cost in costs.items() if math.isfinite(cost)}
    return replace(subject, training=figures, measured=costs)


def _subject(
    cell: AnyArchitecture,
    config: Config,
    known: Mapping[str, str],
    weights: Mapping[str, Any] | None = None,
    kept: Learnt | None = None,
) -> Subject:
    if weights is None and not config.data_decides:
        info = DATASETS[config.space.dataset]
        task = task_of(config.space.dataset)
        names = tuple(map(str, range(task.classes)))
        about = (task, names, info.mean, info.std, "from 0 to 1")
        return Subject(cell, config, *about, known=known, scale=1 / 255)
    notes: tuple[str, ...] = ()
    images = None
    try:
        images = open_images(config.data)
        trained_on, _ = images.split(config.data.validation, config.data.seed)
        learnt = Learnt.of(images, trained_on)
        if kept is not None and kept.fingerprint != learnt.fingerprint:
            notes = (f"The images are not those trained on: {differing_images(kept, learnt)}.",)
    except DataError as error:
        if kept is None:
            raise
        notes = (f"The images trained on are no longer there ({error}).",)
    if notes:
        images = None
        notes = (f"{notes[0]} Classes and normalisation are those of the weights.",)
    own = kept or learnt
    known = {**known, "Data": own.described}
    names, scales = own.class_names, (own.mean, own.spread, own.values)
    scale = _scale(config.data.source, own.values, images)
    return Subject(cell, config, own.task, names, *scales, weights, known, notes, scale, images)


def _scale(source: str, values: str, images: ImageSet | None) -> float | None:
    """Return what a byte of a picture is multiplied by to be a value of the images trained on."""
    if values == "from 0 to 255":
        return 1.0
    if source == "digits":
        return 16 / 255  # its white
    shares = images is not None and images.pixels.min() >= 0 and images.pixels.max() <= 1
    return 1 / 255 if shares else None


def _cell(text: str, config: Config) -> AnyArchitecture:
    architecture = read_architecture(text)
    searched = config.space.name
    if architecture.space not in ([PLUGIN] if is_plugin(searched) else [searched, CellSpace.name]):
        raise StudyError(f"{text!r} is of {architecture.space}, and space.name = {searched!r}")
    return architecture


def _row(table: pd.DataFrame, text: str) -> dict[str, Any]:
    """Return the first row of an architecture; nothing if there is none."""
    rows = table if table.empty else table[table["architecture"] == text]
    return {str(key): value for key, value in rows.iloc[0].items()} if len(rows) else {}


def _predicted(row: Mapping[str, Any], count: int) -> str:
    """Say where a ranking of so many has an architecture, by its row; nothing without one."""
    if not row:
        return ""
    place = f"place {row['predicted_rank']} of {count:,} ranked"
    if "prediction" not in row:
        transfer = "an ensemble fitted on another data set, a transfer"
        return f"{place} by {transfer if 'transferred' in row else 'the accuracy-free aggregate'}"
    interval = between(row["low"], row["high"])
    place += f", predicted {row['prediction']:.2f} %" + (f" (90 %: {interval})" if interval else "")
    in_sample = row.get("in_sample") in (True, "True")
    return place + ", in-sample: the ensemble was fitted to its accuracy too" * in_sample


def _reached(mine: pd.DataFrame, means: pd.Series, text: str) -> str:
    """Say what the exported weights reached, which are of the best training of several."""
    epochs, trainings = int(mine["epochs"].max()), len(mine)
    of = f"the best of {trainings} trainings, {means[text]:.2f} % on average"
    said = f"{mine['accuracy'].max():.2f} % of the validation images after "
    said += f"{counted(epochs, 'epoch')}, {of if trainings > 1 else 'one training'}"
    if first := len(means) > 1 and means.index[0] == text:
        said += f"; the best of the {len(means)} networks trained"
    if first or trainings > 1:
        said += "; chosen by these same images, so expect a little less on new ones"
    return said
