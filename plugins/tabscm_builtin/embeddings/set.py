"""The sources' set embedding: every column alone, as a set of cells."""

import attrs
from torch import nn

from tabscm import Embedding, Evidence, Table
from tabscm_builtin.embeddings._common import channels


@attrs.frozen
class Set(Embedding):
    """A network of each cell, the mean over rows, a network of the mean, column by column; no column meets another.

    node_i = norm(rho(mean_n phi(x_ni, intervened_ni, observed_ni))). It can learn any moment of a column, and that is
    not enough: what is left of a standardised column says almost nothing of cause and effect.

    Source: SetEmbedding of the first TabSCM; Zaheer et al. 2017, arXiv:1703.06114, theorem 2. Differs: the mask of
    observed cells is a channel, and what comes out is normalised.
    """

    name = "set"

    def build(self, width: int) -> nn.Module:
        return _Set(width)


class _Set(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(3, width), nn.Hardswish(), nn.Linear(width, width), nn.Hardswish())
        self.rho = nn.Sequential(nn.Linear(width, width), nn.Hardswish(), nn.Linear(width, width), nn.LayerNorm(width))

    def forward(self, table: Table) -> Evidence:
        return Evidence(nodes=self.rho(self.phi(channels(table)).mean(1)))
