"""How far a posterior is from its prior, beyond what is free."""

import attrs
import torch
from attrs.validators import ge
from torch import Tensor

from tabscm import Prediction, Regulariser


@attrs.frozen
class KLCap(Regulariser):
    """Divergence of the posterior of a variational embedding from its prior, beyond what is free: max(kl - free, 0).

    In nats, the mean over the vectors that have a posterior. The warm-up and the cap are those of its weight, which the
    experiment sets:

        [[regularisers]]
        use = "kl-cap"
        free_bits = 0.5
        weight = { start = 0.0, end = 1e-4, steps = 5000 }

    rises from 0 to the cap 1e-4 and stays there. In the source a weight that went on rising ended with a divergence of
    73 nats and a loss of 1e8, whose largest part was this term; 8 to 15 was healthy there.

    Source: the evidence lower bound of Kingma and Welling 2013, arXiv:1312.6114; free bits of Kingma et al. 2016,
    arXiv:1606.04934, appendix C. Differs: free bits of each table as a whole, not of groups of latents over a batch.
    """

    name = "kl-cap"
    needs = frozenset({"kl"})
    free_bits: float = attrs.field(default=0.0, validator=ge(0))
    """Divergence per vector that costs nothing, in nats."""

    def __call__(self, prediction: Prediction) -> Tensor:
        return torch.relu(prediction.aux["kl"].float() - self.free_bits)
