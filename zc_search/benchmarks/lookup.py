"""What a person asks: which benchmarks there are, and all that one knows of an architecture."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zc_search.benchmarks.base import Benchmark, Result
from zc_search.benchmarks.catalogue import SOURCES, folders
from zc_search.benchmarks.packaged import AnalogNASBench, PackagedNASBench201
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.images.datasets import DATASETS
from zc_search.spaces import AnyArchitecture, Architecture, read_architecture

_CODES = re.compile(r"[\[(]?\s*(\d+(?:\s*[, ]\s*\d+)+)\s*[\])]?")
_LONGEST = 4000  # characters; Python reads numbers of no more digits

_TRAINED_WITH = (
    "optimizer SGD, nesterov True, momentum 0.9, weight_decay 0.0005, learning_rate 0.1, "
    "schedule cosine to 0, no warm-up, batch_size 256, criterion cross entropy"
)
"""Every training, whether of 12 or of 200 epochs (Dong and Yang 2020, table 1)."""


@dataclass(frozen=True)
class Answer:
    """What a benchmark knows of an architecture."""

    architecture: AnyArchitecture
    index: int  # its place in the benchmark's own order
    epochs: int  # of the training
    after: int | None  # epochs after which it was looked at; None for the end
    split: str
    metrics: dict[str, float]  # by metric, over the seeds; none where one seed was asked for
    seeds: dict[str, dict[str, float]]  # by the name of the training seed, and metric
    ranks: dict[str, int]  # 1 being best; at the end of the longest training's mean only
    among: dict[str, int]  # of how many that have the metric


def find_architecture(
    benchmark: Benchmark, text: str, notation: str = "benchmark"
) -> AnyArchitecture:
    """Read any space's string, a number in the benchmark's order, or six codes of a `notation`."""
    text = text.strip()
    if len(text) > _LONGEST:
        raise ArchitectureError(f"{len(text):,} characters are no architecture's")
    if text.isdecimal():
        return benchmark.architecture(int(text))
    codes = _CODES.fullmatch(text)
    if codes is None:
        return read_architecture(text)
    return Architecture.from_codes([*map(int, re.findall(r"\d+", codes[1]))], notation)


def space_of(text: str) -> str:
    """Return the search space that an architecture's form means; a number means a cell."""
    text = text.strip()
    if text.isdecimal() or _CODES.fullmatch(text):
        return Architecture.space
    return read_architecture(text).space


def ask(
    benchmark: Benchmark,
    architecture: AnyArchitecture,
    *,
    split: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    after: int | None = None,
) -> Answer:
    """Look everything up that a benchmark knows of an architecture; see `Benchmark.query`."""
    shown = benchmark.metrics if split is None else benchmark.split_metrics(split)

    def look_up(seed: int | None) -> tuple[Result, dict[str, float]]:
        result = benchmark.query(architecture, seed=seed, epochs=epochs, after=after)
        return result, {name: figure for name, figure in result.items() if name in shown}

    mean, means = look_up(None)
    names, by_seed = benchmark.seeds(architecture, mean.epochs), {}
    for at in range(mean.seeds) if seed is None else (seed,):
        result, figures = look_up(at)
        by_seed[str(names[result.seed or 0])] = figures
    means = means if seed is None else {}
    ranked = means if after is None and mean.epochs == benchmark.budgets[-1] else {}
    return Answer(
        mean.architecture,
        benchmark.index(architecture),
        mean.epochs,
        after,
        mean.split,
        means,
        by_seed,
        {name: benchmark.rank(architecture, name) for name in ranked},
        {name: benchmark.known(name) for name in ranked},
    )


def show_architecture(
    benchmark: Benchmark, architecture: AnyArchitecture
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return a row for each data set and budget, and what is the same for all."""
    rows = []
    for dataset in benchmark.datasets:
        with suppress(BenchmarkError):  # none was trained on it
            opened = benchmark.on(dataset)
            for epochs in opened.budgets:
                with suppress(BenchmarkError):
                    rows.append(_row(opened.query(architecture, epochs=epochs)))
    if not rows:
        raise BenchmarkError(f"the benchmark holds nothing of {architecture}")
    facts = {"number": f"{benchmark.index(architecture):,} of {len(benchmark):,}"}
    mean = benchmark.query(architecture)
    for metric, name in (("model_size", "parameters"), ("model_flops", "FLOPs")):
        if metric in mean:
            facts[name] = f"{mean[metric]:.6g} million"
    if isinstance(architecture, Architecture):
        classes = DATASETS[benchmark.dataset].classes  # type: ignore[index]
        facts["network"] = f"name infer.tiny, C 16, N 5, num_classes {classes}"
        facts["trained with"] = _TRAINED_WITH
    return rows, facts | {"source": benchmark.provenance}


def _row(result: Result) -> dict[str, str]:
    row = {"data set": result.dataset, "epochs": str(result.epochs), "seeds": str(result.seeds)}
    for split in ("train", "val", "test"):
        shown = [result.get(f"{split}_accuracy"), result.get(f"{split}_loss")]
        row[f"{split} %, loss"] = ", ".join(f"{v:.2f}" for v in shown if v is not None)
    latency = result.get("latency_seconds")
    return row | {"ms": "" if latency is None else f"{latency * 1000:.1f}"}


def list_all() -> list[dict[str, Any]]:
    """Return every benchmark: what it is and knows, where it is, how to have and use it."""

    def row(of: Any, use: str | None, next_step: str, file: Path | None = None) -> dict[str, Any]:
        return {
            "name": of.name,
            "title": of.title,
            "space": of.space,
            "here": use is not None,
            "knows": of.knows,
            "datasets": of.datasets,
            "file": file and str(file),
            "use": use,
            "next_step": None if use else next_step,
        }

    places = " or ".join(map(str, folders()))
    while_none = f"benchmark.name = 'nasbench201', while no table of it is in {places}"
    analog = f"benchmark.name = {AnalogNASBench.name!r}"
    rows = [
        row(PackagedNASBench201, while_none, ""),
        row(AnalogNASBench, analog if AnalogNASBench.folder() else None, AnalogNASBench.install),
    ]
    for source in SOURCES.values():
        table = source.here
        use = f"benchmark.path = {str(table)!r}, or -b {source.name}" if table else None
        rows.append(row(source, use, source.next_step, table))
    return rows
