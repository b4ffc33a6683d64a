"""Read a large table of nothing but numbers at once, which is much faster than cell by cell.

Never a reason to refuse a file: whatever looks unusual is left to `tables.read_table`, which reads cell by cell and can
say what is wrong where.
"""

import io
import re
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tabscm.engine.rows import unpacked
from tabscm.kernel.scratch import Pieces, room

BLOCK = 1 << 22
"""Bytes of text at one time."""
NUMERIC = b"0123456789+-.eE\r\n"
"""Bytes of numbers and of ends of lines. Without quotes, letters and spaces there is one way to read a line."""

LEADING_ZERO = re.compile(rb"0(?<![0-9.eE]0)(?<![eE][+-]0)\d")
"""Of the whole part of a number: what comes before the zero is no digit of it and no exponent's. The pattern begins
with the zero, because the search for one byte is fast."""


def read_plain(path: Path, columns: int, delimiter: str) -> NDArray[np.float64] | None:
    """The rows below the header, where every cell of every row is written as a plain finite number.

    Args:
        path: a file whose first row is a header of one line; gzip when it ends in `.gz`.
        columns: D, those of the header.
        delimiter: between cells.

    Returns:
        [N, D] float64, columns contiguous; the same numbers as `float` gives. None where anything else is in the file.
    """
    pieces, blocks = Pieces(), []
    try:
        with unpacked(path) as file:
            header = file.readline(BLOCK)
            # a quote that is closed on a later line is refused there, as no number
            if not header.endswith(b"\n") or b"\r" in header.removesuffix(b"\n").removesuffix(b"\r"):
                return None  # \r ends a line, too: what follows it would be lost as part of the header
            while text := file.read(BLOCK):
                rest = file.readline(BLOCK)
                if len(rest) == BLOCK:
                    return None  # no end of the line in sight
                block = _parse(text + rest, columns, delimiter)
                if block is None:
                    return None
                blocks.append((len(block), pieces.keep(block)))
    except (OSError, EOFError, zlib.error):
        return None
    x = room((columns, sum(rows for rows, _ in blocks)), np.float64).T
    last = len(x)
    while blocks:  # each is gone once it is copied
        rows, piece = blocks.pop()
        x[last - rows : last] = piece.read()
        last -= rows
    return x


def _parse(text: bytes, columns: int, delimiter: str) -> NDArray[np.float64] | None:
    """The numbers of some whole lines [n, D]; None where there is anything else."""
    if text.translate(None, NUMERIC + delimiter.encode()):
        return None
    if LEADING_ZERO.search(text):
        return None  # of which the careful reader says a word
    text = text.replace(b"\r\n", b"\n")
    # a line end of its own, and empty lines, which numpy would skip
    if b"\r" in text or text.startswith(b"\n") or b"\n\n" in text:
        return None
    try:
        values = _by_arrow(text, columns, delimiter) if _with_arrow() else _by_numpy(text, delimiter)
    except ValueError:  # also that of pyarrow
        return None
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    return values if values.shape == (lines, columns) and bool(np.isfinite(values).all()) else None


@cache
def _with_arrow() -> bool:
    """Whether pyarrow, an extra, is there and works."""
    try:
        import pyarrow.csv  # noqa: F401
    except ImportError:
        return False
    return True


def _by_numpy(text: bytes, delimiter: str) -> NDArray[np.float64]:
    """[n, D] of lines without an empty one; ValueError where a cell is no number or a line has more or fewer."""
    return np.loadtxt(io.StringIO(text.decode("ascii")), delimiter=delimiter, comments=None, ndmin=2)


def _by_arrow(text: bytes, columns: int, delimiter: str) -> NDArray[np.float64]:
    """The same several times as fast."""
    import pyarrow as pa
    from pyarrow import csv

    names = [str(column) for column in range(columns)]
    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(column_names=names, block_size=len(text) + 1),
        parse_options=csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()), null_values=[]),
    )
    values = np.empty((columns, table.num_rows)).T
    for column, cells in enumerate(table.columns):
        values[:, column] = cells.to_numpy()
    return values
