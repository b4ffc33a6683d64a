"""Long columns, read at some thousands of places each, 27 700 at most.

What a network makes of a cell follows from its value, its rank and what is known of it, so that in a long column it
makes nearly the same of many cells. Cells are sorted into bins within which neither value nor rank differs by more than
WIDTH, and the network reads one cell for each bin, the mean of those in it. What that loses is random from cell to
cell, with a deviation of at most WIDTH / sqrt(12), so that means over many rows lose next to nothing: of 50 000
rows, probabilities changed by at most 3e-5, and twice that by mere rounding where variables nearly determine each
other.

Ranks are found by counting, some rows at a time, so that beside the table itself and the numbers of its bins, which lie
in a file where they are too many for memory, nothing grows with the rows.
"""

import torch
from torch import Tensor, nn

from tabscm import Table, room
from tabscm_builtin.embeddings._ranks import quantile_of_rank

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


class Knots:
    """What `phi` makes of the cells of a table, by bins.

    Args:
        table: of [B, N, D] cells.
        phi: [..., 4] -> [..., m], from value, intervened, observed and rank of cells.
    """

    def __init__(self, table: Table, phi: nn.Module) -> None:
        tasks, rows, variables = table.x.shape
        device = table.x.device
        self.table = table
        # column by column: [B, D, N] seen as [B, N, D]
        shape = (tasks, variables, rows)
        bins = torch.empty(shape, dtype=torch.int16, device=device) if device.type != "cpu" else None
        self.bins = (torch.from_numpy(room(shape, "int16")) if bins is None else bins).transpose(1, 2)
        """[B, N, D], within the column: 27 700 at most, for values are cut at 8 deviations and ranks lie within 5.5."""
        self.first = torch.empty(tasks, 1, variables, dtype=torch.int32, device=device)
        """Of the bins of each column, among those of all."""
        values, ranks, self.count = [], [], 0
        for task in range(tasks):
            for variable in range(variables):
                value, rank = _sort_into_bins(table.x[task, :, variable], self.bins[task, :, variable])
                values.append(value)
                ranks.append(rank)
                self.first[task, 0, variable] = self.count
                self.count += len(value)
        self.rank = torch.cat(ranks)[:, None]  # [K, 1]
        # the bins once for each combination that occurs: `_state` says which of them a cell is in
        states = 4 if not table.observed.all() else 2 if table.intervened.any() else 1
        self.plain = states == 1
        value = torch.cat(values)
        self.features = torch.cat(
            [
                phi(torch.stack([part, torch.full_like(part, state % 2), torch.full_like(part, state < 2), rank], -1))
                for state in range(states)
                for part, rank in zip(torch.split(value, AT_ONCE), torch.split(self.rank[:, 0], AT_ONCE), strict=True)
            ]
        )  # [states K, m]

    def of(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Ranks [B, n, D] and features [B, n, D, m] of the cells of some rows."""
        bins = self.bins[:, rows] + self.first  # [B, n, D]
        ranks = self.rank.index_select(0, bins.flatten()).view(bins.shape)
        if not self.plain:
            bins += self.count * (self.table.intervened[:, rows] + 2 * ~self.table.observed[:, rows])
        return ranks, self.features.index_select(0, bins.flatten()).view(*bins.shape, -1)


def _sort_into_bins(column: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
    """Write the bin of each cell of a column [N] into `bins`; the mean value and rank of each bin, [K] float32."""
    if len(column) <= ROWS:
        occupied, place, inside = torch.unique(_places(column), return_inverse=True, return_counts=True)
    else:  # slower for few rows, in memory that does not grow with them
        counts = torch.zeros(2 * int(REACH / GRID) + 1, dtype=torch.int32, device=column.device)
        for part in torch.split(column, ROWS):
            counts.index_add_(0, place := _places(part), torch.ones_like(place, dtype=torch.int32))
        occupied = counts.nonzero()[:, 0]  # [K']
        inside = counts[occupied]
    value = (occupied * GRID - REACH).float()
    rank = quantile_of_rank(inside, len(column))
    # both grow together: where the sum differs by less than WIDTH, so does either
    own = ((value + rank) / WIDTH).floor().int()
    own -= own[0].clone()
    if len(column) <= ROWS:
        bins.copy_(own[place])
    else:
        counts[occupied] = own
        for part, into in zip(torch.split(column, ROWS), torch.split(bins, ROWS), strict=True):
            into.copy_(counts[_places(part)])
    sizes = own.bincount(inside.double()).clamp(min=1)
    value, rank = ((own.bincount(inside * mean.double()) / sizes).float() for mean in (value, rank))
    return value, rank


def _places(values: Tensor) -> Tensor:
    """Of values among the multiples of GRID, [n] int64."""
    return ((values.clamp(-REACH, REACH) + REACH) / GRID).round().long()
