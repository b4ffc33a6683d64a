"""Several mechanisms within one table."""

from itertools import accumulate

import attrs
import torch
from attrs.validators import min_len
from torch import Tensor

from tabscm import Function, Mechanism, Ramp, Weighted


@attrs.frozen
class Mixture(Mechanism):
    """Each variable of a table draws its own mechanism, by weight.

    Where `[[stream.mechanisms]]` lists several mechanisms, a table has one for all its variables; a mixture lets them
    differ within a table.

    Source: this project.
    """

    name = "mixture"

    of: tuple[Weighted[Mechanism], ...] = attrs.field(validator=min_len(1))
    """The mechanisms, with constant weights."""

    def __attrs_post_init__(self) -> None:
        for part in self.of:
            if part.weight != Ramp.constant(part.weight.start):
                raise ValueError(f"the weight of {part.component.name} must be one number: a mixture knows no steps")
            if part.weight.start < 0:
                raise ValueError(f"the weight of {part.component.name} must be at least 0, found {part.weight.start}")
        if not sum(part.weight.start for part in self.of) > 0:
            raise ValueError("needs at least one weight above 0")

    @property
    def parts(self) -> tuple[tuple[Mechanism, float], ...]:
        """Its mechanisms, those of mixtures within it one by one."""
        return tuple(
            (inner, part.weight.start * share / sum(weight for _, weight in part.component.parts))
            for part in self.of
            for inner, share in part.component.parts
        )

    def draw(self, mask: Tensor, rng: torch.Generator) -> Function:
        ends = list(accumulate(part.weight.start for part in self.of))
        borders = torch.tensor(ends[:-1], device=rng.device) / ends[-1]
        choice = torch.bucketize(torch.rand(len(mask), generator=rng, device=rng.device), borders, right=True)  # [G]
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
