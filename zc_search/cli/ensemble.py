"""``zc-search ensemble``: proxies turned into one predicted accuracy, without a search."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from zc_search._utils.text import counted
from zc_search.cli.printing import Config, Settings, names_in, plain_console, records, save
from zc_search.errors import EnsembleError, ZcSearchError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType

    from zc_search.config import Config as Loaded
    from zc_search.ensemble import Ensemble
    from zc_search.scoring.scores_file import ScoresTable

HEAVIEST = 30
"""Weights that are printed where all would be too many."""

ensemble_app = typer.Typer(
    no_args_is_help=True, help="Fit, show, apply and judge ensembles of proxies."
)

Source = Annotated[str, Argument(help="A run, a scores file, or packaged.", show_default=False)]
File = Annotated[Path, Argument(help="An ensemble.toml or .json.", show_default=False)]
Proxies = Annotated[str | None, Option(help="Only these, such as snip,zico; by default all.")]
Dataset = Annotated[str | None, Option(help="Whose accuracies; by default the scores' own.")]
JudgeOn = Annotated[str | None, Option(help="Scores to judge on, or packaged.")]
FitOn = Annotated[str | None, Option(help="pareto (a run's front) or all.")]
Model = Annotated[str | None, Option(help='linear, ridge, gap, gp, or "module:Class".')]
Features = Annotated[str | None, Option(help="Such as rank or rank+structure+aggregate.")]
Accuracies = Annotated[int | None, Option(help="Draw so many, judge on others.")]
Sizes = Annotated[str | None, Option(help="Such as 25,100,400; by default 10 to 800.")]
Seed = Annotated[int, Option(min=0, help="Of the draws.")]
Number = Annotated[int, Option(min=1, help="Random draws of each.")]
Workers = Annotated[int | None, Option(min=1, help="By default one a core.")]
Table = Annotated[Path | None, Option("--out", "-o", help="Write it all to this CSV file.")]
WriteConfig = Annotated[Path | None, Option(help="Copy this search file to --to.")]


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
    out: Annotated[Path, Option("--out", "-o", help="A .toml or .json.")] = Path("ensemble.toml"),
) -> None:
    """Fit an ensemble to the accuracies of a run's trials or of a scores file.

    Settings are those of the section `ensemble` in --config, else those of the run, else the
    defaults.
    """
    from zc_search.ensemble.ensemble import check_suffix
    from zc_search.ensemble.models import LinearPredictor
    from zc_search.ensemble.scores import fit_request

    if accuracies is not None and fit_on == "pareto":
        raise EnsembleError(
            "--accuracies draws at random and --fit-on pareto does not; leave one of them out"
        )
    check_suffix(out)  # complains before the work, not after it
    given = {"fit_on": fit_on, "model": model, "features": features}
    overrides = [f"ensemble.{key}={value}" for key, value in given.items() if value is not None]
    scores, chosen = _opened(source, dataset, config, (*(settings or ()), *overrides))
    console, names = plain_console(), names_in(proxies)
    with console.status("fitting"):
        fitted = fit_request(scores, chosen, names, accuracies, seed, dataset, judge_on)
    _print(console, fitted, HEAVIEST)
    if not isinstance(fitted.predictor, LinearPredictor):
        console.print(f"not written: model {fitted.model!r} has no weights that a file could hold")
        return
    fitted.save(out)
    typer.echo(f"wrote {out}; next: zc-search ensemble apply {out} SCORES")


@ensemble_app.command()
def show(
    file: File, as_json: Annotated[bool, Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Show everything in an ensemble: what it was fitted to, weights, constants, quality."""
    from zc_search.ensemble import Ensemble

    loaded = Ensemble.load(file)
    if as_json:
        typer.echo(json.dumps(loaded.to_dict(), indent=2))
        return
    console = plain_console()
    _print(console, loaded, None)
    for table in constants(loaded):
        console.print()
        console.print(table)


@ensemble_app.command()
def apply(
    file: File,
    source: Annotated[str | None, Argument(help="A run, a scores file, or packaged.")] = None,
    out: Table = None,
    top: Annotated[int, Option(min=1, help="How many of the first to print.")] = 10,
    truth: Annotated[bool, Option("--truth/--no-truth", help="Look accuracies up.")] = True,
    benchmark: Annotated[str | None, Option(help="Of the true ones, such as analog.")] = None,
    metric: Annotated[str | None, Option(help="By default what was fitted to.")] = None,
    write_config: WriteConfig = None,
    to: Annotated[Path | None, Option(help="The new search file.")] = None,
) -> None:
    """Predict the accuracy of every architecture of a scores file or run, with its interval.

    With --write-config and --to a search is made of it: its one objective is the prediction.
    """
    from zc_search.ensemble import Ensemble
    from zc_search.ensemble.scores import apply_ensemble, provenance_of
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
            fitted = provenance_of(loaded).settings.get("space.dataset")
            scores = ScoresTable.read(source, fitted)
            applied = apply_ensemble(loaded, scores, truth=truth, judge=(benchmark, metric))
        console.print(text.ranked(applied.ranking, loaded.target, top))
        if not applied.quality.empty:
            console.print()
            console.print(text.quality(applied.quality))
        console.print()
        text.notes(console, applied.notes)
        _wrote(out, applied.ranking)
    if write_config is not None and to is not None:
        text.notes(console, _write_search_file(loaded, file, write_config, to))
        console.print(f"wrote {to}; next: zc-search --config {to}")


@ensemble_app.command()
def curve(
    source: Source,
    out: Annotated[Path, Option("--out", "-o", help="Folder for tables and figure.")] = Path(
        "curve"
    ),
    models: Annotated[str | None, Option(help="Such as ridge,gap or module:Class.")] = None,
    features: Features = None,
    proxies: Proxies = None,
    accuracies: Sizes = None,
    draws: Number = 20,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: Dataset = None,
    config: Config = None,
    settings: Settings = None,
) -> None:
    """Show how well ensembles rank what they have not seen, by the number of accuracies seen.

    The best single proxy, params, flops and the accuracy-free aggregate are always beside them.
    """
    from zc_search.ensemble.curve import curve_of, summarise
    from zc_search.report import text

    scores, chosen = _opened(source, dataset, config, settings)
    console = plain_console()
    with console.status("judging") as status:
        judged, notes = curve_of(
            scores,
            chosen,
            proxies=names_in(proxies),
            models=names_in(models),
            feature_sets=names_in(features),
            dataset=dataset,
            sizes=_sizes(accuracies),
            n_draws=draws,
            seed=seed,
            n_jobs=workers or -1,
            on_progress=lambda done, total: status.update(f"judged {done} of {total} draws"),
        )
    summary = summarise(judged)
    written = _write_curve(judged, summary, out, notes := [*notes])
    _say(console, text.curve(summary), notes)
    console.print(f"wrote {', '.join(written)} in {out}")


@ensemble_app.command()
def protocol(
    name: Annotated[str, Argument(help="nnformer or graf.", show_default=False)],
    source: Annotated[str, Argument(help="Scores, or packaged.")] = "packaged",
    models: Annotated[str | None, Option(help="Such as gap,gp or module:Class.")] = None,
    features: Features = None,
    proxies: Proxies = None,
    accuracies: Annotated[str | None, Option(help="By default the protocol's.")] = None,
    draws: Number = 20,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: Annotated[str | None, Option(help="Whose accuracies: cifar10,cifar100.")] = None,
    config: Config = None,
    settings: Settings = None,
    json_file: Annotated[Path | None, Option("--json", help="Write it all here.")] = None,
    csv_file: Annotated[Path | None, Option("--csv", help="Write every draw here.")] = None,
) -> None:
    """Judge ensembles as papers judge predictors of NAS-Bench-201, beside what they report.

    nnformer: 1, 3, 5 and 10 % of the cells, judged on all. graf: 32, 128 and 1,024 of those without
    dead operations, judged on the others. Both also without the functions fitted to.
    """
    from zc_search.ensemble.protocol import run_protocol
    from zc_search.report import text

    datasets = names_in(dataset)
    scores, chosen = _opened(source, datasets[0] if datasets else None, config, settings)
    console = plain_console()
    with console.status("judging") as status:
        judged, summary, notes = run_protocol(
            scores,
            chosen,
            name,
            proxies=names_in(proxies),
            datasets=datasets,
            models=names_in(models),
            feature_sets=names_in(features),
            sizes=_sizes(accuracies),
            n_draws=draws,
            seed=seed,
            n_jobs=workers or -1,
            on_progress=lambda done, total: status.update(f"judged {done} of {total} draws"),
        )
    _say(console, text.protocol(summary), notes)
    _wrote(csv_file, judged)
    if json_file is not None:
        asked = {"protocol": name, "scores": source, "scored": scores.dataset, "seed": seed}
        document = {**asked, "rows": records(summary), "notes": notes}
        save(json_file, json.dumps(document, indent=2) + "\n")
        typer.echo(f"wrote {json_file}")


@ensemble_app.command()
def compare(
    run: Annotated[Path, Argument(help="A run's folder.", show_default=False)],
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
    from zc_search.report import text
    from zc_search.scoring.scores_file import ScoresTable

    trials, chosen = _opened(run, None, config, settings)
    other = None if judge_on is None else ScoresTable.read(judge_on, trials.dataset)
    console = plain_console()
    with console.status("judging"):
        judged, notes = pareto_against_random(trials, chosen, names_in(proxies), other, draws, seed)
    _say(console, text.comparison(summarise(judged)), notes)
    _wrote(out, judged)


def _opened(
    source: Path | str, dataset: str | None, config: Path | None, settings: Iterable[str] | None
) -> "tuple[ScoresTable, Loaded]":
    """Return scores, and the settings of the ensemble to be fitted to them."""
    from zc_search.ensemble.scores import settings_for
    from zc_search.scoring.scores_file import ScoresTable

    scores = ScoresTable.read(source, dataset)
    return scores, settings_for(scores, config, tuple(settings or ()))


def _say(console: "Console", table: "RenderableType", sentences: Iterable[str]) -> None:
    from zc_search.report.text import notes

    console.print(table)
    console.print()
    notes(console, sentences)


def _wrote(path: Path | None, table: "pd.DataFrame") -> None:
    if path is not None:
        save(path, table.to_csv(index=False))
        typer.echo(f"wrote {path}")


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    sizes = [int(part) if part.strip().isdecimal() else -1 for part in text.split(",")]
    if sizes[0] < 0 or sorted(set(sizes)) != sizes:
        raise EnsembleError(
            f"--accuracies {text!r}: Allowed: whole numbers, ascending, such as 25,100,400",
            key="--accuracies",
            given=text,
        )
    return sizes


def _write_curve(
    draws: "pd.DataFrame", summary: "pd.DataFrame", folder: Path, notes: list[str]
) -> list[str]:
    """Write tables, page and picture, and return their names; without a picture note why."""
    from zc_search._utils.files import writing
    from zc_search.report import plot_learning_curve
    from zc_search.report.page import Drawing, write_pictures

    figure = plot_learning_curve(draws)
    with writing(str(folder), EnsembleError):
        folder.mkdir(parents=True, exist_ok=True)
        draws.to_csv(folder / "draws.csv", index=False)
        draws.to_parquet(folder / "draws.parquet")
        summary.to_csv(folder / "summary.csv", index=False)
        figure.write_html(folder / "curve.html", config={"displaylogo": False})
    written = ["draws.csv", "draws.parquet", "summary.csv", "curve.html"]
    drawing = Drawing("curve", "Learning curve", {"": lambda: figure})
    try:
        return [*written, *(path.name for path in write_pictures([drawing], folder))]
    except ZcSearchError as error:  # a picture is a luxury, the page shows the same
        notes.append(f"No picture: {error}")
        return written


def _write_search_file(
    ensemble: "Ensemble", file: Path | str, search: Path, target: Path
) -> list[str]:
    """Copy a search file, comments kept, its one objective the prediction, the others recorded.

    Returns what a user should know.
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
    objectives = document["objectives"]
    for key, old in zip(list(objectives), config.objectives, strict=True):  # which may be an alias
        if old.scale:
            recorded = tomlkit.inline_table().append("direction", str(old.direction))
            objectives[key] = recorded.append("scale", 0)
    objectives[f"{ENSEMBLE}{file}"] = "maximize"
    lacking = [name for name in ensemble.proxies if name not in config.proxies_to_compute]
    compute = document.setdefault("proxies", {}).setdefault("compute", [*config.proxies.compute])
    compute.extend(lacking)
    study = document.setdefault("study", {})
    study.update(name=f"{config.study.name}-ensemble", sum_objectives=False)
    text = tomlkit.dumps(document)
    parse_config(text, source=str(target))
    save(target, text)
    return notes


# Tables -------------------------------------------------------------------------------------------


def _print(console: "Console", fitted: "Ensemble", most: int | None) -> None:
    from zc_search.report import text

    console.print(text.listed(_facts(fitted)))
    console.print()
    console.print(text.weights(fitted, most))
    for rows in (fitted.quality, fitted.unseen_quality):
        if not rows.empty:
            console.print()
            console.print(text.quality(rows))
    console.print()
    text.notes(console, fitted.notes)


def _facts(ensemble: "Ensemble") -> dict[str, object]:
    """Return what an ensemble is and what it was fitted to, by matter."""
    known: dict[str, Any] = {k: v for k, v in ensemble.metadata.items() if k != "definitions"}
    scores, drawn = known.pop("scores", None), known.pop("accuracies_drawn", None)
    chosen = "the Pareto front" if ensemble.fit_on == "pareto" else "all that were usable"
    if isinstance(drawn, dict):
        chosen = f"drawn at random with seed {drawn.get('seed')}"
    lines: dict[str, object] = {
        "model": f"{ensemble.model}, features {ensemble.feature_set}",
        "fitted to": f"{counted(ensemble.rows, 'architecture')}, {chosen}",
        "target": f"{ensemble.target}, {known.pop('dataset', 'data set not recorded')}",
        **{key.replace("_", "-"): value for key, value in known.items()},
    }
    if isinstance(scores, dict):
        pairs = [f"{key} {str(value)[:12]}" for key, value in scores.items() if key != "name"]
        lines["scores"] = f"{scores.get('name', 'unnamed')}: {', '.join(pairs)}"
    if ensemble.bounds is not None:
        lines["clipped"] = "predictions to {:g} to {:g} %".format(*ensemble.bounds)
    lines["off by"] = (
        f"{ensemble.residuals[0]:+.2f} to {ensemble.residuals[-1]:+.2f} percentage points (true "
        f"less predicted), {'held out' if ensemble.residuals_held_out else 'in-sample'}"
    )
    if link := getattr(ensemble.predictor, "link", None):
        lines["link"] = (
            f"{link.unit}: {link.scores[0]:.3g} to {link.scores[-1]:.3g} is "
            f"{link.accuracies[0]:.4g} to {link.accuracies[-1]:.4g} % by {len(link.scores)} knots"
        )
    return lines


def constants(ensemble: "Ensemble") -> "Iterator[RenderableType]":
    """Yield tables of every constant of the features: proxies' scales, then the columns."""
    from zc_search.report.text import table

    definitions: Any = ensemble.metadata.get("definitions") or {}
    rows = []
    for scale in ensemble.features.proxies:
        fields = scale.model_dump(exclude={"proxy", "kind"}, exclude_none=True)
        values = "; ".join(f"{name} {_numbers(value)}" for name, value in fields.items())
        definition = definitions.get(scale.proxy, "not recorded")
        rows.append((scale.proxy, scale.kind, values or "-", definition))
    title = "Proxies: the scale that each is put on, fitted to the training rows"
    yield table(title, ["proxy", "scale", "constants", "definition"], rows)
    columns = [(c.name, f"{c.mean:.6g}", f"{c.scale:.6g}") for c in ensemble.features.columns]
    title = "Columns of the model: (value - mean) / scale"
    yield table(title, ["feature", ">mean", ">scale"], columns)


def _numbers(value: object) -> str:
    if isinstance(value, tuple | list) and value:
        if len(value) > 6:
            return f"{len(value)} from {value[0]:.5g} to {value[-1]:.5g}"
        return " ".join(map(_numbers, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
