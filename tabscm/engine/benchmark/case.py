"""A table to find the graph of, and a suite: as many tables of one kind as are asked for, always the same ones."""

import zlib
from collections.abc import Callable
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EDITION = 1
"""Of the simulators; results of another edition are made again."""

ATTEMPTS = 100
"""Draws of a table in which some column is constant, before that is called a mistake of the simulator."""


@attrs.frozen(eq=False)
class Case:
    """A table and its true graph."""

    x: Floats
    """[N, D], each column on its own scale; codes 0, 1, ... where it is discrete."""
    adj: Bools
    """[D, D], True at [i, j] when i causes j; acyclic."""
    intervened: Bools
    """[N, D], True where an intervention set the cell."""
    discrete: bool = False
    """Whether all columns are codes."""

    def scaled(self) -> Floats:
        """[N, D] x with every column at mean 0 and standard deviation 1."""
        centred = self.x - self.x.mean(0)
        scaled: Floats = centred / centred.std(0)
        return scaled


@attrs.frozen(eq=False)
class Suite:
    """Tables of one kind."""

    name: str
    about: str
    """In a few words, for people."""
    draw: Callable[[np.random.Generator, int], Case]
    """The table of a number, with randomness of its own."""
    core: bool = True
    """Whether it belongs to the suites that are run unless others are named."""
    spread: Literal["tables", "bootstrap"] = "tables"
    """What differs from table to table: everything, or only which rows of one real table were drawn; then table 0 is
    the real one and the others are resampled from its rows."""
    settings: str | None = None
    """What tells its tables from those of another suite of this name; None where its settings are in the code, see
    EDITION."""

    def case(self, index: int) -> Case:
        """Table `index`; a function of the suite's name and the index alone."""
        rng = np.random.default_rng([EDITION, zlib.crc32(self.name.encode()), index])
        for _ in range(ATTEMPTS):
            case = self.draw(rng, index)
            if (np.ptp(case.x, axis=0) > 0).all():
                return case
        raise AssertionError(f"suite {self.name}, table {index}: a column is constant whatever is drawn")
