"""What remains of a graph when some of its variables are not seen."""

import torch
from torch import Tensor


def project(adj: Tensor, shown: int) -> Tensor:
    """The graph over the first `shown` variables: an edge wherever a path has nothing but hidden variables inside.

    It is acyclic when `adj` is. Common causes that are hidden leave no edge.

    Args:
        adj: [B, D, D] bool, acyclic.
        shown: how many variables are seen.

    Returns:
        [B, shown, shown] bool.

    Source: the directed part of the latent projection, Verma and Pearl 1990, "Equivalence and synthesis of causal
    models", section 3.
    """
    direct = adj[:, :shown, :shown]
    out, inner, back = adj[:, :shown, shown:].float(), adj[:, shown:, shown:].float(), adj[:, shown:, :shown].float()
    reached = out
    for _ in range(adj.shape[1] - shown - 1):  # no path is longer than there are hidden variables
        further = ((reached @ inner) + out).clamp(max=1)
        if torch.equal(further, reached):
            break
        reached = further
    return direct | (reached @ back > 0)
