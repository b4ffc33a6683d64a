"""Neighbours, and a few shortcuts."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import DEGREE, edges_of, orient, smallest


@attrs.frozen
class SmallWorld(GraphSampler):
    """Variables on a ring are joined to their nearest neighbours; a share of the edges then moves anywhere.

    Neighbours of neighbours are often neighbours (clusters), and a few shortcuts still make all paths short. Edges are
    directed along a random causal order, which knows nothing of the ring.

    Source: Watts and Strogatz 1998, doi:10.1038/30918; share of rewired edges as in AVICI, Lorch et al. 2022,
    arXiv:2205.12934. Differs: an edge that moves may move to any pair that the ring left open, instead of keeping one
    of its ends, so that none is lost by landing on another; the outermost neighbours are joined at random where the
    degree does not fill their ring.
    """

    name = "small-world"

    degree: Draw = attrs.field(default=DEGREE, validator=within(0.0))
    """Expected edges per variable; drawn once per task."""
    rewired: Draw = attrs.field(default=Draw(low=0.2, high=0.4), validator=within(0.0, 1.0))
    """Share of the edges that move; drawn once per task. At 0 all stay on the ring, at 1 none where there is room."""

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        place = torch.arange(variables, device=rng.device)
        apart = (place[:, None] - place).abs()
        steps = torch.minimum(apart, variables - apart)  # [D, D], around the ring
        shape = (tasks, variables, variables)
        edges = edges_of(self.degree, tasks, variables, rng)
        ring = smallest(steps + torch.rand(shape, generator=rng, device=rng.device), edges)
        moves = (torch.rand(shape, generator=rng, device=rng.device) < self.rewired.sample((tasks, 1, 1), rng)).triu(1)
        kept = ring & ~(moves | moves.mT)
        # a pair that an edge left is the last resort of another, and one that still has an edge is out of the question
        taken = ring.float() + kept
        moved = smallest(taken + torch.rand(shape, generator=rng, device=rng.device), (ring & moves).sum((1, 2), True))
        return orient(kept | moved, rng)
