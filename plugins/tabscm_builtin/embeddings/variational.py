"""A Gaussian posterior around another embedding."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor, nn

from tabscm import Embedding, Evidence, Table
from tabscm_builtin.embeddings.simple import Simple


@attrs.frozen
class Variational(Embedding):
    """Another embedding seen through a Gaussian bottleneck, whose divergence from the standard normal is given as "kl".

    Every vector v that `of` gives, of nodes and of pairs, becomes (mu, log s^2) = W norm(v) in `latent` dimensions;
    training draws z = mu + s * standard normal, evaluation takes z = mu; the new vector is U z + c.

        kl = mean over vectors of 1/2 sum over dimensions of (mu^2 + s^2 - log s^2 - 1), in nats

    The mean is over the D nodes or, if there are pairs, over the D nodes and D^2 pairs together, so that kl is nats per
    vector whatever the size of the table. Give it a price with a regulariser that needs "kl".

    Source: Kingma & Welling 2013, arXiv:1312.6114, eq. 10 and appendix B; the variational autoencoder of the fifth
    source system. Differs: nothing is reconstructed, which makes it the information bottleneck of Alemi et al. 2016,
    arXiv:1612.00410, eq. 17.
    """

    name = "variational"
    gives = frozenset({"kl"})
    of: Embedding = Simple()
    """Gives the vectors."""
    latent: int = attrs.field(default=16, validator=ge(1))
    """Dimensions of the posterior."""

    def build(self, width: int) -> nn.Module:
        return _Variational(self, width)


class _Variational(nn.Module):
    """Nodes and pairs share the bottleneck: the nodes of an embedding with pairs are often the diagonal of them."""

    def __init__(self, spec: Variational, width: int) -> None:
        super().__init__()
        self.of = spec.of.build(width)
        self.norm = nn.LayerNorm(width)
        self.mean = nn.Linear(width, spec.latent)
        self.log_variance = nn.Linear(width, spec.latent)
        self.back = nn.Linear(spec.latent, width)
        # s = 0.37 at the start: at s = 1 noise drowns a signal that has not been learned yet
        nn.init.constant_(self.log_variance.bias, -2.0)

    def forward(self, table: Table) -> Evidence:
        evidence: Evidence = self.of(table)
        nodes, divergence = self._bottleneck(evidence.nodes)  # divergence: [B, D]
        pairs, vectors = None, divergence.shape[1]
        total = divergence.sum(1)
        if evidence.pairs is not None:
            pairs, divergence = self._bottleneck(evidence.pairs)  # divergence: [B, D, D]
            total, vectors = total + divergence.sum((1, 2)), vectors + vectors**2
        kl = total / vectors + evidence.aux.get("kl", 0)  # one bottleneck inside another pays for both
        return Evidence(nodes=nodes, pairs=pairs, aux={**evidence.aux, "kl": kl})

    def _bottleneck(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """[..., E] -> a draw in training or the mean, [..., E], and its divergence in nats, [...] float32."""
        normed = self.norm(vectors)
        mean, log_variance = self.mean(normed).float(), self.log_variance(normed).float()  # each [..., latent]
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean) if self.training else mean
        return self.back(z), divergence
