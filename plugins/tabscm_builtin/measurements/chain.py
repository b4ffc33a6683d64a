"""Several measurements, one after the other."""

import attrs
import torch
from attrs.validators import min_len
from torch import Tensor

from tabscm import Measurement
from tabscm_builtin.measurements._common import rescale


@attrs.frozen
class Chain(Measurement):
    """What one measurement recorded, the next one records: first an error, then rounding, then lost cells.

    Columns are brought back to mean 0 and standard deviation 1 in between; a cell that was lost stays lost.

    Source: this project.
    """

    name = "chain"

    of: tuple[Measurement, ...] = attrs.field(validator=min_len(1))
    """The measurements, the first one first, such as ["noisy", "rounded"]."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        recorded = self.of[0].record(values, rng)
        for part in self.of[1:]:
            lost = recorded.isnan()
            recorded = part.record(rescale(recorded, lost), rng).masked_fill(lost, torch.nan)
        return recorded
