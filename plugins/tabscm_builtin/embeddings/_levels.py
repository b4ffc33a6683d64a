"""Columns read as a few levels each, and how often these occur together.

What two causes do together need not show in what either does alone: curves of single columns are blind to it, counts of
combinations are not. Counts are sums over rows. Letters: B tasks, N rows, n some of them, D variables, L levels.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import attrs
import torch
from torch import Tensor

from tabscm import Rows, Table
from tabscm_builtin.embeddings._common import parts
from tabscm_builtin.embeddings._knots import Counts, count_values, joined, value_of
from tabscm_builtin.embeddings._ranks import RANKED
from tabscm_builtin.embeddings._threads import on_all_cores

AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 24}
"""Numbers that counting holds at one time, or those of one variable where these are more: few enough for the cache of a
CPU, many enough to keep a GPU busy."""
ROWS = 1 << 13
"""Rows that are put together before they are counted: what they are counted into is large, and clearing it and adding
it up costs as much as counting some thousands of rows."""


class Tally:
    """Counts of pieces of rows, added up; of one piece in float32, which is exact below 16 million."""

    def __init__(self) -> None:
        self.total: Tensor | None = None

    def add(self, counts: Tensor) -> None:
        """Take those of the next rows: float32 of any shape, always the same."""
        self.total = counts if self.total is None else self.total.double().add_(counts)

    def join(self, other: "Tally") -> "Tally":
        """The counts of the rows of both."""
        assert self.total is not None
        assert other.total is not None
        both = Tally()
        both.total = self.total.double() + other.total
        return both

    def moments(self) -> Tensor:
        """float32 or float64, whole numbers."""
        assert self.total is not None
        return self.total


def borders(table: Table, levels: int) -> Tensor:
    """Where to cut columns into levels: a value is at the level of how many borders lie below it.

    Up to `levels` different values are a level each. More are cut by their ranks: after the value at the end of each
    of L equal shares of the rows, and after all that equal it, so that a value that many rows have may leave fewer
    levels.

    Args:
        table: of [B, N, D] cells.
        levels: L.

    Returns:
        [B, D, L - 1], ascending, each between two values or infinite.
    """
    tasks, rows, variables = table.x.shape
    if rows == 1:
        return table.x.new_full((tasks, variables, levels - 1), torch.inf)
    most = variables if table.x.numel() <= RANKED else RANKED // (tasks * rows)
    each = [(table.x[:, :, part], table.observed[:, :, part]) for part in parts(variables, most)]
    if len(each) == 1:  # also where torch.compile traces it
        return _borders(each[0], levels)
    return torch.cat(on_all_cores(partial(_borders, levels=levels), each, device=table.x.device), 1)


def _borders(both: tuple[Tensor, Tensor], levels: int) -> Tensor:
    """Values and what of them is observed, [B, N, D] -> [B, D, L - 1]; nothing is counted out, so that no device is
    waited for."""
    x, observed = both
    ordered = torch.where(observed, x, torch.inf).transpose(1, 2).contiguous().sort(-1).values  # [B, D, N]
    count = observed.sum(1)[:, :, None]  # [B, D, 1]
    last = ordered.shape[-1] - 1
    place = torch.arange(1, levels, device=x.device)
    new = (ordered[..., 1:] > ordered[..., :-1]) & (ordered[..., 1:] < torch.inf)
    number = new.cumsum(-1).contiguous()  # [B, D, N - 1], of the value after each
    begins = torch.searchsorted(number, place.expand(*number.shape[:2], -1).contiguous()) + 1
    share = torch.div(count * place, levels, rounding_mode="floor").clamp(max=last)
    ends = torch.searchsorted(ordered, ordered.gather(-1, share).contiguous(), right=True)
    at = torch.where(number[..., -1:] < levels, begins, ends)
    between = (ordered.gather(-1, (at - 1).clamp(0, last)) + ordered.gather(-1, at.clamp(max=last))) / 2
    return torch.where(at < count, between, torch.inf)


def borders_elsewhere(rows: Rows, levels: int) -> Tensor:
    """The same of a table whose rows lie elsewhere: [1, D, L - 1]."""
    columns = [
        rows.fold(partial(_count_column, variable), joined, partial(_borders_of_counts, levels=levels))
        for variable in range(rows.variables)
    ]
    return torch.stack(columns)[None]


def _count_column(variable: int, piece: Table) -> Counts:
    return count_values(piece.x[0, :, variable][piece.observed[0, :, variable]])


def _borders_of_counts(counts: Counts, *, levels: int) -> Tensor:
    """[L - 1], of the values of a column and how often each occurs; of none, where all cells are missing, infinite."""
    if not len(counts[0]):
        return torch.full((levels - 1,), torch.inf)
    values, upto = value_of(counts[0]), counts[1].cumsum(0)
    place = torch.arange(1, levels)
    share = torch.div(upto[-1] * place, levels, rounding_mode="floor")
    at = place if len(values) <= levels else torch.searchsorted(upto, share, right=True) + 1
    following = torch.cat([values, torch.full((levels,), torch.inf)])
    return (values[(at - 1).clamp(max=len(values) - 1)] + following[at]) / 2


@attrs.define(eq=False)  # torch.compile cannot trace what attrs writes for frozen classes
class Levels:
    """The level of each cell of some rows, and which of them count; rows last, for it is along them that is counted."""

    of: Tensor  # [B, D, n] int64, from 0
    seen: Tensor  # [B, D, n] bool
    natural: Tensor  # [B, D, n] bool: seen, and nobody set it
    count: int  # L

    def indicators(self, which: Tensor) -> Tensor:
        """[B, D, L, n] float32, 0 or 1, of those of the cells [B, D, n] bool."""
        level = torch.arange(self.count, device=self.of.device)[:, None]
        return ((self.of[:, :, None] == level) & which[:, :, None]).float()


def levels_of(cells: Tensor, borders: Tensor) -> Levels:
    """cells: [B, n, D, C] of value, intervened, observed, ...; borders: [B, D, L - 1], see `borders`."""
    value, intervened, observed = (cells[..., channel].transpose(1, 2).contiguous() for channel in range(3))
    seen = observed > 0
    of = (value[:, :, None] > borders[..., None]).sum(2)
    return Levels(of, seen, seen & (intervened == 0), borders.shape[-1] + 1)


def levels_by_rows(pieces: Iterable[Tensor], borders: Tensor) -> Iterator[Levels]:
    """The levels of pieces of cells [B, n, D, C], of at least ROWS rows together but for the last."""
    some: list[Tensor] = []
    for cells in pieces:
        some.append(cells)
        if sum(one.shape[1] for one in some) >= ROWS:
            yield levels_of(torch.cat(some, 1), borders)
            some = []
    if some:
        yield levels_of(torch.cat(some, 1), borders)


def count_pairs(levels: Levels) -> Tensor:
    """[B, D, D, L, L]; [b, i, j, a, c]: rows in which i is at level a, and j by itself at level c."""
    tasks, variables, _ = levels.of.shape
    cause, effect = (levels.indicators(which).flatten(1, 2) for which in (levels.seen, levels.natural))
    return (cause @ effect.mT).view(tasks, variables, levels.count, variables, -1).transpose(2, 3)


def count_triples(levels: Levels, candidates: Tensor) -> Tensor:
    """Of each variable with every two of its candidates.

    Args:
        levels: of some rows.
        candidates: [B, D, M] int64, of each variable.

    Returns:
        [B, D, M, M, L, L, L]; [b, k, i, j, a, a', c]: rows with candidate i of k at a, j at a', k by itself at c.
    """
    tasks, variables, rows = levels.of.shape
    most, count = candidates.shape[2], levels.count
    cause, effect = (levels.indicators(which) for which in (levels.seen, levels.natural))
    found = []
    for part in parts(variables, _at_once(levels) // (tasks * rows * most * count**2)):
        causes = of_others(cause, candidates[:, part]).flatten(2, 3)  # [B, d, M L, n]
        both = (effect[:, part, :, None] * causes[:, :, None]).flatten(2, 3)  # [B, d, L M L, n]
        counted = (both @ causes.mT).view(tasks, -1, count, most, count, most, count)
        found.append(counted.permute(0, 1, 3, 5, 4, 6, 2))
    return torch.cat(found, 1)


def count_with(levels: Levels, candidates: Tensor, parents: Tensor, active: Tensor) -> Tensor:
    """Of each variable with some others together, and with each of its candidates besides.

    Args:
        levels: of some rows.
        candidates: [B, D, M] int64, of each variable.
        parents: [B, D, R] int64, of each variable.
        active: [B, D, R] bool, those of them that are counted by; the others are taken to be at level 0.

    Returns:
        [B, D, M, L^R, L, L]; [b, k, i, p, a, c]: rows with the parents of k at combination p, candidate i of k at a,
        and k by itself at c; the level of parent r is the digit of p that counts L^r.
    """
    tasks, variables, rows = levels.of.shape
    slots, most, count = parents.shape[2], candidates.shape[2], levels.count
    idle = ~active[..., None]  # [B, D, R, 1]
    digits = count ** torch.arange(slots, device=levels.of.device)[:, None]
    combination = (of_others(levels.of, parents).masked_fill(idle, 0) * digits).sum(2)  # [B, D, n]
    known = (of_others(levels.seen, parents) | idle).all(2) & levels.natural
    # of each candidate, what is not known is a level of its own, the last, which is left out in the end
    of_candidate = levels.of.masked_fill(~levels.seen, count) * count
    of_effect = combination * (count + 1) * count + levels.of
    size = count**slots * (count + 1) * count
    found = []
    for part in parts(variables, _at_once(levels) // (tasks * rows * most)):
        place = of_others(of_candidate, candidates[:, part]).add_(of_effect[:, part, None])  # [B, d, M, n]
        counted = torch.zeros(*place.shape[:3], size, device=place.device)
        found.append(counted.scatter_add_(3, place, known[:, part, None].float().expand_as(place)))
    whole = torch.cat(found, 1).view(tasks, variables, most, -1, count + 1, count)
    return whole[..., :count, :]


def of_others(x: Tensor, others: Tensor) -> Tensor:
    """Of x [B, D, ...] those of the others [B, D, S] of each variable: [B, D, S, ...]."""
    tasks, variables = x.shape[:2]
    first = variables * torch.arange(tasks, device=x.device)[:, None, None]
    chosen = x.flatten(0, 1).index_select(0, (others + first).flatten())
    return chosen.view(*others.shape, *x.shape[2:])


def _at_once(levels: Levels) -> int:
    """AT_ONCE, where these levels are."""
    return AT_ONCE.get(levels.of.device.type, AT_ONCE["cpu"])
