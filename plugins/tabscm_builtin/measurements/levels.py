"""Variables cut into levels."""

import attrs
import torch
from attrs.validators import ge, le
from torch import Tensor

from tabscm import Draw, Measurement, within


@attrs.frozen
class Levels(Measurement):
    """Values are cut into a few levels at random thresholds, and only the number of the level is recorded.

    The numbers may be given in any order, as the codes of categories are.

    Source: this project.
    """

    name = "levels"

    count: Draw = attrs.field(default=Draw(choices=(2.0, 2.0, 3.0, 4.0, 5.0, 7.0)), validator=within(1.0, 50.0))
    """Levels of a column, rounded."""
    shuffled: float = attrs.field(default=0.2, validator=[ge(0), le(1)])
    """Share of the columns whose levels are numbered in random order."""

    def record(self, values: Tensor, rng: torch.Generator) -> Tensor:
        tasks, _, variables = values.shape
        most = round(self.count.most)
        count = self.count.sample((tasks, 1, variables), rng).round()
        thresholds = torch.randn(most - 1, tasks, 1, variables, generator=rng, device=values.device)
        level = torch.zeros(values.shape, dtype=torch.long, device=values.device)
        for index, threshold in enumerate(thresholds):
            level += (values > threshold) & (index < count - 1)
        codes = torch.arange(most, device=values.device).expand(tasks, variables, most)
        random = torch.rand(tasks, variables, most, generator=rng, device=values.device).argsort(-1)
        mixed = torch.rand(tasks, variables, 1, generator=rng, device=values.device) < self.shuffled
        codes = torch.where(mixed, random, codes)  # [B, D, most]
        return codes.gather(2, level.transpose(1, 2)).transpose(1, 2).float()
