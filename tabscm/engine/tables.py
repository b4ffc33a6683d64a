"""Read a user's table: a column is numbers, or categories when asked for, or left aside with a note, or refused.

A cell that is empty or says so, see `notation.MISSING`, is missing.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import notation
from tabscm.engine.columns import MANY, Chunk, CodedColumn, Column, LabelColumn, Labels, as_texts
from tabscm.engine.parquet import is_parquet, read_parquet
from tabscm.engine.plain import read_plain
from tabscm.engine.rows import Row, delimiter, listed, read_header, read_rows, show, suggest
from tabscm.kernel.errors import DataError
from tabscm.kernel.scratch import Pieces, room

CHUNK = 10_000
"""Rows that are text at one time; the rest are numbers already."""
BLOCK = 1 << 20
"""Rows of a column that are judged at one time."""


FRACTION = re.compile(r"[+-]?\d*\.\d+|-\d+", re.ASCII)
"""A number that no column is called by."""


@attrs.frozen
class Asked:
    """A column that an option names."""

    name: str
    option: str
    """As messages call it."""


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
    labels: Labels | None = None
    """The column that says how each row came about, where one was asked for."""


def read_table(
    path: str | Path,
    *,
    where: Mapping[str, str] | None = None,
    categories: Collection[str] = (),
    labels: Asked | None = None,
) -> DataTable:
    """Read a table from a file: Parquet, or text with a header; see `rows.read_rows` for its formats.

    A column in which no cell is a number is text. It can choose rows, or be a variable as one of the `categories`.

    Args:
        path: the file.
        where: {column: text} keeps only the rows whose cell reads exactly so. These columns are no variables. Cells of
            other rows are not judged.
        categories: columns whose texts become numbers, see `levels.ordered`; a note says which.
        labels: a column that is no variable and says how each row came about, and the option that asks for it.

    Raises:
        DataError: one line with file, row, column and what to do.
    """
    path = Path(path)
    typed = is_parquet(path)
    if typed:
        names, chunks = read_parquet(path)
    else:
        rows = read_rows(path)
        names = read_header(path, rows)
        _check_header(path, names)
        if not where and not categories and not labels:
            plain = read_plain(path, len(names), delimiter(path))
            if plain is not None and len(names) > 1 and len(plain) > 1:
                return checked(DataTable(names=tuple(names), x=plain, source=str(path)))
        chunks = _chunks(rows)
    choice = _Choice(path, names, where or {})
    for name in categories:
        _check_asked(path, Asked(name, "--category"), names, choice.where)
    if labels:
        _check_asked(path, labels, names, choice.where)
        if labels.name in categories:
            raise DataError(f"{path}: column {show(labels.name)} is asked for by --category, too; drop {labels.option}")

    pieces = Pieces()
    columns: dict[int, Column] = {}
    for index, name in enumerate(names):
        if labels and name == labels.name:
            columns[index] = LabelColumn(str(path), name, pieces)
        elif name in categories:
            columns[index] = CodedColumn(str(path), name, pieces)
        elif name not in choice.where:
            columns[index] = Column(str(path), name, pieces, typed=typed)
    for chunk in choice.kept(chunks):
        for index, column in columns.items():
            column.add(chunk.rows, chunk.cells[index])
    choice.check()
    variables = [column for column in columns.values() if column.numeric]
    notes = choice.notes() + [note for column in columns.values() if (note := column.note())]
    check_count(path, [column.name for column in variables])
    x = room((len(variables), choice.count), np.float64).T  # columns contiguous
    for index, column in enumerate(variables):
        first = 0
        while column.numbers:  # no more than one column is in memory twice
            values = column.numbers.pop(0).read()
            x[first : first + len(values), index] = values
            first += len(values)
    names = [column.name for column in variables]
    of_rows = next((column.labels() for column in columns.values() if isinstance(column, LabelColumn)), None)
    return checked(DataTable(names=tuple(names), x=x, source=str(path), notes=tuple(notes), labels=of_rows))


def _chunks(rows: Iterator[Row]) -> Iterator[Chunk]:
    """The rows of a text file, column by column."""
    while some := list(islice(rows, CHUNK)):
        yield Chunk([row for row, _ in some], list(zip(*(cells for _, cells in some), strict=True)))


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

    def kept(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The rows to use."""
        for chunk in chunks:
            fits = np.ones(len(chunk.rows), dtype=np.bool_)
            for (index, text), seen in zip(self.wanted, self.seen, strict=True):
                found = [cell.strip() for cell in as_texts(chunk.cells[index])]
                if len(seen) < MANY:
                    seen.update(dict.fromkeys(found))
                fits &= [cell == text for cell in found]
            self.total += len(chunk.rows)
            self.count += int(fits.sum())
            if fits.all():
                yield chunk
            elif fits.any():
                yield chunk.only(fits)

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


def _check_header(path: Path, names: list[str]) -> None:
    if all(notation.number(name) is not None for name in names):
        raise DataError(f"{path}, row 1: holds only numbers; the first row must name the columns")
    if len(names) == 1 and any(separator in names[0] for separator in ",;|\t "):
        title = "; if it is a title, remove it" if " " in names[0] else ""
        raise DataError(
            f"{path}, row 1: the header is a single field, {show(names[0])}; separate columns by commas "
            f"(by tabs in a .tsv file){title}"
        )


def _check_asked(path: Path, asked: Asked, names: list[str], taken: Collection[str]) -> None:
    """Check that a column is there, and that no option before wants something else of it."""
    if asked.name not in names:
        raise DataError(
            f"{path}: no column is called {show(asked.name)}, as {asked.option} asks; {suggest(asked.name, names)}"
        )
    if asked.name in taken:
        raise DataError(
            f"{path}: column {show(asked.name)} chooses rows by --where, and is no variable; drop {asked.option}"
        )


def check_count(path: Path, variables: Sequence[str]) -> None:
    """Refuse a table with fewer columns of numbers than two."""
    if len(variables) < 2:
        found = f"only column {show(variables[0])} holds numbers" if variables else "no column holds numbers"
        raise DataError(f"{path}: {found}; a graph needs at least two such columns")


def checked(table: DataTable) -> DataTable:
    """The table, when no column is constant, with a note on missing cells.

    Raises:
        DataError: columns that are constant where they are there, or not there at all.
    """
    gaps = [sum(int(np.isnan(block).sum()) for block in _blocks(column)) for column in table.x.T]
    constant = [np.fmin.reduce(column) == np.fmax.reduce(column) for column in table.x.T]  # of what is not NaN
    notes = check_columns(table.source, table.names, len(table.x), gaps, constant)
    return attrs.evolve(table, notes=(*table.notes, *notes))


def check_columns(
    source: str, names: Sequence[str], rows: int, gaps: Sequence[int], constant: Sequence[bool]
) -> list[str]:
    """Notes on names that are numbers and on missing cells, where there are any.

    Args:
        source: of the table.
        names: [D] of the columns.
        rows: N.
        gaps: [D] how many cells of each are missing.
        constant: [D] whether those that are there are all the same.

    Raises:
        DataError: as `checked`.
    """
    empty = [name for name, missing in zip(names, gaps, strict=True) if missing == rows]
    if empty:
        which = f"column {show(empty[0])} holds" if len(empty) == 1 else f"columns {listed(empty)} hold"
        raise DataError(
            f"{source}: {which} no value in all {rows} rows used; remove {'it' if len(empty) == 1 else 'them'}"
        )
    same = [name for name, is_one in zip(names, constant, strict=True) if is_one]
    if same:
        which = f"column {show(same[0])} has" if len(same) == 1 else f"columns {listed(same)} have"
        it = "it" if len(same) == 1 else "them"
        there = " where there is one" if any(gaps) else ""
        raise DataError(f"{source}: {which} the same value in all {rows} rows used{there}; remove {it}")
    return [*_headless(names), *_missing(names, rows, gaps)]


def _headless(names: Sequence[str]) -> list[str]:
    """Several names such as 1.5 and -0.3 are a row of the table, read as its header."""
    odd = [name for name in names if FRACTION.fullmatch(name)]
    if len(odd) < 2:
        return []
    shown = ", ".join(show(name) for name in odd[:2])
    return [f"columns are called {shown}: if the first row is no header, write one above it"]


def _missing(names: Sequence[str], rows: int, gaps: Sequence[int]) -> list[str]:
    """Say how many cells are missing, and where most of them."""
    if not any(gaps):
        return []
    most = [index for index in np.argsort(-np.array(gaps), kind="stable").tolist() if gaps[index]]
    shares = ", ".join(f"{show(names[index])} {100 * gaps[index] / rows:.2g} %" for index in most[:5])
    more = f" and {len(most) - 5} more columns" if len(most) > 5 else ""
    return [f"{sum(gaps)} of {rows * len(names)} cells are missing and read as unknown: of {shares}{more}"]


def _blocks(column: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    return (column[first : first + BLOCK] for first in range(0, len(column), BLOCK))
