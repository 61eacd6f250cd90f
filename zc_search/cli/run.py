"""What follows a search: ``report``, ``dashboard``, ``train``, ``export``, ``predict``."""

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from zc_search.cli.printing import AsJson, Config, Settings, plain_console, progress_line
from zc_search.cli.score import config_or_starter
from zc_search.errors import UsageError, ZcSearchError

if TYPE_CHECKING:
    from zc_search.deploy.training import Outcome, Step


def report(
    runs: Annotated[list[Path], Argument(help="Folders of runs; several are compared.")],
    out: Annotated[Path | None, Option("--out", "-o", help="The HTML file.")] = None,
    png: Annotated[Path | None, Option(help="Folder of pictures, if wanted.")] = None,
) -> None:
    """Write the report of a run anew, or compare several runs on one page.

    A learning curve is shown if `zc-search ensemble curve RUN --out RUN/curve` made one.
    """
    from zc_search._utils.files import write_atomically, writing
    from zc_search.errors import StudyError
    from zc_search.report import compare_runs, load_result, write_report
    from zc_search.report.comparison import comparison_drawings
    from zc_search.report.page import run_drawings, write_pictures
    from zc_search.report.run import held_out_or_none

    results = [load_result(run) for run in runs]
    with writing("the page", StudyError):
        if len(results) == 1:
            path = write_report(results[0], out or runs[0] / "report.html")
            drawings = [*run_drawings(results[0], held_out_or_none(results[0])).values()]
        else:
            path = write_atomically(out or Path("comparison.html"), compare_runs(results))
            drawings = comparison_drawings(results)
    typer.echo(f"wrote {path}")
    if png is not None:
        # What the browser mumbles beside the pictures; what goes wrong is raised.
        logging.getLogger("choreographer").setLevel(logging.CRITICAL)
        typer.echo(f"wrote {len(write_pictures(drawings, png))} pictures to {png}")


def dashboard(
    source: Annotated[str, Argument(metavar="RUN|URL", help="A run, or an Optuna storage.")],
    port: Annotated[int, Option(min=0, max=65535, help="Or the next free one.")] = 8080,
    host: Annotated[str, Option(help="By default this machine alone.")] = "127.0.0.1",
) -> None:
    """Show a study in Optuna's dashboard, until Ctrl-C.

    It may be a search that is still going. Of a run's folder, report and ensemble are served too.
    """
    from zc_search.report.dashboard import is_installed

    if not is_installed():
        from zc_search._utils.text import install_hint

        hint = install_hint("dashboard")
        raise ZcSearchError(f"the package optuna-dashboard is not installed: {hint}")
    try:
        _serve(source, port, host)
    except KeyboardInterrupt:
        typer.echo("\nstopped")


def _serve(source: str, port: int, host: str) -> None:
    import ipaddress
    from contextlib import suppress

    from zc_search.report.dashboard import make_dashboard, open_source, readable_storage

    opened = open_source(source)
    for sentence in opened.notes:
        typer.echo(sentence, err=True)
    with make_dashboard(readable_storage(opened.storage), host, port, opened.folder) as server:
        chosen = server.server_port
        if port not in (0, chosen):
            typer.echo(f"port {port} is taken, so it is {chosen}", err=True)
        local = host == "localhost"
        with suppress(ValueError):
            local = ipaddress.ip_address(host).is_loopback
        if not local:
            warning = f"whoever reaches {host}:{chosen} can read and delete these studies"
            typer.echo(f"warning: {warning}", err=True)
        address = f"http://{f'[{host}]' if ':' in host else host}:{chosen}/dashboard"
        typer.echo(f"storage  {opened.shown}")
        for name, identity in opened.studies.items():
            typer.echo(f"study    {name}: {address}/studies/{identity}")
        if not opened.studies:
            typer.echo(f"no study yet: {address}")
        typer.echo("Ctrl-C ends it")
        server.serve_forever(poll_interval=0.1)


# Training -----------------------------------------------------------------------------------------


def train(
    run: Annotated[Path, Argument(help="Folder of a finished search.", show_default=False)],
    top: Annotated[
        int | None, Option(min=1, help="How many of the first; as many at random. [default: 5]")
    ] = None,
    architecture: Annotated[
        list[str] | None, Option(help="Train this one, without others to compare; may be repeated.")
    ] = None,
    epochs: Annotated[int | None, Option(min=1, help="By default the run's.")] = None,
    seeds: Annotated[int, Option(min=1, help="Trainings of each.")] = 1,
    device: Annotated[str | None, Option(help="By default the run's.")] = None,
    settings: Annotated[list[str] | None, Option("--set", help="Set training.KEY=value.")] = None,
    fresh: Annotated[bool, Option("--fresh", help="Set earlier trainings aside.")] = False,
) -> None:
    """Train the best few of a search on its images, and as many random architectures.

    Stop it or lose it at any time: the same command goes on from there.
    """
    from zc_search.config import load_config
    from zc_search.deploy.training import train_run
    from zc_search.report.run import load_result
    from zc_search.report.text import trained

    load_result(run)  # says what is missing before anything else does
    given = [*(settings or ()), *([] if epochs is None else [f"training.epochs={epochs}"])]
    if wrong := [text for text in given if not text.strip().startswith("training.")]:
        raise UsageError(
            f"--set {wrong[0]!r}: a finished search keeps its settings; Allowed: training.KEY=value"
        )
    if top is not None and architecture:
        raise UsageError("--top takes the first of the ranking, and --architecture names others")
    console = plain_console()
    with progress_line(console, "training") as show:
        outcome = train_run(
            run,
            top=top or 5,
            architectures=architecture or (),
            seeds=seeds,
            recipe=load_config(run / "config.toml", given).training,
            device=device,
            fresh=fresh,
            on_step=lambda step: show(step.done, step.total, _status(step)),
        )
    console.print(trained(load_result(run)))
    console.print()
    _print(outcome)


def _status(step: "Step") -> str:
    return f"{step.group}, epoch {step.epoch}: {step.accuracy:.1f} %" if step.group else ""


def _print(outcome: "Outcome") -> None:
    from zc_search.report.text import listed, notes, table

    console = plain_console()
    names = ["group", "mean", "standard_error", "lowest", "highest", "architectures"]
    rows = outcome.groups[names].round(2).astype(object).fillna("").astype(str).to_numpy().tolist()
    if len(rows) > 1:
        headings = ["", ">mean", ">\N{PLUS-MINUS SIGN}", *(f">{name}" for name in names[3:])]
        console.print(table("Validation accuracy, %", headings, rows))
        console.print()
    notes(console, outcome.notes)
    console.print()
    lines: dict[str, object] = {}
    if not outcome.ranking.empty:
        lines["first of the updated ranking"] = str(outcome.ranking["architecture"].iloc[0])
    lines["everything in"] = f"{outcome.folder}/"
    lines["next"] = f"zc-search export {outcome.folder.parent} --to DIR"
    console.print(listed(lines))


# Taken along --------------------------------------------------------------------------------------


def export(
    what: Annotated[
        str, Argument(metavar="RUN|ARCHITECTURE", show_default=False, help="Whose network.")
    ],
    to: Annotated[Path, Option(help="Folder to write; a new or an empty one.")],
    architecture: Annotated[str | None, Option(help="Of a run, not the best.")] = None,
    config: Config = None,
    settings: Settings = None,
    onnx: Annotated[bool, Option("--onnx/--no-onnx", help="Write ONNX too.")] = True,
    int8: Annotated[
        bool, Option("--int8", help="Write ONNX of 8 bits too, judged on the validation images.")
    ] = False,
) -> None:
    """Write a network as Python source, weights, torch and ONNX programs, with a model card.

    Of a run it is the best of those trained, or else the first of the ranking. For an architecture
    string --config says channels, cells and images; without, those of `zc-search init`.
    """
    from zc_search.deploy.export import export_network, subject_of_cell, subject_of_run
    from zc_search.report.text import notes
    from zc_search.spaces.base import space_written

    console = plain_console()
    with console.status("exporting"):
        if space_written(what) and not os.path.exists(what):  # noqa: PTH110  which may be too long
            if architecture:
                raise UsageError("--architecture chooses from a run, and a cell is given")
            subject = subject_of_cell(what, config_or_starter(config, settings))
        else:
            if config or settings:
                raise UsageError(
                    f"{'--config' if config else '--set'}: a run's network is exported with its "
                    "own settings; Allowed: for an architecture string"
                )
            subject = subject_of_run(Path(what), architecture)
        exported = export_network(subject, to, onnx=onnx, int8=int8)
    typer.echo(f"{subject.architecture}")
    for name, difference in exported.differences.items():
        same = f"computes the same (largest difference {difference:.0e} of an output)"
        console.print(f"{name:14} {same}")
    if (found := exported.about.int8) is not None:
        for kind in ("float", "int8"):
            typer.echo(
                f"{kind:5} {found[f'{kind}_accuracy']:6.2f} % of {found['judged_by']:.0f} "
                f"validation images, {found[f'{kind}_latency_ms']:.3f} ms an image, "
                f"{found[f'{kind}_bytes'] / 1000:,.0f} kB"
            )
    notes(console, subject.notes)
    if not exported.trained:
        typer.echo("the weights are random: the network was not trained")
    typer.echo(f"wrote {', '.join(exported.files)} in {exported.folder}/")
    if exported.about.input.bytes and exported.trained:
        typer.echo(f"next: zc-search predict {exported.folder} IMAGE...")


def predict(
    network: Annotated[
        Path,
        Argument(
            metavar="NETWORK", show_default=False, help="Folder that `zc-search export` wrote."
        ),
    ],
    images: Annotated[
        list[Path], Argument(metavar="IMAGE", show_default=False, help="Picture files.")
    ],
    top: Annotated[int, Option(min=1, help="Classes to name, the likeliest first.")] = 5,
    int8: Annotated[bool, Option("--int8", help="Use the program of 8 bits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name the classes of pictures with their probabilities, from an exported folder alone.

    Pictures are brought to the network's size and normalised as those that it was trained on.
    """
    from zc_search.deploy.prediction import ExportedNetwork

    opened = ExportedNetwork(network, int8=int8)
    found = [
        (str(file), [(opened.labels[place], float(row[place])) for place in (-row).argsort()[:top]])
        for file, row in zip(images, opened.probabilities(images), strict=True)
    ]
    if as_json:
        document = [
            {"image": file, "classes": [{"class": c, "probability": p} for c, p in classes]}
            for file, classes in found
        ]
        typer.echo(json.dumps({"trained": opened.about.trained, "images": document}, indent=2))
        return
    for file, classes in found:
        typer.echo(f"{file}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in classes))
    if not opened.about.trained:
        typer.echo("the weights are random: the network was not trained")
