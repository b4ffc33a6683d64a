"""How long a training step takes, to find how many of them fit into a given time."""

import contextlib
import io
import math
import statistics
import tempfile
import time
from pathlib import Path

import attrs
import torch

from tabscm.engine.progress import Progress
from tabscm.engine.trainer import train
from tabscm.kernel.experiment import Experiment

WARM_UP = 10
"""Steps before the clock counts; also the steps between two validations while it does."""
SHARE = 0.05
"""Of the training's time that is spent on timing it,"""
LEAST, MOST = 1.0, 20.0
"""but at least and at most this many seconds."""


@attrs.frozen
class Pace:
    """How long the parts of training take on one machine, in seconds."""

    step: float
    """Mean, for steps cost what their tables cost, and these are of many sizes."""
    validation: float
    """With the checkpoint that follows it."""

    def steps(self, seconds: float, experiment: Experiment) -> int:
        """How many steps, with their validations, fit into so many seconds; at least one."""
        each = self.step + self.validation / experiment.trainer.validate_every
        return max(1, round((seconds - self.validation) / each))


def pace(experiment: Experiment, *, device: torch.device, seconds: float) -> Pace:
    """Time the real training, with all that belongs to it, and throw away what it made.

    Args:
        experiment: what is trained; its number of steps does not matter.
        device: where.
        seconds: of the training to come.
    """
    trainer = attrs.evolve(
        experiment.trainer,
        steps=10**6,
        validate_every=WARM_UP,
        log_every=math.gcd(experiment.trainer.log_every, WARM_UP),  # a step is logged right before each validation
        early_stopping=None,
    )
    # on the tables of [stream] alone, and to the end: lower levels of a curriculum are usually cheaper (though they are
    # validated twice), and so is a training that stops early, so that no row gets more time than was asked for
    timed = attrs.evolve(experiment, trainer=trainer, curriculum=())
    watch = _Stopwatch(min(MOST, max(LEAST, SHARE * seconds)))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_SeenEnough):
        train(timed, Path(folder), device=device, progress=watch)
    return watch.pace()


class _SeenEnough(Exception):
    pass


class _Stopwatch(Progress):
    """Takes the time of logged steps and of validations, prints nothing, and ends the training when it has seen enough.

    Between a logged step and its validation lies the validation; between others, or after it, lie steps.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(io.StringIO(), steps=10**6, step=0)
        self.seconds = seconds
        self.step, self.at = 0, 0.0
        self.steps_timed, self.stepping = 0, 0.0
        self.validations: list[float] = []

    def show(self, step: int, level: int, record: dict[str, float]) -> None:
        now = time.perf_counter()
        if self.step >= WARM_UP:
            self.steps_timed += step - self.step
            self.stepping += now - self.at
        self.step, self.at = step, now
        # so late that the first validation, which warms up too, is not the only one
        if self.stepping + sum(self.validations) > self.seconds and step > 2 * WARM_UP:
            raise _SeenEnough

    def validated(self, step: int, level: int, loss: float, found: dict[str, float]) -> None:
        now = time.perf_counter()
        self.validations.append(now - self.at)
        self.at = now

    def pace(self) -> Pace:
        """What was seen."""
        return Pace(step=self.stepping / self.steps_timed, validation=statistics.median_low(self.validations))
