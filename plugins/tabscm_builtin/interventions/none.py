"""No interventions."""

import attrs
import torch
from torch import Tensor

from tabscm import Intervention, Rule


@attrs.frozen
class NoIntervention(Intervention):
    """Nothing is set: every row is observational.

    Source: this project.
    """

    name = "none"

    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        cells = torch.zeros(tasks, rows, variables, dtype=torch.bool, device=rng.device)
        return cells, lambda values, task, variable: values
