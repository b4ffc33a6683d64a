"""Layers."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import DEGREE, edges_of, relabel, smallest


@attrs.frozen
class Layered(GraphSampler):
    """Variables lie in layers; edges lead from one layer to the next, and beyond only where that one is full.

    Source: this project.
    """

    name = "layered"

    degree: Draw = attrs.field(default=DEGREE, validator=within(0.0))
    """Expected edges per variable, drawn once per task; fewer where the layers leave no room."""
    layers: Draw = attrs.field(default=Draw(low=2.0, high=6.0), validator=within(1.0))
    """Layers, drawn once per task and rounded; some may be empty."""

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        layers = self.layers.sample((tasks, 1), rng).round()
        layer = (torch.rand(tasks, variables, generator=rng, device=rng.device) * layers).floor().sort(1).values
        ahead = layer[:, None] - layer[:, :, None]  # [B, D, D]
        shape = (tasks, variables, variables)
        score = ahead + torch.rand(shape, generator=rng, device=rng.device)
        open_ = (ahead > 0).sum((1, 2))[:, None, None]
        score = score.masked_fill(ahead <= 0, torch.inf)
        return relabel(smallest(score, edges_of(self.degree, tasks, variables, rng).minimum(open_)).triu(1), rng)
