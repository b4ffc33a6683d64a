"""A table some rows at a time. Letters: as in a table; n some of its rows, m features of a cell."""

from collections.abc import Callable, Iterator
from functools import partial

import attrs
import torch
from torch import Tensor, nn

from tabscm import Table
from tabscm_builtin.embeddings._common import channels
from tabscm_builtin.embeddings._knots import Knots

Piece = tuple[Tensor, Callable[[], Tensor]]
"""Some rows of a table: what is known of each cell, [B, n, D, 4], value, intervened, observed, rank; and what phi makes
of it, [B, n, D, m], made where it is asked for."""


def cells_of(table: Table, ranked: Tensor, part: slice = slice(None)) -> Tensor:
    """Of some rows, and their ranks [B, n, D]: [B, n, D, 4]."""
    return torch.cat([channels(table.of_rows(part)), ranked[..., None]], -1)


@attrs.frozen
class Pieces:
    """A table some rows at a time, made anew in each iteration."""

    table: Table
    phi: nn.Module
    parts: list[slice]
    ranked: Tensor

    def __iter__(self) -> Iterator[Piece]:
        for part in self.parts:
            cells = cells_of(self.table, self.ranked[:, part], part)
            yield cells, partial(self.phi, cells)


@attrs.frozen
class Binned:
    """The same of a long table, with features by bins."""

    table: Table
    knots: Knots
    parts: list[slice]

    def __iter__(self) -> Iterator[Piece]:
        for part in self.parts:
            ranked, features = self.knots.of(part)
            yield cells_of(self.table, ranked, part), features
