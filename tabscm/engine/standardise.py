"""Put columns on one scale: the same for tables of the stream and for a user's table."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

LIMIT = 8.0
"""Standardised values beyond this many standard deviations are cut: one wild cell must not own the moments."""

BLOCK = 1 << 20
"""Rows of a long column that are standardised at one time."""


def standardise(x: Tensor, observed: Tensor | None = None) -> Tensor:
    """`standardise_exactly` in float32."""
    return standardise_exactly(x, observed).float()


def standardise_exactly(x: Tensor, observed: Tensor | None = None) -> Tensor:
    """Give every column mean 0 and standard deviation 1 over its observed rows, then cut at +-LIMIT.

    Args:
        x: [..., N, D] float, any finite scale; N rows.
        observed: [..., N, D] bool, False where a cell is missing; None when all are there.

    Returns:
        [..., N, D] in the type of `x`, unitless; 0 where not observed and in constant columns.
    """
    weight = torch.ones_like(x) if observed is None else observed.to(x.dtype)
    x = torch.where(weight > 0, x, torch.zeros_like(x))
    x = x / _largest(x, -2)
    count = weight.sum(-2, keepdim=True).clamp(min=1)
    centred = (x - x.sum(-2, keepdim=True) / count) * weight
    deviation = (centred.square().sum(-2, keepdim=True) / count).sqrt()
    # rounding leaves a constant column a deviation of about 1e-7 of its size: that is no signal
    smallest = 4 * torch.finfo(x.dtype).eps
    z = torch.where(deviation > smallest, centred / deviation.clamp(min=smallest), torch.zeros_like(centred))
    return z.clamp(-LIMIT, LIMIT)


def standardise_column(x: Tensor, rows: int = BLOCK) -> Iterator[tuple[Tensor, Tensor]]:
    """`standardise_exactly` of one long column, some rows at a time.

    Args:
        x: [N] float64, any finite scale, NaN where a cell is missing.
        rows: at one time.

    Yields:
        The next cells, unitless, 0 where not observed, and whether each is observed: [n] float64, [n] bool.
    """
    tiny = torch.finfo(x.dtype).tiny
    # what is missing stands for 0
    largest = max(float(part.nan_to_num(nan=0.0).abs().amax()) for part in torch.split(x, rows))
    unit = max(largest, tiny)

    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        for part in torch.split(x, rows):
            there = ~part.isnan()
            yield torch.where(there, part, 0.0) / unit, there

    count = max(1, sum(int(there.sum()) for _, there in parts()))
    mean = sum(float(part.sum()) for part, _ in parts()) / count
    spread = sum(float(((part - mean) * there).square().sum()) for part, there in parts())
    deviation = math.sqrt(spread / count)
    # rounding leaves a constant column a deviation of about 1e-7 of its size: that is no signal
    flat = deviation <= 4 * torch.finfo(x.dtype).eps
    for part, there in parts():
        z = torch.zeros_like(part) if flat else (part - mean) * there / deviation
        yield z.clamp(-LIMIT, LIMIT), there


def location_scale(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the last axis, without overflow however large the values are.

    Args:
        values: [..., N] float.

    Returns:
        mean, deviation: [..., 1] each, in the unit of `values`; the deviation of constant values is 0.
    """
    largest = _largest(values, -1)
    variance, mean = torch.var_mean(values / largest, dim=-1, keepdim=True, correction=0)
    return mean * largest, variance.sqrt() * largest


def _largest(values: Tensor, dim: int) -> Tensor:
    # squares of values above 1e19 overflow float32; strong linear weights reach that on deep graphs
    return values.abs().amax(dim, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
