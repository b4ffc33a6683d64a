"""The columns of a file while it is read: numbers, or text, but not both."""

import shlex
from collections.abc import Sequence
from itertools import compress
from typing import NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import notation
from tabscm.engine.levels import MOST_LEVELS, Categories
from tabscm.engine.notation import MISSING, TRUTH_WORDS
from tabscm.engine.rows import listed, show
from tabscm.kernel.errors import DataError
from tabscm.kernel.scratch import Piece, Pieces

MANY = 1_000
"""Distinct texts of a column that are remembered for a message."""

Cells = Sequence[str] | NDArray[np.float64]
"""[n] cells of one column: texts, or numbers where the file itself says that they are; NaN is a missing one."""


@attrs.frozen(eq=False)
class Chunk:
    """Some rows of a file, column by column."""

    rows: Sequence[int | str]
    """What each row is called in messages."""
    cells: Sequence[Cells]
    """Of every column of the file."""

    def only(self, which: NDArray[np.bool_]) -> "Chunk":
        """The rows [n] that are true in `which`."""
        return Chunk(
            list(compress(self.rows, which)),
            [cells[which] if isinstance(cells, np.ndarray) else list(compress(cells, which)) for cells in self.cells],
        )


@attrs.frozen(eq=False)
class Labels:
    """A column of words that says of each row how it came about: what was set in it, or under which condition."""

    name: str
    """Of the column."""
    texts: tuple[str, ...]
    """[K] what occurs in it; blank where nothing is written."""
    rows: tuple[int | str, ...]
    """[K] the row that each is in first, as messages call it."""
    codes: NDArray[np.int32]
    """[N] which of the texts each row has."""


class Column:
    """One column while it is read.

    Args:
        where: the file, for messages.
        name: the column.
        pieces: where its numbers are kept.
        typed: whether the file says of every column what it holds, so that numbers as texts are odd.
    """

    def __init__(self, where: str, name: str, pieces: Pieces, *, typed: bool = False) -> None:
        self.where = where
        self.name = name
        self.pieces = pieces
        self.typed = typed
        self.numbers: list[Piece] = []
        self.texts: dict[str, None] = {}
        self.numeric = False
        self.odd: tuple[int | str, str] | None = None  # the first cell that is no number, and its row
        self.written = False  # whether its cells are texts
        self.code: str | None = None  # the first number that is written like one

    def add(self, rows: Sequence[int | str], cells: Cells) -> None:
        """Take the next cells and the rows they are from.

        Raises:
            DataError: numbers and text in one column, or numbers in a notation that is not read.
        """
        if isinstance(cells, np.ndarray):
            self._add_numbers(rows, cells)
            return
        texts = [cell.strip() for cell in cells]
        values = notation.numbers(texts)
        if values is not None:
            self.numeric = self.numeric or not bool(np.isnan(values).all())
            self.written = True
            self.code = self.code or notation.leading_zero(texts)
            self.numbers.append(self.pieces.keep(values))
        else:
            for text in dict.fromkeys(texts):
                if notation.number(text) is not None:
                    self.numeric = True
                    continue
                if text.lower() in MISSING:
                    continue
                self.odd = self.odd or (rows[texts.index(text)], text)
                if len(self.texts) < MANY:
                    self.texts[text] = None
                if notation.meant_as_number(text):
                    self._refuse(rows[texts.index(text)], notation.fault(text, self.name))
        if self.numeric and self.odd:
            row, text = self.odd
            self._refuse(row, notation.fault(text, self.name))

    def note(self) -> str | None:
        """Say what is odd about this column: that it is text, and what it is good for, or that it looks like codes.

        Raises:
            DataError: it holds nothing, or numbers with their unit.
        """
        if self.numeric and self.code:
            return (
                f"column {show(self.name)} has numbers with leading zeros, such as {show(self.code)}, as codes have; "
                "if it is no measurement, remove it"
            )
        if self.numeric and self.written and self.typed:
            return f"column {show(self.name)} is stored as text and read as numbers"
        if self.numeric:
            return None
        texts = list(self.texts)
        if not texts or self.odd is None:
            raise DataError(f"{self.where}, column {show(self.name)}: holds no value in any row; remove it")
        row, first = self.odd
        if all(map(notation.infinite, texts)):
            self._refuse(row, notation.fault(first, self.name))
        if all(map(notation.moment, texts)):
            return (
                f"column {show(self.name)} holds dates or times, such as {show(first)}, and is left aside; if it is a "
                "variable, make numbers of them, such as days since the first"
            )
        if len(texts) > MOST_LEVELS and len(set(map(notation.unit, texts))) == 1 and notation.unit(first):
            self._refuse(row, notation.fault_of_unit(first))
        if len(texts) == MANY:
            return f"column {show(self.name)} is text and left aside ({MANY} different values or more)"
        return self._of_words(texts)

    def _of_words(self, texts: list[str]) -> str:
        values = f"{len(texts)} value{'s' if len(texts) > 1 else ''}: {listed(texts)}"
        said = f"column {show(self.name)} is text and left aside ({values})"
        variable = f"be a variable: --category {shlex.quote(self.name)}"
        if {text.lower() for text in texts} in TRUTH_WORDS:
            return f"{said}; it can {variable}"
        example = shlex.quote(f"{self.name}={texts[0]}")
        return f"{said}; it can choose rows: --where {example}{f', or {variable}' if len(texts) <= MOST_LEVELS else ''}"

    def _add_numbers(self, rows: Sequence[int | str], values: NDArray[np.float64]) -> None:
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            self._refuse(rows[int(infinite[0])], notation.fault(str(values[infinite[0]]), self.name))
        self.numeric = self.numeric or not bool(np.isnan(values).all())
        self.numbers.append(self.pieces.keep(values))

    def _refuse(self, row: int | str, what: str) -> NoReturn:
        raise DataError(f"{self.where}, row {row}, column {show(self.name)}: {what}")


class CodedColumn(Column):
    """A column of categories while it is read."""

    def __init__(self, where: str, name: str, pieces: Pieces) -> None:
        super().__init__(where, name, pieces)
        self.numeric = True
        self.coded = Categories(f"{where}, column {show(name)}", name)

    def add(self, rows: Sequence[int | str], cells: Cells) -> None:
        """Take the next cells."""
        # "none" is a level as good as "mild"
        texts = [cell.strip() for cell in as_texts(cells)]
        self.coded.add([None if text.lower() in MISSING - {"none"} else text for text in texts])

    def note(self) -> str | None:
        """Say which text became which number."""
        values, said = self.coded.numbers()
        self.numbers = [self.pieces.keep(values)]
        return said


class LabelColumn(Column):
    """A column of words about the rows, while it is read; no variable."""

    def __init__(self, where: str, name: str, pieces: Pieces) -> None:
        super().__init__(where, name, pieces)
        self.first: dict[str, int | str] = {}
        self.number: dict[str, int] = {}
        self.codes: list[NDArray[np.int32]] = []

    def add(self, rows: Sequence[int | str], cells: Cells) -> None:
        """Take the next cells."""
        texts = [cell.strip() for cell in as_texts(cells)]
        for text in dict.fromkeys(texts):
            if text not in self.first:
                self.number[text] = len(self.first)
                self.first[text] = rows[texts.index(text)]
        self.codes.append(np.fromiter(map(self.number.__getitem__, texts), dtype=np.int32, count=len(texts)))

    def note(self) -> None:
        """There is nothing odd about it."""

    def labels(self) -> Labels:
        """What was read."""
        return Labels(self.name, tuple(self.first), tuple(self.first.values()), np.concatenate(self.codes))


def as_texts(cells: Cells) -> Sequence[str]:
    """Cells as a person would write them."""
    if not isinstance(cells, np.ndarray):
        return cells
    return ["" if value != value else repr(value).removesuffix(".0") for value in cells.tolist()]
