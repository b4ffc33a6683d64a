"""What graph samplers share: how dense a degree is, how a skeleton becomes a graph, and how labels are shuffled."""

import torch
from torch import Tensor

from tabscm import Draw

DEGREE = Draw(low=1.0, high=3.0)
"""Expected edges per variable, where the experiment does not say otherwise."""

DENSEST = 0.8
"""Largest share of the pairs that carry an edge: in a small table a degree soon asks for every pair, which leaves no
missing edge to learn from."""


def density_of(degree: Draw, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
    """Draw a degree for each task: the share of the unordered pairs that it asks for, [B, 1, 1] in [0, DENSEST]."""
    return (2 * degree.sample((tasks, 1, 1), rng) / max(variables - 1, 1)).clamp(max=DENSEST)


def edges_of(degree: Draw, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
    """Draw a degree for each task: the number of edges that it asks for, [B, 1, 1], fractions rounded at random."""
    pairs = variables * (variables - 1) / 2
    edges = density_of(degree, tasks, variables, rng) * pairs
    return torch.floor(edges + torch.rand(edges.shape, generator=rng, device=rng.device))


def smallest(score: Tensor, count: Tensor) -> Tensor:
    """Choose the `count` pairs of each task whose scores are the smallest.

    Args:
        score: [B, D, D], of which only the upper triangle is read.
        count: [B, 1, 1].

    Returns:
        [B, D, D] bool, symmetric: a skeleton.
    """
    variables = score.shape[1]
    i, j = torch.triu_indices(variables, variables, 1, device=score.device)
    skeleton = torch.zeros_like(score, dtype=torch.bool)
    skeleton[:, i, j] = score[:, i, j].argsort(1).argsort(1) < count[:, 0]
    return skeleton | skeleton.mT


def orient(skeleton: Tensor, rng: torch.Generator) -> Tensor:
    """Direct every edge along a random causal order, and rename the variables.

    Args:
        skeleton: [B, D, D] bool, symmetric.

    Returns:
        [B, D, D] bool, acyclic.
    """
    return relabel(relabel(skeleton, rng).triu(1), rng)


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
