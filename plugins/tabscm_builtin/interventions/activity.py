"""Interventions on what a variable does, not on what is measured of it."""

import attrs
import torch
from torch import Tensor

from tabscm import Intervention, Rule


@attrs.frozen
class Activity(Intervention):
    """Another intervention, felt by what a variable causes and not seen in itself.

    An inhibitor of an enzyme leaves as much of it as there was: the table shows what the variable would have been by
    itself, marked as intervened on, while its effects follow what it was set to.

    Source: Eaton and Murphy 2007, "Exact Bayesian structure learning from uncertain interventions", of the inhibitors
    in the protein data of Sachs et al. 2005, doi:10.1126/science.1105809.
    """

    name = "activity"
    measured = False

    of: Intervention
    """What is done, such as "do"."""

    @property
    def shown(self) -> bool:  # type: ignore[override] # hangs on what is done
        return self.of.shown

    def draw(self, tasks: int, rows: int, variables: int, rng: torch.Generator) -> tuple[Tensor, Rule]:
        return self.of.draw(tasks, rows, variables, rng)
