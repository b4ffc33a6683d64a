"""Put columns on one scale: the same for tables of the stream and for a user's table."""

import torch
from torch import Tensor

LIMIT = 8.0
"""Standardised values beyond this many standard deviations are cut: one wild cell must not own the moments."""


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
