"""Messages along the edges that are believed in so far."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge, lt
from torch import Tensor, nn

from tabscm import Encoder, Evidence
from tabscm_builtin.encoders._common import FeedForward


@attrs.frozen
class Graph(Encoder):
    """Each round believes in edges, and sends messages from causes to effects and back along them.

    p_ij = sigmoid(v . hardswish(U n_i + V n_j + W q_ij)) is the belief in i -> j from nodes n and pairs q, p_ii = 0.
    Variable j hears sum_i p_ij (A n_i + A' q_ij) from its causes and sum_k p_jk (B n_k + B' q_jk) from its effects,
    each divided by sqrt(D), and how many it has of either. Pairs, if there are any, then hear from their two nodes and
    from the belief. The belief is learned from what it is good for; it is not the answer.

    Source: message passing of Gilmer et al. 2017, arXiv:1704.01212; messages weighted by the probability of an edge as
    in Kipf et al. 2018, arXiv:1802.04687, eq. 6-7. Differs: two directions with weights of their own, a belief that is
    formed anew in each round and not sampled, pairs that are updated as well, residual branches that start at zero.
    """

    name = "graph"
    rounds: int = attrs.field(default=4, validator=ge(1))
    """Rounds of messages."""
    expansion: int = attrs.field(default=2, validator=ge(1))
    """Hidden layers have `expansion` x E units."""
    dropout: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """Share of each branch that training leaves out."""

    def build(self, width: int) -> nn.Module:
        return _Graph(self, width)


class _Graph(nn.Module):
    def __init__(self, spec: Graph, width: int) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(_Round(spec, width) for _ in range(spec.rounds))

    def forward(self, evidence: Evidence) -> Evidence:
        nodes, pairs = evidence.nodes, evidence.pairs
        for one in self.rounds:
            nodes, pairs = one(nodes, pairs)
        return attrs.evolve(evidence, nodes=nodes, pairs=pairs)


class _Round(nn.Module):
    def __init__(self, spec: Graph, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.norm_pairs = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 2 * width)
        self.between = nn.Linear(width, width, bias=False)
        self.believe = nn.Linear(width, 1)
        self.hear = nn.Linear(5 * width + 2, width)
        self.feed_forward = FeedForward(width, spec.expansion, dropout=spec.dropout)
        self.update_pairs = nn.Linear(width + 2, width)
        self.feed_forward_pairs = FeedForward(width, spec.expansion, dropout=spec.dropout)
        self.dropout = nn.Dropout(spec.dropout)
        nn.init.zeros_(self.hear.weight)
        nn.init.zeros_(self.update_pairs.weight)

    def forward(self, nodes: Tensor, pairs: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """nodes: [B, D, E], pairs: [B, D, D, E] or None -> the same."""
        normed = self.norm(nodes)
        normed_pairs = None if pairs is None else self.norm_pairs(pairs)
        cause, effect = self.ends(normed).chunk(2, -1)  # each [B, D, E]
        hidden = cause[:, :, None] + effect[:, None]  # [B, D, D, E]
        if normed_pairs is not None:
            hidden = hidden + self.between(normed_pairs)
        hidden = F.hardswish(hidden)
        belief = self.believe(hidden)[..., 0].sigmoid()  # [B, D, D]
        belief = belief * (1 - torch.eye(nodes.shape[1], device=nodes.device, dtype=belief.dtype))
        nodes = nodes + self.dropout(self.hear(self._heard(belief, normed, normed_pairs)))
        nodes = self.feed_forward(nodes)
        if pairs is not None:
            both = torch.stack([belief, belief.mT], -1)
            pairs = pairs + self.dropout(self.update_pairs(torch.cat([hidden, both], -1)))
            pairs = self.feed_forward_pairs(pairs)
        return nodes, pairs

    def _heard(self, belief: Tensor, nodes: Tensor, pairs: Tensor | None) -> Tensor:
        """What each variable knows and hears from its causes and effects: [B, D, 5 E + 2]."""
        share = belief / math.sqrt(nodes.shape[1])
        nodes = nodes.to(share.dtype)
        if pairs is None:
            along = torch.zeros_like(nodes).repeat(1, 1, 2)
        else:
            pairs = pairs.to(share.dtype)
            into = torch.einsum("bij,bije->bje", share, pairs)
            out = torch.einsum("bij,bije->bie", share, pairs)
            along = torch.cat([into, out], -1)
        counts = torch.stack([share.sum(1), share.sum(2)], -1)
        return torch.cat([nodes, share.mT @ nodes, share @ nodes, along, counts], -1)
