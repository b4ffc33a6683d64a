"""Several mechanisms within one table."""

import attrs
import torch
from attrs.validators import min_len
from torch import Tensor

from tabscm import Function, Mechanism, Weighted, constant_shares, pick


@attrs.frozen
class Mixture(Mechanism):
    """Each variable of a table draws its own mechanism, by weight.

    Where `[[stream.mechanisms]]` lists several mechanisms, a table has one for all its variables; a mixture lets them
    differ within a table.

    Source: this project.
    """

    name = "mixture"

    of: tuple[Weighted[Mechanism], ...] = attrs.field(validator=[min_len(1), constant_shares])
    """The mechanisms, with constant weights, such as ["linear", { use = "mlp", weight = 2.0 }]."""

    @property
    def parts(self) -> tuple[tuple[Mechanism, float], ...]:
        """Its mechanisms, those of mixtures within it one by one."""
        return tuple(
            (inner, part.weight.start * share / sum(weight for _, weight in part.component.parts))
            for part in self.of
            for inner, share in part.component.parts
        )

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        choice = pick(self.of, (len(mask),), rng)  # [G]
        functions = []
        for index, part in enumerate(self.of):
            nodes = (choice == index).nonzero().squeeze(1)
            if len(nodes):
                functions.append((nodes, part.component.draw(mask[nodes], rng)))

        def function(parents: Tensor, noise: Tensor) -> Tensor:
            values = torch.empty_like(noise)
            for nodes, of_part in functions:
                values[nodes] = of_part(parents[nodes], noise[nodes])
            return values

        return function
