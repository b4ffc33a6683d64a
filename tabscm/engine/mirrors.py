"""A table in the mirror: where the prior is symmetric, a column is as likely as its negative, with the same graph.

A network only comes near to that symmetry. What it says of several images of a table is nearer to it in the mean, and
better: all images are equally likely under such a prior, and of a loss that is convex in the log-odds, as the negative
log-likelihood of an edge is, their mean has no more than they have in the mean. Where the probabilities of both
directions of a pair add up to 1 at the most, they do so after it, too.

Letters: B tasks, N rows, D variables, K images.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from tabscm.kernel.interfaces import Rows, Table

T = TypeVar("T")
R = TypeVar("R")

MOST = 4
"""Images of a table that are read at most: of the gain of four, two have more than half."""
PAIRS, CELLS = 1 << 13, 1 << 22
"""Pairs of variables, and cells, of all images together: larger tables are read less often, or once. What they gain is
less, and each reading takes the longer."""
STEPS = 1024.0
"""Third moments are told apart by so many steps a unit."""


def count(rows: int, variables: int) -> int:
    """K: how many images of a table are read."""
    return max(1, min(MOST, PAIRS // variables**2, CELLS // (rows * variables)))


def images(table: Table, signs: Tensor) -> Table:
    """All images of a batch: [K B, N, D], those of one sign after the other; `signs`: [K, B, D], of `draw`."""
    some = len(signs)
    return Table(
        x=(table.x * signs[:, :, None]).flatten(0, 1),
        intervened=table.intervened.repeat(some, 1, 1),
        observed=table.observed.repeat(some, 1, 1),
    )


def draw(third: Tensor, some: int) -> Tensor:
    """The sign of every column in every image.

    The first image is the table. In the second and third columns are negated that look chosen at random, but follow
    from what they hold, so that neither their order nor that of the rows makes a difference; in the fourth those that
    are in one of these two.

    Args:
        third: [B, D] float64, see `third_moments`.
        some: K, from 1 to MOST.

    Returns:
        [K, B, D] float32, 1 or -1.
    """
    step = (third * STEPS).round()
    one, other = (1.0 - 2.0 * digit.remainder(2.0).float() for digit in (step, (step / 2.0).floor()))
    return torch.stack([torch.ones_like(one), one, other, one * other][:some])


def third_moments(table: Table) -> Tensor:
    """Means of the third powers over observed rows: [B, D] float64."""
    return _powers(table) / table.observed.sum(1).clamp(min=1)


class Mirrored(Rows):
    """An image of a table whose rows lie elsewhere."""

    def __init__(self, rows: Rows, signs: Tensor) -> None:
        """signs: [D]."""
        self.rows, self.signs = rows, signs
        self.count, self.variables = rows.count, rows.variables

    def fold(self, find: Callable[[Table], T], join: Callable[[T, T], T], then: Callable[[T], R]) -> R:
        return self.rows.fold(partial(_in_the_mirror, self.signs, find), join, then)


def third_moments_elsewhere(rows: Rows) -> Tensor:
    """The same of a table whose rows lie elsewhere: [1, D]."""
    return rows.fold(_powers_and_counts, torch.add, _quotient)


def _in_the_mirror(signs: Tensor, find: Callable[[Table], T], piece: Table) -> T:
    return find(images(piece, signs[None, None]))


def _powers_and_counts(piece: Table) -> Tensor:
    return torch.stack([_powers(piece), piece.observed.sum(1)])


def _quotient(both: Tensor) -> Tensor:
    return both[0] / both[1].clamp(min=1)


def _powers(table: Table) -> Tensor:
    """Sums of third powers: [B, D] float64; a cell that is missing is 0."""
    return table.x.double().pow(3).sum(1)
