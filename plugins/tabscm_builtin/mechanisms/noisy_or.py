"""Gates."""

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Function, Mechanism, within
from tabscm_builtin.mechanisms._common import weighted_sum
from tabscm_builtin.mechanisms._levels import uniform


@attrs.frozen
class NoisyOr(Mechanism):
    """A binary variable that any of its parents can turn on: P(off | parents) = (1 - leak) prod of q_i over parents on.

    A parent is on where it is above its mean or, for some parents, below it; and off may be the higher number: with
    both turned round the gate is a noisy and. Small q and leak make it deterministic. A variable without parents is on
    with probability `prevalence`. Values are -1 and 1. Noise of any kind and scale is folded to a uniform variable.

    Source: Pearl 1988, "Probabilistic reasoning in intelligent systems", section 4.3.2.
    """

    name = "noisy-or"

    inhibition: Draw = attrs.field(default=Draw(low=0.001, high=0.7, scale="log"), validator=within(1e-6, 1.0))
    """q, the chance that a parent that is on does not turn the variable on."""
    leak: Draw = attrs.field(default=Draw(low=0.0005, high=0.2, scale="log"), validator=within(0.0, 1.0))
    """Chance that the variable is on when no parent is."""
    prevalence: Draw = attrs.field(default=Draw(low=0.01, high=0.5, scale="log"), validator=within(0.001, 0.999))
    """Chance that a variable without parents is on."""
    turned: float = attrs.field(default=0.3, validator=[ge(0.0), le(1.0)])
    """Chance that a parent counts as on below its mean, and that off is the higher number of the variable."""

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        nodes, slots = mask.shape
        log_q = (self.inhibition.sample((nodes, slots), rng).log() * mask)[:, :, None]
        leak = torch.where(
            mask.any(1, keepdim=True), self.leak.sample((nodes, 1), rng), self.prevalence.sample((nodes, 1), rng)
        )
        turn = torch.rand(nodes, slots + 1, generator=rng, device=rng.device) < self.turned
        below, on = turn[:, None, 1:], torch.where(turn[:, :1], -1.0, 1.0)

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            off = (1.0 - leak) * weighted_sum(((parents > 0.0) ^ below).float(), log_q).exp()
            return torch.where(uniform(noise) < off, -on, on)

        return function
