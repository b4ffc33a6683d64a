"""How much of the causal order a trivial rule reads off a table: what a network must beat to have understood anything.

Letters: T tables, N rows, D variables.
"""

import torch
from torch import Tensor

from tabscm.kernel.shapes import expect


def r2_sortability(x: Tensor, adj: Tensor) -> Tensor:
    """Share of causal paths that lead to a variable which the others explain better than the variable at their start.

    v = sum over k = 1..D-1 of sum over (s, t) with a path of length k from s to t of [R2_s < R2_t], a tie counting
    half, over the number of such (k, s, t). 0.5 is chance; at 1 sorting the variables by R2 gives the causal order,
    at 0 sorting them the other way does. Unlike the variances, R2 survives standardising.

    Args:
        x: [T, N, D] float, any scale.
        adj: [T, D, D] bool, the true graphs, acyclic.

    Returns:
        [T] float64 in [0, 1]; NaN without edges, and with no more rows than variables, where R2 is 1 throughout.

    Source: Reisach et al. 2023, arXiv:2303.18211, section 3 (the criterion) and 3.1 (R2).
    """
    sizes = expect(adj, "T D D", what="adj", dtype=torch.bool)
    expect(x, "T N D", what="x", T=sizes["T"], D=sizes["D"])
    if x.shape[1] <= sizes["D"]:
        return x.new_full((sizes["T"],), torch.nan, dtype=torch.float64)
    return _rising(linear_r2(x), adj)


def var_sortability(x: Tensor, adj: Tensor) -> Tensor:
    """The same of the variance in place of R2: how much of the causal order the scale of raw data gives away.

    Args:
        x: [T, N, D] float, on its own scale; standardised columns leave 0.5.
        adj: [T, D, D] bool, the true graphs, acyclic.

    Returns:
        [T] float64 in [0, 1]; NaN without edges.

    Source: Reisach et al. 2021, arXiv:2102.13647, section 3.2. Differs: paths are counted as in `r2_sortability`.
    """
    sizes = expect(adj, "T D D", what="adj", dtype=torch.bool)
    expect(x, "T N D", what="x", T=sizes["T"], D=sizes["D"])
    return scale_sortability(x.double().std(1, correction=0), adj)


def scale_sortability(scales: Tensor, adj: Tensor) -> Tensor:
    """`var_sortability` of tables that were standardised, when the scales they had are known.

    Args:
        scales: [T, D] float, the standard deviations.
        adj: [T, D, D] bool, the true graphs, acyclic.

    Returns:
        [T] float64 in [0, 1]; NaN without edges.
    """
    sizes = expect(adj, "T D D", what="adj", dtype=torch.bool)
    expect(scales, "T D", what="scales", T=sizes["T"], D=sizes["D"])
    return _rising(scales.double(), adj)


def _rising(criterion: Tensor, adj: Tensor) -> Tensor:
    """Share of causal paths along which a criterion [T, D] rises from the first variable to the last: [T]."""
    rises = criterion[:, None, :] - criterion[:, :, None]  # [T, D, D], at [s, t] by how much that of t is larger
    in_order = (rises > 0).double() + (rises == 0).double() / 2
    edges = adj.double()
    reached, right, total = edges, torch.zeros_like(criterion[:, 0]), torch.zeros_like(criterion[:, 0])
    for _ in range(adj.shape[-1] - 1):
        right += (reached * in_order).sum((1, 2))
        total += reached.sum((1, 2))
        reached = (reached @ edges > 0).double()
    return right / total


def linear_r2(x: Tensor) -> Tensor:
    """Share of the variance of each variable that a linear regression on all the others explains.

    R2_j = 1 - 1 / (C^-1)_jj with the correlation matrix C.

    Args:
        x: [T, N, D] float, more rows than variables.

    Returns:
        [T, D] float64 in [0, 1]; 0 for a variable that does not vary.
    """
    centred = x.double() - x.double().mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).sqrt()
    z = torch.where(deviation > 0, centred / deviation.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    correlation = z.transpose(1, 2) @ z / x.shape[1]  # [T, D, D]
    # a diagonal of ones also for constant columns, and a trifle more: copies of a column leave nothing to invert
    eye = torch.eye(x.shape[2], dtype=torch.float64, device=x.device)
    correlation = torch.where(eye > 0, 1 + 1e-9, correlation)
    precision: Tensor = torch.linalg.inv(correlation).diagonal(dim1=1, dim2=2)
    return (1 - precision.reciprocal()).clamp(0, 1)
