"""Learned cross-moments: pairs of columns meet before anything is squeezed."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import attrs
import torch
from attrs.validators import deep_iterable, ge, gt, min_len
from torch import Tensor, nn

from tabscm import Embedding, Encoder, Evidence, Table
from tabscm_builtin.embeddings._common import channels
from tabscm_builtin.embeddings._independence import (
    CURVES,
    LEAST,
    both_ways,
    curves,
    dependence,
    regress,
    spread,
    together,
)
from tabscm_builtin.encoders._common import block_diagonal
from tabscm_builtin.encoders.triangle import Triangle

LARGEST = 0.9999
"""Largest coefficient whose Fisher transform is taken: that of 1, on the diagonal, is infinite."""
CELLS = {"cpu": 1 << 15, "cuda": 1 << 22}
"""Cells that are in memory as features at one time, where no gradient is needed: few enough for the cache of a CPU
(measured: twice as fast as 2**20), many enough to keep a GPU busy."""
Piece = TypeVar("Piece")

RIDGE = 0.003
"""Added to the penalties of all regressors in a residual step."""
RANKED = 1 << 20
"""Cells that are ranked at one time, which takes twenty times their memory."""


@attrs.frozen
class CrossMoment(Embedding):
    """Learned moments of every pair of columns, refined by residuals of learned predictions.

    A small network phi turns each cell into m features f; the moment of a pair is C_ij = mean over rows of
    f_i (outer) f_j, centred: a learned kernel cross-covariance, which keeps what the joint distribution of two columns
    says of their direction. A residual step reads the pairs reasoned over so far, predicts each column from the
    others, xhat_j = sum_i f_i w_ij, takes features of (x_j, xhat_j) and adds their moments: regress, then test for
    independence, learned. Sums over rows only, so that their order does not matter; where no gradient is needed, rows
    are read in pieces, and memory does not grow with their number.

    Source: this project; the residual step unrolls regress-then-test as in Hoyer et al. 2008 (additive noise models).
    """

    name = "cross-moment"
    gives = frozenset({"pairs"})
    features: int = attrs.field(default=8, validator=ge(1))
    """m, features of a cell; moments cost m^2 per pair."""
    steps: int = attrs.field(default=2, validator=ge(0))
    """Residual steps."""
    predictions: int = attrs.field(default=8, validator=ge(1))
    """Learned predictions of each column in a residual step."""
    hidden: int = attrs.field(default=64, validator=ge(1))
    """Hidden units of phi."""
    ridges: tuple[float, ...] = attrs.field(default=(0.05, 0.003), validator=[min_len(1), deep_iterable(gt(0))])
    """Added to the diagonal of the correlation matrix before it is inverted, once each: the smaller, the finer what
    strong dependence leaves is told apart, and the less it is to be trusted in few rows."""
    independence: bool = True
    """Ask of every two variables whether what a regression leaves depends on what went in: on one another at first, and
    in each residual step on what by then are believed to be the causes."""
    between: Encoder = Triangle()
    """Reasons over the pairs before each residual step."""

    def build(self, width: int) -> nn.Module:
        return _CrossMoment(self, width)


class _CrossMoment(nn.Module):
    def __init__(self, spec: CrossMoment, width: int) -> None:
        super().__init__()
        m = spec.features
        self.ridges = spec.ridges
        self.phi = nn.Sequential(
            nn.Linear(4, spec.hidden),
            nn.Hardswish(),
            nn.Linear(spec.hidden, spec.hidden),
            nn.Hardswish(),
            nn.Linear(spec.hidden, m),
        )
        self.moments = _Moments(m, width)
        self.linear = nn.Linear(4 + 2 * len(spec.ridges), width, bias=False)
        self.asymmetry = _from_zero(4 * (CURVES + 1), width) if spec.independence else None
        self.diagonal = nn.Parameter(torch.randn(width) * 0.1)
        self.steps = nn.ModuleList(_ResidualStep(spec, width) for _ in range(spec.steps))

    def forward(self, table: Table) -> Evidence:
        pieces = self._pieces(table)
        variables = table.x.shape[2]
        own = torch.eye(variables, device=table.x.device)[:, :, None] * self.diagonal  # [D, D, E]
        pairs = self.moments(_each(pieces.features, lambda piece: piece[1])) + self._linear(table) + own
        if self.asymmetry is not None:
            pairs = pairs + self._asymmetry(table, pieces)
        evidence = Evidence(nodes=block_diagonal(pairs), pairs=pairs)
        for step in self.steps:
            evidence = step(evidence, pieces, table.x.shape[1])
        return evidence

    def _asymmetry(self, table: Table, pieces: "_Pieces") -> Tensor:
        """Whether what either of two variables leaves of the other depends on it: [B, D, D, E]."""
        assert self.asymmetry is not None
        moments = cross_moments(
            _each(pieces.cells, lambda cells: torch.cat([cells[..., :1], curves(cells[..., 0])], -1))
        )
        with torch.autocast(table.x.device.type, enabled=False):
            found = torch.cat([dependence(moments, 0, slice(1, 1 + CURVES), 0), spread(moments)], -1)
            pairs: Tensor = self.asymmetry(both_ways(found, table.x.shape[1]))
        return pairs

    def _linear(self, table: Table) -> Tensor:
        """[B, D, D, E]; in float32, for in bfloat16 correlations of .99 and .995 are the same."""
        evidence = linear_evidence(table.x, self.ridges)
        with torch.autocast(evidence.device.type, enabled=False):
            pairs: Tensor = self.linear(evidence)
        return pairs

    def _pieces(self, table: Table) -> "_Pieces":
        """The table in one piece where it is small or a gradient needs all of it at once; else in many."""
        tasks, rows, variables = table.x.shape
        most = CELLS.get(table.x.device.type, CELLS["cpu"])
        ranks = _ranks(table.x)
        if not torch.is_grad_enabled() and table.x.numel() > most:
            cells = _Cells(table, ranks, max(1, most // (tasks * variables)))
            return _Pieces(cells, _Features(cells, self.phi))
        whole = _Cells(table, ranks, rows).piece(0)
        return _Pieces([whole], [(whole, self.phi(whole))])


class _Pieces(NamedTuple):
    """A table some rows at a time, as often as one iterates."""

    cells: Iterable[Tensor]
    """What is known of each cell: [B, n, D, 4], value, intervened, observed, rank."""
    features: Iterable[tuple[Tensor, Tensor]]
    """The same, and what phi makes of it: [B, n, D, m]."""


def _each(pieces: Iterable[Piece], work: Callable[[Piece], Tensor]) -> Iterable[Tensor]:
    """What `work` makes of each piece: of those in a list at once, for torch.compile, else one by one."""
    return [work(piece) for piece in pieces] if isinstance(pieces, list) else map(work, pieces)


class _Cells:
    """The cells of some rows at a time, made anew in each iteration."""

    def __init__(self, table: Table, ranks: Tensor, rows: int) -> None:
        self.table = table
        self.ranks = ranks
        self.rows = rows

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.piece, range(0, self.table.x.shape[1], self.rows))

    def piece(self, first: int) -> Tensor:
        """The cells from row `first` on."""
        part = slice(first, first + self.rows)
        table = Table(self.table.x[:, part], self.table.intervened[:, part], self.table.observed[:, part])
        return torch.cat([channels(table), self.ranks[:, part, :, None]], -1)


class _Features:
    """Cells and their features, made anew in each iteration."""

    def __init__(self, cells: _Cells, phi: nn.Module) -> None:
        self.cells = cells
        self.phi = phi

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for cells in self.cells:
            yield cells, self.phi(cells)


class _ResidualStep(nn.Module):
    def __init__(self, spec: CrossMoment, width: int) -> None:
        super().__init__()
        self.features = spec.features
        self.between = spec.between.build(width)
        self.weigh = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, spec.features * spec.predictions))
        self.regression = _Regression(width) if spec.independence else None
        self.psi = nn.Sequential(
            nn.Linear(4 + spec.predictions + spec.independence, spec.hidden),
            nn.Hardswish(),
            nn.Linear(spec.hidden, spec.features, bias=False),  # moments are centred: a bias would have no effect
        )
        self.moments = _Moments(spec.features, width)

    def forward(self, evidence: Evidence, pieces: "_Pieces", rows: int) -> Evidence:
        evidence = self.between(evidence)
        assert evidence.pairs is not None
        tasks, variables = evidence.pairs.shape[:2]
        others = 1 - torch.eye(variables, device=evidence.pairs.device)
        weights = self.weigh(evidence.pairs) * (others / math.sqrt(variables))[:, :, None]  # [B, D, D, m r]
        weights = weights.view(tasks, variables, variables, self.features, -1).transpose(2, 3)
        weights = weights.reshape(tasks, variables * self.features, -1)  # [B, D m, D r]
        pairs, left = evidence.pairs, None
        if self.regression is not None:
            left = self.regression.fit(evidence.pairs, pieces)
            pairs = pairs + self.regression(left, pieces, rows)
        residuals = _each(pieces.features, lambda piece: self._residual(*piece, weights, left))
        pairs = pairs + self.moments(residuals)
        return attrs.evolve(evidence, nodes=block_diagonal(pairs), pairs=pairs)

    def _residual(self, cells: Tensor, features: Tensor, weights: Tensor, left: "_Left | None") -> Tensor:
        """Features of what `weights` [B, D m, D r] leave unexplained: [B, n, D, m]."""
        predicted = features.flatten(2) @ weights.to(features.dtype)  # [B, n, D r]
        known = [cells.to(predicted.dtype), predicted.view(*cells.shape[:3], -1)]
        if left is not None:
            known.append(left.of(cells)[..., None].to(predicted.dtype))
        found: Tensor = self.psi(torch.cat(known, -1))
        return found


@attrs.define(eq=False)  # torch.compile cannot trace what attrs writes for frozen classes
class _Left:
    """What linear regressions leave of every variable."""

    score: Tensor  # [B, D, D], log-odds that i is a cause of j
    weights: Tensor  # [B, D, D], of i in the regression of j
    scale: Tensor  # [B, 1, D], deviation of what is left

    def of(self, cells: Tensor) -> Tensor:
        """[B, n, D, 4] -> [B, n, D], of deviation 1."""
        x = cells[..., 0]
        with torch.autocast(x.device.type, enabled=False):
            return (x - x @ self.weights) / self.scale


class _Regression(nn.Module):
    """Regress every variable on its believed causes, and see whether what is left depends on anything."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.believe = nn.Linear(width, 1)
        self.project = _from_zero(4 * (2 + 4 * CURVES) + 4, width)

    def fit(self, pairs: Tensor, pieces: "_Pieces") -> _Left:
        """pairs: [B, D, D, E]."""
        score = self.believe(self.norm(pairs))[..., 0].float()  # [B, D, D]
        correlation = cross_moments(_each(pieces.cells, lambda cells: cells[..., :1]))[..., 0, 0]
        with torch.autocast(pairs.device.type, enabled=False):
            weights = regress(correlation, score, RIDGE)
            explained = (weights * (2 * correlation - correlation @ weights)).sum(1, keepdim=True)
            own = correlation.diagonal(dim1=1, dim2=2)[:, None]  # [B, 1, D]; below 1 where cells are missing
            return _Left(score, weights, (own - explained).clamp(min=LEAST).sqrt())

    def forward(self, left: _Left, pieces: "_Pieces", rows: int) -> Tensor:
        """[B, D, D, E]."""
        moments = cross_moments(_each(pieces.cells, lambda cells: self._columns(cells, left)))
        of_values, of_rest = slice(2, 2 + CURVES), slice(2 + CURVES, 2 + 2 * CURVES)
        with torch.autocast(moments.device.type, enabled=False):
            found = torch.cat(
                [
                    moments[..., :2, 1],  # correlations of x_i, and of what is left of i, with what is left of j
                    dependence(moments, 0, of_values, 1),
                    dependence(moments, 1, of_rest, 1),
                    together(moments, of_values, of_rest),
                    together(moments, of_rest, of_rest),
                ],
                -1,
            )
            beliefs = torch.stack([left.score.sigmoid(), left.weights], -1)
            beliefs = torch.cat([beliefs, beliefs.transpose(1, 2)], -1)
            pairs: Tensor = self.project(torch.cat([both_ways(found, rows), beliefs], -1))
        return pairs

    @staticmethod
    def _columns(cells: Tensor, left: _Left) -> Tensor:
        """[B, n, D, 4] -> [B, n, D, 2 + 2 K]: values, what is left of them, and the curves of both."""
        x, rest = cells[..., 0], left.of(cells)
        return torch.cat([x[..., None], rest[..., None], curves(x), curves(rest)], -1)


def _from_zero(channels: int, width: int) -> nn.Linear:
    """A projection that adds nothing at first."""
    projection = nn.Linear(channels, width, bias=False)
    nn.init.zeros_(projection.weight)
    return projection


class _Moments(nn.Module):
    """Cross-moments of cell features, as pair evidence."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features**2)
        self.project = nn.Linear(features**2, width)

    def forward(self, features: Iterable[Tensor]) -> Tensor:
        """Pieces of features [B, n, D, m] -> [B, D, D, E]."""
        evidence: Tensor = self.project(self.norm(cross_moments(features).flatten(3)))
        return evidence


def cross_moments(features: Iterable[Tensor]) -> Tensor:
    """Centred second moments over rows between the features of every two columns.

    Args:
        features: pieces of rows, at least one: [B, n, D, m] each.

    Returns:
        [B, D, D, m, m] float32; [b, i, j, k, l] = mean over rows of f_ik f_jl, minus the product of their means.
    """
    rows, pieces = 0, 0
    for piece in features:
        tasks, length, variables, m = piece.shape
        with torch.autocast(piece.device.type, enabled=False):
            flat = piece.float().flatten(2)  # [B, n, D m]
            if not pieces:
                # near the mean of all rows: what is left to subtract in the end is small, and costs no digits
                pivot = flat.mean(1, keepdim=True)
            flat = flat - pivot
            product = flat.mT @ flat  # [B, D m, D m]
            if not pieces:
                products = product
            elif pieces == 1:
                products, sums = products.double() + product, flat.sum(1).double()  # those of the first piece are 0
            else:
                products += product
                sums += flat.sum(1)
        rows, pieces = rows + length, pieces + 1
    with torch.autocast(products.device.type, enabled=False):
        moments = products / rows
        if pieces > 1:
            mean = sums / rows
            moments = (moments - mean[:, :, None] * mean[:, None]).float()
    return moments.view(tasks, variables, m, variables, m).transpose(2, 3)  # [B, D, D, m, m]


def linear_evidence(x: Tensor, ridges: Sequence[float]) -> Tensor:
    """What second moments of the values themselves say of every pair.

    A cell that is missing is 0 like one at the mean of its column, and all rows count: missing cells draw correlations
    towards 0, and leave on the diagonal the share of a column that is there.

    Args:
        x: [B, N, D] standardised, 0 where not observed.
        ridges: added to the diagonal before inverting, once each; > 0.

    Returns:
        [B, D, D, 4 + 2 R] float32, R the number of ridges: the correlation, the normalised precision under each ridge,
        the Fisher transforms of all these, log10 of the number of rows less 2, and log10 of that of variables less 1.
    """
    rows, variables = x.shape[1:]
    with torch.autocast(x.device.type, enabled=False):
        correlation = x.mT @ x / rows
        both = [correlation]
        for ridge in ridges:
            # of a positive definite matrix; checking that it has an inverse would wait for the device
            precision = torch.linalg.inv_ex(correlation + ridge * torch.eye(variables, device=x.device)).inverse
            scale = torch.diagonal(precision, dim1=1, dim2=2).rsqrt()
            both.append(precision * scale[:, :, None] * scale[:, None, :])
        coefficients = torch.stack(both, -1)  # [B, D, D, 1 + R]
        # filled on the device: a number sent there would be waited for
        sizes = torch.stack(
            [torch.full((), size, device=x.device) for size in (math.log10(rows) - 2, math.log10(variables) - 1)]
        )
        fisher = torch.atanh(coefficients.clamp(-LARGEST, LARGEST))
        return torch.cat([coefficients, fisher, sizes.expand(*correlation.shape, 2)], -1)


def _ranks(x: Tensor) -> Tensor:
    """`gaussian_rank` of [B, N, D], column by column where they are long."""
    tasks, rows, variables = x.shape
    if x.numel() <= RANKED:
        return gaussian_rank(x)
    ranks = torch.empty_like(x)
    columns = max(1, RANKED // rows)
    for task in range(tasks):
        for first in range(0, variables, columns):
            part = slice(first, first + columns)
            ranks[task, :, part] = gaussian_rank(x[task, None, :, part])[0]
    return ranks


def gaussian_rank(x: Tensor) -> Tensor:
    """Each value's rank within its column, as a standard normal quantile; ties share their mean rank.

    Args:
        x: [B, N, D], 0 where not observed: missing cells are ranked as values at the mean are.

    Returns:
        [B, N, D] float32, unitless.
    """
    rows = x.shape[1]
    place = torch.arange(rows, device=x.device)
    ordered, order = x.transpose(1, 2).sort(-1)  # [B, D, N]
    # the first and the last place that an equal value takes, so that the order of rows cannot matter
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = torch.where(new, place, 0).cummax(-1).values
    last = torch.where(new.roll(-1, -1), place, rows).flip(-1).cummin(-1).values.flip(-1)
    normal = math.sqrt(2) * torch.erfinv((first + last + 1).float() / rows - 1)
    return torch.empty_like(normal).scatter_(-1, order, normal).transpose(1, 2)
