"""What a search will do, a line a matter, before anything is computed."""

from pathlib import Path

from zc_search._utils.passwords import without_passwords
from zc_search.config import Config
from zc_search.samplers import advice
from zc_search.study import Objective
from zc_search.study.run_folder import storage_url


def search_plan(objective: Objective, folder: Path) -> dict[str, str]:
    """Return what a search will do: objectives, space, images, sampler, storage, by matter."""
    config, benchmark = objective.config, objective.benchmark
    active = {o.name: o.direction for o in config.active_objectives}
    recorded = [p.name for p in objective.proxies if p.name not in active]
    summed = " as one weighted sum" if config.study.sum_objectives else ""
    plan = {
        "space": _space(objective),
        "objectives": ", ".join(f"{name} ({way})" for name, way in active.items()) + summed,
        "recorded": ", ".join(recorded) or "nothing else",
        "data": f"{config.data.batch_size} images from {config.data.source}, "
        f"seed {config.data.seed}",
        "benchmark": benchmark.provenance if benchmark else "none",
        "sampler": f"{config.study.sampler}, seed {config.study.seed}, {bounds(config)}",
        "storage": without_passwords(storage_url(config, folder)),
    }
    if limits := ", ".join(f"{k} {v:,g}" for k, v in config.constraints if v is not None):
        plan["constraints"] = limits
    if warning := advice(config.study.sampler, len(objective.directions)):
        plan["warning"] = warning
    if objective.about_images:
        plan["images"] = " ".join(objective.about_images)
    return plan


def bounds(config: Config) -> str:
    """Say when the search ends, and whether it looks at anything twice."""
    study = config.study
    limits = [
        f"{study.n_trials:,} trials",
        *(
            f"{limit:,.9g} {what}"
            for limit, what in (
                (study.max_accuracies, "accuracies"),
                (study.max_simulated_seconds, "simulated seconds"),
                (study.timeout, "seconds"),
            )
            if limit is not None
        ),
    ]
    distinct = ", each function once" if study.distinct else ""
    return ("at most " if len(limits) > 1 else "") + " or ".join(limits) + distinct


def _space(objective: Objective) -> str:
    space, settings = objective.space, objective.config.space
    count = "" if space.size is None else f" {space.size:,} architectures,"
    text = f"{space.name},{count} for {objective.config.dataset}"
    if settings.channels is None:
        return text
    return f"{text}, {settings.channels} channels, {settings.cells} cells a stage"
