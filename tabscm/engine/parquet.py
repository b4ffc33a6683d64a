"""Read Parquet some rows at a time, a file or a folder of files that are parts of one table; needs pyarrow, an extra.

Columns of numbers are numbers. Text, truth values, dates and times are what they would be in a file of text, so that
both kinds of file give the same table. Anything else is refused by name. Parts are read in the order of their names.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import attrs
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.columns import Cells, Chunk
from tabscm.engine.rows import check_names, show
from tabscm.engine.signatures import PARQUET
from tabscm.kernel.errors import DataError

ENDINGS = (".parquet", ".pq")
CHUNK = 1 << 15
"""Rows at one time."""


def is_parquet(path: Path) -> bool:
    """Whether a file says by its name that it is Parquet, or a folder holds such files."""
    if path.name.lower().endswith(ENDINGS):
        return True
    return path.is_dir() and any(inside.name.lower().endswith(ENDINGS) for inside in path.iterdir())


def read_parquet(path: Path, without: Collection[str] = ()) -> tuple[list[str], Iterator[Chunk]]:
    """The names of the columns, and the rows in chunks; a row is called by its number in its file, counted from 1.

    The cells of columns `without` are blank, and may be of any kind.

    Raises:
        DataError: pyarrow is not installed, this is no whole Parquet file, a column holds what is not supported, or
            the files of a folder differ in their columns.
    """
    layout = read_layout(path, without)

    def chunks() -> Iterator[Chunk]:
        pa = _pyarrow(path)
        for file in layout.files:
            first = 1
            with _damaged_told(pa, file):
                for batch in _open(file).iter_batches(batch_size=CHUNK, use_threads=False):
                    columns = zip(batch.columns, layout.kinds, strict=True)
                    called = _called(path, file, range(first, first + len(batch)))
                    yield Chunk(called, [_cells(pa, column, kind) for column, kind in columns])
                    first += len(batch)

    return list(layout.names), chunks()


@attrs.frozen
class Part:
    """Rows of a table that are read together: a row group of a file."""

    file: Path
    group: int
    before: int
    """Rows of the file before them."""
    rows: int
    """N, how many they are."""


@attrs.frozen
class Layout:
    """How a table lies in its files."""

    names: tuple[str, ...]
    """[D] of the columns."""
    kinds: tuple[str, ...]
    """[D] "numbers", "text", or "none" of columns that are left out."""
    types: tuple[str, ...]
    """[D] of the columns, as pyarrow calls them."""
    files: tuple[Path, ...]
    parts: tuple[Part, ...]
    """All rows, in their order."""


def read_names(file: Path) -> list[str]:
    """The names of the columns of a file, whatever these hold.

    Raises:
        DataError: pyarrow is not installed, this is no whole Parquet file, or two columns have one name.
    """
    _check_file(file)
    pa = _pyarrow(file)
    with _damaged_told(pa, file):
        names = [str(name).strip() for name in _open(file).schema_arrow.names]
    check_names(str(file), names)
    return names


def read_layout(path: Path, without: Collection[str] = ()) -> Layout:
    """What the files of a table, or the one file, say of their columns and rows; columns `without` may hold anything.

    Raises:
        DataError: as `read_parquet`.
    """
    files = _files(path) if path.is_dir() else (path,)
    for file in files:
        _check_file(file)
    pa = _pyarrow(path)
    schema: Any = None
    kinds: list[str] = []
    parts = []
    for file in files:
        with _damaged_told(pa, file):  # names that are no text are a ValueError
            opened = _open(file)
            own = opened.schema_arrow
            groups = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
        if schema is None:
            schema, kinds = own, _kinds(pa, file, own, without)
        _check_same(file, own, files[0], schema)
        before = np.cumsum([0, *groups]).tolist()
        parts += [Part(file, group, before[group], rows) for group, rows in enumerate(groups) if rows]
    if not parts:
        raise DataError(f"{path}: there is no row; a table needs at least two rows")
    return Layout(_names(schema), tuple(kinds), _types(schema), files, tuple(parts))


def called(path: Path, part: Part, chosen: NDArray[np.bool_]) -> Sequence[int | str]:
    """What the chosen rows of a part are called in messages on the table at `path`."""
    return _called(path, part.file, (part.before + 1 + np.flatnonzero(chosen)).tolist())


def read_cells(part: Part, layout: Layout, columns: Sequence[int]) -> Iterator[Cells]:
    """The cells of a part in the given columns, one after the other, so that one at a time is in memory as text.

    Raises:
        DataError: the file is not there, or not what its layout said.
    """
    _check_file(part.file)
    pa = _pyarrow(part.file)
    with _damaged_told(pa, part.file):
        opened = _open(part.file)
        schema = opened.schema_arrow
        if (_names(schema), _types(schema)) != (layout.names, layout.types):
            raise changed(part)
        if part.group >= opened.num_row_groups or opened.metadata.row_group(part.group).num_rows != part.rows:
            raise changed(part)
        names = [schema.names[column] for column in columns]
        table = opened.read_row_group(part.group, columns=names, use_threads=False)
        for name, column in zip(names, columns, strict=True):
            yield _cells(pa, table.column(name), layout.kinds[column])


def changed(part: Part) -> DataError:
    """What to say where a part is not what was seen of it before."""
    return DataError(f"{part.file}: changed while it was read; try again when it is written")


def _called(path: Path, file: Path, rows: Sequence[int | str]) -> Sequence[int | str]:
    return rows if file == path else _InPart(rows, file.name)


class _InPart(Sequence[str]):
    """What rows of a file among several are called."""

    def __init__(self, rows: Sequence[int | str], file: str) -> None:
        self.rows = rows
        self.file = file

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "_InPart": ...
    def __getitem__(self, row: int | slice) -> "str | _InPart":
        if isinstance(row, slice):
            return _InPart(self.rows[row], self.file)
        return f"{self.rows[row]} of {self.file}"


def _files(folder: Path) -> tuple[Path, ...]:
    """The parts in a folder, by name; what begins with _ or . are notes of the program that wrote it."""
    inside = sorted(file for file in folder.iterdir() if not file.name.startswith(("_", ".")))
    for file in inside:
        if not file.name.lower().endswith(ENDINGS):
            what = "a folder" if file.is_dir() else "no Parquet file"
            raise DataError(
                f"{folder}: {show(file.name)} in it is {what}; all files of a folder must be Parquet and parts of one "
                "table"
            )
    if not inside:
        raise DataError(f"{folder}: this is a folder; name a Parquet file in it")
    return tuple(inside)


def _pyarrow(path: Path) -> Any:  # noqa: ANN401 - the extra need not be installed
    try:
        import pyarrow as pa
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow; pip install 'tabscm[parquet]', or save the table as CSV in UTF-8"
        ) from None
    return pa


def _open(path: Path) -> Any:  # noqa: ANN401 - the extra need not be installed
    from pyarrow import parquet

    return parquet.ParquetFile(path, pre_buffer=False)  # which would hold the whole file in memory


@contextmanager
def _damaged_told(pa: Any, path: Path) -> Iterator[None]:  # noqa: ANN401 - the extra need not be installed
    """Say what pyarrow cannot read."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _names(schema: Any) -> tuple[str, ...]:  # noqa: ANN401 - the extra need not be installed
    return tuple(str(name).strip() for name in schema.names)


def _types(schema: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
    return tuple(map(str, schema.types))


def _kinds(
    pa: Any,  # noqa: ANN401 - the extra need not be installed
    path: Path,
    schema: Any,  # noqa: ANN401 - as above
    without: Collection[str],
) -> list[str]:
    """How the columns of a file are read."""
    names = _names(schema)
    check_names(str(path), names)
    kinds = []
    for name, field in zip(names, schema, strict=True):
        kind = "none" if name in without else _kind(pa.types, field.type)
        if kind is None:
            raise DataError(
                f"{path}, column {show(name)}: holds {field.type}, and only numbers, text, truth values, dates and "
                "times are read; make such columns of it, or leave it out"
            )
        kinds.append(kind)
    return kinds


def _check_same(path: Path, schema: Any, first: Path, expected: Any) -> None:  # noqa: ANN401 - as above
    """Refuse a part whose columns are not those of the first."""
    if schema.names != expected.names:
        odd = sorted(set(schema.names) ^ set(expected.names))
        what = f"only one of the two has the column {show(odd[0])}" if odd else "their order differs"
        raise DataError(f"{path}: its columns are not those of {first.name}: {what}; parts of a table must be alike")
    for name, own, there in zip(schema.names, schema.types, expected.types, strict=True):
        if own != there:
            raise DataError(
                f"{path}, column {show(name)}: holds {own}, and {there} in {first.name}; write all parts with the same "
                "types"
            )


def _check_file(path: Path) -> None:
    """Refuse what is no Parquet file by its first and last bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(len(PARQUET))
            size = file.seek(0, 2)
            file.seek(max(0, size - len(PARQUET)))
            tail = file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: this is a folder; name a Parquet file in it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if head == b"PARE":
        raise DataError(f"{path}: this Parquet file is encrypted; save the table without a key")
    if head != PARQUET:
        raise DataError(f"{path}: this is not a Parquet file; if it is text, rename it to end in .csv")
    if tail != PARQUET:
        raise DataError(f"{path}: this is not a whole Parquet file, its end is missing; copy it again")


def _kind(types: Any, held: Any) -> str | None:  # noqa: ANN401 - the extra need not be installed
    """How the cells of a column of pyarrow's type `held` are read; None where they are not."""
    if types.is_dictionary(held):
        return "text" if _kind(types, held.value_type) == "text" else None
    if types.is_integer(held) or types.is_floating(held) or types.is_decimal(held):
        return "numbers"
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_boolean, types.is_null)
    moments = (types.is_date, types.is_time, types.is_timestamp)
    return "text" if any(is_one(held) for is_one in (*texts, *moments)) else None


def _cells(pa: Any, column: Any, kind: str | None) -> Cells:  # noqa: ANN401 - the extra need not be installed
    """The cells of a column of a batch."""
    if kind == "none":
        return [""] * len(column)
    if kind == "numbers":
        # of whole numbers beyond 2^53 only the leading 16 digits count, as everywhere
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float64)
    return ["" if text is None else text for text in column.cast(pa.string()).to_pylist()]


def _damaged(path: Path, error: Exception) -> Exception:
    if isinstance(error, MemoryError):
        return error
    reason = " ".join(str(error).split())[:200]
    return DataError(f"{path}: this Parquet file is damaged ({reason}); copy it again, or write it anew")
