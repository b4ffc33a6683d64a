"""What mechanisms share: random weights, the weighted sum of the parents, who takes part where, smooth functions."""

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Mechanism

STRENGTH = Draw(low=0.5, high=2.0)
"""Size of a weight, where the experiment does not say otherwise."""

TRIAL_ROWS = 64
"""Rows on which the mean and deviation of a smooth function are measured."""


def adds_noise(_: object, field: "attrs.Attribute[Mechanism]", of: Mechanism) -> None:
    """A validator: `of` adds its noise, and so does each part of it."""
    for part, _ in of.parts:
        if not part.additive:
            raise ValueError(f"{field.name} must be a mechanism that adds its noise, and {part.name} does not")


def signed(size: Draw, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Draw numbers of the given size, with either sign: float32 of `shape`."""
    sign = torch.empty(shape, device=rng.device).uniform_(-0.5, 0.5, generator=rng)
    return size.sample(shape, rng).copysign_(sign)


def weights(size: Draw, mask: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a weight of either sign for each parent: [G, P, 1], 0 where the slot holds no parent."""
    return (signed(size, tuple(mask.shape), rng) * mask)[:, :, None]


def unit_weights(size: Draw, mask: Tensor, rng: torch.Generator) -> Tensor:
    """Draw weights [G, P, 1] of norm 1, so that a node's weighted sum of independent unit parents has unit variance."""
    return torch.nn.functional.normalize(weights(size, mask, rng), dim=1)


def weighted_sum(parents: Tensor, weights: Tensor) -> Tensor:
    """Sum over slots: parents [G, N, P], weights [G, P, 1] -> [G, N]."""
    return torch.bmm(parents, weights).squeeze(2)  # adding noise afterwards is three times as fast as baddbmm


def deal(mask: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Deal the parents to S = `count` seats, or the seats to the parents where there are more seats, in random order.

    Args:
        mask: [G, P] bool, which slots hold a parent.
        count: S.

    Returns:
        weights [G, P, S]: 1 for the parent that has a seat, less where several parents share it. P seats in a row hold
        P different parents.
    """
    shuffled = torch.rand(mask.shape, generator=rng, device=rng.device) + 2.0 * ~mask
    place = shuffled.argsort(1).argsort(1)[:, :, None]  # [G, P, 1], parents come first
    seat = torch.arange(count, device=rng.device)
    turn = seat % mask.sum(1, keepdim=True).clamp(min=1)  # [G, S]
    dealt = ((place == turn[:, None]) | (place % count == seat)) & mask[:, :, None]
    return dealt / dealt.sum(1, keepdim=True).clamp(min=1).sqrt()


def smooth(mask: Tensor, length: Draw, features: int, rng: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Draw a smooth function of the parents for each node, as of a Gaussian process, of mean 0 and deviation 1.

    sum_k w_k cos(v_k . x + b_k) over K features, with w and v normal and b uniform. As K grows it becomes a Gaussian
    process with covariance exp(-|x - y|^2 / (2 length^2 P)). P, the number of parents, is there because squared
    distances grow with it: a function of many parents would be white noise without. Mean and deviation are those over
    standard normal parents: some samples are nearly flat, and an edge that does nothing is no edge.

    Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines", algorithm 1. Differs: every sample
    is standardised.

    Args:
        mask: [G, P] bool, which slots hold a parent.
        length: distance over which a function of one parent changes, in standard deviations of the parent.
        features: K.

    Returns:
        f(parents [G, N, P]) -> [G, N]; 0 where a node has no parents.
    """
    nodes, slots = mask.shape
    scale = length.sample((nodes, 1), rng) * mask.sum(1, keepdim=True).clamp(min=1).sqrt()  # [G, 1]
    frequency = torch.randn(nodes, slots, features, generator=rng, device=rng.device) * (mask / scale)[:, :, None]
    return waves(mask, frequency, rng)


def waves(mask: Tensor, frequency: Tensor, rng: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Draw a sum of waves for each node, of mean 0 and deviation 1 over standard normal parents; see `smooth`.

    Args:
        mask: [G, P] bool, which slots hold a parent.
        frequency: [G, P, K], in radians per deviation of a parent; 0 where the slot holds none.

    Returns:
        f(parents [G, N, P]) -> [G, N]; 0 where a node has no parents.
    """
    nodes, slots, features = frequency.shape
    device = rng.device
    phase = 2.0 * math.pi * torch.rand(nodes, 1, features, generator=rng, device=device)
    outer = torch.randn(nodes, features, 1, generator=rng, device=device)

    def each(parents: Tensor) -> Tensor:
        return torch.bmm(parents, frequency).add_(phase).cos_()  # [G, N, K]

    trial = weighted_sum(each(torch.randn(nodes, TRIAL_ROWS, slots, generator=rng, device=device)), outer)
    mean = trial.mean(1, keepdim=True)
    deviation = (trial - mean).square().mean(1, keepdim=True).sqrt().clamp(min=1e-4)
    unit = mask.any(1, keepdim=True) / deviation  # [G, 1]
    outer, mean = outer * unit[:, :, None], mean * unit

    def function(parents: Tensor) -> Tensor:
        return weighted_sum(each(parents), outer).sub_(mean)

    return function
