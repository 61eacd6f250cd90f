"""What there is: benchmarks and how to have them, an architecture and all that is known of it."""

from pathlib import Path
from typing import NamedTuple

from zc_search.benchmarks import BENCHMARKS, Benchmark
from zc_search.benchmarks.nasbench201 import PackagedNASBench201
from zc_search.benchmarks.registry import SOURCES, third_party
from zc_search.benchmarks.trial_benchmark import HYPERPARAMETERS, TrialBenchmark
from zc_search.benchmarks.trial_metrics import SPLITS
from zc_search.errors import BenchmarkError
from zc_search.images.datasets import DATASETS
from zc_search.spaces import AnyArchitecture, Architecture


class Listed(NamedTuple):
    """A benchmark in the list.

    Attributes:
        name: As in `open_benchmark`.
        title: What its authors call it.
        space: Its search space.
        here: Whether it can be opened now.
        knows: What it has.
        datasets: The data sets it can be opened for.
        file: Where its converted table lies, or None.
        use: How to use it, or None while it is not here.
        next_step: What to do to have it, or None.
    """

    name: str
    title: str
    space: str
    here: bool
    knows: str
    datasets: tuple[str, ...]
    file: str | None
    use: str | None
    next_step: str | None


def list_all() -> list[Listed]:
    """Return every benchmark, those of packages first."""
    listed = [
        Listed(
            name,
            "NAS-Bench-201, packaged",
            name,
            True,
            "validation accuracy after 200 epochs of 2 or 3 seeds, training time, latency, size",
            ("cifar10", "cifar100", "ImageNet16-120"),
            None,
            f"benchmark.name = {name!r}, while no file of it is in {third_party()}",
            None,
        )
        for name in BENCHMARKS
    ]
    for source in SOURCES.values():
        table = source.converted
        listed.append(
            Listed(
                source.name,
                source.title,
                source.space,
                table is not None,
                source.knows,
                source.datasets,
                None if table is None else str(table),
                None if table is None else f"benchmark.path = {str(table)!r}, or -b {source.name}",
                source.next_step if table is None else None,
            )
        )
    return listed


def file_to_convert() -> Path:
    """Return the first benchmark file in ``third_party`` that has not been converted yet.

    Raises:
        BenchmarkError: There is none; what could be there.
    """
    for source in SOURCES.values():
        if source.original is not None and source.converted is None:
            return source.original
    known = ", ".join(file.name for source in SOURCES.values() for file in source.files)
    raise BenchmarkError(
        f"no benchmark file to convert in {third_party()}; name one, or put one there: {known}"
    )


def show_architecture(
    benchmark: Benchmark, architecture: AnyArchitecture
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return a row for each data set and budget, and what is the same for all.

    Raises:
        BenchmarkError: The benchmark holds nothing of the architecture.
    """
    rows = []
    for opened in _on_every_dataset(benchmark):
        budgets = opened.budgets if isinstance(opened, TrialBenchmark) else (None,)
        for epochs in budgets:
            try:
                result = opened.query(architecture, epochs=epochs)
            except BenchmarkError:
                continue
            row = {
                "data set": opened.dataset,
                "epochs": str(result.epochs),
                "seeds": str(result.seeds),
            }
            for split in ("train", "val", "test"):
                shown = [result.get(f"{split}_accuracy"), result.get(f"{split}_loss")]
                row[f"{split} %, loss"] = ", ".join(f"{v:.2f}" for v in shown if v is not None)
            latency = result.get("latency_seconds")
            row["ms"] = "" if latency is None else f"{latency * 1000:.1f}"
            rows.append(row)
    if not rows:
        raise BenchmarkError(f"the benchmark holds nothing of {architecture}")
    return rows, _facts(benchmark, architecture)


def network_config(architecture: Architecture, dataset: str) -> dict[str, str | int]:
    """Return the network's configuration as the benchmark's ``get_net_config`` gives it.

    `zc_search.build_network` builds that network.

    Raises:
        BenchmarkError: An unknown data set.
    """
    if dataset not in SPLITS:
        raise BenchmarkError(f"dataset={dataset!r}: Allowed: {', '.join(SPLITS)}")
    return {
        "name": "infer.tiny",
        "C": 16,
        "N": 5,
        "arch_str": str(architecture),
        "num_classes": DATASETS[dataset].classes,  # type: ignore[index]
    }


def _on_every_dataset(benchmark: Benchmark) -> list[Benchmark]:
    if isinstance(benchmark, TrialBenchmark):
        opened = []
        for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
            try:
                opened.append(type(benchmark)(benchmark.path, dataset))
            except BenchmarkError:  # none was trained on it
                continue
        return list(opened)
    if isinstance(benchmark, PackagedNASBench201):
        return [PackagedNASBench201(name) for name in ("cifar10", "cifar100", "ImageNet16-120")]
    return [benchmark]


def _facts(benchmark: Benchmark, architecture: AnyArchitecture) -> dict[str, str]:
    facts = {"number": f"{benchmark.index(architecture):,} of {len(benchmark):,}"}
    mean = benchmark.query(architecture)
    if "model_size" in mean:
        facts["parameters"] = f"{mean['model_size']:.6g} million"
    if "model_flops" in mean:
        facts["FLOPs"] = f"{mean['model_flops']:.6g} million"
    if isinstance(architecture, Architecture):
        config = network_config(architecture, benchmark.dataset)
        facts["network"] = ", ".join(
            f"{key} {value}" for key, value in config.items() if key != "arch_str"
        )
        facts["trained with"] = ", ".join(
            f"{key} {value}" for key, value in HYPERPARAMETERS.items()
        )
    return facts | {"source": benchmark.provenance}
