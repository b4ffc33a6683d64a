"""Few hubs, many leaves."""

import attrs
import torch
from torch import Tensor

from tabscm import Draw, GraphSampler, within
from tabscm_builtin.graphs._common import DEGREE, relabel


@attrs.frozen
class ScaleFree(GraphSampler):
    """A few hubs have very many causes, or very many effects if transposed; the other end is spread evenly.

    Variables arrive one by one; each becomes a cause of earlier ones, which are chosen without replacement, with
    probability proportional to 1 + the number of causes they have already. The number of causes has a heavy tail.
    `transposed` turns every edge round, and the number of effects has that tail instead.

    Source: Barabási and Albert 1999, doi:10.1126/science.286.5439.509; directed as in AVICI, Lorch et al. 2022,
    arXiv:2205.12934, appendix A. Differs: a fractional number of edges per variable is rounded up or down at random.
    """

    name = "scale-free"

    degree: Draw = attrs.field(default=DEGREE, validator=within(0.0))
    """Edges that each arriving variable brings; drawn once per task."""
    transposed: bool = False
    """Hubs have many effects (a regulator of many genes) instead of many causes."""

    def sample(self, tasks: int, variables: int, rng: torch.Generator) -> Tensor:
        degree = self.degree.sample((tasks, 1), rng)
        edges = torch.floor(degree + torch.rand(tasks, variables, generator=rng, device=rng.device))  # [B, D]
        # the k largest of log(weight) + Gumbel noise are k draws without replacement, in proportion to the weights
        uniform = torch.rand(tasks, variables, variables, generator=rng, device=rng.device).clamp(1e-7, 1 - 1e-7)
        gumbel = -torch.log(-torch.log(uniform))
        adj = torch.zeros(tasks, variables, variables, dtype=torch.bool, device=rng.device)
        causes = torch.zeros(tasks, variables, device=rng.device)
        for new in range(1, variables):
            score = torch.log1p(causes[:, :new]) + gumbel[:, new, :new]
            rank = score.argsort(1, descending=True).argsort(1)  # [B, new]
            chosen = rank < edges[:, new, None]
            adj[:, new, :new] = chosen
            causes[:, :new] += chosen
        return relabel(adj.mT if self.transposed else adj, rng)
