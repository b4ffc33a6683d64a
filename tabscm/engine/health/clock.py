"""How long steps take, and how much of that goes into making tables."""

import heapq
import math
import statistics
import time
from collections import deque

from tabscm.engine.health.event import Alarm, Event

REMEMBERED, NEEDED = 100, 20
"""Steps that a step is compared with, and how many there must be: the first ones compile kernels."""
NEAREST = 10
"""Of these, how many that are most like it in size."""
SLOW = 10.0
"""Times what steps of the size take. Sharing a machine easily makes it 5; the sources' deadlock made it 36 to 60."""
RUNNING, LOST = 3, 0.5
"""Slow steps running, and seconds lost in them, that make a slowdown ..."""
STALL = 5.0
"""... and seconds lost that are one at once."""

STARVED = 0.6
"""Share of the time that making tables may take; quick.toml needs .08, tiny.toml with hardly a network .45."""
WINDOW = 50
"""Steps over which the share is measured."""


class StepTimes:
    """Step times, compared with those of steps of the same size, and the share of the stream in them."""

    def __init__(self) -> None:
        self.slow, self.starved = Alarm(), Alarm()
        self.usual: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)  # log of the size, seconds
        self.shares: deque[tuple[float, float]] = deque(maxlen=WINDOW)  # seconds of making tables, of everything
        self.running, self.lost = 0, 0.0
        self.begin()

    def begin(self) -> None:
        """A step begins."""
        self.began = self.mark = time.perf_counter()
        self.making, self.size = 0.0, 0.0

    def sampling(self) -> None:
        """Tables of a part are about to be made."""
        self.mark = time.perf_counter()

    def sampled(self, size: float) -> None:
        """They are made, and cost about `size` to learn from, in any unit."""
        self.making += time.perf_counter() - self.mark
        self.size += size

    def ended(self, step: int) -> list[Event]:
        """The step is over."""
        seconds = time.perf_counter() - self.began
        self.shares.append((self.making, seconds))
        size = math.log(self.size)
        expected = self._expected(size)
        if expected is None or seconds < SLOW * expected:
            self.usual.append((size, seconds))
            self.running, self.lost = 0, 0.0
        else:
            self.running, self.lost = self.running + 1, self.lost + seconds - expected
        wrong = self.lost > STALL or (self.running >= RUNNING and self.lost > LOST)
        if not self.slow.rings(wrong) or expected is None:
            return []
        line = (
            f"{seconds:.2f} s for a step, {seconds / expected:.0f} times what its size takes ({expected:.3f} s); "
            f"{self.making / seconds:.0%} of it went into making tables. Usually a worker or disk hangs, the machine "
            "swaps, or another process has taken it. Look at its load now; the run itself goes on."
        )
        return [Event(step, "slow", seconds / expected, line)]

    def logged(self, step: int) -> tuple[dict[str, float], list[Event]]:
        """Look at the last WINDOW steps."""
        total = sum(seconds for _, seconds in self.shares)
        share = sum(making for making, _ in self.shares) / total
        median = statistics.median(seconds for _, seconds in self.shares)
        scalars = {"step_seconds": median, "stream_share": share}
        if len(self.shares) < WINDOW or not self.starved.rings(share > STARVED):
            return scalars, []
        line = (
            f"{share:.0%} of the time goes into making tables, {median:.3f} s a step in all: the network waits for "
            "data. Usually a mechanism or graph sampler loops in Python, or tables are made on a slower device than "
            "they are learned from. Look at python -m tabscm bench speed; raise stream.tables to amortise it."
        )
        return scalars, [Event(step, "starved", share, line)]

    def _expected(self, size: float) -> float | None:
        """Seconds that steps of about this size take; None when too few were seen."""
        if len(self.usual) < NEEDED:
            return None
        near = heapq.nsmallest(NEAREST, self.usual, key=lambda one: abs(one[0] - size))
        # smaller steps in proportion, as after a change of level; larger ones as they are, for much of a step is fixed
        return statistics.median(seconds * math.exp(max(0.0, size - seen)) for seen, seconds in near)
