"""Interventions that nobody noted down."""

import attrs
import torch
from torch import Tensor

from tabscm import Intervention, Rule


@attrs.frozen
class UnknownTarget(Intervention):
    """Another intervention, of which the table does not tell: its rows look like any other.

    The cells are set just the same, and are part of the truth; only the mark that says so is missing.

    Source: unknown targets as in Squires et al. 2020, "Permutation-based causal structure learning with unknown
    intervention targets", arXiv:1910.09007. Differs: the rows are not told apart by environment either.
    """

    name = "unknown-target"
    shown = False

    of: Intervention
    """What is done."""

    @property
    def measured(self) -> bool:  # type: ignore[override] # hangs on what is done
        return self.of.measured

    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        return self.of.draw(tasks, rows, variables, rng)
