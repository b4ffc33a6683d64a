"""What graph samplers share."""

import torch
from torch import Tensor


def relabel(adj: Tensor, rng: torch.Generator) -> Tensor:
    """Rename the variables of each graph at random, so that labels carry no causal order.

    Args:
        adj: [B, D, D] bool.

    Returns:
        [B, D, D] bool, the same graphs with rows and columns permuted together.
    """
    tasks, variables, _ = adj.shape
    order = torch.rand(tasks, variables, generator=rng, device=rng.device).argsort(1)
    adj = adj.gather(1, order[:, :, None].expand_as(adj))
    return adj.gather(2, order[:, None, :].expand_as(adj))
