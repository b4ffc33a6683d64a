"""metrics.jsonl read back: its lines, and what the monitors saw."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tabscm.engine.health.event import Event
from tabscm.engine.untrusted import parse_json
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
    # not by splitlines, to which some characters inside a text end a line as well
    for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
        try:
            found.append(_line(parse_json(line)))
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"{file}, line {number}: not a line that training writes") from None
    return found


def _line(values: dict[str, object]) -> Line:
    step, kind = values.pop("step"), values.pop("kind")
    if not isinstance(values, dict) or type(step) is not int or not 0 <= step < 2**53 or not isinstance(kind, str):
        raise ValueError
    return step, kind, values


def events(lines: Sequence[Line]) -> Iterator[Event]:
    """What the monitors saw, by step."""
    for step, kind, values in lines:
        if kind == "health":
            value = scalar(values.get("value"))
            measured = math.nan if value is None else value
            yield Event(step, str(values.get("monitor", "")), measured, str(values.get("line", "")))


def scalar(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float) or (isinstance(value, int) and abs(value) >= 2**1023):
        return None  # JSON has whole numbers that no float holds
    return float(value) if math.isfinite(value) else None
