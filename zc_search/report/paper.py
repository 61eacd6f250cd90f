"""What proxies are worth on several data sets as one table, as papers print it."""

import pandas as pd

from zc_search.errors import UsageError
from zc_search.report.text import decimal

_STATISTICS = {"kendall_tau": "tau", "spearman": "Spearman", "ndcg": "nDCG"}
FORMATS = (".csv", ".md", ".tex")


def paper_table(judged: pd.DataFrame, subset: str = "all") -> pd.DataFrame:
    """Return texts such as ``.574 ±.021``: a row a proxy, columns of data set and statistic.

    Args:
        judged: What `zc_search.evaluate` returned, with a column ``dataset``.
        subset: Of the architectures, as `evaluate` names them.

    The best on average come first. Behind tau stands half the width of its bootstrap interval.
    """
    rows = judged[judged["subset"] == subset]
    reach = (rows["kendall_tau_high"] - rows["kendall_tau_low"]) / 2
    texts = {name: rows[key].map(decimal) for key, name in _STATISTICS.items()}
    texts["tau"] += [f" ±{decimal(r)}" if pd.notna(r) else "" for r in reach]
    sets = [str(name) for name in dict.fromkeys(rows["dataset"])]
    means = rows.groupby("proxy")["kendall_tau"].mean()
    order = means.sort_values(ascending=False, kind="stable").index
    columns = {
        (dataset, name): text[rows["dataset"] == dataset].set_axis(
            rows.loc[rows["dataset"] == dataset, "proxy"]
        )
        for dataset in sets
        for name, text in texts.items()
    }
    return pd.DataFrame(columns, index=order).fillna("-")


def written(table: pd.DataFrame, suffix: str) -> str:
    """Return a table of `paper_table` as CSV, Markdown or LaTeX (package booktabs)."""
    if suffix == ".tex":
        styled = table.rename_axis(index=None).style
        for axis in (0, 1):
            styled = styled.format_index(escape="latex", axis=axis)
        text = styled.to_latex(hrules=True, multicol_align="c")
        return str(text).replace("±", r"$\pm$")
    flat = table.set_axis([" ".join(pair) for pair in table.columns.to_flat_index()], axis=1)
    if suffix == ".csv":
        return str(flat.to_csv())
    if suffix != ".md":
        raise UsageError(
            f"--table={suffix!r}: a table for a paper ends in {', '.join(FORMATS)}",
            key="--table",
            given=suffix,
            allowed=FORMATS,
        )
    lines = [["proxy", *flat.columns], ["---", *["---:"] * len(flat.columns)]]
    lines += [[str(name), *row] for name, row in zip(flat.index, flat.to_numpy(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
