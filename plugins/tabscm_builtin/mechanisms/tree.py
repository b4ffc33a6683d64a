"""Decision trees."""

import math

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import deal


@attrs.frozen
class Tree(Mechanism):
    """A sum of random decision trees: flat within boxes, with jumps between them; plus noise.

    All splits of one level of a tree ask the same question, is x above t: a tree of depth d asks d questions, and the
    answers name one of 2^d leaves. The questions of all trees take turns with the parents, in random order, so that
    every parent has its say; where there are more parents than questions, some share one and their mean counts.

    Source: the tree-based part of the prior of TabICL, Qu et al. 2025, arXiv:2502.05564, with the symmetric trees of
    CatBoost, Prokhorenkova et al. 2018, arXiv:1706.09516. Differs: questions and leaves are drawn, nothing is fitted.
    """

    name = "tree"
    additive = True

    trees: int = attrs.field(default=4, validator=ge(1))
    """Trees that add up."""
    depth: int = attrs.field(default=3, validator=[ge(1), le(6)])
    """Questions of one tree: how many parents may interact in it."""
    threshold: Draw = Draw(low=-1.0, high=1.0)
    """t, in standard deviations of what is asked about."""
    amplitude: Draw = attrs.field(default=Draw(low=1.5, high=3.5), validator=within(0.0))
    """Standard deviation of the sum of the leaves, one of each tree."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes = len(mask)
        asked = deal(mask, self.trees * self.depth, rng)  # [G, P, S]
        t = self.threshold.sample((nodes, 1, self.trees * self.depth), rng)
        size = self.amplitude.sample((nodes, 1, 1, 1), rng) / math.sqrt(self.trees)
        leaves = torch.randn(nodes, 1, self.trees, 2**self.depth, generator=rng, device=rng.device) * size
        # which leaf of which tree an answer leads to: [S, trees], powers of 2
        digits = torch.exp2(torch.arange(self.depth, device=rng.device))[:, None]
        digits = torch.kron(torch.eye(self.trees, device=rng.device), digits)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            answers = (torch.bmm(parents, asked) > t).float()  # [G, N, S]
            leaf = (answers @ digits).long()[:, :, :, None]  # [G, N, trees, 1]
            values = leaves.expand(-1, noise.shape[1], -1, -1).gather(3, leaf)
            return values.sum((2, 3)).add_(noise)

        return function
