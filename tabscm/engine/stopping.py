"""Which validation was the best, and when it is no use to go on."""

import math

import attrs

from tabscm.engine.measures import MEASURES
from tabscm.engine.state import State
from tabscm.kernel.experiment import EarlyStopping, Metric


def as_good(metric: Metric, value: float, goal: float) -> bool:
    """Whether `value` is the goal or better; NaN, a value undefined on these tables, never is."""
    return value <= goal if MEASURES[metric].lower_is_better else value >= goal


def improves(metric: Metric, value: float, before: float | None, *, least: float = 0.0) -> bool:
    """Whether `value` is better than the one before, by at least `least`. Anything improves on None and on NaN."""
    if before is None or math.isnan(before):
        return True
    change = before - value if MEASURES[metric].lower_is_better else value - before
    return change > 0 and change >= least


def after_validation(state: State, found: dict[str, float], stopping: EarlyStopping | None, *, waiting: bool) -> State:
    """The state after the validation at `state.step` that `found` this: the best so far, and the wait for a better one.

    The best is the one with the highest log-probability, unless early stopping names another metric. Where the value is
    undefined in every validation, as for tables of one variable, the newest is the best.

    Args:
        state: of the step that was validated.
        found: see `evaluate.judge`.
        stopping: as the experiment says.
        waiting: whether this validation counts for the patience, as those of a curriculum's last level do.
    """
    metric: Metric = stopping.metric if stopping else "log_prob_gain"
    value = found[metric]
    if improves(metric, value, state.best_value):
        state = attrs.evolve(state, best_step=state.step, best_gain=found["log_prob_gain"], best_value=value)
    if stopping is None or not waiting:
        return state
    if improves(metric, value, state.mark, least=stopping.least):
        return attrs.evolve(state, mark=value, waited=0)
    return attrs.evolve(state, waited=state.waited + 1)


def why_stop(state: State, stopping: EarlyStopping | None) -> str | None:
    """The line that says why training ends at `state`, and where the best was; None while it goes on."""
    if stopping is None or state.waited < stopping.patience:
        return None
    assert state.best_value is not None
    least = f" by {stopping.least:g}" if stopping.least else ""
    return (
        f"stopped after step {state.step}: {stopping.metric} has not improved{least} in {state.waited} validations; "
        f"best {state.best_value:.3f} at step {state.best_step}"
    )
