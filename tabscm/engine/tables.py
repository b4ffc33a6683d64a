"""Read a user's table: a column is numbers, or categories when asked for, or left aside with a note, or refused.

A cell that is empty or says so, see MISSING, is missing.
"""

import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.levels import MOST_LEVELS, Categories
from tabscm.engine.plain import read_plain
from tabscm.engine.rows import Row, delimiter, listed, read_header, read_rows, show, suggest
from tabscm.kernel.errors import DataError

CHUNK = 10_000
"""Rows that are text at one time; the rest are numbers already."""

MANY = 1_000
"""Distinct texts of a column that are remembered for a message."""

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}
"""What people write for a missing value, in lower case."""

TRUTH_WORDS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})

OTHER_NOTATION = re.compile(r"[+-]?\d+([.,' _\u00a0\u202f]\d+)*[,' _\u00a0\u202f]\d+(\.\d+)?", re.ASCII)
"""A number with a decimal comma or with thousands separators."""


@attrs.frozen(eq=False)
class DataTable:
    """A table that can be used: all cells finite or missing, no column constant, at least two rows and two columns."""

    names: tuple[str, ...]
    """[D] distinct names of the variables."""
    x: NDArray[np.float64]
    """[N, D], each column on its own scale; NaN where a cell is missing."""
    source: str
    """Where it was read."""
    notes: tuple[str, ...] = ()
    """What the user should know: rows that were chosen, columns left aside, cells that are missing."""


def read_table(
    path: str | Path, *, where: Mapping[str, str] | None = None, categories: Collection[str] = ()
) -> DataTable:
    """Read a table with a header from a CSV file; see `rows.read_rows` for the formats.

    A column in which no cell is a number is text. It can choose rows, or be a variable as one of the `categories`.

    Args:
        path: the file.
        where: {column: text} keeps only the rows whose cell reads exactly so. These columns are no variables. Cells of
            other rows are not judged.
        categories: columns whose texts become numbers, see `levels.ordered`; a note says which.

    Raises:
        DataError: one line with file, row, column and what to do.
    """
    path = Path(path)
    rows = read_rows(path)
    names = read_header(path, rows)
    _check_header(path, names)
    if not where and not categories:
        plain = read_plain(path, len(names), delimiter(path))
        if plain is not None and len(names) > 1 and len(plain) > 1:
            return checked(DataTable(names=tuple(names), x=plain, source=str(path)))
    choice = _Choice(path, names, where or {})
    _check_categories(path, categories, names, choice.where)
    columns = {
        index: _Coded(path, name) if name in categories else _Column(path, name)
        for index, name in enumerate(names)
        if name not in choice.where
    }
    kept = choice.kept(rows)
    while chunk := list(islice(kept, CHUNK)):
        lines = [line for line, _ in chunk]
        cells = list(zip(*(cells for _, cells in chunk), strict=True))  # column by column
        for index, column in columns.items():
            column.add(lines, cells[index])
    choice.check()
    variables = [column for column in columns.values() if column.numeric]
    notes = choice.notes() + [note for column in columns.values() if (note := column.note())]
    _check_count(path, [column.name for column in variables])
    x = np.empty((choice.count, len(variables)), order="F")  # column by column: no more than one is there twice
    for index, column in enumerate(variables):
        np.concatenate(column.numbers, out=x[:, index])
        column.numbers.clear()
    names = [column.name for column in variables]
    return checked(DataTable(names=tuple(names), x=x, source=str(path), notes=tuple(notes)))


class _Choice:
    """Which rows are used."""

    def __init__(self, path: Path, names: list[str], where: Mapping[str, str]) -> None:
        for name in where:
            if name not in names:
                raise DataError(f"{path}: no column is called {show(name)}, as --where asks; {suggest(name, names)}")
        self.path = path
        self.where = {name: text.strip() for name, text in where.items()}
        self.wanted = [(names.index(name), text) for name, text in self.where.items()]
        self.seen: list[dict[str, None]] = [{} for _ in self.wanted]
        self.total = self.count = 0

    def kept(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows to use."""
        for line, cells in rows:
            self.total += 1
            fits = True
            for (index, text), seen in zip(self.wanted, self.seen, strict=True):
                cell = cells[index].strip()
                if len(seen) < MANY:
                    seen[cell] = None
                fits = fits and cell == text
            if fits:
                self.count += 1
                yield line, cells

    def check(self) -> None:
        """Refuse a table of fewer than two rows, once all of them were read."""
        if self.total == 0:
            raise DataError(f"{self.path}: there is a header and no row; a table needs at least two rows")
        for name, seen in zip(self.where, self.seen, strict=True):
            text = self.where[name]
            if self.count == 0 and text not in seen:
                raise DataError(
                    f"{self.path}, column {show(name)}: no row has {show(text)}, as --where asks; {suggest(text, seen)}"
                )
        if self.count < 2:
            found = f"{'one row' if self.count else 'no row'}{self._with()}"
            raise DataError(f"{self.path}: there is {found}; a table needs at least two rows")

    def notes(self) -> list[str]:
        """Say how many rows were chosen, where any were not."""
        return [f"kept {self.count} of {self.total} rows{self._with()}"] if self.where else []

    def _with(self) -> str:
        return " and".join(f" with {show(name)} = {show(text)}" for name, text in self.where.items())


class _Column:
    """One column while it is read: numbers, or text, but not both."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.numbers: list[NDArray[np.float64]] = []
        self.texts: dict[str, None] = {}
        self.numeric = False
        self.odd: tuple[int, str] | None = None  # the first cell that is no number, and its row

    def add(self, lines: list[int], cells: tuple[str, ...]) -> None:
        """Take the next cells and the rows they are from."""
        texts = [cell.strip() for cell in cells]
        values = _numbers(texts)
        if values is None:
            values = _numbers_with_gaps(texts)
        if values is not None:
            self.numeric = self.numeric or not bool(np.isnan(values).all())
            self.numbers.append(values)
        else:
            for text in dict.fromkeys(texts):
                if _number(text) is not None:
                    self.numeric = True
                    continue
                if text.lower() in MISSING:
                    continue
                self.odd = self.odd or (lines[texts.index(text)], text)
                if len(self.texts) < MANY:
                    self.texts[text] = None
                if _meant_as_number(text):
                    self._refuse(lines[texts.index(text)], text)
        if self.numeric and self.odd:
            self._refuse(*self.odd)

    def note(self) -> str | None:
        """Say that this column is text, if it is, and what it is good for."""
        if self.numeric:
            return None
        texts = list(self.texts)
        if not texts:
            raise DataError(f"{self.path}, column {show(self.name)}: holds no value in any row; remove it")
        if self.odd and all(map(_infinite, texts)):
            self._refuse(*self.odd)
        if len(self.texts) == MANY:
            return f"column {show(self.name)} is text and left aside ({MANY} different values or more)"
        values = f"{len(texts)} value{'s' if len(texts) > 1 else ''}: {listed(texts)}"
        said = f"column {show(self.name)} is text and left aside ({values})"
        variable = f"be a variable: --category {shlex.quote(self.name)}"
        if {text.lower() for text in texts} in TRUTH_WORDS:
            return f"{said}; it can {variable}"
        example = shlex.quote(f"{self.name}={texts[0]}")
        return f"{said}; it can choose rows: --where {example}{f', or {variable}' if len(texts) <= MOST_LEVELS else ''}"

    def _refuse(self, line: int, text: str) -> NoReturn:
        raise DataError(f"{self.path}, row {line}, column {show(self.name)}: {_fault(text)}")


class _Coded(_Column):
    """A column of categories while it is read."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self.numeric = True
        self.coded = Categories(f"{path}, column {show(name)}", name)

    def add(self, lines: list[int], cells: tuple[str, ...]) -> None:
        """Take the next cells."""
        # "none" is a level as good as "mild"
        texts = [cell.strip() for cell in cells]
        self.coded.add([None if text.lower() in MISSING - {"none"} else text for text in texts])

    def note(self) -> str | None:
        """Say which text became which number."""
        values, said = self.coded.numbers()
        self.numbers = [values]
        return said


def _numbers_with_gaps(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The cells as numbers, NaN where one is missing, or None if even one is something else."""
    gaps = [cell.lower() in MISSING for cell in cells]
    values = _numbers(["0" if gap else cell for gap, cell in zip(gaps, cells, strict=True)])
    if values is not None:
        values[gaps] = np.nan
    return values


def _numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The cells as numbers, or None if even one is not a finite number."""
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    # float() also reads 1_000 and digits of other scripts
    text = "".join(cells)
    return values if "_" not in text and text.isascii() and bool(np.isfinite(values).all()) else None


def _number(text: str) -> float | None:
    values = _numbers([text])
    return None if values is None else float(values[0])


def _meant_as_number(text: str) -> bool:
    return bool(OTHER_NOTATION.fullmatch(text)) or _overflows(text)


def _overflows(text: str) -> bool:
    return _infinite(text) and any(map(str.isdigit, text))


def _infinite(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


def _fault(text: str) -> str:
    """What is wrong with a cell that is no number, and what to do."""
    found = f"found {show(text)}"
    if OTHER_NOTATION.fullmatch(text):
        return f"{found}; write numbers with a decimal point and nothing between thousands, such as 1234.5"
    if _overflows(text):
        return f"{found}, which is beyond the largest 64-bit number, 1.8e308; rescale the column"
    return f"{found} in a column of numbers; correct it, or remove the row or the column"


def _check_header(path: Path, names: list[str]) -> None:
    if all(_number(name) is not None for name in names):
        raise DataError(f"{path}, row 1: holds only numbers; the first row must name the columns")
    if len(names) == 1 and any(separator in names[0] for separator in ",;|\t "):
        raise DataError(
            f"{path}, row 1: the header is a single field, {show(names[0])}; separate columns by commas "
            "(by tabs in a .tsv file)"
        )


def _check_categories(path: Path, categories: Collection[str], names: list[str], where: Collection[str]) -> None:
    for name in categories:
        if name not in names:
            raise DataError(f"{path}: no column is called {show(name)}, as --category asks; {suggest(name, names)}")
        if name in where:
            raise DataError(f"{path}: column {show(name)} chooses rows by --where, and is no variable; drop --category")


def _check_count(path: Path, variables: list[str]) -> None:
    if len(variables) < 2:
        found = f"only column {show(variables[0])} holds numbers" if variables else "no column holds numbers"
        raise DataError(f"{path}: {found}; a graph needs at least two such columns")


def checked(table: DataTable) -> DataTable:
    """The table, when no column is constant, with a note on missing cells.

    Raises:
        DataError: columns that are constant where they are there, or not there at all.
    """
    gaps = [int(np.isnan(column).sum()) for column in table.x.T]
    _check_constant(table, gaps)
    return attrs.evolve(table, notes=(*table.notes, *_missing(table, gaps)))


def _check_constant(table: DataTable, gaps: Sequence[int]) -> None:
    rows = len(table.x)
    empty = [name for name, missing in zip(table.names, gaps, strict=True) if missing == rows]
    if empty:
        which = f"column {show(empty[0])} holds" if len(empty) == 1 else f"columns {listed(empty)} hold"
        raise DataError(
            f"{table.source}: {which} no value in all {rows} rows used; remove {'it' if len(empty) == 1 else 'them'}"
        )
    constant = [
        name for name, column in zip(table.names, table.x.T, strict=True) if np.nanmin(column) == np.nanmax(column)
    ]
    if constant:
        which = f"column {show(constant[0])} has" if len(constant) == 1 else f"columns {listed(constant)} have"
        it = "it" if len(constant) == 1 else "them"
        there = " where there is one" if any(gaps) else ""
        raise DataError(f"{table.source}: {which} the same value in all {rows} rows used{there}; remove {it}")


def _missing(table: DataTable, gaps: Sequence[int]) -> list[str]:
    """Say how many cells are missing, and where most of them."""
    if not any(gaps):
        return []
    most = [index for index in np.argsort(-np.array(gaps), kind="stable").tolist() if gaps[index]]
    shares = ", ".join(f"{show(table.names[index])} {100 * gaps[index] / len(table.x):.2g} %" for index in most[:5])
    more = f" and {len(most) - 5} more columns" if len(most) > 5 else ""
    return [f"{sum(gaps)} of {table.x.size} cells are missing and read as unknown: of {shares}{more}"]
