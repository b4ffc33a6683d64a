"""How wrong the predicted effects of interventions are."""

import attrs
import torch.nn.functional as F
from attrs.validators import gt
from torch import Tensor

from tabscm import Loss, Prediction, Table, Truth
from tabscm_builtin.losses._common import mean_off_diagonal


@attrs.frozen
class Effects(Loss):
    """Huber loss of the effects: squared where they are nearly right, linear where they are far off.

    loss = mean over i != j of h(found_ij - true_ij), in squared standard deviations of j, where h(r) = r^2 / 2 up to
    |r| = delta and delta (|r| - delta / 2) beyond, so that the few effects that are huge do not rule the gradient.

    Source: Huber 1964, "Robust estimation of a location parameter"; after the delta loss of the CausalTransformer.
    """

    name = "effects"
    needs = frozenset({"effects"})
    asks = frozenset({"effects"})
    delta: float = attrs.field(default=1.0, validator=gt(0))
    """Where the square ends, in standard deviations of j."""

    def __call__(self, prediction: Prediction, truth: Truth, table: Table) -> Tensor:
        assert truth.effects is not None, "the stream makes what a loss asks for"
        found = prediction.aux["effects"]
        return mean_off_diagonal(F.huber_loss(found, truth.effects, reduction="none", delta=self.delta))
