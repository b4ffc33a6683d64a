"""After a value that is not finite: back to the last checkpoint, and on from there at a lower learning rate."""

from pathlib import Path

import attrs

from tabscm.engine.checkpoint import has_checkpoint, seal
from tabscm.engine.health.event import Event
from tabscm.engine.health.finite import NotFinite
from tabscm.kernel.errors import TrainingError
from tabscm.kernel.experiment import TrainerSettings


@attrs.frozen
class Rollback:
    """What a run goes on with."""

    count: int
    """How many there were, with this one."""
    rate: float
    """What they have left of the learning rates."""
    event: Event
    """Says so in the log."""


def roll_back(broken: NotFinite, run: Path, settings: TrainerSettings, before: Rollback | None) -> Rollback:
    """Go back to the last checkpoint of `run`, or to its start when there is none, if that can help.

    Count and rate are in state.json from the next checkpoint on. The one that training went back to stays as it is: a
    run that is killed before the next one comes to the same step and goes back again.

    Args:
        broken: what happened.
        run: the folder.
        settings: how often this may be.
        before: the one before in this process.

    Raises:
        TrainingError: it did so often enough, or a lower rate would change nothing.
    """
    state = seal(run, "last")[0] if has_checkpoint(run) else None
    step = 0 if state is None else state.step
    count, rate = (before.count, before.rate) if before else (state.rollbacks, state.rate) if state else (0, 1.0)
    useless = None
    if count >= settings.rollbacks:
        useless = (
            f"the run went back {count} time{'s' if count != 1 else ''} already, all that trainer.rollbacks allows"
        )
    elif broken.fixed:
        useless = "a lower learning rate makes the same tables, so going back cannot help"
    elif broken.step == step and not broken.updated:
        useless = "no update lies between the last checkpoint and this step, so a lower learning rate changes nothing"
    if useless:
        raise TrainingError(f"{broken} No rollback: {useless}.") from broken
    count, rate = count + 1, rate * settings.rollback_rate
    where = f"the checkpoint of step {step}" if step else "the start"
    line = (
        f"{broken.what}. Went back to {where} ({count} of at most {settings.rollbacks} times) and goes on at {rate:g} "
        "times the learning rates of the experiment."
    )
    return Rollback(count, rate, Event(step, "rollback", rate, line))
