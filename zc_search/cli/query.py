"""``zc-search query``: what a benchmark knows of one architecture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.printing import plain_console

if TYPE_CHECKING:
    from rich.table import Table

    from zc_search.benchmarks import Benchmark
    from zc_search.benchmarks.lookup import Answer
    from zc_search.spaces import AnyArchitecture

Arch = Annotated[
    str,
    typer.Argument(
        metavar="ARCH",
        help="Its string, its number in the benchmark's order, or six operations: 3,3,4,1,3,1.",
    ),
]
BenchmarkName = Annotated[
    str | None,
    typer.Option("--benchmark", "-b", help="Name or converted file; see `benchmark list`."),
]
Dataset = Annotated[
    str, typer.Option("--dataset", "-d", help="cifar10, cifar10-valid, cifar100, ImageNet16-120.")
]
Codes = Annotated[
    str, typer.Option("--codes", help="What six numbers mean: benchmark, mase or naslib.")
]


def query(
    arch: Arch,
    benchmark: BenchmarkName = None,
    dataset: Dataset = "cifar10",
    split: Annotated[
        str | None, typer.Option("--split", "-s", help="Only train, val, test, or x-test.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "-e", help="Of the training; by default the longest.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", help="One training: 0, 1, 2, or 777, 888, or random.")
    ] = None,
    after: Annotated[
        int | None, typer.Option("--after", min=1, help="Look after so many epochs of it.")
    ] = None,
    curves: Annotated[
        Path | None, typer.Option("--curves", help="Write the learning curves to this CSV file.")
    ] = None,
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
        typer.echo(json.dumps(_document(opened, answer), indent=2))
        return
    console = plain_console()
    console.print(str(answer.architecture), soft_wrap=True)
    moment = f"after {answer.after} of" if answer.after else "after"
    place = f"number {answer.number:,} of {len(opened):,}"
    console.print(f"{place}, {opened.dataset}, {moment} {answer.epochs} epochs")
    console.print(_table(answer))
    console.print(opened.provenance)
    if curves is not None:
        console.print(f"wrote {curves}", soft_wrap=True)


def look_up(
    text: str, benchmark: str | None, dataset: str, codes: str
) -> "tuple[Benchmark, AnyArchitecture]":
    """Open the benchmark that is meant, and read the architecture."""
    from typing import get_args

    from zc_search.benchmarks import open_benchmark
    from zc_search.benchmarks.catalogue import source_of
    from zc_search.benchmarks.lookup import Notation, find_architecture, space_of
    from zc_search.errors import ArchitectureError

    if codes not in get_args(Notation):
        raise ArchitectureError.unknown("notation", codes, get_args(Notation), key="--codes")
    path = Path(benchmark) if benchmark and ("/" in benchmark or "." in benchmark) else None
    # where none is named, the architecture's form says of which space it is
    name = source_of(path).name if path is not None else benchmark or space_of(text)
    opened = open_benchmark(name, dataset, path)
    return opened, find_architecture(opened, text, codes)  # type: ignore[arg-type]


def _seed(
    seed: str | None, benchmark: "Benchmark", architecture: "AnyArchitecture", epochs: int | None
) -> int | None:
    from random import SystemRandom

    from zc_search.errors import BenchmarkError

    if seed is None:
        return None
    if seed == "random":
        return SystemRandom().randrange(benchmark.query(architecture, epochs=epochs).seeds)
    if not seed.isdecimal():
        raise BenchmarkError(f"--seed {seed!r}: Allowed: a number such as 0 or 777, or random")
    return int(seed)


def _table(answer: "Answer") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    columns: dict[str, dict[str, str]] = {}
    if answer.means:
        columns["mean" if len(answer.seeds) > 1 else "value"] = _texts(answer.means)
    if not answer.means or len(answer.seeds) > 1:
        columns |= {f"seed {name}": _texts(figures) for name, figures in answer.seeds.items()}
    if answer.ranks:
        columns["rank"] = {metric: f"{rank:,}" for metric, rank in answer.ranks.items()}
    for heading in columns:
        table.add_column(heading, justify="right")
    for metric in answer.means or next(iter(answer.seeds.values()), {}):
        table.add_row(metric, *(column.get(metric, "") for column in columns.values()))
    return table


def _texts(figures: dict[str, float]) -> dict[str, str]:
    return {name: f"{v:,.5g}" if abs(v) < 1000 else f"{v:,.0f}" for name, v in figures.items()}


def _document(benchmark: "Benchmark", answer: "Answer") -> dict[str, object]:
    return {
        "benchmark": benchmark.name,
        "provenance": benchmark.provenance,
        "dataset": benchmark.dataset,
        "split": answer.split,
        "architecture": str(answer.architecture),
        "index": answer.number,
        "epochs": answer.epochs,
        "after": answer.after or answer.epochs,
        "metrics": answer.means,
        "seeds": answer.seeds,
        "ranks": answer.ranks,
    }


def _write_curves(benchmark: "Benchmark", answer: "Answer", path: Path) -> None:
    """Write an epoch a row, a metric a column: the mean of the seeds, or the one asked for."""
    import pandas as pd

    from zc_search._utils.files import write_atomically, writing
    from zc_search.errors import BenchmarkError

    if not benchmark.has_curves:
        raise BenchmarkError(f"--curves: {benchmark.name} has no learning curves here")
    named = None if answer.means else int(next(iter(answer.seeds)))
    metrics = answer.means or next(iter(answer.seeds.values()))
    table = pd.DataFrame(
        {
            metric: benchmark.curve(answer.architecture, metric, seed=named, epochs=answer.epochs)
            for metric in metrics
            if not metric.startswith(("latency_", "model_"))
        },
        index=pd.RangeIndex(1, answer.epochs + 1, name="epoch"),
    )
    with writing(str(path), BenchmarkError):
        write_atomically(path, table.to_csv())
