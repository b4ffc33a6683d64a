"""Categories as numbers, and in the open: which text became which number is said in a note."""

import math
import re
import shlex
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tabscm.engine import notation
from tabscm.engine.rows import show

MOST_LEVELS = 20
"""Texts of more levels are names, notes or numbers of cases rather than categories."""

_READ = " is read as numbers: "
_DIGITS = re.compile(r"(\d+)", re.ASCII)


def ordered(levels: Iterable[str]) -> list[str]:
    """Levels as people would sort them: by their numbers where all are numbers, or have one unit, else as text.

    In text 9 precedes 10.
    """
    known = list(levels)
    same = notation.one_unit(known)
    numbers = [_number(level.removesuffix(notation.unit(level) or "") if same else level) for level in known]
    if not any(map(math.isnan, numbers)):
        return [level for _, level in sorted(zip(numbers, known, strict=True))]
    return sorted(known, key=lambda level: (_natural(level), level))


def note(name: str, levels: Sequence[str], *, given: bool = False) -> str:
    """Say which number each of the ordered `levels` became; `given` is an order that came with the table."""
    text = ", ".join(f"{show(level)} = {number}" for number, level in enumerate(levels))
    advice = (
        "; if another order is meant, write numbers in that order, and where there is none, trust arrows at it less"
    )
    if given or len(levels) == 2:  # two have no distances to keep
        advice = ""
    elif notation.one_unit(levels):
        advice = f"; to keep their distances, {notation.ALONE}"
    return f"column {show(name)}{_READ}{text}{advice}"


def as_targets(name: str, texts: Iterable[str], columns: Collection[str], option: str | None = None) -> str | None:
    """A note where a column may say what was set in each row: its `texts` name others, perhaps with ; between; `option`
    is how one says that it does, where it is not that of the command line."""
    named = {part.strip() for text in texts for part in text.split(";")} - {""}
    if not named or not named <= set(columns) - {name}:
        return None
    option = option or f"--interventions {shlex.quote(name)}"
    return f"the texts of column {show(name)} are names of columns: if it says what was set in each row, {option}"


def together(notes: Iterable[str]) -> list[str]:
    """Notes, of which those that say of several columns the same are one, at the place of the first."""
    columns: dict[str, list[str]] = {}  # by what is said of them
    for said in notes:
        column, read, text = said.rpartition(_READ)
        columns.setdefault(read + text, []).append(column)
    return [_of(those, said) for said, those in columns.items()]


def _of(columns: Sequence[str], said: str) -> str:
    if len(columns) == 1 or not columns[0]:
        return columns[0] + said
    names = [column.removeprefix("column ") for column in columns]
    return f"columns {', '.join(names[:-1])} and {names[-1]}{said.replace(' is ', ' are ', 1)}"


def numbered(texts: Iterable[str | None], levels: Sequence[str]) -> NDArray[np.float64]:
    """The number of each text [N] among the ordered `levels`, which all of them are of; NaN for None."""
    number: dict[str | None, float] = {text: float(place) for place, text in enumerate(levels)}
    number[None] = math.nan
    return np.array([number[text] for text in texts], dtype=np.float64)


class Categories:
    """Codes of a column of text while it is read, some cells at a time; none are kept beyond MOST_LEVELS texts."""

    def __init__(self) -> None:
        self.found: dict[str | None, int] = {None: -1}
        self._codes: list[NDArray[np.int8]] = []

    @property
    def many(self) -> bool:
        """Whether there are more than MOST_LEVELS."""
        return len(self.found) - 1 > MOST_LEVELS

    def add(self, texts: Sequence[str | None]) -> None:
        """Take the next cells; None is one that is missing."""
        if self.many:
            return
        for text in dict.fromkeys(texts):
            self.found.setdefault(text, len(self.found) - 1)
        if self.many:
            self._codes.clear()
        else:
            self._codes.append(np.array([self.found[text] for text in texts], dtype=np.int8))

    def numbers(self, levels: Sequence[str]) -> NDArray[np.float64]:
        """The number of each cell [N] among the ordered `levels`, which are all that were found; NaN where missing."""
        number = [float(levels.index(text)) for text in self.found if text is not None]
        return np.array([*number, np.nan])[np.concatenate(self._codes)]  # -1, missing, is the last


def _number(level: str) -> float:
    try:
        return float(level)
    except ValueError:
        return math.nan


def _natural(level: str) -> list[tuple[int, int, str]]:
    # at odd places are the digits that split the text
    parts = enumerate(_DIGITS.split(level.casefold()))
    return [(0, int(part), "") if place % 2 else (1, 0, part) for place, part in parts if part]
