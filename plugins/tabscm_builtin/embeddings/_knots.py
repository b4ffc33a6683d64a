"""Long columns, read at some thousands of places each, 27 700 at most.

What a network makes of a cell follows from its value, its rank and what is known of it, so that in a long column it
makes nearly the same of many cells. Cells are sorted into bins within which neither value nor rank differs by more than
WIDTH, and the network reads one cell for each bin, the mean of those in it. What that loses is random from cell to
cell, with a deviation of at most WIDTH / sqrt(12), so that means over many rows lose next to nothing: of 50 000
rows, probabilities changed by at most 3e-5, and twice that by mere rounding where variables nearly determine each
other.

Ranks are found by counting, some rows at a time, so that beside the table itself and the numbers of its bins, which lie
in a file where they are too many for memory, nothing grows with the rows. Counts are additive, so that of a table whose
pieces lie elsewhere nobody has to hold all rows either.
"""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from tabscm import Rows, Table, room
from tabscm_builtin.embeddings._ranks import quantile_of_rank
from tabscm_builtin.embeddings._threads import on_all_cores

GRID = 2.0**-20
"""Values are counted by multiples of this: what differs by less is as good as equal."""
REACH = 8.0
"""The largest standardised value."""
ROWS = 1 << 20
"""Rows that are counted at one time."""
WIDTH = 2.0**-10
"""Of a bin, in standard deviations of the column."""
AT_ONCE = 1 << 13
"""Bins that a network reads at one time."""


Counts = tuple[Tensor, Tensor]
"""Of a column: the multiples of GRID that occur, ascending, and how often each does; [K] int64 both."""


@attrs.frozen(eq=False)
class Bins:
    """The bins of a column."""

    start: Tensor
    """[K] int64, the multiple of GRID at which each begins."""
    value: Tensor
    """[K] float32, the mean of its cells."""
    rank: Tensor
    """[K] float32, the mean of their ranks."""


class ByBin:
    """What `phi` makes of the cells in each bin.

    Args:
        columns: [B D], the bins of each column of each task.
        tasks: B.
        states: 1 where all cells are observed and none is intervened on, 2 where some are intervened on, 4 where some
            are missing.
        phi: [..., 4] -> [..., m], from value, intervened, observed and rank of cells.
    """

    def __init__(self, columns: Sequence[Bins], tasks: int, states: int, phi: nn.Module) -> None:
        value = torch.cat([bins.value for bins in columns])
        self.rank = torch.cat([bins.rank for bins in columns])[:, None]  # [K, 1]
        sizes = torch.tensor([0, *(len(bins.value) for bins in columns)], dtype=torch.int32, device=value.device)
        *first, self.count = sizes.cumsum(0, dtype=torch.int32).tolist()
        self.first = torch.tensor(first, dtype=torch.int32, device=value.device).view(tasks, 1, -1)
        """[B, 1, D], of the bins of each column, among those of all."""
        # the bins once for each combination that occurs: `of` says which of them a cell is in
        self.plain = states == 1
        self.features = torch.cat(
            [
                phi(torch.stack([part, torch.full_like(part, state % 2), torch.full_like(part, state < 2), rank], -1))
                for state in range(states)
                for part, rank in zip(torch.split(value, AT_ONCE), torch.split(self.rank[:, 0], AT_ONCE), strict=True)
            ]
        )  # [states K, m]

    def of(self, bins: Tensor, intervened: Tensor, observed: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        """Ranks [B, n, D] of cells [B, n, D], by their bins within the column; and, where they are asked for, features
        [B, n, D, m]."""
        bins = bins + self.first
        ranks = self.rank.index_select(0, bins.flatten()).view(bins.shape)

        def features() -> Tensor:
            of_state = bins if self.plain else bins + self.count * (intervened + 2 * ~observed).int()
            return self.features.index_select(0, of_state.flatten()).view(*bins.shape, -1)

        return ranks, features


@attrs.frozen(eq=False)
class Knots:
    """The cells of a table, by bins."""

    table: Table
    bins: Tensor
    """[B, N, D], within the column: 27 700 at most where they are of WIDTH, for values are cut at 8 deviations and
    ranks lie within 5.5."""
    by_bin: ByBin

    def of(self, rows: slice) -> tuple[Tensor, Callable[[], Tensor]]:
        """Ranks [B, n, D] of the cells of some rows and, where they are asked for, features [B, n, D, m]."""
        return self.by_bin.of(self.bins[:, rows], self.table.intervened[:, rows], self.table.observed[:, rows])


def knots(table: Table, phi: nn.Module) -> Knots:
    """Sort a table of [B, N, D] cells into bins, and have `phi` read these."""
    tasks, rows, variables = table.x.shape
    device = table.x.device
    # column by column: [B, D, N] seen as [B, N, D]
    shape = (tasks, variables, rows)
    on_device = torch.empty(shape, dtype=torch.int16, device=device) if device.type != "cpu" else None
    bins = (torch.from_numpy(room(shape, "int16")) if on_device is None else on_device).transpose(1, 2)
    each = [
        (table.x[task, :, variable], bins[task, :, variable]) for task in range(tasks) for variable in range(variables)
    ]
    columns = on_all_cores(_sort_into_bins, each, device=device)
    return Knots(table, bins, ByBin(columns, tasks, _states(table), phi))


@attrs.frozen(eq=False)
class Elsewhere:
    """The same of a table whose pieces lie elsewhere: enough to sort each piece into bins where it lies."""

    starts: tuple[Tensor, ...]
    """[D] of [K] each, see `Bins`."""
    by_bin: ByBin

    def of(self, piece: Table) -> Knots:
        """The cells [1, n, D] of some rows."""
        columns = zip(self.starts, piece.x[0].T, strict=True)
        bins = [torch.searchsorted(start, _places(x), right=True, out_int32=True) - 1 for start, x in columns]
        return Knots(piece, torch.stack(bins, 1)[None], self.by_bin)


def knots_elsewhere(rows: Rows, phi: nn.Module, *, width: float) -> Elsewhere:
    """Count the values of a table where its rows lie, and have `phi` read the bins.

    Args:
        rows: of the table.
        phi: as `ByBin` takes it.
        width: of a bin; at 0 each value that occurs has one of its own.
    """
    states = rows.fold(_states, max, int)
    columns = [
        rows.fold(partial(_count_column, variable), joined, partial(_bins, rows=rows.count, width=width))
        for variable in range(rows.variables)
    ]
    return Elsewhere(tuple(bins.start for bins in columns), ByBin(columns, 1, states, phi))


def _sort_into_bins(both: tuple[Tensor, Tensor]) -> Bins:
    """Write the bin of each cell of the first, a column [N], into the second."""
    column, into = both
    if len(column) <= ROWS:
        occupied, place, inside = torch.unique(_places(column), return_inverse=True, return_counts=True)
        own = _numbers(occupied, inside, len(column), WIDTH)
        into.copy_(own[place])
    else:  # slower for few rows, in memory that does not grow with them
        counts = torch.zeros(2 * int(REACH / GRID) + 1, dtype=torch.int32, device=column.device)
        for part in torch.split(column, ROWS):
            counts.index_add_(0, place := _places(part), torch.ones_like(place, dtype=torch.int32))
        occupied = counts.nonzero()[:, 0]  # [K']
        inside = counts[occupied]
        own = _numbers(occupied, inside, len(column), WIDTH)
        counts[occupied] = own
        for part, some in zip(torch.split(column, ROWS), torch.split(into, ROWS), strict=True):
            some.copy_(counts[_places(part)])
    return _summed(occupied, inside, own, len(column))


def _bins(counts: Counts, *, rows: int, width: float) -> Bins:
    """The bins of a column of so many rows."""
    return _summed(*counts, _numbers(*counts, rows, width), rows)


def _numbers(occupied: Tensor, inside: Tensor, rows: int, width: float) -> Tensor:
    """Of the bin of each value that occurs, from 0: [K'] int32, ascending."""
    if width == 0:
        return torch.arange(len(occupied), dtype=torch.int32, device=occupied.device)
    # both grow together: where the sum differs by less than the width, so does either
    own = ((value_of(occupied) + quantile_of_rank(inside, rows)) / width).floor().int()
    return own - own[0]


def _summed(occupied: Tensor, inside: Tensor, own: Tensor, rows: int) -> Bins:
    """The bins, by the number of that in which each value [K'] is."""
    sizes = own.bincount(inside.double()).clamp(min=1)
    value, rank = (
        (own.bincount(inside * mean.double()) / sizes).float()
        for mean in (value_of(occupied), quantile_of_rank(inside, rows))
    )
    # where a number is no bin's, the next begins as well, and is the later of the two
    start = occupied[torch.searchsorted(own, torch.arange(len(sizes), dtype=own.dtype, device=own.device))]
    return Bins(start, value, rank)


def _count_column(variable: int, piece: Table) -> Counts:
    return count_values(piece.x[0, :, variable])


def count_values(values: Tensor) -> Counts:
    """Of values [n] of a column."""
    occupied, inside = torch.unique(_places(values), return_counts=True)
    return occupied, inside


def joined(first: Counts, second: Counts) -> Counts:
    """Of the rows of both."""
    places, counts = (torch.cat(both).numpy() for both in zip(first, second, strict=True))
    order = np.argsort(places, kind="stable")  # which merges what is in order already
    places = places[order]
    new = np.flatnonzero(np.diff(places, prepend=-1))
    return torch.from_numpy(places[new]), torch.from_numpy(np.add.reduceat(counts[order], new))


def _states(table: Table) -> int:
    """See `ByBin`."""
    return 4 if not table.observed.all() else 2 if table.intervened.any() else 1


def value_of(places: Tensor) -> Tensor:
    """float32 of multiples of GRID."""
    return (places * GRID - REACH).float()


def _places(values: Tensor) -> Tensor:
    """Of values among the multiples of GRID, [n] int64."""
    return ((values.clamp(-REACH, REACH) + REACH) / GRID).round().long()
