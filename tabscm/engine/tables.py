"""Read a user's table: a column is numbers, or categories, or left aside with a note, or refused; see `looks`.

A cell that is empty or says so, see `notation.MISSING`, is missing.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from itertools import islice
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import levels, notation
from tabscm.engine.columns import Cells, Chunk, CodedColumn, Column, LabelColumn, Labels, as_texts
from tabscm.engine.looks import MANY
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
    aside: tuple[str, ...] = ()
    """Those of the notes that say that a column is no variable, and why."""


class UselessColumns(DataError):
    """Columns that say nothing: without a value, or with the same in all rows."""

    names: tuple[str, ...]

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        super().__init__(text, names)  # both, or it could not be pickled
        self.names = names

    def __str__(self) -> str:
        return str(self.args[0])


def read_table(
    path: str | Path,
    *,
    where: Mapping[str, str] | None = None,
    categories: Collection[str] = (),
    without: Collection[str] = (),
    labels: Asked | None = None,
) -> DataTable:
    """Read a table from a file: Parquet, or text with a header; see `rows.read_rows` for its formats.

    Of columns in which no cell is a number `looks` says which are categories, and variables; the others are left aside.

    Args:
        path: the file.
        where: {column: text} keeps only the rows whose cell reads exactly so. These columns are no variables. Cells of
            other rows are not judged.
        categories: columns whose texts become numbers whatever they look like, see `levels.ordered`; a note says which.
        without: columns that are left out, and not judged.
        labels: a column that is no variable and says how each row came about, and the option that asks for it.

    Raises:
        DataError: one line with file, row, column and what to do.
    """
    path = Path(path)
    typed = is_parquet(path)
    if typed:
        names, chunks = read_parquet(path, set(without) - set(where or {}))
    else:
        rows = read_rows(path)
        names = read_header(path, rows)
        _check_header(path, names)
        if not where and not categories and not without and not labels:
            plain = read_plain(path, len(names), delimiter(path))
            if plain is not None and len(names) > 1 and len(plain) > 1:
                return checked(DataTable(names=tuple(names), x=plain, source=str(path)))
        chunks = _chunks(rows)
    choice = Choice(path, names, where or {})
    check_asked(path, names, where=choice.where, categories=categories, without=without, labels=labels)
    pieces = Pieces()
    columns: dict[int, Column] = {}
    for index, name in enumerate(names):
        if labels and name == labels.name:
            columns[index] = LabelColumn(str(path), name, pieces)
        elif name in categories:
            columns[index] = CodedColumn(str(path), name, pieces)
        elif name not in choice.where and name not in without:
            columns[index] = Column(str(path), name, pieces, typed=typed)
    for chunk in choice.kept(chunks):
        for index, column in columns.items():
            column.add(chunk.rows, chunk.cells[index])
    choice.check()
    said = {column.name: column.settle() for column in columns.values()}
    variables = [column for column in columns.values() if column.numeric]
    suspected = [levels.as_targets(column.name, column.looks.words_alone, names) for column in columns.values()]
    notes = [*choice.notes(), *without_note(names, without), *filter(None, said.values()), *filter(None, suspected)]
    aside = [note for column in columns.values() if not column.numeric and (note := said[column.name])]
    check_count(path, [column.name for column in variables], aside)
    x = room((len(variables), choice.count), np.float64).T  # columns contiguous
    for index, column in enumerate(variables):
        first = 0
        while column.numbers:  # no more than one column is in memory twice
            values = column.numbers.pop(0).read()
            x[first : first + len(values), index] = values
            first += len(values)
    names = [column.name for column in variables]
    of_rows = next((column.labels() for column in columns.values() if isinstance(column, LabelColumn)), None)
    return checked(
        DataTable(
            names=tuple(names),
            x=x,
            source=str(path),
            notes=tuple(notes),
            labels=of_rows,
            aside=tuple(aside),
        )
    )


def _chunks(rows: Iterator[Row]) -> Iterator[Chunk]:
    """The rows of a text file, column by column."""
    while some := list(islice(rows, CHUNK)):
        yield Chunk([row for row, _ in some], list(zip(*(cells for _, cells in some), strict=True)))


class Choice:
    """Which rows are used: those whose cells in some columns read exactly as `where` says."""

    def __init__(self, path: Path, names: Sequence[str], where: Mapping[str, str]) -> None:
        for name in where:
            if name not in names:
                raise DataError(f"{path}: no column is called {show(name)}, as --where asks; {suggest(name, names)}")
        self.path = path
        self.where = {name: text.strip() for name, text in where.items()}
        self.columns = [names.index(name) for name in self.where]
        self.seen: list[dict[str, None]] = [{} for _ in self.where]  # MANY of each, for a message
        self.total = self.count = 0

    def fits(self, rows: int, cells: Sequence[Cells]) -> NDArray[np.bool_]:
        """Which of the next rows [n] are used; `cells` are those of `columns`."""
        fits = np.ones(rows, dtype=np.bool_)
        for text, seen, column in zip(self.where.values(), self.seen, cells, strict=True):
            found = [cell.strip() for cell in as_texts(column)]
            _remember(seen, found, text)
            fits &= [cell == text for cell in found]
        self.total += rows
        self.count += int(fits.sum())
        return fits

    def kept(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The rows to use."""
        for chunk in chunks:
            fits = self.fits(len(chunk.rows), [chunk.cells[index] for index in self.columns])
            if fits.all():
                yield chunk
            elif fits.any():
                yield chunk.only(fits)

    def join(self, other: "Choice") -> "Choice":
        """What both saw, `other` in the rows that follow."""
        joined = copy(self)  # neither changes: a cluster may join them again
        joined.seen = [dict(seen) for seen in self.seen]
        for text, seen, found in zip(self.where.values(), joined.seen, other.seen, strict=True):
            _remember(seen, found, text)
        joined.total = self.total + other.total
        joined.count = self.count + other.count
        return joined

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


def _remember(seen: dict[str, None], texts: Collection[str], wanted: str) -> None:
    """Add what is new among `texts` until MANY are there, and `wanted` in any case."""
    if wanted in texts:
        seen[wanted] = None
    if len(seen) < MANY:
        new = (text for text in dict.fromkeys(texts) if text not in seen)
        seen.update(dict.fromkeys(islice(new, MANY - len(seen))))


def _check_header(path: Path, names: list[str]) -> None:
    if all(notation.number(name) is not None for name in names):
        raise DataError(f"{path}, row 1: holds only numbers; the first row must name the columns")
    if len(names) == 1 and any(separator in names[0] for separator in ",;|\t "):
        title = "; if it is a title, remove it" if " " in names[0] else ""
        raise DataError(
            f"{path}, row 1: the header is a single field, {show(names[0])}; separate columns by commas "
            f"(by tabs in a .tsv file){title}"
        )


def check_asked(
    path: Path,
    names: Sequence[str],
    *,
    where: Collection[str],
    categories: Collection[str],
    without: Collection[str],
    labels: Asked | None,
) -> None:
    """Check that the columns that options name are there, and that no two options want something else of one.

    Raises:
        DataError: names the column and the option.
    """
    asked = [*(Asked(name, "--without") for name in without), *(Asked(name, "--category") for name in categories)]
    for one in asked if labels is None else [*asked, labels]:
        if one.name not in names:
            raise DataError(
                f"{path}: no column is called {show(one.name)}, as {one.option} asks; {suggest(one.name, names)}"
            )
        if one.name in where and one.option != "--without":
            raise DataError(
                f"{path}: column {show(one.name)} chooses rows by --where, and is no variable; drop {one.option}"
            )
        if one.name in without and one.option != "--without":
            raise DataError(f"{path}: column {show(one.name)} is left out by --without; drop {one.option}")
    if labels and labels.name in categories:
        raise DataError(f"{path}: column {show(labels.name)} is asked for by --category, too; drop {labels.option}")


def without_note(names: Sequence[str], without: Collection[str]) -> list[str]:
    """Say which columns were left out because that was asked."""
    out = [name for name in names if name in without]
    return [f"left out, as asked: {listed(out)}"] if out else []


def check_count(path: Path | str, variables: Sequence[str], aside: Sequence[str] = ()) -> None:
    """Refuse a table with fewer columns of numbers or categories than two; `aside` says why others are none."""
    if len(variables) < 2:
        found = f"only column {show(variables[0])} holds" if variables else "no column holds"
        why = "".join(f"; {note}" for note in aside[:3])
        raise DataError(f"{path}: {found} numbers or categories; a graph needs at least two such columns{why}")


def checked(table: DataTable) -> DataTable:
    """The table, when no column is constant, with a note on missing cells.

    Raises:
        UselessColumns: columns that are constant where they are there, or not there at all.
    """
    gaps = [sum(int(np.isnan(block).sum()) for block in _blocks(column)) for column in table.x.T]
    constant = [np.fmin.reduce(column) == np.fmax.reduce(column) for column in table.x.T]  # of what is not NaN
    notes = check_columns(table.source, table.names, len(table.x), gaps, constant)
    return attrs.evolve(table, notes=(*levels.together(table.notes), *notes))


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
        UselessColumns: as `checked`.
    """
    whole = list(zip(names, gaps, constant, strict=True))
    empty = [name for name, missing, _ in whole if missing == rows]
    same = [name for name, missing, is_one in whole if is_one and missing < rows]
    if faulty := [*empty, *same]:
        found = []
        if empty:
            which = f"column {show(empty[0])} holds" if len(empty) == 1 else f"columns {listed(empty)} hold"
            found.append(f"{which} no value")
        if same:
            which = f"column {show(same[0])} has" if len(same) == 1 else f"columns {listed(same)} have"
            found.append(f"{which} the same value")
        there = " where there is one" if any(0 < missing < rows for _, missing, is_one in whole if is_one) else ""
        it = "it" if len(faulty) == 1 else "them"
        raise UselessColumns(
            f"{source}: {' and '.join(found)} in all {rows} rows used{there}; remove {it}", tuple(faulty)
        )
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
