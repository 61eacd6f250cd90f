"""``zc-search query`` and ``benchmark``: what training gave, which tables there are, conversion."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from zc_search._utils.text import counted
from zc_search.cli.printing import AsJson, plain_console, progress_line, save
from zc_search.errors import ArchitectureError, BenchmarkError

if TYPE_CHECKING:
    from rich.console import Group

    from zc_search.benchmarks import Benchmark
    from zc_search.benchmarks.lookup import Answer
    from zc_search.spaces import AnyArchitecture

Arch = Annotated[str, Argument(help="Its string, its number, or six codes: 3,3,4,1,3,1.")]
BenchmarkName = Annotated[str | None, Option("--benchmark", "-b", help="Name or table.")]
Codes = Annotated[str, Option(help="What six numbers mean: benchmark, mase or naslib.")]


def query(
    arch: Arch,
    benchmark: BenchmarkName = None,
    dataset: Annotated[
        str | None, Option("--dataset", "-d", help="cifar10, or another; a task of TransNAS.")
    ] = None,
    split: Annotated[str | None, Option("--split", "-s", help="Such as test.")] = None,
    epochs: Annotated[int | None, Option("--epochs", "-e", help="By default the longest.")] = None,
    seed: Annotated[str | None, Option(help="0, 1, 2, or 777, 888, or random.")] = None,
    after: Annotated[int | None, Option(min=1, help="Look after so many epochs.")] = None,
    curves: Annotated[Path | None, Option(help="CSV file of learning curves.")] = None,
    codes: Codes = "benchmark",
    as_json: AsJson = False,
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
    typer.echo(str(answer.architecture))
    moment = f"after {answer.after} of" if answer.after else "after"
    place = f"number {answer.index:,} of {len(opened):,}"
    trained = f", {opened.dataset}, {moment} {answer.epochs} epochs" if answer.epochs else ""
    console.print(place + trained)
    console.print(_table(answer, len(opened)))
    console.print(opened.provenance)
    if curves is not None:
        typer.echo(f"wrote {curves}")


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
    else:
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


def _table(answer: "Answer", size: int) -> "Group":
    from zc_search.report.text import table

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
    metrics = answer.metrics or next(iter(answer.seeds.values()), {})
    rows = [[m, *(column.get(m, "") for column in columns.values())] for m in metrics]
    return table("", ["metric", *(f">{heading}" for heading in columns)], rows)


def _texts(figures: dict[str, float]) -> dict[str, str]:
    return {name: f"{v:,.5g}" if abs(v) < 1000 else f"{v:,.0f}" for name, v in figures.items()}


def _write_curves(benchmark: "Benchmark", answer: "Answer", path: Path) -> None:
    """Write an epoch a row, a metric a column: the mean of the seeds, or the one asked for."""
    import pandas as pd

    if not benchmark.has_curves:
        raise BenchmarkError(f"--curves: {benchmark.name} has no learning curves here")
    named = None if answer.metrics else int(next(iter(answer.seeds)))
    metrics = answer.metrics or next(iter(answer.seeds.values()))
    curves = {
        metric: benchmark.curve(answer.architecture, metric, seed=named, epochs=answer.epochs)
        for metric in metrics
        if not metric.startswith(("latency_", "model_"))
    }
    save(path, pd.DataFrame(curves, pd.RangeIndex(1, answer.epochs + 1, name="epoch")).to_csv())


# Benchmarks ---------------------------------------------------------------------------------------

benchmark_app = typer.Typer(
    no_args_is_help=True, help="List tabular benchmarks, convert their files, show what they hold."
)


@benchmark_app.command("list")
def list_benchmarks(as_json: AsJson = False) -> None:
    """List the benchmarks: what is here, what each knows, and how to have the others."""
    from rich.padding import Padding
    from rich.text import Text

    from zc_search.benchmarks.lookup import list_all

    listed = list_all()
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    console = plain_console()
    for entry in listed:
        here = "here" if entry["here"] else "not here"
        console.print(Text.assemble((entry["name"], "bold"), f"  {entry['title']}: {here}"))
        lines = {
            "knows": entry["knows"],
            "on": ", ".join(entry["datasets"]),
            "file": entry["file"],
            "use": entry["use"],
            "to have it": entry["next_step"],
        }
        text = "\n".join(f"{key}: {value}" for key, value in lines.items() if value)
        console.print(Padding(Text(text), (0, 0, 1, 2)))


@benchmark_app.command()
def convert(
    file: Annotated[Path | None, Argument(help="By default one in third_party.")] = None,
    to: Annotated[Path | None, Option(help="The table; by default beside FILE.")] = None,
) -> None:
    """Convert a benchmark's file once, so that it opens at once from then on.

    Its md5 is checked, and it is read without running anything in it.

    Stopped half-way, this leaves nothing behind.
    """
    from zc_search.benchmarks.catalogue import file_to_convert
    from zc_search.benchmarks.files import conversion

    file = file or file_to_convert()
    start = time.perf_counter()
    try:
        with progress_line(plain_console(), "bytes or files") as show:
            done = conversion.convert(file, to, lambda doing, at, of: show(at, of, doing))
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; nothing was written, {file} is as it was", err=True)
        raise typer.Exit(130) from None
    for path in filter(None, (done.table, done.curves)):
        typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:,.1f} MB)")
    md5 = f"md5 {done.md5} as named" if done.md5 else "no md5 to compare with"
    typer.echo(
        f"{counted(done.architectures, 'architecture')}, {counted(done.trials, 'training')}, "
        f"{md5}, in {time.perf_counter() - start:,.1f} s"
    )
    typer.echo(f"next: zc-search query 0 -b {done.table}")


@benchmark_app.command()
def show(arch: Arch, benchmark: BenchmarkName = None, codes: Codes = "benchmark") -> None:
    """Show what is known of an architecture: all data sets or tasks, budgets, the network."""
    from zc_search.benchmarks.lookup import show_architecture
    from zc_search.report.text import table

    opened, architecture = look_up(arch, benchmark, None, codes)
    rows, facts = show_architecture(opened, architecture)
    headings = [f"{'>' if place else ''}{heading}" for place, heading in enumerate(rows[0])]
    typer.echo(f"{architecture}\n")
    plain_console().print(table("", headings, [row.values() for row in rows]))
    for key, value in facts.items():
        typer.echo(f"{key}: {value}")


@benchmark_app.command()
def architectures(benchmark: BenchmarkName = None) -> None:
    """Print number and string of every architecture, in the benchmark's own order."""
    opened, _ = look_up("0", benchmark, None, "benchmark")
    for index in range(len(opened)):
        sys.stdout.write(f"{index}\t{opened.architecture(index)}\n")


@benchmark_app.command()
def weights(
    arch: Arch,
    folder: Annotated[Path, Argument(help="With 000000-FULL.pth and so on.")],
    to: Annotated[Path, Option(help="File of torch that gets the state dict.")],
    dataset: Annotated[str, Option("--dataset", "-d", help="Of the training.")] = "cifar10",
    seed: Annotated[int, Option(help="Of the training.")] = 777,
    epochs: Annotated[int, Option("--epochs", "-e", help="12 or 200.")] = 200,
    codes: Codes = "benchmark",
) -> None:
    """Take the trained weights of an architecture out of NAS-Bench-201's archive."""
    import torch

    from zc_search._utils.files import replacing, writing
    from zc_search.benchmarks.files import trained_network

    opened, architecture = look_up(arch, None, "cifar10", codes)
    network = trained_network(folder, opened.index(architecture), dataset, seed, epochs)
    with writing(str(to), BenchmarkError), replacing(to) as part, part.open("wb") as file:
        torch.save(network.state_dict(), file)
    count = sum(parameter.numel() for parameter in network.parameters())
    load = f"zc_search.build_network(architecture, {dataset!r}).load_state_dict(...)"
    typer.echo(f"wrote {to}: {count:,} trained parameters of {architecture}\nto use them: {load}")
