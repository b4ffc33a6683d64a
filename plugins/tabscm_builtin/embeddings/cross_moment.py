"""Learned cross-moments: pairs of columns meet before anything is squeezed."""

import math
from collections.abc import Callable, Iterable
from functools import partial, reduce

import attrs
import torch
from attrs.validators import deep_iterable, ge, gt, min_len, optional
from torch import Tensor, nn

from tabscm import Embedding, Encoder, Evidence, Rows, Table
from tabscm_builtin.embeddings._common import asinh, parts
from tabscm_builtin.embeddings._families import Counted, Families, SingleChanges
from tabscm_builtin.embeddings._independence import (
    CURVES,
    both_ways,
    curves,
    dependence,
    spread,
    together,
)
from tabscm_builtin.embeddings._knots import WIDTH, Elsewhere, knots, knots_elsewhere
from tabscm_builtin.embeddings._levels import Levels, Tally, borders, borders_elsewhere, levels_by_rows
from tabscm_builtin.embeddings._moments import Sums, SumsOfCurves, gram, linear_evidence
from tabscm_builtin.embeddings._pieces import Binned, Piece, Pieces, cells_of
from tabscm_builtin.embeddings._ranks import ranks
from tabscm_builtin.embeddings._regression import UNEXPLAINED, regress, single_changes
from tabscm_builtin.embeddings._threads import cores, on_all_cores
from tabscm_builtin.encoders._common import block_diagonal
from tabscm_builtin.encoders.triangle import Triangle

MOST_LEVELS = 8
"""As which a column is read: L^5 combinations are counted."""
WHOLE = 1 << 15
"""Cells up to which a table is read at once."""
LONG = 200_000
"""Rows above which features are those of bins, see `_knots`."""
CELLS = {"cpu": 1 << 16, "cuda": 1 << 22}
"""Cells of a larger one that are made into features at one time, where no gradient is needed: few enough for the
cache of a CPU, many enough to keep its cores or a GPU busy."""
Reading = Callable[[Iterable[Piece]], tuple[Sums | Tally, ...]]
"""What is added up of the pieces of a table; can be sent to where they lie."""
Total = Callable[[Reading], tuple[Tensor, ...]]
"""The moments of a reading over the whole table."""


def _none_or_few(_: object, field: "attrs.Attribute[int]", levels: int) -> None:
    if levels != 0 and not 2 <= levels <= MOST_LEVELS:
        raise ValueError(f"{field.name} must be 2 to {MOST_LEVELS}, or 0 for none, found {levels}")


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
    additive = True
    features: int = attrs.field(default=8, validator=ge(1))
    """m, features of a cell; moments cost m^2 per pair."""
    steps: int = attrs.field(default=2, validator=ge(0))
    """Residual steps."""
    predictions: int = attrs.field(default=8, validator=ge(1))
    """Learned predictions of each column in a residual step."""
    hidden: int = attrs.field(default=64, validator=ge(1))
    """Hidden units of phi."""
    ridges: tuple[float, ...] = attrs.field(
        default=(0.05, 0.003, 1e-4, 1e-6, 1e-8), validator=[min_len(1), deep_iterable(gt(0))]
    )
    """Added to the diagonal of the correlation matrix before it is inverted, once each: the smaller, the finer what
    strong dependence leaves is told apart, and the less it is to be trusted in few rows."""
    penalty: float = attrs.field(default=1e-8, validator=gt(0))
    """Added to the penalties of all regressors in a residual step, in shares of their variance: the smaller, the better
    a regression parts causes that nearly follow from one another."""
    independence: bool = True
    """Ask of every two variables whether what a regression leaves depends on what went in: on one another at first, and
    in each residual step on what by then are believed to be the causes."""
    levels: int = attrs.field(default=0, validator=_none_or_few)
    """L: read every column as so many levels besides, count how often they occur together, and score every variable
    given one or two others and, where `independence` is asked for too, given its believed causes with one more or less.
    For discrete tables, in which causes may do together what neither does alone; 0 does without. Counts are of L^5
    combinations for each variable and each of 25 others; all rows count, whatever `surest` says."""
    surest: int | None = attrs.field(default=None, validator=optional(ge(2)))
    """Rows beyond which no moment counts as surer, so that a long table looks like one of so many rows: for what was
    trained on few."""
    between: Encoder = Triangle()
    """Reasons over the pairs before each residual step."""

    def build(self, width: int) -> nn.Module:
        return _CrossMoment(self, width)


class _CrossMoment(nn.Module):
    def __init__(self, spec: CrossMoment, width: int) -> None:
        super().__init__()
        m = spec.features
        self.ridges = spec.ridges
        self.surest = spec.surest
        self.phi = nn.Sequential(
            nn.Linear(4, spec.hidden),
            nn.Hardswish(),
            nn.Linear(spec.hidden, spec.hidden),
            nn.Hardswish(),
            nn.Linear(spec.hidden, m),
        )
        self.moments = _OfMoments(m, width)
        self.linear = nn.Linear(4 + 4 * len(spec.ridges), width, bias=False)
        self.asymmetry = _from_zero(4 * (CURVES + 1), width) if spec.independence else None
        self.levels = spec.levels
        self.families = Families(width) if spec.levels else None
        self.diagonal = nn.Parameter(torch.empty(width))
        if not self.diagonal.is_meta:  # there torch would import its compiler, and torch.normal would draw on the host
            nn.init.normal_(self.diagonal, std=0.1)
        self.steps = nn.ModuleList(_ResidualStep(spec, width) for _ in range(spec.steps))

    def forward(self, table: Table) -> Evidence:
        pieces = self._pieces(table)
        correlation = gram(table.x) / table.x.shape[1]
        cuts = borders(table, self.levels) if self.levels else None
        return self._evidence(lambda reading: _moments(_read(reading, pieces)), correlation, table.x.shape[1], cuts)

    def read(self, rows: Rows) -> Evidence:
        """The same of a table whose rows lie elsewhere."""
        # of a short table nothing is rounded, as in `_pieces`
        elsewhere = knots_elsewhere(rows, self.phi, width=WIDTH if rows.count > LONG else 0.0)
        correlation = rows.fold(_gram, torch.add, Tensor.clone) / rows.count
        cuts = borders_elsewhere(rows, self.levels) if self.levels else None
        return self._evidence(
            lambda reading: rows.fold(_OfPiece(elsewhere, reading), _joined, _moments), correlation, rows.count, cuts
        )

    def _evidence(self, total: Total, correlation: Tensor, rows: int, cuts: Tensor | None) -> Evidence:
        """correlation: [B, D, D] float64, that of `linear_evidence`; cuts: [B, D, L - 1], see `borders`."""
        counted = None
        if self.families is not None and cuts is not None and correlation.shape[1] > 1:
            of_families, counted = self.families(partial(_count, total=total, cuts=cuts), rows)
        rows = rows if self.surest is None else min(rows, self.surest)
        independence = self.asymmetry is not None
        of_features, *of_curves = total(partial(_first, curved=independence))
        own = torch.eye(correlation.shape[1], device=correlation.device)[:, :, None] * self.diagonal  # [D, D, E]
        pairs = self.moments(of_features) + self._linear(correlation, rows) + own
        if self.asymmetry is not None:
            (moments,) = of_curves
            with torch.autocast(moments.device.type, enabled=False):
                found = torch.cat([dependence(moments, 0, slice(1, 1 + CURVES), 0), spread(moments)], -1)
                pairs = pairs + self.asymmetry(both_ways(found, rows))
        if counted is not None:
            pairs = pairs + of_families
        evidence = Evidence(nodes=block_diagonal(pairs), pairs=pairs)
        for step in self.steps:
            evidence = step(evidence, total, correlation, rows, counted)
        return evidence

    def _linear(self, correlation: Tensor, rows: int) -> Tensor:
        """[B, D, D, E]; in float32, for in bfloat16 correlations of .99 and .995 are the same."""
        evidence = linear_evidence(correlation, rows, self.ridges)
        with torch.autocast(evidence.device.type, enabled=False):
            pairs: Tensor = self.linear(evidence)
        return pairs

    def _pieces(self, table: Table) -> Iterable[Piece]:
        """The table in one piece where it is small or a gradient needs all of it at once; else in many."""
        tasks, rows, variables = table.x.shape
        if torch.is_grad_enabled() or table.x.numel() <= WHOLE:
            cells = cells_of(table, ranks(table.x))
            features: Tensor = self.phi(cells)
            return [(cells, lambda: features)]  # a list, for torch.compile
        most = CELLS.get(table.x.device.type, CELLS["cpu"]) // (tasks * variables)
        some = parts(rows, most)
        return (
            Binned(table, knots(table, self.phi), some)
            if rows > LONG
            else Pieces(table, self.phi, some, ranks(table.x))
        )


@attrs.frozen
class _OfPiece:
    """A reading of rows that lie elsewhere: what is done with each piece there."""

    elsewhere: Elsewhere
    reading: Reading

    def __call__(self, piece: Table) -> tuple[Sums | Tally, ...]:
        most = CELLS["cpu"] // piece.x.shape[2]
        return _read(self.reading, Binned(piece, self.elsewhere.of(piece), parts(piece.x.shape[1], most)))


def _read(reading: Reading, pieces: Iterable[Piece]) -> tuple[Sums | Tally, ...]:
    """What a reading adds up over all pieces."""
    if not isinstance(pieces, Binned):
        return reading(pieces)
    device = pieces.table.x.device
    shares = pieces.shares(cores(device, len(pieces.parts)))
    return reduce(_joined, on_all_cores(reading, shares, device=device))


def _joined(first: tuple[Sums | Tally, ...], second: tuple[Sums | Tally, ...]) -> tuple[Sums | Tally, ...]:
    return tuple(one.join(other) for one, other in zip(first, second, strict=True))  # type: ignore[arg-type]


def _moments(sums: tuple[Sums | Tally, ...]) -> tuple[Tensor, ...]:
    return tuple(one.moments() for one in sums)


def _gram(piece: Table) -> Tensor:
    return gram(piece.x)


def _count(counting: Callable[[Levels], Tensor], *, total: Total, cuts: Tensor) -> Tensor:
    """What `counting` makes of the levels of some rows, over the whole table."""
    (counts,) = total(partial(_counted, counting=counting, cuts=cuts))
    return counts


def _counted(pieces: Iterable[Piece], *, counting: Callable[[Levels], Tensor], cuts: Tensor) -> tuple[Tally]:
    tally = Tally()
    with torch.autocast(cuts.device.type, enabled=False):  # in bfloat16 no number above 256 is counted to
        for levels in levels_by_rows((cells for cells, _ in pieces), cuts):
            tally.add(counting(levels))
    return (tally,)


def _first(pieces: Iterable[Piece], *, curved: bool) -> tuple[Sums, ...]:
    """Features of cells, and where it is asked for their values with curves of these."""
    of_features, of_curves = Sums(), Sums()
    for cells, features in pieces:
        of_features.add(features())
        if curved:
            of_curves.add(torch.stack([cells[..., 0], *curves(cells[..., 0])], -1))
    return (of_features, of_curves) if curved else (of_features,)


class _ResidualStep(nn.Module):
    def __init__(self, spec: CrossMoment, width: int) -> None:
        super().__init__()
        self.features = spec.features
        self.between = spec.between.build(width)
        self.weigh = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, spec.features * spec.predictions))
        self.regression = _Regression(spec.penalty, width) if spec.independence else None
        self.psi = nn.Sequential(
            nn.Linear(4 + spec.predictions + spec.independence, spec.hidden),
            nn.Hardswish(),
            nn.Linear(spec.hidden, spec.features, bias=False),  # moments are centred: a bias would have no effect
        )
        self.moments = _OfMoments(spec.features, width)
        self.changes = SingleChanges(width) if spec.levels and spec.independence else None

    def forward(
        self, evidence: Evidence, total: Total, correlation: Tensor, rows: int, counted: Counted | None
    ) -> Evidence:
        evidence = self.between(evidence)
        assert evidence.pairs is not None
        tasks, variables = evidence.pairs.shape[:2]
        others = 1 - torch.eye(variables, device=evidence.pairs.device)
        weights = self.weigh(evidence.pairs) * (others / math.sqrt(variables))[:, :, None]  # [B, D, D, m r]
        weights = weights.view(tasks, variables, variables, self.features, -1).transpose(2, 3)
        weights = weights.reshape(tasks, variables * self.features, -1)  # [B, D m, D r]
        pairs, left = evidence.pairs, None
        if self.regression is not None:
            left = self.regression.fit(evidence.pairs, correlation, rows)
        of_residuals, *of_curves = total(partial(self._read, weights=weights, left=left))
        if self.regression is not None and left is not None:
            pairs = pairs + self.regression(left, *of_curves, rows)
            if self.changes is not None and counted is not None:
                pairs = pairs + self.changes(left.score, counted)
        pairs = pairs + self.moments(of_residuals)
        return attrs.evolve(evidence, nodes=block_diagonal(pairs), pairs=pairs)

    def _read(self, pieces: Iterable[Piece], *, weights: Tensor, left: "_Left | None") -> tuple[Sums, ...]:
        """What `weights` [B, D m, D r] leave unexplained, and what linear regressions do with its curves."""
        of_residuals, of_curves = Sums(), SumsOfCurves()
        for cells, features in pieces:
            rest = None
            if left is not None:
                rest = left.of(cells[..., 0])
                of_curves.add(_with_curves(cells[..., 0], rest))
            of_residuals.add(self._residual(cells, features(), weights, rest))
        return (of_residuals,) if left is None else (of_residuals, of_curves)

    def _residual(self, cells: Tensor, features: Tensor, weights: Tensor, rest: Tensor | None) -> Tensor:
        """Features of what `weights` [B, D m, D r] leave unexplained: [B, n, D, m]."""
        predicted = features.flatten(2) @ weights.to(features.dtype)  # [B, n, D r]
        known = [cells.to(predicted.dtype), predicted.view(*cells.shape[:3], -1)]
        if rest is not None:
            known.append(rest[..., None].to(predicted.dtype))
        found: Tensor = self.psi(torch.cat(known, -1))
        return found


@attrs.define(eq=False)  # torch.compile cannot trace what attrs writes for frozen classes
class _Left:
    """What linear regressions leave of every variable."""

    score: Tensor  # [B, D, D], log-odds that i is a cause of j
    weights: Tensor  # [B, D, D] float64, of i in the regression of j
    scale: Tensor  # [B, 1, D] float64, deviation of what is left
    changes: Tensor  # [B, D, D, 4], see `single_changes`

    def of(self, x: Tensor) -> Tensor:
        """[B, n, D] -> [B, n, D] float32, of deviation 1; in float64, for weights of causes that nearly follow from one
        another are large, and what is left is small."""
        with torch.autocast(x.device.type, enabled=False):
            wide = x.double()
            return ((wide - wide @ self.weights) / self.scale).float()


class _Regression(nn.Module):
    """Regress every variable on its believed causes, and see whether what is left depends on anything."""

    def __init__(self, penalty: float, width: int) -> None:
        super().__init__()
        self.penalty = penalty
        self.norm = nn.LayerNorm(width)
        self.believe = nn.Linear(width, 1)
        self.project = _from_zero(4 * (2 + 4 * CURVES) + 6, width)
        self.change = _from_zero(8, width)

    def fit(self, pairs: Tensor, correlation: Tensor, rows: int) -> _Left:
        """pairs: [B, D, D, E]; correlation: [B, D, D] float64, over so many rows."""
        score = self.believe(self.norm(pairs))[..., 0].float()  # [B, D, D]
        with torch.autocast(pairs.device.type, enabled=False):
            regressions = regress(correlation, score, self.penalty)
            weights = regressions.weights
            explained = (weights * (2 * correlation - correlation @ weights)).sum(1, keepdim=True)
            own = correlation.diagonal(dim1=1, dim2=2)[:, None]  # [B, 1, D]; below 1 where cells are missing
            scale = (own - explained).clamp(min=UNEXPLAINED).sqrt()
            changes = single_changes(correlation, regressions, rows)
            return _Left(score, weights, scale, changes)

    def forward(self, left: _Left, moments: Tensor, rows: int) -> Tensor:
        """From moments [B, D, D, 2 + 2 K, 2 + 2 K] of `_with_curves`: [B, D, D, E]."""
        of_values, of_rest = slice(2, None, 2), slice(3, None, 2)
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
            unexplained = left.scale.log().float().expand_as(left.score)
            # weights of causes that nearly follow from one another are large
            beliefs = torch.stack([left.score.sigmoid(), asinh(left.weights.float()), unexplained], -1)
            beliefs = torch.cat([beliefs, beliefs.transpose(1, 2)], -1)
            pairs: Tensor = self.project(torch.cat([both_ways(found, rows), beliefs], -1))
            changes: Tensor = self.change(torch.cat([left.changes, left.changes.transpose(1, 2)], -1))
        return pairs + changes


def _with_curves(x: Tensor, rest: Tensor) -> Tensor:
    """Values [B, n, D], what is left of them, and the curves of both by turns: [B, n, 2 + 2 K, D]."""
    both = torch.stack([x, rest], 2)
    return torch.cat([both, *curves(both)], 2)


def _from_zero(channels: int, width: int) -> nn.Linear:
    """A projection that adds nothing at first."""
    projection = nn.Linear(channels, width, bias=False)
    nn.init.zeros_(projection.weight)
    return projection


class _OfMoments(nn.Module):
    """Cross-moments of cell features, as pair evidence."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features**2)
        self.project = nn.Linear(features**2, width)

    def forward(self, moments: Tensor) -> Tensor:
        """[B, D, D, m, m] -> [B, D, D, E]."""
        evidence: Tensor = self.project(self.norm(moments.flatten(3)))
        return evidence
