"""The sources' embedding: every column alone."""

import attrs
from torch import nn

from tabscm import Embedding, Evidence, Table
from tabscm_builtin.embeddings._common import channels


@attrs.frozen
class Simple(Embedding):
    """Mean over rows of a small network of each cell, column by column; no column meets another.

    Kept to show why it fails: what is left of a standardised column says almost nothing of cause and effect.

    Source: SimpleEmbedding of the first TabSCM, the mean over rows of (value, mask). Differs: each cell goes through a
    network of one hidden layer first, and the mean is normalised; as it stood, the mean of a standardised column is 0.
    """

    name = "simple"

    def build(self, width: int) -> nn.Module:
        return _Simple(width)


class _Simple(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Linear(3, width), nn.Hardswish(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, table: Table) -> Evidence:
        return Evidence(nodes=self.norm(self.cell(channels(table)).mean(1)))
