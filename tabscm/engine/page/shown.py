"""How the page writes numbers. None is a value that is undefined, and shows as a dash."""

import math

from markupsafe import Markup

NARROW = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A number with so many digits behind the point."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", MINUS)


def data(value: float | None, digits: int = 3, *, signed: bool = False) -> Markup:
    """A number as `number` writes it, with all its digits for a program to read."""
    if value is None or not math.isfinite(value):
        return Markup('<span class="undefined" title="undefined here">{}</span>').format(DASH)
    return Markup('<data value="{}">{}</data>').format(repr(float(value)), number(value, digits, signed=signed))


def count(value: float) -> str:
    """A whole number in groups of three digits."""
    return f"{round(value):,}".replace(",", NARROW)


def short(value: float) -> str:
    """A whole number in four characters: 950, 12k, 3M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0")[:3].removesuffix(".") + letter
    return str(round(value))


def tick(value: float) -> str:
    """A number at an axis."""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    return f"{value:,.6g}".replace(",", NARROW).replace("-", MINUS)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, the two largest that there are."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
