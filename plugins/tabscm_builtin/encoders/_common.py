"""The two layers that encoders are stacked from, each a residual branch that starts at zero."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """x + W2 hardswish(W1 norm(x)), on the last axis.

    Args:
        width: E.
        expansion: the hidden layer has `expansion` x E units.
        dropout: share of the branch that training leaves out.
    """

    def __init__(self, width: int, expansion: int = 2, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., E] -> [..., E]."""
        branch: Tensor = self.dropout(self.down(F.hardswish(self.up(self.norm(x)))))
        return x + branch


class SelfAttention(nn.Module):
    """x + W attention(norm(x)) along the last axis but one.

    Args:
        width: E, a multiple of `heads`.
        heads: H.
        dropout: share of the branch that training leaves out.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x: [..., T, E] -> [..., T, E]; T tokens attend to each other, with `bias` [batch, H, T, T] on the scores."""
        *batch, tokens, width = x.shape
        qkv = self.project(self.norm(x)).view(-1, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [batch, H, T, E / H]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2)
        branch: Tensor = self.dropout(self.out(mixed.reshape(*batch, tokens, width)))
        return x + branch


def block_diagonal(pairs: Tensor) -> Tensor:
    """The diagonal of a pair grid as nodes: [B, D, D, E] -> [B, D, E]."""
    return torch.diagonal(pairs, dim1=1, dim2=2).transpose(1, 2)
