"""``zc-search evaluate``: how well each proxy of a scores file orders architectures."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer import Argument, Option

from zc_search.cli.printing import names_in, plain_console, records, save
from zc_search.errors import ScoresError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group

    from zc_search.benchmarks import Benchmark

_CAPTION = (
    "tau: Kendall's tau-b with its 95 % bootstrap interval. nDCG: the gain of a proxy's first "
    "1,000, of which each percent less has half, as a share of what there is. top: which share of "
    "a proxy's first 10 % (or 64) are among the truly first 10 % (or 64). best of 10: the best "
    "accuracy among a proxy's first 10. The better half and the top 10 % are cut by true accuracy."
)

_CEILING = (
    "of ceiling: tau by the largest that there is, of a proxy that knew the expected accuracies: "
    "those of the table are means of two or three noisy trainings."
)


def evaluate(
    scores: Annotated[str, Argument(help="What `zc-search score` wrote, or packaged.")],
    dataset: Annotated[
        str | None, Option(help="One or several, a,b; by default the scores' own.")
    ] = None,
    benchmark: Annotated[
        str | None, Option("--benchmark", "-b", help="A table, or analog; by default its own.")
    ] = None,
    metric: Annotated[str | None, Option(help="Of the benchmark; by default its first.")] = None,
    proxies: Annotated[str | None, Option(help="Only these, such as snip,zico.")] = None,
    bootstrap: Annotated[int, Option(min=0, help="Resamples an interval, or 0.")] = 1000,
    choose: Annotated[
        int, Option(min=0, help="Choose so many that go well together, by LIBRA's rule.")
    ] = 0,
    json_file: Annotated[Path | None, Option("--json", help="Write it all here.")] = None,
    csv_file: Annotated[Path | None, Option("--csv", help="Write the table here.")] = None,
    table_file: Annotated[
        Path | None, Option("--table", help="Write a table for a paper here: .csv, .md or .tex.")
    ] = None,
) -> None:
    """Judge each proxy by what training gave: over the whole space, its better half, its top 10 %.

    params and flops are always beside them: what does not beat them is not worth its price.
    """
    import pandas as pd

    from zc_search.scoring.scores_file import load_scores, of_dataset

    read = cache(load_scores)  # a file may be judged on several data sets
    write_table = _writer_of(table_file) if table_file else str  # a wrong name is said at once
    console, found = plain_console(), list[_Judged]()
    for name in names_in(dataset) or (None,):
        with console.status("judging") as status:
            judged = _judge(
                of_dataset(scores, name),
                read,
                (proxies or "", metric, name, benchmark),
                choose,
                n_bootstrap=bootstrap,
                intervals=None if json_file or csv_file else ["kendall_tau"],  # as printed
                on_proxy=lambda n, of, status=status: status.update(f"judged {n} of {of} proxies"),
            )
        for table in judged.tables():
            console.print(table)
            console.print()
        found.append(judged)
    console.print(_CAPTION)
    if any(one.rows["ceiling"].notna().any() for one in found):
        console.print(_CEILING)
    for sentence in dict.fromkeys(sentence for one in found for sentence in one.said()):
        console.print(sentence)
    every = pd.concat([judged.rows.assign(dataset=judged.of["dataset"]) for judged in found])
    one = len(found) == 1
    documents = [{**judged.document(), "n_bootstrap": bootstrap} for judged in found]
    document = documents[0] if one else {"datasets": documents}
    files: dict[Path | None, Callable[[], str]] = {
        csv_file: lambda: every.drop(columns=["dataset"] * one).to_csv(index=False),
        json_file: lambda: json.dumps(document, indent=2) + "\n",
        table_file: lambda: write_table(_paper_table(every)),
    }
    for path, content in files.items():
        if path is not None:
            save(path, content())
            typer.echo(f"wrote {path}")


def agreement(
    scores: Annotated[list[str], Argument(help="Two files of `zc-search score`, or more.")],
    csv_file: Annotated[Path | None, Option("--csv", help="Write the table here.")] = None,
) -> None:
    """Say how far each proxy agrees with itself: between initialisations, batches, data sets.

    Score the same architectures twice, with other settings: --set proxies.seed=1 or data.seed=1.
    No accuracy is needed.
    """
    from zc_search.evaluation import self_agreement
    from zc_search.report.text import decimal, table
    from zc_search.scoring.scores_file import load_scores

    read = [load_scores(path) for path in scores]
    tables = [frame[[*said["proxies"]]] for frame, said in read]
    found = self_agreement(tables)
    rows = found.to_dict("records")
    counted = f"{found['n'].iloc[0]:,} architectures, {len(scores)} files"
    caption = f"tau: Kendall's tau-b of a proxy in two of the files, {counted}."
    shown = ((row["proxy"], decimal(row["kendall_tau"]), decimal(row["least"])) for row in rows)
    plain_console().print(
        table("agreement with itself", ["proxy", ">tau", ">least"], shown, caption)
    )
    if csv_file is not None:
        save(csv_file, found.to_csv(index=False))


class _Judged(NamedTuple):
    rows: "pd.DataFrame"
    chosen: "pd.DataFrame"
    of: dict[str, str]  # scores, scored, dataset, metric, provenance
    about: Mapping[str, Any]

    def said(self) -> Iterator[str]:
        """Say what the accuracies are."""
        yield self.of["provenance"]
        if self.of["scored"] != self.of["dataset"]:
            yield f"Scores computed for {self.of['scored']}, judged on {self.of['dataset']}."

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        tables = {"rows": records(self.rows), "chosen": records(self.chosen)}
        return {**self.of, **tables, "about": self.about}

    def tables(self) -> "Iterator[Group]":
        """Yield what is printed: a table a subset, and what was chosen."""
        for _, rows in self.rows.groupby("subset", sort=False):
            yield _subset_table(rows, self.of["dataset"])
        if not self.chosen.empty:
            yield _choice_table(self.chosen, self.of["dataset"])


def _judge(
    path: str,
    read: "Callable[[str], tuple[pd.DataFrame, dict[str, Any]]]",
    asked_for: tuple[str, str | None, str | None, str | None],
    choose: int,
    **options: Any,
) -> _Judged:
    """Judge a scores file's proxies, of those and the metric, data set and benchmark asked for."""
    import pandas as pd

    from zc_search.ensemble import aggregate
    from zc_search.evaluation import BASELINES, choose_proxies
    from zc_search.evaluation import evaluate as evaluate_table
    from zc_search.proxies.catalogue import VKDNW_AGGREGATE, default_direction, split_names

    proxies, metric, dataset, source = asked_for
    scores, said = read(path)
    known = said["proxies"]
    for name in (asked := split_names(proxies)):
        if name not in known:
            raise ScoresError.unknown("column", name, known)
    benchmark, metric, scored = _table_of(said["config"], metric, dataset, source)
    names = list(dict.fromkeys((*BASELINES, *(asked or known))))
    directions = {name: default_direction(name) or known[name] for name in names}
    accuracy = pd.Series(benchmark.of(scores.index, metric), scores.index)
    table = scores[names]
    if set(VKDNW_AGGREGATE) <= set(known) and (not asked or set(VKDNW_AGGREGATE) <= set(asked)):
        upwards = dict.fromkeys(VKDNW_AGGREGATE, "maximize")
        table = table.assign(vkdnw_aggregate=aggregate(scores, VKDNW_AGGREGATE, upwards))
    chosen = pd.DataFrame()
    if choose:
        signs = {name: 1 if directions[name] == "maximize" else -1 for name in names}
        candidates = {n: signs[n] * scores[n] for n in names if n not in BASELINES}
        chosen = choose_proxies(candidates, accuracy, scores["params"], choose)
        together = aggregate(scores, tuple(chosen["proxy"]), directions)
        table = table.assign(**{f"the {len(chosen)} chosen": together})
    judged = evaluate_table(table, accuracy, directions, n_jobs=None, **options)
    ceilings = {k: v.tau for k, v in benchmark.ceilings.get(metric, {}).items()}
    judged["ceiling"] = judged["subset"].map(ceilings).astype(float)
    judged["kendall_tau_of_ceiling"] = judged["kendall_tau"] / judged["ceiling"]
    of = {"scores": path, "scored": scored, "dataset": benchmark.dataset, "metric": metric}
    return _Judged(judged, chosen, of | {"provenance": benchmark.provenance}, said)


def _table_of(
    settings: str, metric: str | None, dataset: str | None, source: str | None
) -> "tuple[Benchmark, str, str]":
    """Return the accuracies to judge by, which metric of them, and the data set of the scores."""
    from zc_search.benchmarks.catalogue import open_table
    from zc_search.config import parse_config, with_benchmark

    config = parse_config(settings, source="the scores file's configuration")
    config = with_benchmark(config, source) if source else config
    if config.benchmark.name == "none":
        raise ScoresError(
            "these scores were computed with benchmark.name = 'none': there are no accuracies to "
            "judge proxies by; name a table with --benchmark; on images of your own, `zc-search "
            "train` makes some"
        )
    if config.benchmark.measured:
        raise ScoresError(
            f"benchmark.name = {config.benchmark.name!r} makes accuracies while a search runs; to "
            "judge proxies by them, name the accuracies.csv in that run's folder with --benchmark",
            key="--benchmark",
            given=config.benchmark.name,
        )
    benchmark = open_table(config, dataset or config.dataset)
    accuracies = [name for name in benchmark.metrics if benchmark.directions[name] == "maximize"]
    metric = metric or next((m for m in ("val_accuracy", *accuracies) if m in accuracies), "")
    if metric not in accuracies:
        raise ScoresError.unknown("accuracy", metric, accuracies)
    benchmark.require((metric,))
    return benchmark, metric, config.dataset


def _subset_table(rows: "pd.DataFrame", dataset: str) -> "Group":
    from zc_search.report.text import decimal, interval, percent, table

    headings = ["proxy", ">n", ">tau [interval]", ">of\nceiling", ">Spear-\nman", ">nDCG"]
    headings += [">top\n10 %", ">top\n64", ">best\nof 10"]
    decimals = ["kendall_tau_of_ceiling", "spearman", "ndcg"]
    decimals += ["precision_top_10pct", "precision_top_64"]
    cells = [
        [row["proxy"], f"{row['n']:,}", interval(row, "kendall_tau")]
        + [decimal(row[name]) for name in decimals]
        + [percent(row["best_of_top_10"])]
        for row in rows.sort_values("kendall_tau", ascending=False).to_dict("records")
    ]
    return table(f"{rows['subset'].iloc[0]}, {dataset}", headings, cells)


def _choice_table(chosen: "pd.DataFrame", dataset: str) -> "Group":
    from zc_search.report.text import decimal, table

    figures = {"Spearman": "spearman", "bits gained": "information_gain", "bias": "bias"}
    bias = decimal(chosen["bias_of_accuracy"].iloc[0])
    return table(
        f"{len(chosen)} chosen by LIBRA's rule, {dataset}",
        ["proxy", "chosen for", *(f">{heading}" for heading in figures)],
        (
            (row["proxy"], row["chosen_for"], *(decimal(row[name]) for name in figures.values()))
            for row in chosen.to_dict("records")
        ),
        f"bias: Spearman with the parameters, the accuracy's {bias}. The baselines cannot be "
        "chosen. Chosen on these accuracies: judge them on others.",
    )


# A table for a paper ------------------------------------------------------------------------------


def _paper_table(judged: "pd.DataFrame") -> "pd.DataFrame":
    """Return texts such as ``.574 ±.021``: a row a proxy, columns of data set and statistic.

    The best on average come first. Behind tau stands half the width of its bootstrap interval.
    """
    import pandas as pd

    from zc_search.report.text import decimal

    rows = judged[judged["subset"] == "all"]
    reach = (rows["kendall_tau_high"] - rows["kendall_tau_low"]) / 2
    statistics = {"kendall_tau": "tau", "spearman": "Spearman", "ndcg": "nDCG"}
    texts = pd.DataFrame({name: rows[key].map(decimal) for key, name in statistics.items()})
    texts["tau"] += [f" ±{decimal(r)}" if pd.notna(r) else "" for r in reach]
    keys = rows["dataset"].to_numpy()
    by_dataset = texts.set_index(rows["proxy"]).groupby(keys, sort=False)
    columns = {(str(key), name): part[name] for key, part in by_dataset for name in texts}
    means = rows.groupby("proxy")["kendall_tau"].mean()
    order = means.sort_values(ascending=False, kind="stable").index
    return pd.DataFrame(columns, index=order).fillna("-")


def _csv(table: "pd.DataFrame") -> str:
    return str(table.set_axis([" ".join(pair) for pair in table.columns], axis=1).to_csv())


def _markdown(table: "pd.DataFrame") -> str:
    headings = [" ".join(pair) for pair in table.columns]
    lines = [["proxy", *headings], ["---", *["---:"] * len(headings)]]
    lines += [[str(name), *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latex(table: "pd.DataFrame") -> str:
    """Return LaTeX for the package booktabs."""
    styled = table.rename_axis(index=None).style
    for axis in (0, 1):
        styled = styled.format_index(escape="latex", axis=axis)
    return str(styled.to_latex(hrules=True, multicol_align="c")).replace("±", r"$\pm$")


_WRITERS = {".csv": _csv, ".md": _markdown, ".tex": _latex}


def _writer_of(path: Path) -> Callable[["pd.DataFrame"], str]:
    """Return what writes a paper's table as the name of its file says, or refuse the name."""
    if path.suffix in _WRITERS:
        return _WRITERS[path.suffix]
    raise UsageError(
        f"--table={path.suffix!r}: a table for a paper ends in {', '.join(_WRITERS)}",
        key="--table",
        given=path.suffix,
        allowed=tuple(_WRITERS),
    )
