"""An ensemble in a terminal: what it was fitted to, and every constant in it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table

from zc_search.report.text import listed, table

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble

_SHOWN = 6


def facts(ensemble: "Ensemble") -> Table:
    """Return what an ensemble is and what it was fitted to, a line each."""
    known: dict[str, Any] = dict(ensemble.metadata)
    known.pop("definitions", None)
    scores, drawn = known.pop("scores", None), known.pop("accuracies_drawn", None)
    chosen = "the Pareto front" if ensemble.fit_on == "pareto" else "all that were usable"
    if isinstance(drawn, dict):
        chosen = f"drawn at random with seed {drawn.get('seed')}"
    lines: dict[str, object] = {
        "model": f"{ensemble.model}, features {ensemble.feature_set}",
        "fitted to": f"{ensemble.rows} architectures, {chosen}",
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
    link = getattr(ensemble.predictor, "link", None)
    if link is not None:
        lines["link"] = (
            f"{link.unit}: {link.scores[0]:.3g} to {link.scores[-1]:.3g} is "
            f"{link.accuracies[0]:.4g} to {link.accuracies[-1]:.4g} % by {len(link.scores)} knots"
        )
    return listed(lines)


def constants(ensemble: "Ensemble") -> Iterable[RenderableType]:
    """Yield tables of every constant of the features: proxies' scales, then the columns."""
    definitions: Any = ensemble.metadata.get("definitions") or {}
    rows = []
    for scale in ensemble.features.proxies:
        fields = scale.model_dump(exclude={"proxy", "kind"}, exclude_none=True)
        values = "; ".join(f"{name} {_numbers(value)}" for name, value in fields.items())
        definition = definitions.get(scale.proxy, "not recorded")
        rows.append((scale.proxy, scale.kind, values or "-", definition))
    yield table(
        "Proxies: the scale that each is put on, fitted to the training rows",
        [("proxy", "fold"), ("scale", "left"), ("constants", "fold"), ("definition", "fold")],
        rows,
    )
    yield table(
        "Columns of the model: (value - mean) / scale",
        [("feature", "fold"), ("mean", "right"), ("scale", "right")],
        [(c.name, f"{c.mean:.6g}", f"{c.scale:.6g}") for c in ensemble.features.columns],
    )


def _numbers(value: object) -> str:
    if isinstance(value, tuple | list) and value:
        if len(value) > _SHOWN:
            return f"{len(value)} from {value[0]:.5g} to {value[-1]:.5g}"
        return " ".join(_numbers(item) for item in value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)
