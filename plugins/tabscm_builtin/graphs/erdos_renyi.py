"""Every pair alike."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import density_of, relabel


@attrs.frozen
class ErdosRenyi(GraphSampler):
    """Every pair of variables carries an edge with the same probability.

    How dense a graph is is drawn once per task, from `density` or from `degree`.

    Source: Erdős and Rényi 1959, "On random graphs I", model G(n, p), its edges directed along a random order.
    """

    name = "erdos-renyi"

    density: Draw | None = attrs.field(default=None, validator=within(0.0, 1.0))
    """Share of the unordered pairs that carry an edge."""
    degree: Draw | None = attrs.field(validator=within(0.0))
    """Expected edges per variable; 0.5 to 3.5 where neither this nor `density` is given."""

    @degree.default
    def _(self) -> Draw | None:
        return Draw(low=0.5, high=3.5) if self.density is None else None

    def __attrs_post_init__(self) -> None:
        if (self.density is None) == (self.degree is None):
            raise ValueError("give either density or degree, not both")

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        edge = torch.rand(tasks, variables, variables, generator=rng, device=rng.device) < self._density(
            tasks, variables, rng
        )
        return relabel(edge.triu(1), rng)

    def _density(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        if self.density is not None:
            return self.density.sample((tasks, 1, 1), rng)
        assert self.degree is not None
        return density_of(self.degree, tasks, variables, rng)
