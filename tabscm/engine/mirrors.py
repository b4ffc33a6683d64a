"""A table in the mirror: with some columns negated it has the same graph.

A network only comes near to that symmetry. What it says of several images of a table is nearer to it in the mean, and
better: where the prior is symmetric all images are equally likely, and of a loss that is convex in the log-odds, as the
negative log-likelihood of an edge is, their mean has no more than they have in the mean. Where the prior is not quite
symmetric, as with noise that is skewed the same way in all columns, whether it is better has to be measured. Where the
probabilities of both directions of a pair add up to 1 at the most, they do so after it, too.

Letters: B tasks, N rows, D variables, K images.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from tabscm.engine.mixture import LONG
from tabscm.kernel.interfaces import Rows, Table

T = TypeVar("T")
R = TypeVar("R")

MOST = 4
"""Images of a table that are read at most."""
PAIRS, CELLS = 1 << 13, 1 << 22
"""Pairs of variables, and cells, of all images of a table together: larger tables are read less often, or once, for
each reading takes the longer."""
STEPS = 1024.0
"""Moments are told apart by so many steps a unit."""


def count(rows: int, variables: int) -> int:
    """K: how many images of a table are read."""
    if rows > LONG:
        return 1
    return max(1, min(MOST, PAIRS // variables**2, CELLS // (rows * variables)))


def draw(moments: Tensor, some: int) -> Tensor:
    """The sign of every column in every image.

    The first image is the table. In the second and third columns are negated that look chosen at random, but follow
    from what the table holds, so that neither the order of columns nor that of rows makes a difference; in the fourth
    those that are in one of these two.

    Args:
        moments: [B, D] float64, see `joint_moments`.
        some: K, from 1 to MOST.

    Returns:
        [K, B, D] float32, 1 or -1.
    """
    step = (moments * STEPS).round()
    one, other = (1.0 - 2.0 * digit.remainder(2.0).float() for digit in (step, (step / 2.0).floor()))
    return torch.stack([torch.ones_like(one), one, other, one * other][:some])


def images(table: Table, signs: Tensor) -> Table:
    """All images of a batch: [K B, N, D], the first ones of all tables first; `signs`: [K, B, D], of `draw`."""
    some = len(signs)
    return Table(
        x=(table.x * signs[:, :, None]).flatten(0, 1),  # [K B, N, D]
        intervened=table.intervened.repeat(some, 1, 1),
        observed=table.observed.repeat(some, 1, 1),
    )


def joint_moments(table: Table) -> Tensor:
    """Of each column the mean, over its observed rows, of its product with the square of the sum of all columns.

    It tells columns apart also where all have the same values in another order, as ranks have.

    Returns:
        [B, D] float64.
    """
    return _quotient(_sums(table))


def joint_moments_elsewhere(rows: Rows) -> Tensor:
    """The same of a table whose rows lie elsewhere: [1, D]."""
    return rows.fold(_sums, torch.add, _quotient)


class Mirrored(Rows):
    """An image of a table whose rows lie elsewhere."""

    def __init__(self, rows: Rows, signs: Tensor) -> None:
        """signs: [D]."""
        self.rows, self.signs = rows, signs
        self.count, self.variables = rows.count, rows.variables

    def fold(self, find: Callable[[Table], T], join: Callable[[T, T], T], then: Callable[[T], R]) -> R:
        return self.rows.fold(partial(_in_the_mirror, self.signs, find), join, then)


def _in_the_mirror(signs: Tensor, find: Callable[[Table], T], piece: Table) -> T:
    return find(images(piece, signs[None, None]))  # signs as [1, 1, D]


def _sums(table: Table) -> Tensor:
    """Sums of the products and counts of the rows: [2, B, D] float64. A cell that is missing is 0."""
    x = table.x.double()
    return torch.stack([(x * x.sum(2, keepdim=True).square()).sum(1), table.observed.sum(1).double()])


def _quotient(sums: Tensor) -> Tensor:
    return sums[0] / sums[1].clamp(min=1.0)
