"""How many processor cores this process may really use."""


def available_cores() -> int:
    """Return the cores that affinity and a container's quota leave, at least 1."""
    from joblib import cpu_count  # slow to import, and not everyone who imports this asks

    return max(1, int(cpu_count()))
