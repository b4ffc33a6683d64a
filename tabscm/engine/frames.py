"""A table that is in memory, from whatever library: DataFrames of pandas, polars and pyarrow, or an array.

None of these libraries is imported: a DataFrame is known by what it can do. Every column is a variable. Numbers stay as
they are, truth values and categories become numbers with a note, cells without a value are missing; anything else is
refused by name.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from numbers import Number, Real
from os import PathLike
from typing import Any, NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine import levels
from tabscm.engine.rows import show, suggest
from tabscm.engine.tables import DataTable, checked
from tabscm.kernel.errors import DataError

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
            raise DataError(f"{SOURCE}: no column is called {show(name)}, as {what} asks; {suggest(name, self.names)}")
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
        """All columns as numbers, NaN where a cell is missing; notes say what was encoded.

        Raises:
            DataError: what makes the table unusable, with the column.
        """
        notes = []
        x = np.empty((self.rows, len(self.names)), order="F")
        for index, (name, values, order) in enumerate(zip(self.names, self.columns, self.orders, strict=True)):
            x[:, index], said = _numbers(name, values, order)
            notes += said
        required = "while a minimum of 2 is required."  # scikit-learn's words
        if len(self.names) < 2:
            raise DataError(
                f"{SOURCE}: {len(self.names)} feature(s) (shape={x.shape}) {required} A graph needs two columns"
            )
        if self.rows < 2:
            found = "1 sample" if self.rows else "0 sample(s)"
            raise DataError(f"{SOURCE}: {found} (shape={x.shape}) {required} A table needs two rows")
        return checked(DataTable(names=self.names, x=x, source=SOURCE, notes=tuple(notes)))


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


def _numbers(name: str, values: Values, order: tuple[str, ...] | None) -> tuple[NDArray[np.float64], list[str]]:
    """A column as numbers [N], NaN where there is no value, and notes."""
    kind = values.dtype.kind
    if order is not None:
        return _encoded(name, [None if missing(value) else str(value) for value in values], order)
    if kind in "fiu":
        return _finite(name, values.astype(np.float64)), []
    if kind == "b":
        return values.astype(np.float64), [levels.note(name, ("False", "True"))]
    if kind in "Mm":
        _refuse_time(name)
    if kind == "c":
        _refuse(
            name, "holds complex numbers", "Complex data not supported: make columns of the real and imaginary parts"
        )
    if kind not in "OUT":
        _refuse(name, f"has the type {values.dtype}, no number and no text", "convert it, or remove it")
    return _mixed(name, values.tolist())


def _mixed(name: str, cells: list[Any]) -> tuple[NDArray[np.float64], list[str]]:
    """A column of Python objects."""
    present = [(row, cell) for row, cell in enumerate(cells) if not missing(cell)]
    first: dict[str, tuple[int, object]] = {}
    for row, cell in present:
        first.setdefault(_sort(cell), (row, cell))
    for sort, (row, cell) in first.items():
        if sort == "time":
            _refuse_time(name)
        if sort == "other":
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
    if "text" in first:
        return _encoded(name, [None if missing(cell) else cell.strip() for cell in cells], None)
    values = np.array([np.nan if missing(cell) else float(cell) for cell in cells])
    said = [levels.note(name, ("False", "True"))] if "truth values" in first else []
    return _finite(name, values), said


def _sort(cell: object) -> str:
    """What a cell that is not missing is."""
    if isinstance(cell, bool | np.bool_):
        return "truth values"
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, date | datetime | time | timedelta | np.datetime64 | np.timedelta64):
        return "time"
    # Decimal is a Number and not a Real, though it converts like one
    number = isinstance(cell, Real) or (isinstance(cell, Number) and hasattr(cell, "as_tuple"))
    return "numbers" if number else "other"


def _encoded(
    name: str, texts: list[str | None], order: tuple[str, ...] | None
) -> tuple[NDArray[np.float64], list[str]]:
    """Texts as the numbers of their levels [N], and which is which."""
    found = {text for text in texts if text is not None}
    if len(found) > levels.MOST_LEVELS and order is None:
        raise DataError(
            f"{SOURCE}, column {show(name)}: is text with {len(found)} different values, and at most "
            f"{levels.MOST_LEVELS} are read as categories; remove it, or make numbers or fewer categories of it"
        )
    used = levels.ordered(found) if order is None else [level for level in order if level in found]
    code: dict[str | None, float] = {level: float(number) for number, level in enumerate(used)}
    code[None] = np.nan
    said = [levels.note(name, used, given=order is not None)] if used else []
    return np.array([code[text] for text in texts]), said


def _finite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        _refuse(
            name,
            f"row {infinite[0]}, counted from 0, is infinity (inf)",
            "write NaN where there is no value, or remove the row",
        )
    return values


def _refuse_time(name: str) -> NoReturn:
    _refuse(name, "holds dates or times", "make numbers of them, such as days since the first, or remove it")


def _refuse(name: str, found: str, remedy: str) -> NoReturn:
    raise DataError(f"{SOURCE}, column {show(name)}: {found}; {remedy}")
