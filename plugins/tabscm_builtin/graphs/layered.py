"""Layers."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import DEGREE, DENSEST, density_of, relabel


@attrs.frozen
class Layered(GraphSampler):
    """Variables lie in layers; edges lead from one layer to the next, and a few skip layers.

    No layer is empty; beyond that every variable chooses its layer with equal chance. A pair of neighbouring layers
    carries an edge with probability p, a pair further apart with `skips` p, where p gives the expected degree. Where
    the layers are too small for it, edges are left out: neither probability goes above 0.8.

    Source: this project.
    """

    name = "layered"

    degree: Draw = attrs.field(default=DEGREE, validator=within(0.0))
    """Expected edges per variable; drawn once per task."""
    layers: Draw = attrs.field(default=Draw(choices=(2.0, 3.0, 4.0, 5.0)), validator=within(1.0))
    """Number of layers, rounded; drawn once per task. No more than there are variables; a single one has no edges."""
    skips: Draw = attrs.field(default=Draw.constant(0.05), validator=within(0.0, 1.0))
    """Chance of an edge that skips a layer or more, relative to that of one which does not."""

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        layers = self.layers.sample((tasks, 1), rng).round().clamp(max=variables)
        any_layer = torch.floor(torch.rand(tasks, variables, generator=rng, device=rng.device) * layers)
        number = torch.arange(variables, device=rng.device)
        layer = torch.where(number < layers, number, any_layer)  # [B, D]
        ahead = layer[:, None, :] - layer[:, :, None]  # [B, D, D], of j over i
        ratio = self.skips.sample((tasks, 1, 1), rng)
        chance = (ahead == 1) + ratio * (ahead > 1)  # relative
        wanted = density_of(self.degree, tasks, variables, rng) * (variables * (variables - 1) / 2)  # edges
        chance = chance * (wanted / chance.sum((1, 2), keepdim=True).clamp(min=1e-6)).clamp(max=DENSEST)
        return relabel(torch.rand(chance.shape, generator=rng, device=rng.device) < chance, rng)
