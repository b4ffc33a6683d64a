"""How well a variable follows from one, two or a few others, by the levels of all of them.

What searches over discrete networks look at, for all families at once: a variable is scored with its parents, whatever
these do together. Letters: B tasks, N rows, D variables, L levels, M candidates, R believed causes.
"""

from collections.abc import Callable
from functools import partial

import attrs
import torch
from torch import Tensor, nn

from tabscm_builtin.embeddings._levels import Levels, count_pairs, count_triples, count_with

NEAREST = 24
"""M: variables, of those that say most of one by themselves, of which it is asked what they add to its believed causes;
of some tens of variables all are asked."""
IN_TRIPLES = 10
"""The first of these, of which every two are counted together."""
PARENTS = 3
"""R: the likeliest causes of each variable that are counted together."""
HIDDEN = 64
"""Units for each triple."""

Count = Callable[[Callable[[Levels], Tensor]], Tensor]
"""What is counted of some rows -> the same over the whole table, in float64."""


@attrs.define(eq=False)  # torch.compile cannot trace what attrs writes for frozen classes
class Scores:
    """Two scores of counts, in nats: the likelihood where probabilities are themselves drawn from Dirichlet
    distributions of 1/2, and the largest likelihood less half the logarithm of the rows for each free number.

    Source: Heckerman et al. 1995, doi:10.1007/BF00994016, for the former; Schwarz 1978, doi:10.1214/aos/1176344136, for
    the latter.
    """

    gamma: Tensor  # [N + 1] float64, at n: log Gamma(n + 1/2) - log Gamma(1/2)
    normal: Tensor  # [L + 1, N + 1] float64, at (r, n): log Gamma(r / 2) - log Gamma(n + r / 2)
    entropy: Tensor  # [N + 1] float64, n log n
    price: Tensor  # log(N) / 2
    kinds: Tensor  # [B, D] int64, levels that occur of each variable

    def __call__(self, counts: Tensor, kinds: Tensor, combinations: Tensor) -> Tensor:
        """Score variables given others.

        Args:
            counts: [..., P, L] float64, of combinations of the others and of the variable.
            kinds: [...] int64, how many levels the variable has.
            combinations: [...] int64, how many combinations of the others there may be.

        Returns:
            [..., 2] float64.
        """
        counts = counts.long()
        whole = counts.sum(-1)
        dirichlet = self.gamma[counts].sum((-1, -2)) + self.normal[kinds[..., None], whole].sum(-1)
        largest = self.entropy[counts].sum((-1, -2)) - self.entropy[whole].sum(-1)
        return torch.stack([dirichlet, largest - self.price * combinations * (kinds - 1)], -1)


def scores_of(pairs: Tensor, rows: int) -> Scores:
    """The scores of a table of so many rows; pairs: [B, D, D, L, L], see `count_pairs`."""
    n = torch.arange(rows + 1, dtype=torch.float64, device=pairs.device)
    half = torch.full_like(n[0], 0.5)
    r = torch.arange(pairs.shape[-1] + 1, dtype=torch.float64, device=pairs.device)[:, None].clamp(min=1) / 2
    own = pairs.diagonal(dim1=1, dim2=2).sum(2).transpose(1, 2)  # [B, D, L]
    return Scores(
        gamma=torch.lgamma(n + half) - torch.lgamma(half),
        normal=torch.lgamma(r) - torch.lgamma(n + r),
        entropy=torch.xlogy(n, n),
        price=n[-1].log() / 2,
        kinds=(own > 0).sum(-1).clamp(min=1),
    )


@attrs.define(eq=False)
class Tables:
    """The levels of a whole table, to be counted again."""

    count: Count
    scores: Scores
    nearest: Tensor  # [B, D, M] int64, the variables that say most of each


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

    def forward(self, count: Count, rows: int) -> tuple[Tensor, Tables]:
        """Of a table of so many rows: [B, D, D, E], and what is asked again."""
        with torch.no_grad():
            pairs = count(count_pairs)
            scores = scores_of(pairs, rows)
            single = _gains(pairs, scores)
            nearest = _nearest(single)
            candidates = nearest[:, :, :IN_TRIPLES]
            triples = _of_triples(single, candidates, count(partial(count_triples, candidates=candidates)), scores)
            single = _squeezed(single)
        with torch.autocast(single.device.type, enabled=False):
            found: Tensor = self.of_pairs(torch.cat([single, single.transpose(1, 2)], -1))
            told = self.of_triples(triples)  # [B, D, M, M, H]
            most = told.shape[3]
            own = torch.eye(most, dtype=torch.bool, device=told.device)[:, :, None]
            mean, largest = told.masked_fill(own, 0.0).sum(3) / max(most - 1, 1), told.masked_fill(own, -1.0).amax(3)
            told = torch.cat([mean, largest], -1)  # [B, D, M, 2 H], of k and candidate i, over all j
            index = candidates[..., None].expand(-1, -1, -1, found.shape[-1])
            cause, effect = (
                torch.zeros_like(found).scatter(2, index, project(told)) for project in (self.cause, self.effect)
            )
            # at [b, k, i]: the former is said of (i, k), the latter of (k, i)
            return found + cause.transpose(1, 2) + effect, Tables(count, scores, nearest)


class SingleChanges(nn.Module):
    """What each single cause more or less changes of how well a variable follows from its believed causes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(6, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, score: Tensor, tables: Tables) -> Tensor:
        """score: [B, D, D], log-odds that i is a cause of j -> [B, D, D, E]."""
        with torch.no_grad():
            eye = torch.eye(score.shape[1], dtype=torch.bool, device=score.device)
            best = score.masked_fill(eye, -torch.inf).transpose(1, 2)  # [b, k, i]
            best, parents = best.topk(min(PARENTS, score.shape[1] - 1), -1)
            active = best > 0
            # last each variable itself, which is known wherever it counts
            own = torch.arange(score.shape[1], device=score.device)[:, None].expand(len(score), -1, 1)
            asked = torch.cat([tables.nearest, own], 2)
            counts = tables.count(partial(count_with, candidates=asked, parents=parents, active=active))
            changes, member = _changes(counts, tables.nearest, parents, active, tables.scores)
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


def _nearest(single: Tensor) -> Tensor:
    """[B, D, D, 2], see `_gains` -> [B, D, M] int64."""
    eye = torch.eye(single.shape[1], dtype=torch.bool, device=single.device)
    known = single[..., 0].masked_fill(eye, -torch.inf).transpose(1, 2)  # [b, k, i]
    _, found = known.topk(min(NEAREST, single.shape[1] - 1), -1)
    return found


def _of_triples(single: Tensor, candidates: Tensor, triples: Tensor, scores: Scores) -> Tensor:
    """[B, D, M, M, 18] float32, of each variable k and two of its candidates i and j."""
    tasks, variables, most = candidates.shape
    kinds = scores.kinds[:, :, None, None].expand(-1, -1, most, most)
    of_candidates = _of_others(scores.kinds, candidates)
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


def _changes(
    counts: Tensor, candidates: Tensor, parents: Tensor, active: Tensor, scores: Scores
) -> tuple[Tensor, Tensor]:
    """How much better k is known by its believed causes with i than without.

    Args:
        counts: [B, D, M + 1, L^R, L, L], see `count_with`; the last is k itself.
        candidates: [B, D, M] int64, of each k.
        parents: [B, D, R] int64, of each k.
        active: [B, D, R] bool, which of them are believed.
        scores: of the table.

    Returns:
        [B, D, D, 2] at (i, k), in nats, 0 where i is no candidate; and which i are believed, [B, D, D] bool.
    """
    tasks, variables = scores.kinds.shape
    levels, slots, most = counts.shape[-1], parents.shape[2], candidates.shape[2]
    kinds = scores.kinds[:, :, None].expand(-1, -1, most)
    of_parents = torch.where(active, _of_others(scores.kinds, parents), 1)  # [B, D, R]
    combinations = of_parents.prod(-1)
    with_one = counts[:, :, :-1]
    added = scores(with_one.flatten(3, 4), kinds, combinations[..., None] * _of_others(scores.kinds, candidates))
    added = added - scores(with_one.sum(4), kinds, combinations[..., None])
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


def _of_others(x: Tensor, others: Tensor) -> Tensor:
    """Of [B, D] those of the others [B, D, S] of each variable: [B, D, S]."""
    return x.gather(1, others.flatten(1)).view(others.shape)


def _squeezed(nats: Tensor) -> Tensor:
    """float32, on a logarithmic scale."""
    return (torch.asinh(nats) / 2).float()
