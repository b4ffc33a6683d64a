"""What mechanisms share: random weights, and the weighted sum of the parents."""

import torch
from torch import Tensor

from tabscm import Draw

STRENGTH = Draw(low=0.5, high=2.0)
"""Size of a weight, where the experiment does not say otherwise."""


def signed(size: Draw, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Draw numbers of the given size, with either sign: float32 of `shape`."""
    sign = torch.rand(shape, generator=rng, device=rng.device) - 0.5
    return size.sample(shape, rng).copysign(sign)


def weights(size: Draw, mask: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a weight of either sign for each parent: [G, P, 1], 0 where the slot holds no parent."""
    return (signed(size, tuple(mask.shape), rng) * mask)[:, :, None]


def unit_weights(size: Draw, mask: Tensor, rng: torch.Generator) -> Tensor:
    """Draw weights [G, P, 1] of norm 1, so that a node's weighted sum of independent unit parents has unit variance."""
    return torch.nn.functional.normalize(weights(size, mask, rng), dim=1)


def weighted_sum(parents: Tensor, weights: Tensor) -> Tensor:
    """Sum over slots: parents [G, N, P], weights [G, P, 1] -> [G, N]."""
    return torch.bmm(parents, weights).squeeze(2)  # adding noise afterwards is three times as fast as baddbmm
