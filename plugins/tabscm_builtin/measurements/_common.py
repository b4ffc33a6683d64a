"""What measurements share."""

import torch
from torch import Tensor


def rescale(values: Tensor, lost: Tensor) -> Tensor:
    """Bring every column to mean 0 and standard deviation 1 over the cells that are not lost.

    Args:
        values: [B, N, D], anything where lost.
        lost: [B, N, D] bool.

    Returns:
        [B, N, D], 0 where lost and in columns of one value.
    """
    values = values.masked_fill(lost, 0.0)
    count = (~lost).sum(1, keepdim=True).clamp(min=1)
    centred = (values - values.sum(1, keepdim=True) / count).masked_fill(lost, 0.0)
    deviation = (centred.square().sum(1, keepdim=True) / count).sqrt()
    flat = deviation <= 1e-6 * values.abs().amax(1, keepdim=True)
    return torch.where(flat, 0.0, centred / torch.where(flat, 1.0, deviation))
