"""Weighted sums."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import STRENGTH, weighted_sum, weights


@attrs.frozen
class Linear(Mechanism):
    """A weighted sum: sum w x + noise.

    The weights are not normalised: how strongly a variable follows its parents is part of what a linear model says.

    Source: the first of this project's streams.
    """

    name = "linear"
    additive = True
    homogeneous = True

    strength: Draw = attrs.field(default=STRENGTH, validator=within(0.0))
    """|w| of each parent; its sign is random."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        w = weights(self.strength, mask, rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            return weighted_sum(parents, w).add_(noise)

        return function
