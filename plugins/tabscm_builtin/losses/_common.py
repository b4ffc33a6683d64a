"""What losses on edges share."""

import torch
from torch import Tensor

SMALLEST = 1e-6
"""Smallest probability that is left to "no edge"; what two directions claim together may reach 1 in float32."""


def off_diagonal(values: Tensor) -> Tensor:
    """[..., D, D] with 0 on the diagonal."""
    others = ~torch.eye(values.shape[-1], dtype=torch.bool, device=values.device)
    return torch.where(others, values, torch.zeros_like(values))


def mean_off_diagonal(values: Tensor) -> Tensor:
    """Mean over ordered pairs i != j: [B, D, D] -> [B]; 0 for a single variable."""
    variables = values.shape[1]
    return off_diagonal(values).sum((1, 2)) / max(1, variables * (variables - 1))


def pair_log_likelihood(logits: Tensor, adj: Tensor) -> Tensor:
    """log q of the truth of every two variables, no edge, i -> j, or j -> i, in nats.

    q(i -> j) and q(j -> i) are the predicted probabilities and the rest, 1 - q(i -> j) - q(j -> i), is that of no edge;
    where both together are above 1, which the head `pair` cannot say, no edge has probability 1e-6.

    Args:
        logits: [..., D, D] log-odds.
        adj: bool, of a shape that spreads to it.

    Returns:
        [..., D, D], for two variables in one place or half in each, so that a sum over ordered pairs is that over two;
        the diagonal means nothing.
    """
    log_edge = torch.nn.functional.logsigmoid(logits)
    edge = log_edge.exp()
    log_none = (1 - edge - edge.mT).clamp(min=SMALLEST).log()
    return torch.where(adj | adj.mT, log_edge * adj, log_none / 2)


def smooth(adj: Tensor, smoothing: float) -> Tensor:
    """The probability that a loss aims at: bool -> float32 of the same shape, 1 - s/2 where True, s/2 elsewhere.

    Source: label smoothing, Szegedy et al. 2016, arXiv:1512.00567, section 7, for two classes.
    """
    return adj * (1 - smoothing) + smoothing / 2
