"""How far each variable moves when another one is set."""

import attrs
from torch import Tensor, nn

from tabscm import Evidence, Head
from tabscm_builtin.heads._common import PairReader


@attrs.frozen
class Effects(Head):
    """By how much j moves when i is set one standard deviation higher, in standard deviations of j.

    Gives "effects" [B, D, D] float32, at first 0 everywhere, read from both nodes and from the pair; from an embedding
    without pairs from the nodes alone. The diagonal means nothing. The loss `effects` teaches it.

    Source: this project, after the delta head of the CausalTransformer. Differs: all interventions in one pass, not
    one that is asked for.
    """

    name = "effects"
    gives = frozenset({"effects"})

    def build(self, width: int) -> nn.Module:
        return _Effects(width)


class _Effects(PairReader):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.shift = nn.Linear(width, 1)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, evidence: Evidence) -> dict[str, Tensor]:
        return {"effects": self.shift(self.read(evidence))[..., 0].float()}  # [B, D, D]
