"""Read a Parquet file some rows at a time; needs pyarrow, an extra.

Columns of numbers are numbers. Text, truth values, dates and times are what they would be in a file of text, so that
both kinds of file give the same table. Anything else is refused by name.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tabscm.engine.columns import Cells, Chunk
from tabscm.engine.rows import check_names, show
from tabscm.engine.signatures import PARQUET
from tabscm.kernel.errors import DataError

ENDINGS = (".parquet", ".pq")
CHUNK = 1 << 15
"""Rows at one time."""


def is_parquet(path: Path) -> bool:
    """Whether a file says by its name that it is Parquet."""
    return path.name.lower().endswith(ENDINGS)


def read_parquet(path: Path) -> tuple[list[str], Iterator[Chunk]]:
    """The names of the columns, and the rows in chunks; a row is called by its number, counted from 1.

    Raises:
        DataError: pyarrow is not installed, this is no whole Parquet file, or a column holds what is not supported.
    """
    _check_file(path)
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow; pip install 'tabscm[parquet]', or save the table as CSV in UTF-8"
        ) from None
    try:  # names that are no text are a ValueError
        file = pq.ParquetFile(path, pre_buffer=False)  # which would hold the whole file in memory
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    names = [str(name).strip() for name in schema.names]
    check_names(str(path), names)
    if file.metadata.num_rows == 0:
        raise DataError(f"{path}: there is no row; a table needs at least two rows")
    kinds = [_kind(pa.types, field.type) for field in schema]
    for name, field, kind in zip(names, schema, kinds, strict=True):
        if kind is None:
            raise DataError(
                f"{path}, column {show(name)}: holds {field.type}, and only numbers, text, truth values, dates and "
                "times are read; make such columns of it, or leave it out"
            )

    def chunks() -> Iterator[Chunk]:
        first = 1
        try:
            for batch in file.iter_batches(batch_size=CHUNK, use_threads=False):
                columns = zip(batch.columns, kinds, strict=True)
                yield Chunk(range(first, first + len(batch)), [_cells(pa, column, kind) for column, kind in columns])
                first += len(batch)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, error) from None

    return names, chunks()


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
