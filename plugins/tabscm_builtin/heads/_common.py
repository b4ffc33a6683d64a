"""What heads on pairs share."""

import torch.nn.functional as F
from torch import Tensor, nn

from tabscm import Evidence


class PairReader(nn.Module):
    """All that the evidence says of i as the cause of j: both nodes and, where there are pairs, the pair both ways.

    Args:
        width: E.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.cause = nn.Linear(width, width)
        self.effect = nn.Linear(width, width, bias=False)
        self.forth = nn.Linear(width, width, bias=False)
        self.back = nn.Linear(width, width, bias=False)

    def read(self, evidence: Evidence) -> Tensor:
        """Evidence -> [B, D, D, E]."""
        nodes = self.norm(evidence.nodes)
        hidden = self.cause(nodes)[:, :, None] + self.effect(nodes)[:, None]  # [B, D, D, E]
        if evidence.pairs is not None:
            pairs = self.norm(evidence.pairs)
            hidden = hidden + self.forth(pairs) + self.back(pairs).transpose(1, 2)
        return F.hardswish(hidden)
