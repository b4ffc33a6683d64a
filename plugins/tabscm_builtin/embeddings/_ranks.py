"""Ranks of cells within their columns."""

import math

import torch
from torch import Tensor

from tabscm_builtin.embeddings._common import parts

RANKED = 1 << 20
"""Cells that are ranked at one time, which takes twenty times their memory."""
OUTERMOST = 1 - 2.0**-24
"""The largest float32 below 1: the first of more than 16 million rows would round to 1, whose quantile is infinite."""


def ranks(x: Tensor) -> Tensor:
    """`gaussian_rank` of [B, N, D], column by column where they are long."""
    tasks, rows, variables = x.shape
    if x.numel() <= RANKED:
        return gaussian_rank(x)
    found = torch.empty_like(x)
    for task in range(tasks):
        for part in parts(variables, RANKED // rows):
            found[task, :, part] = gaussian_rank(x[task, None, :, part])[0]
    return found


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
    normal = _normal(first + last + 1, rows)
    return torch.empty_like(normal).scatter_(-1, order, normal).transpose(1, 2)


def quantile_of_rank(counts: Tensor, rows: int) -> Tensor:
    """`gaussian_rank` of values of which each is there `counts` [K] times, in ascending order: [K] float32."""
    upto = counts.cumsum(0)
    return _normal(2 * upto - counts, rows)


def _normal(both: Tensor, rows: int) -> Tensor:
    """The standard normal quantile of a rank, by the first place that its value takes plus the one after the last."""
    share = (both.float() / rows - 1).clamp(-OUTERMOST, OUTERMOST)
    return math.sqrt(2) * torch.erfinv(share)
