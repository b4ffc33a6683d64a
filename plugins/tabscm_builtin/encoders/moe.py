"""A transformer over variables whose feed-forward layers are mixtures of experts."""

import math

import attrs
import torch
import torch.nn.functional as F
from attrs.validators import ge, lt
from torch import Tensor, nn

from tabscm import Encoder, Evidence
from tabscm_builtin.encoders._common import SelfAttention


@attrs.frozen
class MixtureOfExperts(Encoder):
    """Transformer over variables; each variable goes through the `top_k` experts that a router chooses for it.

    p = softmax(R norm(x)) over X experts;  x + sum over the top k experts e of p_e(x) W2_e hardswish(W1_e norm(x)).
    No expert has a capacity, so no token is dropped and tasks do not see each other; the price is that on a GPU every
    layer waits for the number of tokens that each expert got. What a regulariser and a monitor need is given: "load"
    [B, L, X], the share of a task's tokens (each counted k times) that each expert got, and "router" [B, L, X], the
    mean of p. An encoder of this kind inside the embedding puts its layers before these; both must have the same number
    of experts. Pairs, if there are any, say who attends to whom, and are handed on as they are.

    Source: Shazeer et al. 2017, arXiv:1701.06538 (top-k routing); Fedus et al. 2021, arXiv:2101.03961 (experts weighted
    by p itself, eq. 2, so that top_k = 1 has a gradient; router in float32, section 2.4); the mixture-of-experts
    transformer of 16 layers of the third source system. Differs: no capacity, no noise on the router, a bias from pairs
    on the scores of attention, residual branches start at zero.
    """

    name = "moe"
    gives = frozenset({"load", "router"})
    layers: int = attrs.field(default=4, validator=ge(1))
    """Layers of attention over variables, each with its own experts."""
    heads: int = attrs.field(default=4, validator=ge(1))
    """Heads of attention; the width has to be a multiple."""
    experts: int = attrs.field(default=8, validator=ge(1))
    """X."""
    top_k: int = attrs.field(default=2, validator=ge(1))
    """Experts that each variable goes through; at most `experts`."""
    expansion: int = attrs.field(default=2, validator=ge(1))
    """The hidden layer of an expert has `expansion` x E units."""
    dropout: float = attrs.field(default=0.0, validator=[ge(0), lt(1)])
    """Share of each branch that training leaves out."""

    def __attrs_post_init__(self) -> None:
        if self.top_k > self.experts:
            raise ValueError(f"top_k is {self.top_k}, above experts, which is {self.experts}")

    def build(self, width: int) -> nn.Module:
        if width % self.heads:
            raise ValueError(f"moe: width {width} is not a multiple of heads, which is {self.heads}")
        return _MixtureOfExperts(self, width)


class _MixtureOfExperts(nn.Module):
    def __init__(self, spec: MixtureOfExperts, width: int) -> None:
        super().__init__()
        # a list: gradient checkpointing recomputes its members one by one
        self.layers = nn.ModuleList(_Layer(spec, width) for _ in range(spec.layers))

    def forward(self, evidence: Evidence) -> Evidence:
        nodes = evidence.nodes
        loads, routers = [], []
        for layer in self.layers:
            nodes, load, router = layer(nodes, evidence.pairs)
            loads.append(load)
            routers.append(router)
        seen = {"load": torch.stack(loads, 1), "router": torch.stack(routers, 1)}  # each [B, L, X]
        for name in seen.keys() & evidence.aux.keys():
            seen[name] = torch.cat([evidence.aux[name], seen[name]], 1)
        return attrs.evolve(evidence, nodes=nodes, aux={**evidence.aux, **seen})


class _Layer(nn.Module):
    def __init__(self, spec: MixtureOfExperts, width: int) -> None:
        super().__init__()
        self.bias = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, spec.heads, bias=False))
        self.attention = SelfAttention(width, spec.heads, dropout=spec.dropout)
        self.feed_forward = _Experts(spec, width)

    def forward(self, nodes: Tensor, pairs: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """nodes: [B, D, E], pairs: [B, D, D, E] -> nodes, load [B, X], router [B, X]."""
        bias = None if pairs is None else self.bias(pairs).permute(0, 3, 1, 2)  # [B, H, D, D]
        nodes, load, router = self.feed_forward(self.attention(nodes, bias))
        return nodes, load, router


class _Experts(nn.Module):
    """The routed feed-forward. Experts are stacked: Muon makes each of their matrices orthogonal by itself."""

    def __init__(self, spec: MixtureOfExperts, width: int) -> None:
        super().__init__()
        hidden = spec.expansion * width
        self.top_k = spec.top_k
        self.norm = nn.LayerNorm(width)
        self.router = nn.Linear(width, spec.experts)
        bound = 1 / math.sqrt(width)
        self.up = nn.Parameter(torch.empty(spec.experts, hidden, width).uniform_(-bound, bound))
        self.up_bias = nn.Parameter(torch.zeros(spec.experts, hidden))
        self.down = nn.Parameter(torch.zeros(spec.experts, width, hidden))
        self.down_bias = nn.Parameter(torch.zeros(spec.experts, width))
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: [B, D, E] -> x, load [B, X], router [B, X]."""
        tasks, variables, width = x.shape
        normed = self.norm(x)
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(normed.float(), self.router.weight, self.router.bias)
        probability = logits.softmax(-1)  # [B, D, X]
        weights, chosen = probability.topk(self.top_k, -1)  # [B, D, k]
        answers = self._ask(normed.reshape(-1, width), chosen.reshape(-1, self.top_k))  # [B D, k, E]
        branch = (weights.reshape(-1, 1, self.top_k) @ answers.float()).view(tasks, variables, width)
        load = F.one_hot(chosen, probability.shape[-1]).float().mean((1, 2))  # [B, X]
        return x + self.dropout(branch), load, probability.mean(1)

    def _ask(self, tokens: Tensor, chosen: Tensor) -> Tensor:
        """What the chosen experts make of each token: [T, E], [T, k] -> [T, k, E]; no other expert is computed."""
        by_expert = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=len(self.up)).tolist()
        groups = torch.split(tokens[by_expert // self.top_k], counts)
        answers = torch.cat(
            [
                F.linear(F.hardswish(F.linear(group, up, up_bias)), down, down_bias)
                for group, up, up_bias, down, down_bias in zip(
                    groups, self.up, self.up_bias, self.down, self.down_bias, strict=True
                )
            ]
        )
        return answers[by_expert.argsort()].view(*chosen.shape, -1)
