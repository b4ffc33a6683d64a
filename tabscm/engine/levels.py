"""Categories as numbers, and in the open: which text became which number is said in a note."""

import math
import re
from collections.abc import Iterable, Sequence

from tabscm.engine.rows import show

MOST_LEVELS = 20
"""Texts of more levels are names, notes or numbers of cases rather than categories."""

_DIGITS = re.compile(r"(\d+)", re.ASCII)


def ordered(levels: Iterable[str]) -> list[str]:
    """Levels as people would sort them: by their numbers where all are numbers, else as text in which 9 precedes 10."""
    known = list(levels)
    numbers = [_number(level) for level in known]
    if not any(map(math.isnan, numbers)):
        return [level for _, level in sorted(zip(numbers, known, strict=True))]
    return sorted(known, key=lambda level: (_natural(level), level))


def note(name: str, levels: Sequence[str], *, given: bool = False) -> str:
    """Say which number each of the ordered `levels` became; `given` is an order that came with the table."""
    text = ", ".join(f"{show(level)} = {number}" for number, level in enumerate(levels))
    advice = "" if given or len(levels) == 2 else "; if another order is meant, write numbers in that order"
    return f"column {show(name)} is read as numbers: {text}{advice}"


def _number(level: str) -> float:
    try:
        return float(level)
    except ValueError:
        return math.nan


def _natural(level: str) -> list[tuple[int, int, str]]:
    # at odd places are the digits that split the text
    parts = enumerate(_DIGITS.split(level.casefold()))
    return [(0, int(part), "") if place % 2 else (1, 0, part) for place, part in parts if part]
