"""Reasoning on the grid of pairs by triangles."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge, lt
from torch import Tensor, nn

from tabscm import Encoder, Evidence
from tabscm_builtin.encoders._common import FeedForward, block_diagonal


@attrs.frozen
class Triangle(Encoder):
    """Blocks on the pair grid: every pair (i, j) hears from all paths over a third variable k, then a feed-forward.

    A block adds gate * W norm[ sum_k a_ik b_kj, sum_k c_ki d_kj, sum_k e_ik f_jk ]: chains, common causes and common
    effects. The nodes it hands on are the diagonal of the grid. From an embedding without pairs it makes a grid of
    nodes: pair (i, j) is the first half of node i beside the second half of node j.

    Source: triangle updates of AlphaFold 2, Jumper et al. 2021, supplement 1.6.5. Differs: three orientations at once,
    no attention, scale 1 / sqrt(D), dropout by element, output branches start at zero.
    """

    name = "triangle"
    gives = frozenset({"pairs"})
    blocks: int = attrs.field(default=2, validator=ge(1))
    """Triangle updates, each with its feed-forward."""
    channels: int = attrs.field(default=32, validator=ge(1))
    """Width of each factor a, b, ...: what the sums over k cost."""
    expansion: int = attrs.field(default=2, validator=ge(1))
    """The hidden layer of a feed-forward has `expansion` x E units."""
    dropout: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """Share of each branch that training leaves out."""
    context: int = attrs.field(default=0, validator=ge(0))
    """Channels in which means over all pairs and over the diagonal are told to every pair before the first block; 0
    leaves it out."""

    def build(self, width: int) -> nn.Module:
        return _Triangle(self, width)


class _Triangle(nn.Module):
    def __init__(self, spec: Triangle, width: int) -> None:
        super().__init__()
        self.context = _Context(width, spec.context) if spec.context else None
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _Block(width, spec.channels, dropout=spec.dropout),
                FeedForward(width, spec.expansion, dropout=spec.dropout),
            )
            for _ in range(spec.blocks)
        )

    def forward(self, evidence: Evidence) -> Evidence:
        pairs = evidence.pairs if evidence.pairs is not None else _grid(evidence.nodes)
        if self.context is not None:
            pairs = self.context(pairs)
        for block in self.blocks:
            pairs = block(pairs)
        return attrs.evolve(evidence, nodes=block_diagonal(pairs), pairs=pairs)


def _grid(nodes: Tensor) -> Tensor:
    """A grid of what there is: [B, D, E] -> [B, D, D, E]."""
    variables, width = nodes.shape[1:]
    cause = nodes[:, :, None, : width // 2].expand(-1, -1, variables, -1)
    effect = nodes[:, None, :, width // 2 :].expand(-1, variables, -1, -1)
    return torch.cat([cause, effect], -1)


class _Context(nn.Module):
    """What kind of table is it? Means over all pairs, and over the diagonal, told to each pair."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gather = nn.Linear(width, channels)
        self.mix = nn.Linear(2 * channels, width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)

    def forward(self, pairs: Tensor) -> Tensor:
        """pairs: [B, D, D, E] -> [B, D, D, E]."""
        seen = F.hardswish(self.gather(self.norm(pairs)))  # [B, D, D, C]
        whole = torch.cat([seen.mean((1, 2)), block_diagonal(seen).mean(1)], -1)  # [B, 2 C]
        told: Tensor = self.out(F.hardswish(self.mix(whole)))
        return pairs + told[:, None, None]


class _Block(nn.Module):
    """One round of triangle updates. Channels C come first where sums over k are taken."""

    def __init__(self, width: int, channels: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        # six matrices in a stack: Muon makes each of them orthogonal, not all six together, which learns faster
        bound = 1 / math.sqrt(width)
        self.factors = nn.Parameter(torch.empty(6, channels, width).uniform_(-bound, bound))
        self.factor_bias = nn.Parameter(torch.zeros(6 * channels))
        self.gate = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(3 * channels)
        self.out = nn.Linear(3 * channels, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.out.weight)

    def forward(self, pairs: Tensor) -> Tensor:
        """pairs: [B, D, D, E] -> [B, D, D, E]."""
        variables, width = pairs.shape[2:]
        normed = self.norm(pairs).view(-1, width)  # [B D D, E]
        # multiplied from the left, the projection puts channels first by itself: no copy to change the layout
        factors = torch.addmm(self.factor_bias[:, None], self.factors.flatten(0, 1), normed.mT)  # [6 C, B D D]
        a, b, c, d, e, f = factors.view(6, -1, variables, variables).unbind()  # each [C B, D, D]
        sums = torch.cat([a @ b, c.mT @ d, e @ f.mT]).view(-1, len(normed)) / math.sqrt(variables)  # [3 C, B D D]
        branch = F.hardsigmoid(self.gate(normed)) * self.out(self.norm_out(sums.mT.contiguous()))
        kept: Tensor = self.dropout(branch)
        return pairs + kept.view_as(pairs)
