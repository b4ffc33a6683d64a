"""A loss far above its running level, at the step where it happens."""

import statistics
from collections import deque

from tabscm.engine.health.event import Alarm, Event

REMEMBERED, NEEDED = 100, 20
"""Steps that the level is taken over, and how many there must be."""
TIMES = 12.0
"""Times the usual distance from the level. The hardest of thousands of healthy batches was 5 times as far."""
LEAST = 0.05
"""The smallest usual distance, as a share of the level: a loss that hardly moves is no reason to cry at a ripple."""


class Spike:
    """The loss at every step."""

    remembers: tuple[str, ...] = ("alarm", "losses", "tables")

    def __init__(self) -> None:
        self.alarm = Alarm()
        self.losses: deque[float] = deque(maxlen=REMEMBERED)
        self.tables = ""

    def look(self, step: int, loss: float, tables: str, again: str) -> list[Event]:
        """Look at the loss of a step.

        Args:
            step: steps done with this one.
            loss: of its tables.
            tables: what kind they are; others have another level.
            again: how they are made once more.
        """
        if tables != self.tables:
            self.tables = tables
            self.losses.clear()
        level, distance = self._usual()
        wrong = loss > level + TIMES * distance
        if not wrong:
            self.losses.append(loss)
        if not self.alarm.rings(wrong):
            return []
        line = (
            f"the loss is {loss:.3g} where its level was {level:.3g} (median of {len(self.losses)} steps, usually "
            f"within {distance:.2g}). Once it is a hard batch, which clipping bears. If it comes back or does not "
            f"fall again, lower trainer.lr and trainer.muon_lr. Its tables come back with tabscm.engine.stream: "
            f"{again}."
        )
        return [Event(step, "spike", loss, line)]

    def _usual(self) -> tuple[float, float]:
        """The level of the loss, and how far from it it usually is; infinitely far as long as too little is known."""
        if len(self.losses) < NEEDED:
            return 0.0, float("inf")
        level = statistics.median(self.losses)
        distance = statistics.median(abs(loss - level) for loss in self.losses)
        return level, max(distance, LEAST * abs(level))
