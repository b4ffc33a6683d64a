"""A table some rows at a time. Letters: as in a table; n some of its rows, m features of a cell."""

import math
from collections.abc import Callable, Iterator
from functools import cache, partial

import attrs
import torch
from torch import Tensor, nn

from tabscm import Table
from tabscm_builtin.embeddings._common import channels
from tabscm_builtin.embeddings._knots import Knots

Piece = tuple[Tensor, Callable[[], Tensor]]
"""Some rows of a table: what is known of each cell, [B, n, D, 4], value, intervened, observed, rank; and what phi makes
of it, [B, n, D, m], made where it is asked for. Both may be read again: nothing is written into them."""
KEPT = 1 << 20
"""Cells that stay in memory from one iteration to the next, with what phi makes of them, in pieces that fit: 48 MiB of
them at m = 8. The others are read in each, for memory must not grow with their number."""


def cells_of(table: Table, ranked: Tensor, part: slice = slice(None)) -> Tensor:
    """Of some rows, and their ranks [B, n, D]: [B, n, D, 4]."""
    return torch.cat([channels(table.of_rows(part)), ranked[..., None]], -1)


@attrs.define(eq=False)
class Pieces:
    """A table some rows at a time: its first KEPT cells are kept, the rest is made anew in each iteration."""

    table: Table
    phi: nn.Module
    parts: list[slice]
    ranked: Tensor
    kept: list[Piece] = attrs.field(factory=list, init=False)

    def __iter__(self) -> Iterator[Piece]:
        yield from self.kept
        for index, part in enumerate(self.parts[len(self.kept) :], len(self.kept)):
            cells = cells_of(self.table, self.ranked[:, part], part)
            features: Callable[[], Tensor] = partial(self.phi, cells)
            if index == len(self.kept) and cells[..., 0].numel() * (index + 1) <= KEPT:
                features = cache(features)
                self.kept.append((cells, features))
            yield cells, features


@attrs.frozen
class Binned:
    """The same of a long table, with features by bins."""

    table: Table
    knots: Knots
    parts: list[slice]

    def shares(self, count: int) -> list["Binned"]:
        """The rows in as many shares, or fewer."""
        each = math.ceil(len(self.parts) / count)
        return [attrs.evolve(self, parts=self.parts[first : first + each]) for first in range(0, len(self.parts), each)]

    def __iter__(self) -> Iterator[Piece]:
        for part in self.parts:
            ranked, features = self.knots.of(part)
            yield cells_of(self.table, ranked, part), features
