"""``zc-search ensemble``: proxies turned into one predicted accuracy, without a search."""

import typer

from zc_search.cli.ensemble.apply import apply
from zc_search.cli.ensemble.curves import compare, curve
from zc_search.cli.ensemble.fit import fit, show

ensemble_app = typer.Typer(
    no_args_is_help=True,
    help="Fit, show, apply and judge ensembles of proxies.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (fit, show, apply, curve, compare):
    ensemble_app.command()(_command)
