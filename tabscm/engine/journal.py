"""metrics.jsonl read back: its lines, and what the monitors saw."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabscm.engine.health.event import Event
from tabscm.kernel.errors import CheckpointError

Line = tuple[int, str, Mapping[str, object]]
"""Step, kind ("train", "validation", "health", ...) and the values by name."""


def read_log(file: Path) -> list[Line]:
    """The lines of metrics.jsonl, without one that was cut short; none where there is no such file.

    Raises:
        CheckpointError: names a line that training did not write.
    """
    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            values = json.loads(line)
            found.append((int(values.pop("step")), str(values.pop("kind")), values))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError(f"{file}, line {number}: not a line that training writes") from None
    return found


def events(lines: Sequence[Line]) -> Iterator[Event]:
    """What the monitors saw, by step."""
    for step, kind, values in lines:
        if kind == "health":
            value = scalar(values.get("value"))
            measured = math.nan if value is None else value
            yield Event(step, str(values.get("monitor", "")), measured, str(values.get("line", "")))


def scalar(value: object) -> float | None:
    """A finite number, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
