"""How long a training step takes, to find how many of them fit into a given time."""

import contextlib
import io
import math
import re
import statistics
import tempfile
import time
from pathlib import Path

import attrs
import torch

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
    # lines of progress come with the log, and one must come right before each validation
    trainer = attrs.evolve(
        experiment.trainer,
        steps=10**6,
        validate_every=WARM_UP,
        log_every=math.gcd(experiment.trainer.log_every, WARM_UP),
    )
    watch = _Stopwatch(min(MOST, max(LEAST, SHARE * seconds)))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_SeenEnough):
        train(attrs.evolve(experiment, trainer=trainer), Path(folder), device=device, out=watch)
    return watch.pace()


class _SeenEnough(Exception):
    pass


class _Stopwatch(io.StringIO):
    """A terminal that takes the time of each line of progress, and ends the training when it has seen enough.

    Between two lines with the same step lies a validation, between others lie steps.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.seen: list[tuple[int, float]] = []
        self.warm: float | None = None

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        line = re.match(r"\s*step +(\d+)/", text)
        if line:
            step, now = int(line[1]), time.perf_counter()
            self.seen.append((step, now))
            if self.warm is None and step > WARM_UP:
                self.warm = now
            # so late that the first validation, which warms up too, is not the only one
            if self.warm is not None and now - self.warm > self.seconds and step > 2 * WARM_UP:
                raise _SeenEnough
        return len(text)

    def pace(self) -> Pace:
        """What the lines tell."""
        steps, stepping, validations = 0, 0.0, []
        for (before, began), (step, ended) in zip(self.seen, self.seen[1:], strict=False):
            if step == before:
                validations.append(ended - began)
            elif before >= WARM_UP:
                steps += step - before
                stepping += ended - began
        assert steps, "the training ended before a step was timed"
        return Pace(step=stepping / steps, validation=statistics.median_low(validations))
