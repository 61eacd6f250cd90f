"""What proxies are worth on several data sets as one table, as papers print it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from zc_search.errors import UsageError
from zc_search.report.text import decimal

_STATISTICS = {"kendall_tau": "tau", "spearman": "Spearman", "ndcg": "nDCG"}


def paper_table(judged: pd.DataFrame, subset: str = "all") -> pd.DataFrame:
    """Return texts such as ``.574 ±.021``: a row a proxy, columns of data set and statistic.

    Args:
        judged: What `zc_search.evaluate` returned, with a column ``dataset``.
        subset: Of the architectures, as `evaluate` names them.

    The best on average come first. Behind tau stands half the width of its bootstrap interval.
    """
    rows = judged[judged["subset"] == subset]
    reach = (rows["kendall_tau_high"] - rows["kendall_tau_low"]) / 2
    texts = pd.DataFrame({name: rows[key].map(decimal) for key, name in _STATISTICS.items()})
    texts["tau"] += [f" ±{decimal(r)}" if pd.notna(r) else "" for r in reach]
    columns = {
        (str(dataset), name): part[name]
        for dataset, part in texts.set_index(rows["proxy"]).groupby(
            rows["dataset"].to_numpy(), sort=False
        )
        for name in texts
    }
    means = rows.groupby("proxy")["kendall_tau"].mean()
    order = means.sort_values(ascending=False, kind="stable").index
    return pd.DataFrame(columns, index=order).fillna("-")


def writer_of(path: Path) -> Callable[[pd.DataFrame], str]:
    """Return what writes a table of `paper_table` as the name of a file says.

    Raises:
        UsageError: It ends in none of ``.csv``, ``.md`` and ``.tex``.
    """
    if (writer := _WRITERS.get(path.suffix)) is not None:
        return writer
    raise UsageError(
        f"--table={path.suffix!r}: a table for a paper ends in {', '.join(_WRITERS)}",
        key="--table",
        given=path.suffix,
        allowed=tuple(_WRITERS),
    )


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis([" ".join(pair) for pair in table.columns.to_flat_index()], axis=1)


def _csv(table: pd.DataFrame) -> str:
    return str(_flat(table).to_csv())


def _markdown(table: pd.DataFrame) -> str:
    flat = _flat(table)
    lines = [["proxy", *flat.columns], ["---", *["---:"] * len(flat.columns)]]
    lines += [[str(name), *row] for name, row in zip(flat.index, flat.to_numpy(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latex(table: pd.DataFrame) -> str:
    """Return LaTeX for the package booktabs."""
    styled = table.rename_axis(index=None).style
    for axis in (0, 1):
        styled = styled.format_index(escape="latex", axis=axis)
    return str(styled.to_latex(hrules=True, multicol_align="c")).replace("±", r"$\pm$")


_WRITERS = {".csv": _csv, ".md": _markdown, ".tex": _latex}
