"""What losses on edges share."""

import torch
from torch import Tensor


def mean_off_diagonal(values: Tensor) -> Tensor:
    """Mean over ordered pairs i != j: [B, D, D] -> [B]; 0 for a single variable."""
    variables = values.shape[1]
    others = ~torch.eye(variables, dtype=torch.bool, device=values.device)
    return torch.where(others, values, torch.zeros_like(values)).sum((1, 2)) / max(1, variables * (variables - 1))


def smooth(adj: Tensor, smoothing: float) -> Tensor:
    """The probability that a loss aims at: bool -> float32 of the same shape, 1 - s/2 where True, s/2 elsewhere.

    Source: label smoothing, Szegedy et al. 2016, arXiv:1512.00567, section 7, for two classes.
    """
    return adj * (1 - smoothing) + smoothing / 2
