"""Products of the parents."""

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import signed


@attrs.frozen
class Multiplicative(Mechanism):
    """A product with a factor for each parent: a prod (1 + w tanh x), to which the noise is added, or which it scales.

    One parent decides how strongly the others act, or turns them round. Weights are divided by the root of the number
    of parents, and tanh keeps one outlier from deciding the scale of a whole column.

    Source: this project.
    """

    name = "multiplicative"

    strength: Draw = attrs.field(default=Draw(low=0.6, high=1.5), validator=within(0.0))
    """|w| of a single parent; its sign is random."""
    amplitude: Draw = attrs.field(default=Draw(low=1.0, high=3.0), validator=within(0.0))
    """a."""
    scaled: float = attrs.field(default=0.3, validator=[ge(0), le(1)])
    """Share of the variables whose product is multiplied by 1 + noise, instead of the noise being added."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        count = mask.sum(1, keepdim=True).clamp(min=1)
        w = (signed(self.strength, (nodes, slots), rng) * mask / count.sqrt())[:, None]  # [G, 1, P]
        a = self.amplitude.sample((nodes, 1), rng) * mask.any(1, keepdim=True)
        scaled = torch.rand(nodes, 1, generator=rng, device=rng.device) < self.scaled
        scaled = scaled & mask.any(1, keepdim=True)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            product = a * torch.addcmul(torch.ones_like(w), w, parents.tanh()).prod(2)  # [G, N]
            return torch.where(scaled, product * (1 + noise), product + noise)

        return function
