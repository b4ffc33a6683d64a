"""Random networks of one hidden layer."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import signed, weighted_sum


@attrs.frozen
class MLP(Mechanism):
    """A random network of one hidden layer: a v . tanh(W x + b) + noise, with |v| = 1.

    Source: the first of this project's streams. Differs: gain and amplitude a are drawn, and both layers normalised.
    """

    name = "mlp"
    additive = True

    hidden: int = attrs.field(default=8, validator=ge(1))
    """Hidden units."""
    gain: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """Standard deviation of a hidden unit's input: below 1 nearly linear, above 3 nearly a sum of steps."""
    amplitude: Draw = attrs.field(default=Draw(low=1.5, high=4.0), validator=within(0.0))
    """|a|."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        # by the number of parents, not by the norm: one parent alone must not weigh the same in every hidden unit
        gain = self.gain.sample((nodes, 1), rng) / mask.sum(1, keepdim=True).clamp(min=1).sqrt()  # [G, 1]
        inner = _normal(nodes, slots, self.hidden, rng) * (mask * gain)[:, :, None]
        bias = _normal(nodes, 1, self.hidden, rng)
        outer = _normal(nodes, self.hidden, 1, rng)
        outer = outer / outer.norm(dim=1, keepdim=True) * signed(self.amplitude, (nodes, 1, 1), rng)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            hidden = torch.bmm(parents, inner).add_(bias).tanh_()  # [G, N, hidden]
            return weighted_sum(hidden, outer).add_(noise)

        return function


def _normal(nodes: int, inputs: int, outputs: int, rng: torch.Generator) -> Tensor:
    return torch.randn(nodes, inputs, outputs, generator=rng, device=rng.device)
