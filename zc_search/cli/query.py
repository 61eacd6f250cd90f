"""``zc-search query``: what a benchmark knows of one architecture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.printing import plain_console, save
from zc_search.errors import ArchitectureError, BenchmarkError

if TYPE_CHECKING:
    from rich.table import Table

    from zc_search.benchmarks import Benchmark
    from zc_search.benchmarks.lookup import Answer
    from zc_search.spaces import AnyArchitecture

Arch = Annotated[str, typer.Argument(help="Its string, its number, or six codes: 3,3,4,1,3,1.")]
BenchmarkName = Annotated[str | None, typer.Option("--benchmark", "-b", help="Name or table.")]
Dataset = Annotated[
    str | None, typer.Option("--dataset", "-d", help="cifar10, or another; a task of TransNAS.")
]
Codes = Annotated[str, typer.Option(help="What six numbers mean: benchmark, mase or naslib.")]


def query(
    arch: Arch,
    benchmark: BenchmarkName = None,
    dataset: Dataset = None,
    split: Annotated[str | None, typer.Option("--split", "-s", help="Such as test.")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "-e", help="By default the longest.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="0, 1, 2, or 777, 888, or random.")] = None,
    after: Annotated[int | None, typer.Option(min=1, help="Look after so many epochs.")] = None,
    curves: Annotated[Path | None, typer.Option(help="CSV file of learning curves.")] = None,
    codes: Codes = "benchmark",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look up what training an architecture gave."""
    from zc_search.benchmarks.lookup import ask

    opened, architecture = look_up(arch, benchmark, dataset, codes)
    which = _seed(seed, opened, architecture, epochs)
    answer = ask(opened, architecture, split=split, epochs=epochs, seed=which, after=after)
    if curves is not None:
        _write_curves(opened, answer, curves)
    if as_json:
        of = {"benchmark": opened.name, "provenance": opened.provenance, "dataset": opened.dataset}
        changed = {"architecture": str(architecture), "after": answer.after or answer.epochs}
        typer.echo(json.dumps(of | vars(answer) | changed, indent=2))
        return
    console = plain_console()
    console.print(str(answer.architecture), soft_wrap=True)
    moment = f"after {answer.after} of" if answer.after else "after"
    place = f"number {answer.index:,} of {len(opened):,}"
    trained = f", {opened.dataset}, {moment} {answer.epochs} epochs" if answer.epochs else ""
    console.print(place + trained)
    console.print(_table(answer, len(opened)))
    console.print(opened.provenance)
    if curves is not None:
        console.print(f"wrote {curves}", soft_wrap=True)


def look_up(
    text: str, benchmark: str | None, dataset: str | None, codes: str
) -> "tuple[Benchmark, AnyArchitecture]":
    """Open the benchmark that is meant, and read the architecture."""
    from zc_search.benchmarks import open_benchmark
    from zc_search.benchmarks.catalogue import source_of, sources
    from zc_search.benchmarks.lookup import find_architecture, space_of
    from zc_search.config.metrics import TABLE_FILES
    from zc_search.spaces.nasbench201.architecture import NOTATIONS

    if codes not in NOTATIONS:
        raise ArchitectureError.unknown("notation", codes, NOTATIONS, key="--codes")
    if benchmark and benchmark.endswith(TABLE_FILES):
        opened = open_benchmark(benchmark, dataset or "cifar10")
        return opened, find_architecture(opened, text, codes)
    path = Path(benchmark) if benchmark and ("/" in benchmark or "." in benchmark) else None
    # where none is named, the architecture's form says of which space it is
    name = source_of(path).name if path is not None else benchmark or space_of(text)
    datasets = next((source.datasets for source in sources(name)), ("cifar10",))
    opened = open_benchmark(name, dataset or datasets[0], path)
    return opened, find_architecture(opened, text, codes)


def _seed(
    seed: str | None, benchmark: "Benchmark", architecture: "AnyArchitecture", epochs: int | None
) -> int | None:
    from random import SystemRandom

    if seed is None:
        return None
    if seed == "random":
        return SystemRandom().randrange(benchmark.query(architecture, epochs=epochs).seeds)
    if not seed.isdecimal():
        raise BenchmarkError(f"--seed {seed!r}: Allowed: a number such as 0 or 777, or random")
    return int(seed)


def _table(answer: "Answer", size: int) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    columns: dict[str, dict[str, str]] = {}
    if answer.metrics:
        columns["mean" if len(answer.seeds) > 1 else "value"] = _texts(answer.metrics)
    if not answer.metrics or len(answer.seeds) > 1:
        columns |= {f"seed {name}": _texts(figures) for name, figures in answer.seeds.items()}
    if answer.ranks:
        partial = min(answer.among.values()) < size
        columns["rank"] = {
            metric: f"{rank:,}" + (f" of {answer.among[metric]:,}" if partial else "")
            for metric, rank in answer.ranks.items()
        }
    for heading in columns:
        table.add_column(heading, justify="right")
    for metric in answer.metrics or next(iter(answer.seeds.values()), {}):
        table.add_row(metric, *(column.get(metric, "") for column in columns.values()))
    return table


def _texts(figures: dict[str, float]) -> dict[str, str]:
    return {name: f"{v:,.5g}" if abs(v) < 1000 else f"{v:,.0f}" for name, v in figures.items()}


def _write_curves(benchmark: "Benchmark", answer: "Answer", path: Path) -> None:
    """Write an epoch a row, a metric a column: the mean of the seeds, or the one asked for."""
    import pandas as pd

    if not benchmark.has_curves:
        raise BenchmarkError(f"--curves: {benchmark.name} has no learning curves here")
    named = None if answer.metrics else int(next(iter(answer.seeds)))
    metrics = answer.metrics or next(iter(answer.seeds.values()))
    table = pd.DataFrame(
        {
            metric: benchmark.curve(answer.architecture, metric, seed=named, epochs=answer.epochs)
            for metric in metrics
            if not metric.startswith(("latency_", "model_"))
        },
        index=pd.RangeIndex(1, answer.epochs + 1, name="epoch"),
    )
    save(path, table.to_csv())
