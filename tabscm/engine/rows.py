"""Read a delimited text file row by row, and refuse whatever is not one.

Strict where common readers are silent: one field too many shifts no column, two columns of one name are not renamed.
Spaces around a cell or a name mean nothing. A row is called by the line on which it starts, as an editor counts lines.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from tabscm.engine.signatures import LOOKED_AT, SAVE, disguised
from tabscm.kernel.errors import DataError, near_to

LONGEST = 1 << 24
"""Characters of a line: a million cells with sixteen each."""
WIDEST = 10_000
"""Columns of a table: of more, the graph alone is 100 million pairs."""
PROBE = 1 << 26
"""Bytes of a gzip file that are unpacked to see how much larger they are than packed."""
RATIO = 200
"""Times that a table may be larger than packed: digits are 2 to 10 times, the emptiest file is 1000 times."""

WHOLE = re.compile(r"\s*[+-]?\d+\s*")
"""A field that may be the half of a number with a decimal comma."""

Row = tuple[int, list[str]]
"""The line on which a row starts, counted from 1, and its cells."""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, the header first; all have as many cells as the header.

    Args:
        path: UTF-8 text, with or without a byte order mark; comma-separated, or tab-separated when it ends in `.tsv`;
            a further `.gz` says it is compressed.

    Raises:
        DataError: names file, row and what to do.
    """
    try:
        _check_kind(path)
        with _open(path) as lines:
            yield from _checked(path, lines, delimiter(path))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: this is a folder; name a CSV file in it") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}, {_undecodable(path)}: this is not UTF-8 text; {SAVE}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path}: this is not a whole gzip file; copy it again, or unpack it first") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def unpacked(path: Path) -> BinaryIO:
    """The bytes of a file, those inside it where it ends in `.gz`."""
    return cast(BinaryIO, gzip.open(path) if _packed(path) else path.open("rb"))


def delimiter(path: Path) -> str:
    """What separates the cells of a file, by its name."""
    return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


def read_header(path: Path, rows: Iterator[Row]) -> list[str]:
    """Take the first of `rows`, the column names.

    Raises:
        DataError: as `check_names`, or a name shows that another character separates the columns.
    """
    names = [cell.strip() for cell in next(rows)[1]]
    for name in names:
        if "\t" in name:
            raise DataError(f"{path}, row 1: columns are separated by tabs; rename the file to end in .tsv")
    check_names(f"{path}, row 1", names)
    return names


def check_names(where: str, names: Sequence[str]) -> None:
    """Check the names of columns, read from `where`.

    Raises:
        DataError: a name is empty, occurs twice, or could not be printed, or there are too many.
    """
    if len(names) > WIDEST:
        raise DataError(f"{where}: there are {len(names):,} columns, and at most {WIDEST:,} are read; choose some")
    first: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if not name:
            hint = ""
            if position == 1:
                hint = "; if it numbers the rows, remove it (pandas: index=False, R: row.names=FALSE)"
            elif position == len(names):
                hint = "; if every row ends with a separator, remove these"
            raise DataError(f"{where}: column {position} has no name; give it one{hint}")
        if not name.isprintable():
            raise DataError(
                f"{where}: the name of column {position}, {show(name)}, holds a control character; rename it"
            )
        if name in first:
            raise DataError(f"{where}: columns {first[name]} and {position} are both called {show(name)}; rename one")
        first[name] = position


def show(cell: str) -> str:
    """A cell or name as it appears in a message: in quotes, on one line, not too long."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def suggest(word: str, known: Iterable[str]) -> str:
    """What else could have been meant by `word`: a near match of the `known` words, or what they are."""
    words = list(known)
    near = near_to(word, words)
    return f"did you mean {show(near[0])}?" if near else f"there are {listed(words)}"


def listed(words: Iterable[str], *, most: int = 5) -> str:
    """The first words of a list, and how many more there are."""
    shown = [show(word) for word in words]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def _open(path: Path) -> TextIO:
    # newline="": the csv module itself tells a line end from one inside quotes
    if _packed(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _check_kind(path: Path) -> None:
    """Refuse what is no text, before it is read as such."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: this is a pipe or a device; save the table as a file first")
    with unpacked(path) as file:
        head = file.read(LOOKED_AT)
        found = disguised(head)
        if found:
            raise DataError(f"{path}: {found}")
        if isinstance(file, gzip.GzipFile):
            size = len(head) + sum(map(len, iter(lambda: file.read(1 << 20) if file.tell() < PROBE else b"", b"")))
            if size >= PROBE and size > RATIO * file.fileobj.tell():
                raise DataError(
                    f"{path}: unpacks to more than {RATIO} times its size, as no table of measurements does; unpack it "
                    "yourself, if it is one"
                )


def _packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _checked(path: Path, lines: TextIO, separator: str) -> Iterator[Row]:
    reader = csv.reader(_without_nul(path, lines), strict=True, delimiter=separator, skipinitialspace=True)
    start, width, blank = 1, 0, 0
    try:
        for row in reader:
            if not row:
                blank = blank or start
            else:
                if blank:
                    raise DataError(
                        f"{path}, row {blank}: this row is empty; remove it, or, if another table follows, give that a "
                        "file of its own"
                    )
                width = width or len(row)
                if len(row) != width:
                    hint = "; if the first row is a title, remove it" if width == 1 else ""
                    if (
                        separator == ","
                        and 1 < width < len(row) <= 2 * width
                        and all(WHOLE.fullmatch(field) for field in row)
                    ):
                        hint = "; if commas are decimal points here, write points"
                    raise DataError(
                        f"{path}, row {start}: {_fields(len(row))} where the header has {width}; "
                        f"give every row one field per column, and quote a field that contains a separator{hint}"
                    )
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        long = _too_long(path, start, separator) if "field limit" in str(error) else None
        if long:
            raise DataError(
                f"{path}, row {start}, column {long[0]}: a field of {long[1]:,} characters, and at most "
                f"{csv.field_size_limit():,} are read; shorten it, or remove the column"
            ) from error
        if start == 1 and (other := _other_separator(path, separator)):
            raise DataError(
                f"{path}, row 1: the header is separated by {show(other)}; separate columns by commas (by tabs in a "
                ".tsv file)"
            ) from error
        fault = "a quote that opens here is not closed" if _unclosed(error) else "text follows a closing quote"
        raise DataError(f'{path}, row {start}: {fault}; write a quote inside a quoted field twice: ""') from error
    if not width:
        raise DataError(f"{path}: this file is empty; the first row must name the columns")


def _without_nul(path: Path, lines: TextIO) -> Iterator[str]:
    number = 0
    while line := lines.readline(LONGEST + 1):
        number += 1
        if "\0" in line:
            raise DataError(f"{path}, row {number}: this is not text (a NUL byte); save the table as CSV in UTF-8")
        if len(line) > LONGEST:
            raise DataError(
                f"{path}, row {number}: this line is longer than {LONGEST:,} characters, which no table is; give every "
                "row a line of its own"
            )
        yield line


def _other_separator(path: Path, separator: str) -> str | None:
    """What stands between names in quotes in the first row, other than the separator."""
    with _open(path) as lines:
        found = re.findall(r'"([;|\t,])"', lines.readline(LONGEST))
    return found[0] if found and separator not in found else None


def _too_long(path: Path, start: int, separator: str) -> tuple[int, int] | None:
    """The column, from 1, and the length of the field of a row that is longer than the csv module takes.

    None where it is no field, but the rest of the file after a quote that is never closed.
    """
    usual = csv.field_size_limit(LONGEST)
    try:
        with _open(path) as lines:
            rest = islice(lines, start - 1, None)
            row = next(csv.reader(rest, strict=True, delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(usual)
    return next(((place, len(field)) for place, field in enumerate(row, start=1) if len(field) > usual), None)


def _unclosed(error: csv.Error) -> bool:
    # a quote that is never closed swallows the file until its end, or until the csv module's limit of one field
    return "unexpected end" in str(error) or "field limit" in str(error)


def _undecodable(path: Path) -> str:
    """The first row that is not UTF-8 and, where it can be told, the column; from 1. A decoder does not say which."""
    with unpacked(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                # lines may end in a carriage return alone, and are one line here
                *above, before = line[: error.start].decode().split("\r")
                row = f"row {number + len(above)}"
                try:
                    return f"{row}, column {len(next(csv.reader([before + '?'], delimiter=delimiter(path))))}"
                except csv.Error:  # a field longer than the csv module takes
                    return row
    raise AssertionError("every line is UTF-8")


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"
