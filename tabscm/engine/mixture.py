"""Several networks side by side, and a gate that says for each table how far to believe each of them.

Letters: B tasks, D variables, E width, X specialists.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tabscm.kernel.interfaces import Evidence

BELIEFS, EACH = "beliefs", "specialists"
"""What a mixture gives beside edges, in `Prediction.aux`, see EXTRAS."""
MOST = 2
"""Specialists that are asked about a table where nothing is learned: what a third adds to the likeliest two takes as
long, and has shown in no figure."""
LONG = 200_000
"""Rows above which a table is read once, by the likeliest alone: each reading takes the better part of a minute."""
LEAST = 0.02
"""Share of the belief in those two below which the second is not asked: no probability moves by more than this."""


class Gate(nn.Module):
    """Evidence of its embedding -> how far to believe each specialist.

    Args:
        embedding: Table -> Evidence; whoever calls the gate calls it first.
        width: E, of the evidence.
        count: X; at first all are believed alike.

    Source: adaptive mixtures of local experts, Jacobs et al. 1991, doi:10.1162/neco.1991.3.1.79; a table is one case.
    Differs: experts are trained apart first, and probabilities of edges are mixed one by one, not those of graphs.
    """

    def __init__(self, embedding: nn.Module, width: int, count: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.of_nodes, self.of_pairs = _Pool(width), _Pool(width)
        self.norm = nn.LayerNorm(2 * width)  # of means that hardly differ from table to table
        self.mix = nn.Linear(2 * width, width)
        self.score = nn.Linear(width, count)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, evidence: Evidence) -> Tensor:
        """Of nodes [B, D, E] and pairs [B, D, D, E] or None: [B, X] float32, logarithms of shares that add up to 1."""
        nodes = self.of_nodes(evidence.nodes)
        pairs = torch.zeros_like(nodes) if evidence.pairs is None else self.of_pairs(evidence.pairs)
        score: Tensor = self.score(F.hardswish(self.mix(self.norm(torch.cat([nodes, pairs], -1)))))
        return score.float().log_softmax(-1)


class _Pool(nn.Module):
    """A weighted mean over variables or pairs: of each channel, by the softmax of itself times an inverse temperature.

    At 0, as it is at first, that is the mean; where it is large, the maximum.

    Source: softmax aggregation, Li et al. 2020, arXiv:2006.07739. Differs: an inverse temperature for each channel.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)
        self.inverse_temperature = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, ..., E] -> [B, E] float32, over whatever lies between, n in all."""
        found = F.hardswish(self.linear(self.norm(x))).flatten(1, -2)  # [B, n, E]
        with torch.autocast(x.device.type, enabled=False):  # weights of D^2 pairs are too small for bfloat16
            found = found.float()
            return torch.einsum("bne,bne->be", (self.inverse_temperature * found).softmax(1), found)


def asked(log_shares: Tensor, rows: int) -> Tensor:
    """Which specialists are asked about tables of so many rows: the likeliest two, or less; [B, X] bool."""
    most = 1 if rows > LONG else min(MOST, log_shares.shape[-1])
    best, which = log_shares.topk(most, -1)
    return torch.zeros_like(log_shares, dtype=torch.bool).scatter_(-1, which, best.softmax(-1) >= LEAST)


def mixed(logits: Tensor, log_shares: Tensor) -> Tensor:
    """The log-odds of a mixture of predictions: its probability of an edge is the mean of theirs.

    Args:
        logits: [X, B, D, D], log-odds by each specialist; anything finite where it was not asked.
        log_shares: [B, X], -inf there; what is left need not add up to 1.

    Returns:
        [B, D, D] float32.
    """
    shares = log_shares.log_softmax(-1).mT[:, :, None, None]  # [X, B, 1, 1]
    yes, no = (torch.logsumexp(shares + F.logsigmoid(sign * logits.float()), 0) for sign in (1.0, -1.0))
    return yes - no
