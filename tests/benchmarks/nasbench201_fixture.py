"""Benchmark files as their authors' packages write them, with made-up figures.

Structure as in the real files: the 12-epoch trainings in the newer form (every split after every
epoch, measured times), the 200-epoch ones in the older form (some splits after the last epoch only,
times filled in afterwards), latencies that NumPy averaged.
"""

import bz2
import hashlib
import pickle
import random
from collections import OrderedDict
from functools import lru_cache
from itertools import product
from pathlib import Path

import nas_201_api
import nats_bench
import numpy as np
import torch

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CLASSES = {"cifar10-valid": 10, "cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
IMAGES = {"cifar10-valid": 25_000, "cifar10": 50_000, "cifar100": 50_000, "ImageNet16-120": 151_700}
SPLITS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("ori-test", "x-valid", "x-test"),
    "ImageNet16-120": ("ori-test", "x-valid", "x-test"),
}
SEEDS = (777, 888, 999)


@lru_cache
def official_strings() -> tuple[str, ...]:
    """The benchmark's own order: the lexicographic one, shuffled with Python's seed 88."""
    cells = list(product(OPERATIONS, repeat=6))
    random.Random(88).shuffle(cells)  # noqa: S311
    return tuple("|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*cell) for cell in cells)


def _result(package, rng, text, dataset, seed, epochs, old, state_dict=None):
    def curve(low, high):
        return OrderedDict((epoch, rng.uniform(low, high)) for epoch in range(epochs))

    config = {
        "channel": 16,
        "num_cells": 5,
        "arch_str": "".join(text),
        "class_num": CLASSES[dataset],
    }
    params, flop = rng.uniform(0.1, 1.5), rng.uniform(8, 220)
    accuracies, losses = curve(10, 99), curve(0.01, 4)
    result = package.ResultsCount(
        dataset, state_dict, accuracies, losses, params, flop, config, seed, epochs, None
    )
    if old:
        for name in SPLITS[dataset]:
            later = name != SPLITS[dataset][0]
            at = [epochs - 1] if later else range(epochs)
            result.update_OLD_eval(
                name,
                {epoch: rng.uniform(10, 95) for epoch in at},
                {epoch: rng.uniform(0.1, 5) for epoch in at},
            )
        return result
    result.update_train_info(curve(10, 99), curve(50, 100), losses, curve(3, 9))
    keys = [f"{name}@{epoch}" for name in SPLITS[dataset] for epoch in range(epochs)]
    result.update_eval(
        {key: rng.uniform(10, 95) for key in keys},
        {key: rng.uniform(0.1, 5) for key in keys},
        {key: rng.uniform(0.5, 2) for key in keys},
    )
    result.update_latency([rng.uniform(0.01, 0.02) for _ in range(3)])
    return result


def arch_infos(package, index, *, budgets=(12, 200), weights=None, text=None):
    """Return the `ArchResults` of one architecture by budget."""
    rng = random.Random(index)  # noqa: S311
    text = text or official_strings()[index]
    seeds = SEEDS[: 1 + index % 3]
    infos = {}
    for epochs in budgets:
        info = package.ArchResults(index, text)
        for dataset in CLASSES:
            for seed in seeds:
                state = weights(dataset) if weights else None
                info.update(
                    dataset,
                    seed,
                    _result(package, rng, text, dataset, seed, epochs, epochs == 200, state),
                )
        infos[epochs] = info
    if 200 in infos:
        for dataset in CLASSES:
            infos[200].reset_latency(dataset, None, np.float64(rng.uniform(0.01, 0.02)))
            infos[200].reset_pseudo_train_times(dataset, None, IMAGES[dataset] / 4000)
            for name in SPLITS[dataset]:
                infos[200].reset_pseudo_eval_times(dataset, None, name, rng.uniform(0.5, 2))
    return infos


def official(indexes, strings=None, weights=None):
    """Return the content of ``NAS-Bench-201-v1_1-096897.pth``, with results of `indexes`."""
    strings = list(strings or official_strings())
    arch2infos = OrderedDict()
    for index in indexes:
        infos = arch_infos(nas_201_api, index, text=strings[index], weights=weights)
        arch2infos[index] = {"full": infos[200].state_dict(), "less": infos[12].state_dict()}
    return {
        "meta_archs": strings,
        "total_archs": len(strings),
        "arch2infos": arch2infos,
        "evaluated_indexes": set(indexes),
    }


def save_named(folder: Path, stem: str, suffix: str, digits: int, write) -> Path:
    """Write a file and put the end of its md5 into its name, as the benchmark's authors do."""
    part = folder / "part"
    write(part)
    md5 = hashlib.md5(part.read_bytes(), usedforsecurity=False).hexdigest()
    return part.rename(folder / f"{stem}-{md5[-digits:]}{suffix}")


def save_official(folder: Path, content, *, zipped=False) -> Path:
    """Write as torch did until version 1.6 and as the benchmark's file is, or zipped."""

    def write(path):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)

    return save_named(folder, "NAS-Bench-201-v1_1", ".pth", 6, write)


def save_simple(folder: Path, indexes) -> Path:
    """Write ``NATS-tss-v1_0-3ffb9-simple``, a file an architecture."""
    root = folder / "NATS-tss-v1_0-3ffb9-simple"
    root.mkdir()
    nats_bench.pickle_save({"meta_archs": list(official_strings())}, root / "meta.pickle")
    for index in indexes:
        infos = arch_infos(nats_bench, index)
        states = {f"{epochs:02d}": info.state_dict() for epochs, info in infos.items()}
        nats_bench.pickle_save(states, root / f"{index:06d}.pickle")
    return root


def save_nats(folder: Path, indexes) -> Path:
    """Write ``NATS-tss-v1_0-3ffb9.pickle.pbz2``, everything in one file."""
    arch2infos = {
        index: {
            f"{epochs:02d}": info.state_dict()
            for epochs, info in arch_infos(nats_bench, index).items()
        }
        for index in indexes
    }
    content = {
        "meta_archs": list(official_strings()),
        "total_archs": 5**6,
        "arch2infos": arch2infos,
        "evaluated_indexes": set(indexes),
    }

    def write(path):
        path.write_bytes(bz2.compress(pickle.dumps(content, 4)))

    return save_named(folder, "NATS-tss-v1_0", ".pickle.pbz2", 5, write)
