"""Communities."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import DEGREE, DENSEST, density_of, relabel


@attrs.frozen
class Blocks(GraphSampler):
    """Variables fall into blocks; edges are many within a block and few between blocks.

    A pair within a block carries an edge with probability p, a pair between blocks with `between` p, where p gives the
    expected degree. Where blocks are too small for it, what does not fit within them goes between them. The causal
    order knows nothing of the blocks.

    Source: the stochastic block model, Holland et al. 1983, doi:10.1016/0378-8733(83)90021-7; numbers as in AVICI,
    Lorch et al. 2022, arXiv:2205.12934. Differs: every variable chooses its block with equal chance.
    """

    name = "blocks"

    degree: Draw = attrs.field(default=DEGREE, validator=within(0.0))
    """Expected edges per variable; drawn once per task."""
    blocks: Draw = attrs.field(default=Draw(choices=(2.0, 5.0, 10.0)), validator=within(1.0))
    """Number of blocks, some of which may stay empty; drawn once per task, and rounded down."""
    between: Draw = attrs.field(default=Draw.constant(0.1), validator=within(0.0, 1.0))
    """Chance of an edge between two blocks, relative to that within one; at 1 every pair is alike."""

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        blocks = torch.floor(self.blocks.sample((tasks, 1), rng))
        block = torch.floor(torch.rand(tasks, variables, generator=rng, device=rng.device) * blocks)  # [B, D]
        same = (block[:, :, None] == block[:, None, :]).triu(1)
        apart = torch.ones_like(same).triu(1) & ~same
        inner, outer = (pairs.sum((1, 2), keepdim=True) for pairs in (same, apart))  # [B, 1, 1]
        wanted = density_of(self.degree, tasks, variables, rng) * (inner + outer)  # edges
        ratio = self.between.sample((tasks, 1, 1), rng)
        within_one = (wanted / (inner + ratio * outer).clamp(min=1e-6)).clamp(max=DENSEST)
        # `between` times as likely, and more where the blocks are full
        between_two = (wanted - within_one * inner) / outer.clamp(min=1)
        edge = torch.rand(same.shape, generator=rng, device=rng.device) < torch.where(same, within_one, between_two)
        return relabel(edge & (same | apart), rng)
