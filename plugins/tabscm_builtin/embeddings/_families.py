"""How well a variable follows from one, two or a few others, by the levels of all of them.

What searches over discrete networks look at, for all families at once: a variable is scored with its parents, whatever
these do together. Letters: B tasks, N rows, D variables, L levels, M candidates, R believed causes, U hidden units.
"""

import math
from collections.abc import Callable
from functools import partial

import attrs
import torch
from torch import Tensor, nn

from tabscm_builtin.embeddings._common import asinh
from tabscm_builtin.embeddings._levels import Levels, count_pairs, count_triples, count_with, of_others

NEAREST = 24
"""Variables, of those that say most of one by themselves, of which it is asked what they add to its believed causes; of
up to 25 variables all are asked."""
IN_TRIPLES = 10
"""M: the first of these, of which every two are counted together."""
PARENTS = 3
"""R: the likeliest causes of each variable that are counted together."""
HIDDEN = 64
"""U: units for each triple."""
APART = 1e-3
"""What differs by less counts as equal: rounding must not choose."""
LOWEST = -1.0
"""Below all that Hardswish gives."""
TABLED = 1 << 20
"""Rows up to which functions of counts are read off tables, which is fast; memory must not grow with rows."""

Count = Callable[[Callable[[Levels], Tensor]], Tensor]
"""What is counted of some rows -> the same over the whole table."""


@attrs.define(eq=False)  # torch.compile cannot trace what attrs writes for frozen classes
class Scores:
    """Two scores of counts, in nats: the likelihood where probabilities are themselves drawn from Dirichlet
    distributions of 1/2, and the largest likelihood less half the logarithm of the rows for each free number.

    Source: Heckerman et al. 1995, doi:10.1007/BF00994016, with all exponents 1/2, for the former; Schwarz 1978,
    doi:10.1214/aos/1176344136, for the latter.
    """

    kinds: Tensor  # [B, D] int64, levels that occur where nobody set them
    rows: int  # N
    tables: tuple[Tensor, Tensor, Tensor] | None  # the three functions below of 0 to N, the second for each r in [0, L]

    def __call__(self, counts: Tensor, kinds: Tensor, combinations: Tensor) -> Tensor:
        """Score variables given others.

        Args:
            counts: [..., P, L] float32 or float64, of combinations of the others and of the variable.
            kinds: [...] int64, how many levels the variable has.
            combinations: [...] int64, how many combinations of the others there may be.

        Returns:
            [..., 2] float64.
        """
        with torch.autocast(counts.device.type, enabled=False):  # in bfloat16 no number above 256 is counted to
            whole = counts @ counts.new_ones(counts.shape[-1])  # [..., P], faster than a sum over few
        if self.tables is None:
            counts, whole = counts.double(), whole.double()
            inside, outside = _inside(counts), _outside(whole, kinds[..., None])
            likelihood = torch.xlogy(counts, counts), torch.xlogy(whole, whole)
        else:
            of_cells, of_sums, entropy = self.tables
            counts, whole = counts.int(), whole.int()
            inside, outside = _at(of_cells, counts), _at(of_sums, whole + (self.rows + 1) * kinds[..., None])
            likelihood = _at(entropy, counts), _at(entropy, whole)
        dirichlet = inside.sum((-1, -2)) + outside.sum(-1)
        largest = likelihood[0].sum((-1, -2)) - likelihood[1].sum(-1)
        price = torch.full((), self.rows, dtype=torch.float64, device=kinds.device).log() / 2
        return torch.stack([dirichlet, largest - price * combinations * (kinds - 1)], -1)


def _at(table: Tensor, places: Tensor) -> Tensor:
    """`table`, read row by row, at each of the places [...], whole numbers; several times as fast as indexing."""
    return table.flatten().index_select(0, places.flatten()).view(places.shape)


def _inside(counts: Tensor) -> Tensor:
    """log Gamma(n + 1/2) - log Gamma(1/2)."""
    return torch.lgamma(counts + 0.5) - math.lgamma(0.5)


def _outside(counts: Tensor, kinds: Tensor) -> Tensor:
    """log Gamma(r / 2) - log Gamma(n + r / 2), at r levels."""
    half = kinds.double().clamp(min=1) / 2
    return torch.lgamma(half) - torch.lgamma(counts + half)


def scores_of(pairs: Tensor, rows: int) -> Scores:
    """The scores of a table of so many rows; pairs: [B, D, D, L, L], see `count_pairs`."""
    own = pairs.diagonal(dim1=1, dim2=2).sum(2).transpose(1, 2)  # [B, D, L]
    kinds = (own > 0).sum(-1).clamp(min=1)
    if rows > TABLED:
        return Scores(kinds, rows, None)
    n = torch.arange(rows + 1, dtype=torch.float64, device=pairs.device)
    r = torch.arange(pairs.shape[-1] + 1, device=pairs.device)[:, None]
    return Scores(kinds, rows, (_inside(n), _outside(n, r), torch.xlogy(n, n)))


@attrs.define(eq=False)
class Counted:
    """The levels of a whole table, to be counted again."""

    count: Count
    scores: Scores
    nearest: Tensor  # [B, D, S] int64, the variables that say most of each
    near: Tensor  # [B, D, S] bool, which of them are asked


class Families(nn.Module):
    """What is said of pairs by every variable given each other one, and given every two of those nearest to it.

    It tells causes of k from effects: two causes may have nothing to do with one another until k is known, and two
    effects nothing once it is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_pairs = nn.Linear(4, width, bias=False)
        self.of_triples = nn.Sequential(
            nn.Linear(18, HIDDEN), nn.Hardswish(), nn.Linear(HIDDEN, HIDDEN), nn.Hardswish()
        )
        self.cause, self.effect = (nn.Linear(2 * HIDDEN, width, bias=False) for _ in range(2))
        for last in (self.of_pairs, self.cause, self.effect):
            nn.init.zeros_(last.weight)

    def forward(self, count: Count, rows: int) -> tuple[Tensor, Counted]:
        """Of a table of so many rows: [B, D, D, E], and what is asked again."""
        with torch.no_grad():
            pairs = count(count_pairs)
            scores = scores_of(pairs, rows)
            single = _gains(pairs, scores)
            nearest, near = _highest(single[..., 0], NEAREST)
            candidates, asked = _highest(single[..., 0], IN_TRIPLES)
            triples = _of_triples(single, candidates, count(partial(count_triples, candidates=candidates)), scores)
            single = _squeezed(single)
        with torch.autocast(single.device.type, enabled=False):
            found: Tensor = self.of_pairs(torch.cat([single, single.transpose(1, 2)], -1))
            told = self.of_triples(triples)  # [B, D, M, M, U]
            most = told.shape[3]
            left_out = torch.eye(most, dtype=torch.bool, device=told.device) | ~asked[:, :, None]
            left_out = left_out[..., None]  # [B, D, M, M, 1]
            mean = told.masked_fill(left_out, 0.0).sum(3) / max(most - 1, 1)
            largest = told.masked_fill(left_out, LOWEST).amax(3)
            # [B, D, M, 2 U], of k and candidate i, over all j
            told = torch.cat([mean, largest], -1).masked_fill(~asked[..., None], 0.0)
            index = candidates[..., None].expand(-1, -1, -1, found.shape[-1])
            cause, effect = (
                torch.zeros_like(found).scatter(2, index, project(told)) for project in (self.cause, self.effect)
            )
            # at [b, k, i]: the former is said of (i, k), the latter of (k, i)
            return found + cause.transpose(1, 2) + effect, Counted(count, scores, nearest, near)


class SingleChanges(nn.Module):
    """What each single cause more or less changes of how well a variable follows from its believed causes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(6, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, score: Tensor, counted: Counted) -> Tensor:
        """score: [B, D, D], log-odds that i is a cause of j -> [B, D, D, E]."""
        with torch.no_grad():
            parents, active = _highest(score, PARENTS)
            active = active & (score.transpose(1, 2).gather(2, parents) > 0)
            # last each variable itself, which is known wherever it counts
            own = torch.arange(score.shape[1], device=score.device)[:, None].expand(len(score), -1, 1)
            asked = torch.cat([counted.nearest, own], 2)
            counts = counted.count(partial(count_with, candidates=asked, parents=parents, active=active))
            changes, member = _changes(counts, counted, parents, active)
            told = torch.cat([_squeezed(changes), member[..., None].float()], -1)
        with torch.autocast(told.device.type, enabled=False):
            found: Tensor = self.project(torch.cat([told, told.transpose(1, 2)], -1))
        return found


def _gains(pairs: Tensor, scores: Scores) -> Tensor:
    """How much better j is known where i is: [B, D, D, 2] in nats, 0 on the diagonal."""
    kinds = scores.kinds[:, None].expand(*pairs.shape[:3])
    given = scores(pairs, kinds, scores.kinds[:, :, None])
    alone = scores(pairs.sum(3, keepdim=True), kinds, torch.ones_like(kinds))
    eye = torch.eye(pairs.shape[1], dtype=torch.bool, device=pairs.device)
    return (given - alone).masked_fill(eye[:, :, None], 0.0)


def _highest(score: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The others with the highest score of each variable.

    Of several that are equal either all are kept or none: the order of columns must not choose.

    Args:
        score: [B, D, D], at (i, k) of i for k.
        most: S, or the number of others where that is less.

    Returns:
        [B, D, S] int64 of each k, and which of them are kept, [B, D, S] bool.
    """
    others = score.shape[1] - 1
    eye = torch.eye(others + 1, dtype=torch.bool, device=score.device)
    of_each = score.masked_fill(eye, -torch.inf).transpose(1, 2)  # [b, k, i]
    best, found = of_each.topk(min(most + 1, others), -1)
    if others <= most:
        return found, torch.ones_like(found, dtype=torch.bool)
    return found[:, :, :most], best[:, :, :most] > best[:, :, most:] + APART


def _of_triples(single: Tensor, candidates: Tensor, triples: Tensor, scores: Scores) -> Tensor:
    """[B, D, M, M, 18] float32, of each variable k and two of its candidates i and j."""
    tasks, variables, most = candidates.shape
    kinds = scores.kinds[:, :, None, None].expand(-1, -1, most, most)
    of_candidates = of_others(scores.kinds, candidates)
    first, second = of_candidates[..., :, None], of_candidates[..., None, :]
    # in those rows in which all three are known
    both = scores(triples.flatten(4, 5), kinds, first * second)
    given_first = scores(triples.sum(5), kinds, first)
    given_second = given_first.transpose(2, 3)
    alone = scores(triples.sum((4, 5))[..., None, :], kinds, torch.ones_like(first))
    task = torch.arange(tasks, device=single.device)[:, None, None, None]
    i, j = candidates[..., :, None], candidates[..., None, :]
    k = torch.arange(variables, device=single.device)[:, None, None].expand_as(i)
    of_i = single[task, k, i].expand_as(both)
    between = single[task, i, j]
    found = [
        given_first - alone,
        given_second - alone,
        both - given_second,
        both - given_first,
        both - given_first - given_second + alone,
        between,
        between.transpose(2, 3),
        of_i,
        of_i.transpose(2, 3),
    ]
    return _squeezed(torch.cat(found, -1))


def _changes(counts: Tensor, counted: Counted, parents: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """How much better k is known by its believed causes with i than without.

    Args:
        counts: [B, D, S + 1, L^R, L, L] of the nearest of each k, see `count_with`; the last is k itself.
        counted: of the table.
        parents: [B, D, R] int64, of each k.
        active: [B, D, R] bool, which of them are believed.

    Returns:
        [B, D, D, 2] at (i, k), in nats, 0 where i is neither near nor believed; and which are believed, [B, D, D]
        bool.
    """
    scores, candidates = counted.scores, counted.nearest
    tasks, variables = scores.kinds.shape
    levels, slots, most = counts.shape[-1], parents.shape[2], candidates.shape[2]
    kinds = scores.kinds[:, :, None].expand(-1, -1, most)
    of_parents = torch.where(active, of_others(scores.kinds, parents), 1)  # [B, D, R]
    combinations = of_parents.prod(-1)
    with_one = counts[:, :, :-1]
    added = scores(with_one.flatten(3, 4), kinds, combinations[..., None] * of_others(scores.kinds, candidates))
    added = added - scores(with_one.sum(4), kinds, combinations[..., None])
    added = added.masked_fill(~counted.near[..., None], 0.0)
    # without one that is in already: its digit summed out of the combinations, whose last digit is that of the first
    whole = counts[:, :, -1].sum(3)
    with_all = scores(whole, scores.kinds, combinations)
    removed = []
    for slot in range(slots):
        digits = whole.view(tasks, variables, *(levels,) * slots, levels)
        fewer = digits.sum(2 + slots - 1 - slot).reshape(tasks, variables, -1, levels)
        rest = torch.div(combinations, of_parents[..., slot], rounding_mode="floor")
        removed.append(with_all - scores(fewer, scores.kinds, rest))
    empty = torch.zeros(tasks, variables, variables, 2, dtype=added.dtype, device=added.device)
    pair = (-1, -1, -1, 2)
    found = empty.scatter(2, candidates[..., None].expand(pair), added)
    taken = empty.scatter(2, parents[..., None].expand(pair), torch.stack(removed, 2))
    member = torch.zeros_like(empty[..., 0], dtype=torch.bool).scatter(2, parents, active)
    return torch.where(member[..., None], taken, found).transpose(1, 2), member.transpose(1, 2)


def _squeezed(nats: Tensor) -> Tensor:
    """float32, on a logarithmic scale."""
    return (asinh(nats) / 2).float()
