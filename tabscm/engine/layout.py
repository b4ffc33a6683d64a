"""Numbers and columns of text for the terminal."""

import math
from collections.abc import Sequence


def align(lines: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Lines of text with their columns below each other: the first `left` flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float, form: str = ".3f") -> str:
    """A number, or a dash where there is none."""
    return "-" if math.isnan(value) else format(value, form)


def threshold_of(value: float) -> str:
    """A threshold of probabilities with three digits; with more where these would make 0 or 1 of it."""
    short = f"{value:.3g}"
    return short if 0 < float(short) < 1 else f"{value:g}"
