"""What this project needs of Optuna's privates, all of it, each with a test that fails with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial


@contextmanager
def stoppable(study: Study) -> Iterator[None]:
    """Let a sampler call `Study.stop`, which Optuna allows within `Study.optimize` alone."""
    here = study._thread_local
    before, here.in_optimize_loop = here.in_optimize_loop, True
    try:
        yield
    finally:
        here.in_optimize_loop = before


def is_stopped(study: Study) -> bool:
    """Whether a sampler has nothing left to suggest."""
    return bool(study._stop_flag)


def begun_trial(study: Study, frozen: FrozenTrial) -> Trial:
    """Return a trial that was cut off, to be asked for parameters and told."""
    return Trial(study, frozen._trial_id)


def is_enqueued(trial: FrozenTrial) -> bool:
    """Whether a user named parameters of a trial before it was asked for."""
    return "fixed_params" in trial.system_attrs


def forget_drawn(study: Study, trial: FrozenTrial) -> None:
    """Blank what was noted of a trial that was cut off; Optuna's GP takes it for another's."""
    for key in study._storage.get_trial_system_attrs(trial._trial_id):
        if "relative_params" in key:
            study._storage.set_trial_system_attr(trial._trial_id, key, "")
