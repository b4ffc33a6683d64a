"""The columns of a dropped table that were ticked, in a file of their own: others are not judged when it is read."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tabscm.engine.columns import Chunk
from tabscm.engine.parquet import is_parquet, read_layout, read_names, read_parquet
from tabscm.engine.rows import listed, read_header, read_rows
from tabscm.kernel.errors import DataError

TEXT, TYPED = Path("chosen.csv"), Path("chosen.parquet")
"""Where the columns are put, beside the table."""
NUMBER = 8
"""Bytes of a cell when it has been read."""
SHARE = 4
"""What has been read takes at most one part in so many of the memory: the network needs the rest."""


def names_of(file: Path) -> list[str]:
    """The columns of a table, also those whose cells nobody can read: the page has to offer them to leave them out.

    Raises:
        DataError: there is no reading it at all.
    """
    return read_names(file) if is_parquet(file) else read_header(file, read_rows(file))


def check_size(file: Path, memory: int) -> None:
    """Refuse a Parquet file that says of itself that it unpacks to more than `memory` bytes have room for.

    Of text, how much is packed is judged by its reader, and how much there is by what was dropped.
    """
    if not is_parquet(file):
        return
    layout = read_layout(file, without=read_names(file))
    rows, columns = sum(part.rows for part in layout.parts), len(layout.names)
    if rows * columns * NUMBER > memory // SHARE:
        raise DataError(
            f"{file}: unpacks to {rows:,} rows of {columns:,} columns, for which this app has no room; use python -m "
            "tabscm predict"
        )


def take(file: Path, chosen: Sequence[str]) -> Path:
    """Write the chosen columns, in this order, into a file of the same kind.

    Raises:
        DataError: there is no such column, or the table cannot be read.
    """
    names = names_of(file)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise DataError(f"{file}: there is no column {listed(unknown)}")
    places = [names.index(name) for name in chosen]
    if is_parquet(file):
        others = [name for name in names if name not in chosen]
        _write_parquet(chosen, places, read_parquet(file, without=others)[1])
        return TYPED
    with TEXT.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([row[place] for place in places] for _, row in read_rows(file))
    return TEXT


def _write_parquet(names: Sequence[str], places: Sequence[int], chunks: Iterator[Chunk]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer = None
    for chunk in chunks:
        cells = [chunk.cells[place] for place in places]
        types = [pa.float64() if isinstance(column, np.ndarray) else pa.string() for column in cells]
        arrays = [pa.array(column, kind) for column, kind in zip(cells, types, strict=True)]
        table = pa.Table.from_arrays(arrays, names=list(names))
        writer = writer or parquet.ParquetWriter(TYPED, table.schema)
        writer.write_table(table)
    assert writer is not None, "a table without a row is refused before"
    writer.close()
