"""A user's own images: a search file for them, the best few trained on them, and taken along."""

from functools import cache
from typing import Any


def filled(template: str, **values: Any) -> str:
    """Return a template of this room with its values; ``cell`` writes into a Markdown table."""
    return str(_environment().get_template(template).render(**values))


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701  none of it is HTML
        loader=PackageLoader("zc_search.deploy"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"repr": repr, "cell": _cell}
    return environment


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("\n", " ")
