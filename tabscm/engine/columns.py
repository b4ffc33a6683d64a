"""The columns of a file while it is read: numbers, or text, but not both."""

from collections.abc import Sequence
from itertools import compress
from typing import NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import notation
from tabscm.engine.levels import MOST_LEVELS, Categories, note, ordered
from tabscm.engine.looks import Looks, level
from tabscm.engine.rows import show
from tabscm.kernel.errors import DataError
from tabscm.kernel.scratch import Piece, Pieces

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
        self.numeric = False
        """Whether it is a variable."""
        self.looks = Looks(where, name)
        self.coded = Categories()

    def add(self, rows: Sequence[int | str], cells: Cells) -> None:
        """Take the next cells and the rows they are from.

        Raises:
            DataError: numbers and text in one column, or numbers in a notation that is not read.
        """
        if isinstance(cells, np.ndarray):
            self._add_numbers(rows, cells)
            return
        texts = [cell.strip() for cell in cells]
        values = self.looks.add(rows, texts)
        if not self.looks.numbers:
            self.coded.add([level(text) for text in texts])
        if values is not None:
            self.numbers.append(self.pieces.keep(values))

    def settle(self) -> str | None:
        """Decide what the column is, once all its cells are there, and say what is odd about it.

        Raises:
            DataError: it holds cells of several kinds.
        """
        if self.numeric:
            return None
        found = self.looks.verdict(typed=self.typed)
        self.numeric = found.numeric or bool(found.levels)
        if found.levels:
            self.numbers = [self.pieces.keep(self.coded.numbers(found.levels))]
        return found.note

    def _add_numbers(self, rows: Sequence[int | str], values: NDArray[np.float64]) -> None:
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            self._refuse(rows[int(infinite[0])], notation.fault(str(values[infinite[0]]), self.name))
        self.numeric = self.numeric or not bool(np.isnan(values).all())
        self.numbers.append(self.pieces.keep(values))

    def _refuse(self, row: int | str, what: str) -> NoReturn:
        raise DataError(f"{self.where}, row {row}, column {show(self.name)}: {what}")


class CodedColumn(Column):
    """A column of categories that is asked for, while it is read."""

    def add(self, rows: Sequence[int | str], cells: Cells) -> None:
        """Take the next cells.

        Raises:
            DataError: more than MOST_LEVELS different texts.
        """
        self.coded.add([level(cell.strip()) for cell in as_texts(cells)])
        if self.coded.many:
            raise too_many(self.where, self.name)

    def settle(self) -> str | None:
        """Say which text became which number."""
        self.numeric = True
        found = ordered(text for text in self.coded.found if text is not None)
        self.numbers = [self.pieces.keep(self.coded.numbers(found))]
        return note(self.name, found) if found else None


def too_many(where: str, name: str) -> DataError:
    """What to raise when a column that is asked for as categories has too many values."""
    return DataError(
        f"{where}, column {show(name)}: has more than {MOST_LEVELS} different values, too many for categories; leave "
        "it out, or make numbers or fewer categories of it"
    )


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

    def settle(self) -> None:
        """There is nothing odd about it."""

    def labels(self) -> Labels:
        """What was read."""
        return Labels(self.name, tuple(self.first), tuple(self.first.values()), np.concatenate(self.codes))


def as_texts(cells: Cells) -> Sequence[str]:
    """Cells as a person would write them."""
    if not isinstance(cells, np.ndarray):
        return cells
    return ["" if value != value else repr(value).removesuffix(".0") for value in cells.tolist()]
