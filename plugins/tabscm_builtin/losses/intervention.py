"""Whether the variables that were intervened on are recognised."""

import attrs
import torch.nn.functional as F
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth


@attrs.frozen
class Intervention(Loss):
    """Binary cross-entropy of the intervention targets: the mean over variables of -log q_i, in nats.

    q_i is the probability given to the truth about variable i: whether any of its cells was set.

    Source: the auxiliary loss of this project's first version, where its weight was 0.1.
    """

    name = "intervention"
    needs = frozenset({"targets"})

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        assert truth.targets is not None, "the stream knows what it set"
        target = truth.targets.float()
        return F.binary_cross_entropy_with_logits(prediction.aux["targets"], target, reduction="none").mean(1)
