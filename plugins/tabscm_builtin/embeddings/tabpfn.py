"""The sources' "TabPFN-style" embedding: attention over the rows of every column alone."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge
from torch import Tensor, nn

from tabscm import Embedding, Evidence, Table
from tabscm_builtin.embeddings._common import channels
from tabscm_builtin.encoders._common import FeedForward, SelfAttention


@attrs.frozen
class TabPFN(Embedding):
    """A transformer over the rows of a column, read by one learned query; no column meets another.

    The cells (value, intervened, observed) are projected, go through `layers` layers of attention over rows, and a
    learned query attends to them; the answer is normalised.

    Source: the TabPFN-style embedding of the first TabSCM (2 layers, 4 heads); in spirit Hollmann et al. 2022,
    arXiv:2207.01848, whose tokens are rows of all columns. Differs: pre-norm, residual branches start at zero, the mask
    of observed cells is a channel, and no positional code unless asked for.
    """

    name = "tabpfn"
    layers: int = attrs.field(default=2, validator=ge(1))
    """Layers of attention over rows."""
    heads: int = attrs.field(default=4, validator=ge(1))
    """Heads of attention; the width has to be a multiple."""
    positions: bool = False
    """Add a sinusoidal code of the row's place, as the source did. Breaks the promise that the order of rows does not
    matter, which is why it is False here; for reproducing the source's experiment only."""

    def build(self, width: int) -> nn.Module:
        if width % self.heads:
            raise ValueError(f"tabpfn: width {width} is not a multiple of heads, which is {self.heads}")
        return _TabPFN(self, width)


class _TabPFN(nn.Module):
    def __init__(self, spec: TabPFN, width: int) -> None:
        super().__init__()
        self.positions = spec.positions
        self.cell = nn.Linear(3, width)
        self.layers = nn.ModuleList(
            nn.Sequential(SelfAttention(width, spec.heads), FeedForward(width)) for _ in range(spec.layers)
        )
        self.norm_rows = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.randn(spec.heads, 1, width // spec.heads))
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, table: Table) -> Evidence:
        h = self.cell(channels(table)).transpose(1, 2)  # [B, D, N, E]
        if self.positions:
            h = h + _sinusoids(h.shape[2], h.shape[3], h.device)
        for layer in self.layers:
            h = layer(h)
        tasks, variables, rows, width = h.shape
        heads = len(self.query)
        keys_values = self.key_value(self.norm_rows(h)).view(tasks * variables, rows, 2, heads, width // heads)
        key, value = keys_values.permute(2, 0, 3, 1, 4)  # each [B D, H, N, E / H]
        query = self.query.to(key.dtype).expand(len(key), -1, -1, -1)
        read = F.scaled_dot_product_attention(query, key, value)  # [B D, H, 1, E / H]
        return Evidence(nodes=self.norm(self.out(read.reshape(tasks, variables, width))))


def _sinusoids(rows: int, width: int, device: torch.device) -> Tensor:
    """The positional code of Vaswani et al. 2017, arXiv:1706.03762, section 3.5: [N, E] float32, in [-1, 1]."""
    frequency = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000) / width))
    angle = torch.arange(rows, device=device)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]
