"""Which class trained networks take for which: a table beside their accuracies."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zc_search.errors import StudyError

FILE = "confusion.csv"
"""Of a training folder."""

COLUMNS = ["architecture", "seed", "split", "true", "predicted", "images"]
"""``split`` is ``validation`` or ``test``; a pair of classes without images is left out, but for
those recognised, so that each class has a row."""


def confusion_rows(matrix: NDArray[np.int64], names: tuple[str, ...], **about: Any) -> pd.DataFrame:
    """Return a row a pair of classes, true and predicted, of a matrix of counts (true, predicted).

    `about` are the first three of `COLUMNS`.
    """
    true, predicted = np.nonzero((matrix > 0) | np.eye(len(names), dtype=bool))
    called = np.array(names, dtype=object)
    pairs = {"true": called[true], "predicted": called[predicted]}
    return pd.DataFrame({**about, **pairs, "images": matrix[true, predicted]})[COLUMNS]


def read_confusion(folder: Path) -> pd.DataFrame:
    """Return the table of a training folder; without rows where there is none."""
    path = folder / FILE
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    try:
        kinds = {"true": str, "predicted": str}  # a class may be called 1, or NA
        return pd.read_csv(path, dtype=kinds, keep_default_na=False, engine="python")[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path} cannot be read: {error}", given=str(path)) from error


def confusion_matrix(table: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return classes in their order, and images by true and predicted class, summed over rows."""
    names = tuple(dict.fromkeys(table["true"]))
    place = {name: number for number, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    where = (table["true"].map(place).to_numpy(int), table["predicted"].map(place).to_numpy(int))
    np.add.at(matrix, where, table["images"].to_numpy(int))
    return names, matrix


def test_accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``accuracy``, in percent of the test images, by architecture and seed; and images."""
    test = table[table["split"] == "test"]
    right = test["images"].where(test["true"] == test["predicted"], 0)
    by = test[["architecture", "seed", "images"]].assign(right=right)
    sums = by.groupby(["architecture", "seed"], sort=False)[["right", "images"]].sum()
    return sums.assign(accuracy=100 * sums["right"] / sums["images"]).reset_index()


def class_accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``images``, ``accuracy`` in percent and ``taken_for`` by class, the worst first.

    ``taken_for`` is the class that its images are most often mistaken for; empty if they never are.
    A class without images is left out.
    """
    names, matrix = confusion_matrix(table)
    images, wrong = matrix.sum(1), matrix - np.diag(np.diag(matrix))
    rows = pd.DataFrame(
        {
            "images": images,
            "accuracy": 100 * np.diag(matrix) / np.maximum(images, 1),
            "taken_for": [names[k] if row[k] else "" for row in wrong for k in [row.argmax()]],
        },
        index=pd.Index(names, name="class"),
    )
    return rows[rows["images"] > 0].sort_values("accuracy", kind="stable")
