"""Categories as numbers, and in the open: which text became which number is said in a note."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tabscm.engine.rows import show
from tabscm.kernel.errors import DataError

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


class Categories:
    """A column of text while it is read, some cells at a time.

    Args:
        where: the file and the column, for messages.
        name: the column.
    """

    def __init__(self, where: str, name: str) -> None:
        self.where = where
        self.name = name
        self._seen: dict[str | None, int] = {None: -1}
        self._codes: list[NDArray[np.int8]] = []

    def add(self, texts: Sequence[str | None]) -> None:
        """Take the next cells; None is one that is missing.

        Raises:
            DataError: more than MOST_LEVELS different texts.
        """
        for text in dict.fromkeys(texts):
            self._seen.setdefault(text, len(self._seen) - 1)
        if len(self._seen) - 1 > MOST_LEVELS:
            raise DataError(
                f"{self.where}: has more than {MOST_LEVELS} different values, too many for categories; leave it "
                "out, or make numbers or fewer categories of it"
            )
        self._codes.append(np.array([self._seen[text] for text in texts], dtype=np.int8))

    def numbers(self) -> tuple[NDArray[np.float64], str | None]:
        """The number of each cell's level [N], NaN where missing, and the note on them; none where all are missing."""
        found = [text for text in self._seen if text is not None]
        sorted_levels = ordered(found)
        number = [float(sorted_levels.index(text)) for text in found]
        values = np.array([*number, np.nan])[np.concatenate(self._codes)]  # -1, missing, is the last
        return values, note(self.name, sorted_levels) if found else None


def _number(level: str) -> float:
    try:
        return float(level)
    except ValueError:
        return math.nan


def _natural(level: str) -> list[tuple[int, int, str]]:
    # at odd places are the digits that split the text
    parts = enumerate(_DIGITS.split(level.casefold()))
    return [(0, int(part), "") if place % 2 else (1, 0, part) for place, part in parts if part]
