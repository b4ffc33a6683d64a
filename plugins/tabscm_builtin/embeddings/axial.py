"""Attention over the cells of the table, by columns and by rows in turn."""

import attrs
from attrs.validators import ge
from torch import nn

from tabscm import Embedding, Evidence, Table
from tabscm_builtin.embeddings._common import channels
from tabscm_builtin.encoders._common import FeedForward, SelfAttention


@attrs.frozen
class Axial(Embedding):
    """Attention across the variables of a row, then across the rows of a variable, in turn; the largest over rows.

    Source: AVICI, Lorch et al. 2022, arXiv:2205.12934, section 4.2. Differs: residual branches start at zero, no
    dropout, and the mask of observed cells is a channel.
    """

    name = "axial"
    layers: int = attrs.field(default=4, validator=ge(1))
    """Pairs of layers, one over variables and one over rows."""
    heads: int = attrs.field(default=4, validator=ge(1))
    """Heads of attention; the width has to be a multiple."""

    def build(self, width: int) -> nn.Module:
        if width % self.heads:
            raise ValueError(f"axial: width {width} is not a multiple of heads, which is {self.heads}")
        return _Axial(width, self.layers, self.heads)


class _Axial(nn.Module):
    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.cell = nn.Linear(3, width)
        self.layers = nn.ModuleList(
            nn.Sequential(SelfAttention(width, heads), FeedForward(width)) for _ in range(2 * layers)
        )

    def forward(self, table: Table) -> Evidence:
        h = self.cell(channels(table))  # [B, N, D, E]
        for layer in self.layers:
            h = layer(h).transpose(1, 2)  # [B, D, N, E], then back
        return Evidence(nodes=h.amax(1))
