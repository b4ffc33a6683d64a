"""What a monitor reports, and how often."""

from collections.abc import Mapping

import attrs

Scalars = Mapping[str, float]
"""What a monitor measured, by name."""

RECOVERY = 10
"""Good looks running after which an episode is over: fewer, and something that flickers would fill the log."""


@attrs.frozen
class Event:
    """Something that goes wrong, named when it begins."""

    step: int
    """Steps done."""
    monitor: str
    """Which monitor saw it."""
    value: float
    """What it measured; its unit is the monitor's."""
    line: str
    """What is seen, what usually causes it, what to try."""

    def __str__(self) -> str:
        return f"health: step {self.step}: {self.monitor}: {self.line}"


class Alarm:
    """Rings once an episode: after `patience` bad looks running, and again only after RECOVERY good ones running."""

    remembers: tuple[str, ...] = ("ringing", "_against")

    def __init__(self, patience: int = 1) -> None:
        self.patience = patience
        self.ringing = False
        self._against = 0  # looks running that contradict `ringing`

    def rings(self, wrong: bool) -> bool:
        """Look once; True when an episode begins with this look."""
        self._against = 0 if wrong == self.ringing else self._against + 1
        if self._against < (self.patience if wrong else RECOVERY):
            return False
        changed = wrong != self.ringing
        self._against, self.ringing = 0, wrong
        return changed and wrong
