"""Near and far."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import DEGREE, edges_of, orient, smallest


@attrs.frozen
class Geometric(GraphSampler):
    """Variables are points in a cube; those that lie nearer than a radius are joined.

    Edges are directed along a random causal order, which knows nothing of where the points lie.

    Source: Gilbert 1961, "Random plane networks", doi:10.1137/0109045; used by AVICI, Lorch et al. 2022,
    arXiv:2205.12934. Differs: the radius of each graph is the one that gives the number of edges its degree asks for.
    """

    name = "geometric"

    degree: Draw = attrs.field(default=DEGREE, validator=within(0.0))
    """Expected edges per variable; drawn once per task."""
    dimensions: int = attrs.field(default=2, validator=ge(1))
    """Dimensions of the cube: the fewer, the more often neighbours of a variable are neighbours of each other."""

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        points = torch.rand(tasks, variables, self.dimensions, generator=rng, device=rng.device)
        distance = (points[:, :, None] - points[:, None]).square().sum(-1)  # [B, D, D]
        return orient(smallest(distance, edges_of(self.degree, tasks, variables, rng)), rng)
