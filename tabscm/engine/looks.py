"""What a column of text cells is: numbers, categories, dates or times, or other text; one rule for every kind of table.

Numbers and categories are variables. Text is categories when it has from two to MOST_LEVELS different values and at
least one of them twice; their numbers are said in a note. Other text, and dates, are left aside, and a note says why.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from typing import NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import levels, notation
from tabscm.engine.levels import MOST_LEVELS
from tabscm.engine.notation import MISSING, TRUTH_WORDS
from tabscm.engine.rows import show
from tabscm.kernel.errors import DataError

MANY = 1_000
"""Distinct texts of a column that are remembered for a message."""

NO_VARIABLE = "leave out what is no variable"
"""How a note on text that nobody asked for as categories ends."""

Place = tuple[int | str, str]
"""What the row of a cell is called in messages, and its text."""


def level(text: str) -> str | None:
    """The category that a cell without space around it says; None where it says none."""
    # "none" is a level as good as "mild"
    return None if text.lower() in MISSING - {"none"} else text


@attrs.frozen
class Verdict:
    """What a column is, once all its cells are there."""

    note: str | None
    """What to say of it."""
    numeric: bool = False
    """Whether its cells are numbers."""
    levels: tuple[str, ...] = ()
    """Its categories in the order of their numbers, where it is of categories."""


@attrs.define(eq=False)
class Looks:
    """What the cells of a column have looked like so far. Joins with the looks of the rows that follow."""

    where: str
    """The table, for messages."""
    name: str
    numbers: int = 0
    moments: int = 0
    """Dates and times."""
    words: int = 0
    nones: int = 0
    """How many cells are each of these; "none" is missing among numbers, and a category among words."""
    number: Place | None = None
    moment: Place | None = None
    word: Place | None = None
    odd: Place | None = None
    """The first cell of each, and the first that is no number."""
    texts: dict[str, None] = attrs.field(factory=dict)
    """What is no number, MANY different ones at most."""
    code: str | None = None
    """The first number that is written like a code."""

    def add(self, rows: Sequence[int | str], texts: Sequence[str]) -> NDArray[np.float64] | None:
        """Look at the next cells, without space around them, and the rows they are from.

        Returns:
            [n] them as numbers, NaN where one is missing; None where they are text.

        Raises:
            DataError: numbers beside text in one column, or numbers in a notation that is not read.
        """
        values = notation.numbers(texts)
        there = np.flatnonzero([] if values is None else ~np.isnan(values))
        if len(there):
            first = int(there[0])
            self.number = self.number or (rows[first], texts[first])
            self.numbers += len(there)
            self.code = self.code or notation.leading_zero(texts)
        else:
            self._look(rows, texts)
        self.check()
        return values

    @property
    def words_alone(self) -> Collection[str]:
        """The different texts of a column of text, MANY at most; of any other column none."""
        return () if self.numbers or self.moments else self.texts

    def join(self, other: "Looks") -> "Looks":
        """Of the rows of both."""
        counts, cells = ("numbers", "moments", "words", "nones"), ("number", "moment", "word", "odd", "code")
        joined = attrs.evolve(
            self,
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
            **{name: getattr(self, name) or getattr(other, name) for name in cells},
            texts=dict(islice((self.texts | other.texts).items(), MANY)),
        )
        joined.check()
        return joined

    def check(self) -> None:
        """Refuse numbers beside text, and name the cell that is not like the others.

        Raises:
            DataError: there are both.
        """
        if self.numbers and self.moments > self.numbers + self.words:  # a date without its hyphens, perhaps
            self._refuse_undated()
        if self.numbers and self.odd:
            self._refuse(self.odd[0], notation.fault(self.odd[1], self.name))

    def verdict(self, *, typed: bool = False) -> Verdict:
        """What the column is.

        Args:
            typed: whether the table says of every column what it holds, so that numbers as texts are odd.

        Raises:
            DataError: it holds numbers with their unit, or a few cells that are no dates among those that are.
        """
        if self.numbers:
            return Verdict(self._of_numbers(typed), numeric=True)
        first = self.odd
        if first is None:
            return Verdict(None, numeric=True)  # of no number: whoever has all columns says which hold none
        texts = list(self.texts)
        if all(map(notation.infinite, (text for text in texts if text.lower() not in MISSING))):
            self._refuse(first[0], notation.fault(first[1], self.name))
        if self.moment and not self.words:
            return Verdict(note_on_moments(self.name, self.moment[1]))
        if self.moments > self.words:
            self._refuse_undated()
        if len(texts) > MOST_LEVELS and notation.one_unit(texts):
            self._refuse(first[0], notation.fault_of_unit(first[1]))
        return self._of_words(texts)

    def _look(self, rows: Sequence[int | str], texts: Sequence[str]) -> None:
        def place(text: str) -> Place:
            return rows[texts.index(text)], text

        for text, cells in Counter(texts).items():  # in the order in which they come
            if text.lower() in MISSING:
                if text.lower() == "none":
                    self.nones += cells
                    self._remember(text)
                continue
            if notation.number(text) is not None:
                self.number = self.number or place(text)
                self.numbers += cells
                continue
            self.odd = self.odd or place(text)
            if notation.moment(text):
                self.moment = self.moment or place(text)
                self.moments += cells
            else:
                self.word = self.word or place(text)
                self.words += cells
            self._remember(text)
            if notation.meant_as_number(text):
                self._refuse(place(text)[0], notation.fault(text, self.name))

    def _remember(self, text: str) -> None:
        if len(self.texts) < MANY:
            self.texts[text] = None

    def _of_words(self, texts: list[str]) -> Verdict:
        aside = f"column {show(self.name)} is text and left aside"
        if len(texts) > MOST_LEVELS:
            count = f"{len(texts)} different values{' or more' if len(texts) == MANY else ''}"
            return Verdict(f"{aside}: {count}, and at most {MOST_LEVELS} are read as categories")
        if len(texts) == 1:
            return Verdict(f"{aside}: {show(texts[0])} is its only value")
        if len(texts) == self.words + self.moments + self.nones:
            return Verdict(f"{aside}: no value occurs twice, as in names of rows")
        found = levels.ordered(texts)
        truth = {text.lower() for text in texts} in TRUTH_WORDS
        said = levels.note(self.name, found)
        return Verdict(said if truth else f"{said}; {NO_VARIABLE}", levels=tuple(found))

    def _of_numbers(self, typed: bool) -> str | None:
        if self.code:
            return (
                f"column {show(self.name)} has numbers with leading zeros, such as {show(self.code)}, as codes have; "
                "if it is no measurement, remove it"
            )
        return f"column {show(self.name)} is stored as text and read as numbers" if typed else None

    def _refuse_undated(self) -> NoReturn:
        odd = self.word or self.number
        assert odd is not None
        self._refuse(odd[0], notation.fault_among_moments(odd[1]))

    def _refuse(self, row: int | str, what: str) -> NoReturn:
        raise DataError(f"{self.where}, row {row}, column {show(self.name)}: {what}")


def note_on_moments(name: str, first: str) -> str:
    """Say that a column of dates or times is left aside."""
    return (
        f"column {show(name)} holds dates or times, such as {show(first)}, and is left aside; if it is a variable, "
        "make numbers of them, such as days since the first"
    )
