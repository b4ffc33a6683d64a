"""A table that is in memory, from whatever library: DataFrames of pandas, polars and pyarrow, or an array.

None of these libraries is imported: a DataFrame is known by what it can do. Numbers stay as they are, truth values and
ordered categories become numbers with a note, text and dates are what they are in a file, see `looks`, and cells
without a value are missing; anything else is refused by name.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from numbers import Number, Real
from os import PathLike
from typing import Any, NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import levels
from tabscm.engine.columns import Column
from tabscm.engine.looks import note_on_moments
from tabscm.engine.rows import show, suggest
from tabscm.engine.tables import CHUNK, DataTable, check_count, checked
from tabscm.kernel.errors import DataError
from tabscm.kernel.scratch import Pieces

SOURCE = "X"
"""What messages call the table."""

Values = NDArray[Any]
"""[N], of any type."""


@attrs.frozen(eq=False)
class Frame:
    """The columns of a table as they came."""

    names: tuple[str, ...]
    """[D] distinct."""
    columns: tuple[Values, ...]
    """[D] of [N] each."""
    orders: tuple[tuple[str, ...] | None, ...]
    """[D] the levels of columns that came with an order of their own."""
    named: bool
    """Whether the names are those of X."""
    rows: int

    def without(self, name: str, what: str) -> tuple[Values, "Frame"]:
        """One column, and the frame without it; `what` asks for it.

        Raises:
            DataError: there is none of this name.
        """
        if name not in self.names:
            near = suggest(name, self.names)
            end = "" if near.endswith("?") else "."
            raise DataError(f"{SOURCE}: no column is called {show(name)}, as {what} asks; {near}{end}")
        place = self.names.index(name)
        others = [index for index in range(len(self.names)) if index != place]
        frame = attrs.evolve(
            self,
            names=tuple(self.names[index] for index in others),
            columns=tuple(self.columns[index] for index in others),
            orders=tuple(self.orders[index] for index in others),
        )
        return self.columns[place], frame

    def table(self) -> DataTable:
        """The variables as numbers, NaN where a cell is missing; notes say what was encoded and what was left aside.

        Raises:
            DataError: what makes the table unusable, with the column.
        """
        notes, columns, aside = [], {}, []
        for name, values, order in zip(self.names, self.columns, self.orders, strict=True):
            column, said = _numbers(name, values, order, self.names)
            notes += said
            if column is None:
                aside += said
            else:
                columns[name] = column
        shape = (self.rows, len(self.names))
        required = "while a minimum of 2 is required."  # scikit-learn's words
        if len(self.names) < 2:
            raise DataError(f"{SOURCE}: {shape[1]} feature(s) (shape={shape}) {required} A graph needs two columns.")
        if self.rows < 2:
            found = "1 sample" if self.rows else "0 sample(s)"
            raise DataError(f"{SOURCE}: {found} (shape={shape}) {required} A table needs two rows.")
        check_count(SOURCE, list(columns), aside)
        x = np.empty((self.rows, len(columns)), order="F")
        for index, column in enumerate(columns.values()):
            x[:, index] = column
        return checked(DataTable(tuple(columns), x, SOURCE, notes=tuple(notes), aside=tuple(aside)))


def read_frame(X: object) -> Frame:
    """Take a table apart.

    Args:
        X: a DataFrame of pandas or polars, a Table of pyarrow, or what numpy makes a two-dimensional array of. The
            columns of an array are called x0, x1, ...

    Raises:
        DataError: not a table, or names that cannot be told apart.
    """
    given: Any = X
    if hasattr(given, "column_names") and hasattr(given, "schema"):  # pyarrow
        columns = [given.column(index) for index in range(given.num_columns)]
        return _named(list(given.column_names), columns)
    if hasattr(given, "iloc") and hasattr(given, "columns"):  # pandas
        return _named(list(given.columns), [given.iloc[:, index] for index in range(len(given.columns))])
    if hasattr(given, "get_columns"):  # polars
        return _named(list(given.columns), list(given.get_columns()))
    if hasattr(given, "collect_schema"):
        raise DataError(f"{SOURCE}: this is a query that has not run; pass its result, X.collect()")
    if hasattr(given, "toarray"):
        raise DataError(f"{SOURCE}: sparse data is not supported; pass a dense array, X.toarray()")
    if isinstance(given, str | PathLike):
        raise DataError(
            f"{SOURCE}: expected a table, found the name {str(given)!r}; read the file first, as with pandas"
        )
    try:
        # numpy forgets the mask of an array otherwise
        array = np.ma.filled(given.astype(np.float64), np.nan) if np.ma.isMaskedArray(given) else np.asarray(given)
    except ValueError as error:
        raise DataError(f"{SOURCE}: expected a DataFrame or an array with rows and columns: {error}") from None
    if array.ndim != 2:
        raise DataError(
            f"{SOURCE}: expected 2D array, a row for each sample and a column for each variable, found "
            f"{array.ndim} dimension{'' if array.ndim == 1 else 's'} instead. Reshape your data"
        )
    names = tuple(f"x{index}" for index in range(array.shape[1]))
    return Frame(names, tuple(array.T), (None,) * len(names), named=False, rows=len(array))


def missing(value: object) -> bool:
    """Whether a cell holds no value: None, NaN, blank text, or what pandas writes for it."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, Number) and bool(value != value)


def _named(names: list[object], columns: Sequence[Any]) -> Frame:
    for place, name in enumerate(names):
        if isinstance(name, bool) or not isinstance(name, str | int | np.integer):
            raise DataError(
                f"{SOURCE}: column {place}, counted from 0, is called {name!r}, which is no text; rename it "
                "(X.columns = [...])"
            )
    texts = [str(name) for name in names]
    for place, name in enumerate(texts):
        if not name.strip() or "\0" in name or (not name.isascii() and _broken(name)):
            raise DataError(f"{SOURCE}: column {place}, counted from 0, is called {name!r}; give it a name of its own")
        if texts.index(name) < place:
            raise DataError(
                f"{SOURCE}: columns {texts.index(name)} and {place}, counted from 0, are both called {show(name)}; "
                "rename one"
            )
    values = tuple(map(_values, columns))
    return Frame(
        names=tuple(texts),
        columns=values,
        orders=tuple(map(_order, columns)),
        named=all(isinstance(name, str) for name in names),
        rows=len(columns[0]) if columns else 0,
    )


def _values(column: Any) -> Values:  # noqa: ANN401 - a Series of any library
    # pyarrow gives cells of a dictionary that are missing the value of another
    if hasattr(column, "to_pylist") and str(column.type).startswith("dictionary"):
        return np.array(column.to_pylist(), dtype=object)
    # nullable numbers of pandas: as objects they would be read one by one
    if hasattr(getattr(column, "dtype", None), "na_value") and column.dtype.kind in "iuf":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(column.to_numpy())


def _broken(name: str) -> bool:
    """Whether a text holds half a character, which no file could."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _order(column: object) -> tuple[str, ...] | None:
    """The levels of an ordered Categorical of pandas."""
    dtype: Any = getattr(column, "dtype", None)
    return tuple(map(str, dtype.categories)) if getattr(dtype, "ordered", None) is True else None


def _numbers(
    name: str, values: Values, order: tuple[str, ...] | None, names: Collection[str]
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """A column as numbers [N], NaN where there is no value, and notes; None where a note says it is left aside. `names`
    are those of all columns."""
    kind = values.dtype.kind
    if order is not None:
        return _ordered(name, [None if missing(value) else str(value) for value in values], order)
    if kind in "fiu":
        return _finite(name, values.astype(np.float64)), []
    if kind == "b":
        return values.astype(np.float64), [levels.note(name, ("False", "True"))]
    if kind in "Mm":
        there = values[~np.isnat(values)]
        return (
            (None, [note_on_moments(name, _moment(there[0]))])
            if len(there)
            else _mixed(name, [None] * len(values), names)
        )
    if kind == "c":
        _refuse(
            name, "holds complex numbers", "Complex data not supported: make columns of the real and imaginary parts"
        )
    if kind not in "OUT":
        _refuse(name, f"has the type {values.dtype}, no number and no text", "convert it, or remove it")
    return _mixed(name, values.tolist(), names)


def _mixed(name: str, cells: list[Any], names: Collection[str]) -> tuple[NDArray[np.float64] | None, list[str]]:
    """A column of Python objects."""
    present = [(row, cell) for row, cell in enumerate(cells) if not missing(cell)]
    first: dict[str, tuple[int, object]] = {}
    for row, cell in present:
        first.setdefault(_sort(cell), (row, cell))
    if "other" in first:
        row, cell = first["other"]
        # scikit-learn's words
        what = (
            "Complex data"
            if isinstance(cell, complex | np.complexfloating)
            else "argument must be a string or a number"
        )
        _refuse(name, f"row {row}, counted from 0, holds a {type(cell).__name__}", f"{what}; remove it")
    if len(first) > 1:
        other, (one, (row, cell)) = next(iter(first)), list(first.items())[1]  # the first kind, and where it changes
        _refuse(name, f"mixes {other} and {one}: {show(str(cell))} in row {row}, counted from 0", "make it one of them")
    if "dates or times" in first:
        return None, [note_on_moments(name, _moment(first["dates or times"][1]))]
    if "text" in first:
        return _texts(name, ["" if missing(cell) else cell for cell in cells], names)
    values = np.array([np.nan if missing(cell) else float(cell) for cell in cells])
    said = [levels.note(name, ("False", "True"))] if "truth values" in first else []
    return _finite(name, values), said


def _texts(name: str, cells: list[str], names: Collection[str]) -> tuple[NDArray[np.float64] | None, list[str]]:
    """A column of text, as it would be read from a file that says so."""
    column = Column(SOURCE, name, Pieces(), typed=True)
    for start in range(0, len(cells), CHUNK):
        some = cells[start : start + CHUNK]
        column.add([f"{row}, counted from 0" for row in range(start, start + len(some))], some)
    said = column.settle()
    values = np.concatenate([piece.read() for piece in column.numbers]) if column.numeric else None
    suspected = levels.as_targets(name, column.looks.words_alone, names, f"interventions={name!r}")
    return values, [*filter(None, (said, suspected))]


def _sort(cell: object) -> str:
    """What a cell that is not missing is."""
    if isinstance(cell, bool | np.bool_):
        return "truth values"
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, date | datetime | time | timedelta | np.datetime64 | np.timedelta64):
        return "dates or times"
    # Decimal is a Number and not a Real, though it converts like one
    number = isinstance(cell, Real) or (isinstance(cell, Number) and hasattr(cell, "as_tuple"))
    return "numbers" if number else "other"


def _moment(value: object) -> str:
    """A date or time as people write it."""
    if isinstance(value, np.timedelta64):
        return str(value.astype("timedelta64[us]").item())  # of nanoseconds it would be a number
    return str(np.datetime_as_string(value, unit="auto")) if isinstance(value, np.datetime64) else str(value)


def _ordered(name: str, texts: list[str | None], order: tuple[str, ...]) -> tuple[NDArray[np.float64], list[str]]:
    """Categories of an order of their own as the numbers of their levels [N], and which is which."""
    found = set(texts)
    used = [level for level in order if level in found]
    return levels.numbered(texts, used), [levels.note(name, used, given=True)] if used else []


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        _refuse(
            name,
            f"row {infinite[0]}, counted from 0, is infinity (inf)",
            "write NaN where there is no value, or remove the row",
        )
    return values


def _refuse(name: str, found: str, remedy: str) -> NoReturn:
    raise DataError(f"{SOURCE}, column {show(name)}: {found}; {remedy}")
