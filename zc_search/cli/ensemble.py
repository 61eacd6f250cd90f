"""``zc-search ensemble``: proxies turned into one predicted accuracy, without a search."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zc_search._utils.cores import available_cores
from zc_search._utils.files import write_atomically, writing
from zc_search.cli.printing import plain_console
from zc_search.cli.search import Config, Settings
from zc_search.errors import EnsembleError, ZcSearchError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from zc_search.ensemble import Ensemble

HEAVIEST = 30
"""Weights that are printed where all would be too many."""

ensemble_app = typer.Typer(
    no_args_is_help=True,
    help="Fit, show, apply and judge ensembles of proxies.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    Path,
    typer.Argument(help="A run's folder, or what `zc-search score` wrote.", show_default=False),
]
File = Annotated[Path, typer.Argument(help="An ensemble.toml or .json.", show_default=False)]
Proxies = Annotated[
    str | None, typer.Option("--proxies", help="Only these, such as snip,zico; by default all.")
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="Whose accuracies; by default the scores' own.")
]
JudgeOn = Annotated[
    Path | None,
    typer.Option("--judge-on", help="Scores of architectures to judge on, if not fitted to."),
]
FitOn = Annotated[str | None, typer.Option("--fit-on", help="pareto (a run's front) or all.")]
Model = Annotated[
    str | None, typer.Option("--model", help='linear, ridge, gap, gp, or "module:Class".')
]
Features = Annotated[
    str | None, typer.Option("--features", help="Such as rank or rank+structure+aggregate.")
]
Accuracies = Annotated[
    int | None,
    typer.Option("--accuracies", help="Look at so many only, drawn at random; judge on others."),
]
Sizes = Annotated[
    str | None, typer.Option("--accuracies", help="Such as 25,100,400; by default 10 to 800.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")]
Number = Annotated[int, typer.Option("--draws", min=1, help="Random draws of each.")]
Table = Annotated[Path | None, typer.Option("--out", "-o", help="Write it all to this CSV file.")]
WriteConfig = Annotated[
    Path | None,
    typer.Option(
        "--write-config", help="Copy this search file to --to, with the prediction to maximize."
    ),
]


@ensemble_app.command()
def fit(
    source: Source,
    config: Config = None,
    settings: Settings = None,
    fit_on: FitOn = None,
    model: Model = None,
    features: Features = None,
    proxies: Proxies = None,
    accuracies: Accuracies = None,
    seed: Seed = 0,
    dataset: Dataset = None,
    judge_on: JudgeOn = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write it: .toml or .json.")
    ] = Path("ensemble.toml"),
) -> None:
    """Fit an ensemble to the accuracies of a run's trials or of a scores file.

    Settings are those of [ensemble] in --config, else those of the run, else the defaults.
    """
    from zc_search.ensemble.ensemble import check_suffix
    from zc_search.ensemble.models import LinearPredictor
    from zc_search.ensemble.scores import fit_request, settings_for
    from zc_search.scoring.scores_file import ScoresTable

    if accuracies is not None and fit_on == "pareto":
        raise EnsembleError(
            "--accuracies draws at random and --fit-on pareto does not; leave one of them out"
        )
    check_suffix(out)  # complains before the work, not after it
    given = {"fit_on": fit_on, "model": model, "features": features}
    overrides = [f"ensemble.{key}={value}" for key, value in given.items() if value is not None]
    scores = ScoresTable.read(source)
    chosen = settings_for(scores, config, (*(settings or ()), *overrides))
    console, names = plain_console(), _names(proxies)
    with console.status("fitting"):
        fitted = fit_request(scores, chosen, names, accuracies, seed, dataset, judge_on)
    _print(console, fitted, HEAVIEST)
    if not isinstance(fitted.predictor, LinearPredictor):
        console.print(f"not written: model {fitted.model!r} has no weights that a file could hold")
        return
    fitted.save(out)
    console.print(f"wrote {out}; next: zc-search ensemble apply {out} SCORES", soft_wrap=True)


@ensemble_app.command()
def show(
    file: File,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole document as JSON.")
    ] = False,
) -> None:
    """Show everything in an ensemble: what it was fitted to, weights, constants, quality."""
    from zc_search.ensemble import Ensemble

    loaded = Ensemble.load(file)
    if as_json:
        typer.echo(json.dumps(loaded.to_dict(), indent=2))
        return
    from zc_search.cli.ensemble_tables import constants

    console = plain_console()
    _print(console, loaded, None)
    for table in constants(loaded):
        console.print()
        console.print(table)


@ensemble_app.command()
def apply(
    file: File,
    source: Annotated[
        Path | None, typer.Argument(help="A run's folder, or what `zc-search score` wrote.")
    ] = None,
    out: Table = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the first to print.")] = 10,
    truth: Annotated[
        bool, typer.Option("--truth/--no-truth", help="Look up true accuracies too.")
    ] = True,
    write_config: WriteConfig = None,
    to: Annotated[Path | None, typer.Option("--to", help="The new search file.")] = None,
) -> None:
    """Predict the accuracy of every architecture of a scores file or run, with its interval.

    With --write-config and --to a search is made of it: its one objective is the prediction.
    """
    from zc_search.ensemble import Ensemble
    from zc_search.ensemble.scores import apply_ensemble
    from zc_search.report import text
    from zc_search.scoring.scores_file import ScoresTable

    if (write_config is None) != (to is None):
        raise EnsembleError("--write-config SEARCH.toml and --to NEW.toml go together")
    if source is None and write_config is None:
        raise EnsembleError("name what to apply it to: a scores file, a run, or --write-config")
    loaded = Ensemble.load(file)
    console = plain_console()
    if source is not None:
        with console.status("predicting"):
            applied = apply_ensemble(loaded, ScoresTable.read(source), truth=truth)
        console.print(text.ranked(applied.ranking, loaded.target, top))
        if not applied.quality.empty:
            console.print()
            console.print(text.quality(applied.quality))
        console.print()
        text.notes(console, applied.notes)
        if out is not None:
            _write_table(console, out, applied.ranking)
    if write_config is not None and to is not None:
        text.notes(console, _write_search_file(loaded, file, write_config, to))
        console.print(f"wrote {to}; next: zc-search --config {to}")


@ensemble_app.command()
def curve(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and figure.")] = Path(
        "curve"
    ),
    models: Annotated[
        str | None, typer.Option("--models", help="Such as ridge,gap or module:Class.")
    ] = None,
    features: Features = None,
    proxies: Proxies = None,
    accuracies: Sizes = None,
    draws: Number = 20,
    seed: Seed = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default one a core.")
    ] = None,
    dataset: Dataset = None,
    config: Config = None,
    settings: Settings = None,
) -> None:
    """Show how well ensembles rank what they have not seen, by the number of accuracies seen.

    The best single proxy, params, flops and the accuracy-free aggregate are always beside them.
    """
    from zc_search.ensemble.curve import curve_of, summarise
    from zc_search.ensemble.scores import settings_for
    from zc_search.report import text
    from zc_search.scoring.scores_file import ScoresTable

    scores = ScoresTable.read(source)
    chosen = settings_for(scores, config, tuple(settings or ()))
    console = plain_console()
    with console.status("judging") as status:
        judged, notes = curve_of(
            scores,
            chosen,
            proxies=_names(proxies),
            models=_names(models),
            feature_sets=_names(features),
            dataset=dataset,
            sizes=_sizes(accuracies),
            n_draws=draws,
            seed=seed,
            n_jobs=workers or available_cores(),
            on_progress=lambda done, total: status.update(f"judged {done} of {total} draws"),
        )
    summary = summarise(judged)
    written, why_no_picture = _write_curve(judged, summary, out)
    console.print(text.curve(summary))
    console.print()
    text.notes(console, filter(None, (*notes, why_no_picture)))
    console.print(f"wrote {', '.join(written)} in {out}")


@ensemble_app.command()
def compare(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    proxies: Proxies = None,
    draws: Number = 20,
    seed: Seed = 0,
    judge_on: JudgeOn = None,
    config: Config = None,
    settings: Settings = None,
    out: Table = None,
) -> None:
    """Show what fitting to a run's Pareto front costs against as many random architectures."""
    from zc_search.ensemble.curve import pareto_against_random, summarise
    from zc_search.ensemble.scores import settings_for
    from zc_search.report import text
    from zc_search.scoring.scores_file import ScoresTable

    trials = ScoresTable.read(run)
    chosen = settings_for(trials, config, tuple(settings or ()))
    other = None if judge_on is None else ScoresTable.read(judge_on)
    console = plain_console()
    with console.status("judging"):
        judged, notes = pareto_against_random(trials, chosen, _names(proxies), other, draws, seed)
    console.print(text.comparison(summarise(judged)))
    console.print()
    text.notes(console, notes)
    if out is not None:
        _write_table(console, out, judged)


def _names(text: str | None) -> tuple[str, ...] | None:
    """Split an option at its commas; None where it is not given."""
    if text is None:
        return None
    from zc_search.proxies.catalogue import split_names

    if names := tuple(split_names(text)):
        return names
    raise EnsembleError(f"{text!r} names none; names are separated by commas: snip,zico")


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or sorted(set(sizes)) != sizes:
        raise EnsembleError(
            f"--accuracies {text!r}: Allowed: whole numbers, ascending, such as 25,100,400",
            key="--accuracies",
            given=text,
        )
    return sizes


def _write_table(console: "Console", path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, numbers with all their digits."""
    with writing(str(path), EnsembleError):
        write_atomically(path, table.to_csv(index=False))
    console.print(f"wrote {path}", soft_wrap=True)


def _write_curve(
    draws: "pd.DataFrame", summary: "pd.DataFrame", folder: Path
) -> tuple[list[str], str | None]:
    """Write tables, page and picture; return their names, and why there is no picture if so."""
    from zc_search.report import plot_learning_curve
    from zc_search.report.page import Drawing, write_pictures

    figure = plot_learning_curve(draws)
    contents: dict[str, str | bytes] = {
        "draws.csv": draws.to_csv(index=False),
        "draws.parquet": draws.to_parquet(),
        "summary.csv": summary.to_csv(index=False),
        "curve.html": figure.to_html(include_plotlyjs=True, config={"displaylogo": False}),
    }
    with writing(str(folder), EnsembleError):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    drawing = Drawing("curve", "Learning curve", {"": lambda: figure})
    try:
        pictures = write_pictures([drawing], folder)
    except ZcSearchError as error:  # a picture is a luxury, the page shows the same
        return list(contents), f"No picture: {error}"
    return [*contents, *(path.name for path in pictures)], None


def _write_search_file(
    ensemble: "Ensemble", file: Path | str, search: Path, target: Path
) -> list[str]:
    """Copy a search file, the prediction in place of its objectives, the comments kept.

    The objectives so far are recorded only (their scale becomes 0), and what the ensemble needs
    is computed. Returns what a user should know.
    """
    import tomlkit

    from zc_search.config import ENSEMBLE, config_to_toml, load_config, parse_config
    from zc_search.ensemble.scores import check_applicable, provenance_of
    from zc_search.scoring.scores_file import same_dataset, settings_of

    if target.exists():
        raise EnsembleError(f"{target} is there already; name another file with --to")
    config = load_config(search)
    # Definitions are compared when the search begins.
    scores = replace(provenance_of(ensemble), name=str(search), settings=settings_of(config))
    notes = check_applicable(ensemble, config.space.name, ensemble.proxies, scores, str(search))
    fitted = ensemble.metadata.get("dataset")
    if isinstance(fitted, str) and not same_dataset(fitted, config.dataset):
        transfer = f"A transfer: fitted to accuracies on {fitted}, to search on {config.dataset}."
        notes.insert(0, transfer)
    document: Any = tomlkit.parse(search.read_text(encoding="utf-8-sig"))
    if "search" in document:  # MASE's layout has no place for it
        document = tomlkit.parse(config_to_toml(config))
    document.setdefault("objectives", tomlkit.table())
    # By place, as a name in the file may be an alias.
    for key, old in zip(list(document["objectives"]), config.objectives, strict=True):
        if old.scale:
            recorded = tomlkit.inline_table().append("direction", str(old.direction))
            document["objectives"][key] = recorded.append("scale", 0)
    document["objectives"][f"{ENSEMBLE}{file}"] = tomlkit.item("maximize").comment(
        f"predicted {ensemble.target}, fitted on {fitted or 'unknown'}"
    )
    if missing := [name for name in ensemble.proxies if name not in config.proxies_to_compute]:
        proxies = document.setdefault("proxies", tomlkit.table())
        proxies.setdefault("compute", list(config.proxies.compute)).extend(missing)
    study = document.setdefault("study", tomlkit.table())
    study["name"] = f"{config.study.name}-ensemble"
    if config.study.sum_objectives:
        study["sum_objectives"] = False
    text = tomlkit.dumps(document)
    parse_config(text, source=str(target))
    with writing(str(target), EnsembleError):
        write_atomically(target, text)
    return notes


def _print(console: "Console", fitted: "Ensemble", most: int | None) -> None:
    from zc_search.cli.ensemble_tables import facts
    from zc_search.report import text

    console.print(facts(fitted))
    console.print()
    console.print(text.weights(fitted, most))
    for rows in (fitted.quality, fitted.unseen_quality):
        if not rows.empty:
            console.print()
            console.print(text.quality(rows))
    console.print()
    text.notes(console, fitted.notes)
