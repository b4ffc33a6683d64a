"""How people write numbers, and what is wrong with a cell that is none."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tabscm.engine.rows import show

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}
"""What people write for a missing value, in lower case."""

_UNREAD = {"-", "--", "n.a.", "n.a", "na.", "#na", "<na>", "missing", "unknown", "not available", "*"}
"""What people write for one, too, and what may also be a word or a mark."""

TRUTH_WORDS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})

ALONE = "write the number alone, and its unit in the name of the column"
"""What to do about a number with its unit."""

_OTHER: tuple[tuple[re.Pattern[str], str], ...] = (
    # a decimal comma, or separators of thousands
    (
        re.compile(r"[+-]?\d+([.,' _\u00a0\u202f]\d+)*[,' _\u00a0\u202f]\d+(\.\d+)?", re.ASCII),
        "write numbers with a decimal point and nothing between thousands, such as 1234.5",
    ),
    (re.compile(r"[+-]?\s?\d[\d.,]*\s?[%\u2030]"), ALONE),
    (
        re.compile(r"[+-]?[$\u20ac\u00a3\u00a5\u20b9]\s?[+-]?\d[\d.,]*|[+-]?\d[\d.,]*\s?[$\u20ac\u00a3\u00a5\u20b9]"),
        ALONE,
    ),
    (re.compile(r"\([$\u20ac\u00a3\u00a5]?\d[\d.,]*\)"), "write negative numbers with a minus sign in front"),
    (re.compile(r"[\u2012-\u2015\u2212]\s?\d[\d.,]*"), "write a minus sign as -, the hyphen of the keyboard"),
    (
        re.compile(r"#(N/A|DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|SPILL!)"),
        "this is an error of the spreadsheet; correct it there, or leave the cell empty",
    ),
)
"""Cells that are meant as numbers and are not read as such, and what to write instead."""

_QUANTITY = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s?([^\W\d_][^\d]{0,9}|\u00b0[^\d]{0,3})")
"""A number and its unit. A run of digits matches in one way alone: with two, time would grow with its square."""
_MOMENT = re.compile(
    r"\d{4}[-/.]\d\d?[-/.]\d\d?([T ].*)?|\d\d?[-/.]\d\d?[-/.](\d{4}|\d\d)([T ].*)?|\d\d?:\d\d(:\d\d.*)?"
)
"""A date or a time of day."""
_CODE = re.compile(r"^[+-]?0\d.*$", re.MULTILINE)
"""A number with a leading zero."""


def numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The cells as numbers, NaN where one is missing, or None if even one is something else or infinite.

    Args:
        cells: without space around them.
    """
    values = _finite(cells)
    if values is None:
        gaps = [cell.lower() in MISSING for cell in cells]
        values = _finite(["0" if gap else cell for gap, cell in zip(gaps, cells, strict=True)])
        if values is not None:
            values[gaps] = np.nan
    return values


def number(text: str) -> float | None:
    """The number that a cell is, if it is one."""
    values = _finite([text])
    return None if values is None else float(values[0])


def leading_zero(cells: Iterable[str]) -> str | None:
    """The first cell that begins like a code, such as "007", and would lose that as a number."""
    found = _CODE.search("\n".join(cells))
    return found.group() if found else None


def meant_as_number(text: str) -> bool:
    """Whether a cell is a number in a notation that is not read."""
    return any(pattern.fullmatch(text) for pattern, _ in _OTHER) or _overflows(text)


def infinite(text: str) -> bool:
    """Whether Python reads a cell as infinity."""
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


def unit(text: str) -> str | None:
    """The unit of a cell that is a number and a unit, such as "mg" of "2.5 mg"."""
    found = _QUANTITY.fullmatch(text)
    return found.group(1).strip() if found else None


def one_unit(texts: Iterable[str]) -> bool:
    """Whether all cells are numbers with the same unit."""
    units = set(map(unit, texts))
    return len(units) == 1 and None not in units


def moment(text: str) -> bool:
    """Whether a cell is a date or a time."""
    return bool(_MOMENT.fullmatch(text))


def fault(text: str, name: str) -> str:
    """What is wrong with a cell of column `name` that is no number, and what to do."""
    found = f"found {show(text)}"
    for pattern, remedy in _OTHER:
        if pattern.fullmatch(text):
            return f"{found}; {remedy}"
    if _overflows(text):
        return f"{found}, which is beyond the largest 64-bit number, 1.8e308; rescale the column"
    if text == name:
        return f"{found}, the name of the column; if tables were joined, keep the first header only"
    if unit(text):
        return f"{found} in a column of numbers; {ALONE}"
    if text.lower() in _UNREAD:
        return f"{found} in a column of numbers; if it stands for a missing value, leave the cell empty"
    return f"{found} in a column of numbers; correct it, or remove the row or the column"


def fault_among_moments(text: str) -> str:
    """What is wrong with a cell that is no date or time in a column of them, and what to do."""
    return f"found {show(text)} in a column of dates or times; correct it, or leave the cell or the column out"


def fault_of_unit(text: str) -> str:
    """What to do about a column of numbers with their unit, the first of which is `text`."""
    return f"found {show(text)}, a number with its unit; {ALONE}"


def _finite(cells: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    # float() also reads 1_000 and digits of other scripts
    text = "".join(cells)
    return values if "_" not in text and text.isascii() and bool(np.isfinite(values).all()) else None


def _overflows(text: str) -> bool:
    return infinite(text) and any(map(str.isdigit, text))
