"""``zc-search benchmark``: which tabular benchmarks there are, and a user's files made quick."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zc_search._utils.text import counted
from zc_search.cli.printing import plain_console, progress_line
from zc_search.cli.query import Arch, BenchmarkName, Codes, look_up

benchmark_app = typer.Typer(
    no_args_is_help=True,
    help="List tabular benchmarks, convert their files, show what they hold.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@benchmark_app.command("list")
def list_benchmarks(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
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
    file: Annotated[Path | None, typer.Argument(help="By default one in third_party.")] = None,
    to: Annotated[Path | None, typer.Option(help="The table; by default beside FILE.")] = None,
) -> None:
    """Convert a benchmark's file once, so that it opens at once from then on.

    Its md5 is checked, and it is read without running anything in it.

    Stopped half-way, this leaves nothing behind.
    """
    from zc_search.benchmarks.catalogue import file_to_convert
    from zc_search.benchmarks.files import conversion

    file = file or file_to_convert()
    console = plain_console()
    start = time.perf_counter()
    try:
        with progress_line(console, "bytes or files") as show:
            done = conversion.convert(file, to, lambda doing, at, of: show(at, of, doing))
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; nothing was written, {file} is as it was", err=True)
        raise typer.Exit(130) from None
    for path in filter(None, (done.table, done.curves)):
        size = path.stat().st_size / 1e6
        console.print(f"wrote {path} ({size:,.1f} MB)", soft_wrap=True)
    md5 = f"md5 {done.md5} as named" if done.md5 else "no md5 to compare with"
    console.print(
        f"{counted(done.architectures, 'architecture')}, {counted(done.trials, 'training')}, "
        f"{md5}, in {time.perf_counter() - start:,.1f} s",
        soft_wrap=True,
    )
    console.print(f"next: zc-search query 0 -b {done.table}", soft_wrap=True)


@benchmark_app.command()
def show(arch: Arch, benchmark: BenchmarkName = None, codes: Codes = "benchmark") -> None:
    """Show what is known of an architecture: all data sets or tasks, budgets, the network."""
    from zc_search.benchmarks.lookup import show_architecture
    from zc_search.report.text import table

    console = plain_console()
    opened, architecture = look_up(arch, benchmark, None, codes)
    rows, facts = show_architecture(opened, architecture)
    columns = [(heading, "right" if at else "left") for at, heading in enumerate(rows[0])]
    console.print(str(architecture), soft_wrap=True)
    console.print(table("", columns, [row.values() for row in rows]))
    for key, value in facts.items():
        console.print(f"{key}: {value}", soft_wrap=True)


@benchmark_app.command()
def architectures(benchmark: BenchmarkName = None) -> None:
    """Print number and string of every architecture, in the benchmark's own order."""
    opened, _ = look_up("0", benchmark, None, "benchmark")
    for index in range(len(opened)):
        sys.stdout.write(f"{index}\t{opened.architecture(index)}\n")


@benchmark_app.command()
def weights(
    arch: Arch,
    folder: Annotated[Path, typer.Argument(help="With 000000-FULL.pth and so on.")],
    to: Annotated[Path, typer.Option(help="File of torch that gets the state dict.")],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Of the training.")] = "cifar10",
    seed: Annotated[int, typer.Option(help="Of the training.")] = 777,
    epochs: Annotated[int, typer.Option("--epochs", "-e", help="12 or 200.")] = 200,
    codes: Codes = "benchmark",
) -> None:
    """Take the trained weights of an architecture out of NAS-Bench-201's archive."""
    import torch

    from zc_search._utils.files import replacing, writing
    from zc_search.benchmarks.files import trained_network
    from zc_search.errors import BenchmarkError

    opened, architecture = look_up(arch, None, "cifar10", codes)
    network = trained_network(folder, opened.index(architecture), dataset, seed, epochs)
    with writing(str(to), BenchmarkError), replacing(to) as part, part.open("wb") as file:
        torch.save(network.state_dict(), file)
    count = sum(parameter.numel() for parameter in network.parameters())
    typer.echo(f"wrote {to}: {count:,} trained parameters of {architecture}")
    typer.echo(
        f"to use them: zc_search.build_network(architecture, {dataset!r}).load_state_dict(...)"
    )
