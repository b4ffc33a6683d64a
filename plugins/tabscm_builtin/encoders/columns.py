"""A transformer over variables."""

import attrs
from attrs.validators import ge, lt
from torch import nn

from tabscm import Encoder, Evidence
from tabscm_builtin.encoders._common import FeedForward, SelfAttention


@attrs.frozen
class Columns(Encoder):
    """Transformer over the variables of a table; leaves pairs alone.

    Source: the column transformer of the first TabSCM (6 layers, 8 heads). Differs: pre-norm, residual branches start
    at zero.
    """

    name = "columns"
    layers: int = attrs.field(default=4, validator=ge(1))
    """Layers of attention over variables."""
    heads: int = attrs.field(default=4, validator=ge(1))
    """Heads of attention; the width has to be a multiple."""
    dropout: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """Share of each branch that training leaves out."""

    def build(self, width: int) -> nn.Module:
        if width % self.heads:
            raise ValueError(f"columns: width {width} is not a multiple of heads, which is {self.heads}")
        return _Columns(self, width)


class _Columns(nn.Module):
    def __init__(self, spec: Columns, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                SelfAttention(width, spec.heads, dropout=spec.dropout), FeedForward(width, dropout=spec.dropout)
            )
            for _ in range(spec.layers)
        )

    def forward(self, evidence: Evidence) -> Evidence:
        nodes = evidence.nodes
        for layer in self.layers:
            nodes = layer(nodes)
        return attrs.evolve(evidence, nodes=nodes)
