"""Second moments over rows, of tables that may be too long to hold more than their values. Letters: as in a table."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

LARGEST = 1 - 1e-9
"""Largest coefficient whose Fisher transform is taken: that of 1, on the diagonal, is infinite."""
TOGETHER = 32
"""Pieces that are added up in float32 before they join a sum in float64, which is slower."""
BLOCK = 128
"""Columns whose products are taken at one time where no gradient is needed: of more blocks less is computed twice,
and the smaller each is."""
AT_ONCE = 1 << 14
"""Rows that are in float64 at one time."""


class Sums:
    """What pieces of rows add up to: second moments of m columns of each of D variables."""

    def __init__(self) -> None:
        self.rows = self.pieces = 0
        self.recent: list[Tensor] = []  # sums, and products by blocks, of the latest pieces
        self.total: list[Tensor] = []  # sums and all products in float64, of all before

    def add(self, piece: Tensor) -> None:
        """Take the next rows: [B, n, D, m]."""
        self.shape = piece.shape
        with torch.autocast(piece.device.type, enabled=False):
            flat = piece.float().flatten(2)  # [B, n, D m]
            if not self.pieces:
                # near the mean of all rows: what is left to subtract in the end is small, and costs no digits
                self.pivot = flat.mean(1, keepdim=True)
                # torch.compile, which trains, would make a graph of its own for each number of blocks
                at_once = torch.is_grad_enabled() or flat.shape[2] <= BLOCK
                self.blocks = [(slice(None), slice(None))] if at_once else self._blocks()
            flat = flat - self.pivot
            blocks = [(flat[:, :, rows].mT, flat[:, :, columns]) for rows, columns in self.blocks]
            if not self.recent:
                # the sums of the first piece are 0
                sums = flat.sum(1) if self.pieces else torch.zeros_like(flat[:, 0])
                self.recent = [sums, *(left @ right for left, right in blocks)]
            else:
                self.recent[0] += flat.sum(1)
                for products, (left, right) in zip(self.recent[1:], blocks, strict=True):
                    products.baddbmm_(left, right)
        self.rows, self.pieces = self.rows + piece.shape[1], self.pieces + 1
        if self.pieces % TOGETHER == 0:
            self._settle()

    def join(self, other: "Sums") -> "Sums":
        """The sums of the rows of both."""
        self._settle()
        other._settle()
        both = type(self)()
        both.shape, both.pivot = self.shape, self.pivot
        both.rows, both.pieces = self.rows + other.rows, self.pieces + other.pieces
        # those of the other, about the pivot of this one
        step = (other.pivot - self.pivot).double()  # [B, 1, D m]
        sums, products = other.total
        moved = step.mT * sums[:, None]
        products = products + moved + moved.mT + other.rows * (step.mT * step)
        both.total = [self.total[0] + sums + other.rows * step[:, 0], self.total[1] + products]
        return both

    def moments(self) -> Tensor:
        """[B, D, D, m, m] float32; [b, i, j, k, l] = mean over rows of f_ik f_jl, minus the product of their means."""
        with torch.autocast(self.pivot.device.type, enabled=False):
            if self.pieces == 1:
                moments = self._whole(self.recent[1:]) / self.rows
            else:
                self._settle()
                sums, products = (total / self.rows for total in self.total)
                moments = (products - sums[:, :, None] * sums[:, None]).float()
        return self._by_variables(moments)

    def _blocks(self) -> Sequence[tuple[slice, slice]]:
        """Rows and columns of the products [D m, D m] that are added up; what lies across the diagonal is the same."""
        width = self.shape[2] * self.shape[3]
        each = math.ceil(width / math.ceil(width / BLOCK))
        return [(slice(first, first + each), slice(first, None)) for first in range(0, width, each)]

    def _by_variables(self, products: Tensor) -> Tensor:
        """[B, D m, D m] -> [B, D, D, m, m]."""
        tasks, _, variables, m = self.shape
        return products.view(tasks, variables, m, variables, m).transpose(2, 3)

    def _whole(self, products: Sequence[Tensor]) -> Tensor:
        """All products [B, D m, D m] from those by blocks."""
        if len(products) == 1:
            return products[0]
        width = self.pivot.shape[2]
        whole = self.pivot.new_zeros(len(self.pivot), width, width)
        for (rows, columns), found in zip(self.blocks, products, strict=True):
            whole[:, columns, rows] = found.mT
            whole[:, rows, columns] = found
        return whole

    def _settle(self) -> None:
        if self.recent:
            recent = [value.double() for value in (self.recent[0], self._whole(self.recent[1:]))]
            self.total = [old + new for old, new in zip(self.total, recent, strict=True)] if self.total else recent
            self.recent = []


class SumsOfCurves(Sums):
    """The same of x and what is left of it, and of K curves of each: what is asked about curves, and nothing else.

    Pieces are [B, n, 2 + 2 K, D], x, what is left, and then each curve of the one before that of the other. Moments are
    those of x and of what is left with everything, and those of curves of one kind; the others are 0 or anything.
    """

    def _blocks(self) -> Sequence[tuple[slice, slice]]:
        m, variables = self.shape[2:]
        alike = [slice(first * variables, (first + 2) * variables) for first in range(2, m, 2)]
        return [(slice(None), slice(0, 2 * variables)), *((kind, kind) for kind in alike)]

    def _by_variables(self, products: Tensor) -> Tensor:
        tasks, _, m, variables = self.shape
        return products.view(tasks, m, variables, m, variables).permute(0, 2, 4, 1, 3)


def cross_moments(features: Iterable[Tensor]) -> Tensor:
    """Centred second moments over rows between the features of every two columns.

    Args:
        features: pieces of rows, at least one: [B, n, D, m] each.

    Returns:
        [B, D, D, m, m] float32, see `Sums.moments`.
    """
    sums = Sums()
    for piece in features:
        sums.add(piece)
    return sums.moments()


def linear_evidence(correlation: Tensor, rows: int, ridges: Sequence[float]) -> Tensor:
    """What second moments of the values themselves say of every pair.

    A cell that is missing is 0 like one at the mean of its column, and all rows count: missing cells draw correlations
    towards 0, and leave on the diagonal the share of a column that is there.

    Args:
        correlation: [B, D, D] float64, mean over rows of x_i x_j, of standardised x, 0 where not observed.
        rows: N.
        ridges: added to the diagonal before inverting, once each; > 0.

    Returns:
        [B, D, D, 4 + 4 R] float32, R the number of ridges: the correlation, the normalised precision under each ridge,
        the Fisher transforms of all these, log10 of the number of rows less 2, log10 of that of variables less 1, and
        under each ridge the logarithm of the deviation that all others leave of i, then of j.
    """
    variables, device = correlation.shape[1], correlation.device
    with torch.autocast(device.type, enabled=False):
        both, left = [correlation], []
        for ridge in ridges:
            # of a positive definite matrix; checking that it has an inverse would wait for the device
            penalty = ridge * torch.eye(variables, dtype=correlation.dtype, device=device)
            precision = torch.linalg.inv_ex(correlation + penalty).inverse
            scale = torch.diagonal(precision, dim1=1, dim2=2).rsqrt()
            both.append(precision * scale[:, :, None] * scale[:, None, :])
            left.append(scale.log())
        coefficients = torch.stack(both, -1)  # [B, D, D, 1 + R]
        # in float64, in which .9999999 is not 1
        fisher = torch.atanh(coefficients.clamp(-LARGEST, LARGEST))
        # filled on the device: a number sent there would be waited for; and there a logarithm is taken of it, for
        # torch.compile makes a graph of its own for each size that Python does more than arithmetic with
        sizes = torch.stack([torch.full((), size, device=device) for size in (rows / 100, variables / 10)])
        sizes = sizes.log10().expand(*correlation.shape, 2)
        unexplained = torch.stack(left, -1)  # [B, D, R]
        of_both = torch.cat(
            [unexplained[:, :, None].expand(-1, -1, variables, -1), unexplained[:, None].expand(-1, variables, -1, -1)],
            -1,
        )
        return torch.cat([coefficients.float(), fisher.float(), sizes, of_both.float()], -1)


def gram(x: Tensor) -> Tensor:
    """x^T x [B, D, D] float64 of [B, N, D]: what follows from it must not hang on the order of the rows.

    In float64 because it is inverted, and columns may nearly follow from one another.
    """
    with torch.autocast(x.device.type, enabled=False):
        total = torch.zeros(len(x), x.shape[2], x.shape[2], dtype=torch.float64, device=x.device)
        for piece in torch.split(x, AT_ONCE, 1):
            wide = piece.double()
            total = total + wide.mT @ wide
        return total
