"""Is anything learned: against the base rate, against fresh tables, and do the weights move at all."""

import math
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tabscm.engine.health.event import Alarm, Event
from tabscm.engine.metrics import mean

SMOOTHED = 100
"""Steps over which the values of single batches are averaged: a batch of 32 tables has an AUROC of +-.02."""
GRACE = 150
"""Steps after the warm-up in which nothing has to be learned yet; quick.toml has a gain of .15 by then."""
NO_GAIN = 0.01
"""Nats per ordered pair. A tenth of what quick.toml has after 100 steps; the density of a table alone is worth less."""
NO_AUROC = 0.58
"""Squeezed columns reached .50 to .58 over all pairs of a batch, where telling dense tables from sparse ones helps; the
slowest model that learns reached .60. The mean over tables of a validation, where that cannot help, is held to the
same."""

GAP = 0.1
"""Nats per ordered pair by which training may look better than validation: both see fresh tables of one stream."""
STALE = 10
"""Validations without a new best; the sources stopped after 10 to 15."""
NEAR_BEST = 0.01
"""Nats per ordered pair: validations this close to the best are as good."""

STILL = 1e-7
"""Relative change of the weights in a step: float32 rounds off what is below 6e-8 of a weight."""
SAMPLED = 1000
"""Numbers of each parameter that are watched: the same answer for less memory."""


class Collapse:
    """The base rate is all that is known: the network says how many edges there are, and not which."""

    remembers: tuple[str, ...] = ("from_step", "alarm", "recent", "first_loss")

    def __init__(self, warmup: int, step: int = 0) -> None:
        # one batch after a resume is too few to tell
        self.from_step = max(warmup + GRACE, step + SMOOTHED)
        self.alarm = Alarm()
        self.recent: deque[tuple[int, float, float]] = deque()  # step, gain, AUROC
        self.first_loss = math.nan

    @property
    def gain(self) -> float:
        """The mean over the last SMOOTHED steps, nats per ordered pair; NaN where undefined."""
        return mean([gain for _, gain, _ in self.recent])

    def logged(self, step: int, record: Mapping[str, float]) -> list[Event]:
        """Look at a training batch."""
        if math.isnan(self.first_loss):
            self.first_loss = record["loss"]
        self.recent.append((step, record["log_prob_gain"], record["auroc_pooled"]))
        while self.recent[0][0] <= step - SMOOTHED:
            self.recent.popleft()
        auroc = mean([auroc for _, _, auroc in self.recent])
        loss = f" while the loss went from {self.first_loss:.3g} to {record['loss']:.3g}"
        return self._look(step, self.gain, auroc, f"over the last {SMOOTHED} steps{loss}")

    def validated(self, step: int, found: Mapping[str, float]) -> list[Event]:
        """Look at a validation."""
        # of few tables the AUROC may be low by chance: 8 that are read at .65 have a mean of .56 now and then
        high = found["auroc"] + 2 * found["auroc_se"]
        if not high < NO_AUROC:
            return []
        return self._look(step, found["log_prob_gain"], found["auroc"], "on validation")

    def _look(self, step: int, gain: float, auroc: float, where: str) -> list[Event]:
        if step < self.from_step or not self.alarm.rings(gain < NO_GAIN and auroc < NO_AUROC):
            return []
        line = (
            f"gain {gain:+.4f} and AUROC {auroc:.3f} {where}: no better than the base rate, and a falling loss is no "
            "proof of learning. Usually columns are squeezed before they meet, a regulariser drives all edges away, or "
            'the learning rate is far off. Try an embedding that gives "pairs", then lower weights of regularisers.'
        )
        return [Event(step, "collapse", gain, line)]


class Gap:
    """Training looks better than validation, or validation has not been better for long."""

    remembers: tuple[str, ...] = ("apart", "stale", "gains", "validations")

    def __init__(self) -> None:
        self.apart, self.stale = Alarm(patience=2), Alarm()
        self.gains: list[float] = []  # of training batches since the last validation
        self.validations: list[tuple[int, float]] = []  # step, gain

    def logged(self, record: Mapping[str, float]) -> None:
        """Remember a training batch."""
        self.gains.append(record["log_prob_gain"])

    def validated(self, step: int, found: Mapping[str, float]) -> tuple[dict[str, float], list[Event]]:
        """Compare a validation with training since the one before, and with the best."""
        gain, train = found["log_prob_gain"], mean(self.gains)
        self.gains.clear()
        self.validations.append((step, -math.inf if math.isnan(gain) else gain))
        best = max(self.validations, key=lambda one: one[1])
        near = [at for at, value in self.validations if value >= best[1] - NEAR_BEST]
        scalars = {"gap": train - gain}
        events = []
        if self.apart.rings(train > 0 and train - gain > GAP):  # who has learned nothing has no gap
            line = (
                f"gain {train:+.3f} in training since the last validation, {gain:+.3f} on validation. Usually tables "
                "come back (a stream that repeats itself), or training has easier tables than validation (a "
                "curriculum). Try more weight decay or dropout only when the tables are as meant."
            )
            events.append(Event(step, "gap", train - gain, line))
        since = sum(at > best[0] for at, _ in self.validations)
        if self.stale.rings(since >= STALE):
            line = (
                f"{since} validations without a new best: {best[1]:+.3f} at step {best[0]}, {gain:+.3f} now; within "
                f"{NEAR_BEST} of the best from step {near[0]} to {near[-1]}. Usually it has learned what it can, or "
                "the learning rate is too high. Stop here, or lower the learning rate."
            )
            events.append(Event(step, "stale", float(since), line))
        return scalars, events


class Movement:
    """Weights that do not move though nothing is learned yet: the learning rate starves."""

    remembers: tuple[str, ...] = ("alarm", "step", "before")

    def __init__(self, model: nn.Module, step: int) -> None:
        self.alarm = Alarm(patience=2)
        self.parameters = [weight for weight in model.parameters() if weight.requires_grad]
        self.step, self.before = step, self._sample()

    def logged(self, step: int, gain: float, rate: float) -> tuple[dict[str, float], list[Event]]:
        """Compare the weights with those of the last look; `gain` is smoothed, `rate` the learning rate."""
        now = self._sample()
        moved = float((now - self.before).norm() / self.before.norm().clamp(min=1e-30)) / max(1, step - self.step)
        self.step, self.before = step, now
        if not self.alarm.rings(moved < STILL and not gain >= NO_GAIN):
            return {"movement": moved}, []
        line = (
            f"weights move by {moved:.1e} of their size a step, at a learning rate of {rate:.1e}, and the gain is "
            f"{gain:+.4f}. Usually the schedule has reached its floor too early, or a gradient is cut off (detached, "
            "or multiplied by zero). Raise trainer.lr, trainer.muon_lr or trainer.floor."
        )
        return {"movement": moved}, [Event(step, "still", moved, line)]

    def _sample(self) -> Tensor:
        return torch.cat([weight.detach().flatten()[:SAMPLED] for weight in self.parameters])
