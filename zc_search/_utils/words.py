"""Counts and amounts as every printed line writes them."""


def counted(count: int, noun: str) -> str:
    """Return such as ``1 architecture``, ``1,873 accuracies``."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'es' * noun.endswith('ss')}"
        noun += "" if noun.endswith("es") else "s"
    return f"{count:,} {noun}"


def amount(value: float) -> str:
    """Return such as ``0.8M`` or ``100M``, as limits are written in a search file."""
    for unit, size in (("G", 1e9), ("M", 1e5), ("k", 1e3)):
        if value >= size:
            return f"{value / (1e6 if unit == 'M' else size):,.4g}{unit}"
    return f"{value:,g}"
