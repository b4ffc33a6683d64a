"""What an intervention promises."""

import torch
from torch import Tensor

from tabscm.kernel.interfaces import Intervention
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import (
    require_device,
    require_finite,
    require_global_rng,
    require_same,
    restart,
    unchanged,
)

TASKS, ROWS, VARIABLES = 4, 30, 5


def shape(intervention: Intervention, rng: torch.Generator) -> None:
    """`draw` returns cells [B, N, D] bool, and a rule that gives values [G, N] float32."""
    cells, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    expect(cells, "B N D", what="cells", dtype=torch.bool, B=TASKS, N=ROWS, D=VARIABLES)
    values, task, variable = _nodes(rng)
    expect(rule(values, task, variable), "G N", what="rule", dtype=torch.float32, G=len(values), N=ROWS)


def device(intervention: Intervention, rng: torch.Generator) -> None:
    """Cells and values are on the device of rng."""
    cells, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    require_device(cells, rng, "cells")
    require_device(rule(*_nodes(rng)), rng, "what the rule gives")


def degenerate(intervention: Intervention, rng: torch.Generator) -> None:
    """One task, one row and one variable are no special case, nor a rule for no node at all."""
    for tasks, rows, variables in ((1, 1, 1), (3, 2, 1), (1, 1, 5), (2, 9, 2)):
        cells, rule = intervention.draw(tasks, rows, variables, rng)
        what = f"cells of {tasks} tasks, {rows} rows and {variables} variables"
        expect(cells, "B N D", what=what, dtype=torch.bool, B=tasks, N=rows, D=variables)
        values, task, variable = _nodes(rng, tasks=tasks, rows=rows, variables=variables)
        found = rule(values, task, variable)
        expect(found, "G N", what="rule", dtype=torch.float32, finite=True, G=len(values), N=rows)
        expect(rule(values[:0], task[:0], variable[:0]), "G N", what="rule for no node", G=0, N=rows)


def reproducible(intervention: Intervention, rng: torch.Generator) -> None:
    """The same rng gives the same cells and values."""
    nodes = _nodes(rng)
    (cells, rule), (same_cells, same_rule) = (intervention.draw(TASKS, ROWS, VARIABLES, restart(rng)) for _ in range(2))
    require_same(cells, same_cells, "cells of two equal generators")
    require_same(rule(*nodes), same_rule(*nodes), "values of two equal generators", tolerance=0.0)


def global_rng(intervention: Intervention, rng: torch.Generator) -> None:
    """Randomness comes from rng alone."""
    nodes = _nodes(rng)
    before = torch.get_rng_state()
    _, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    rule(*nodes)
    require_global_rng(before)


def inputs_untouched(intervention: Intervention, rng: torch.Generator) -> None:
    """The rule leaves what it is given as it is."""
    _, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    values, task, variable = _nodes(rng)
    with unchanged(values=values, task=task, variable=variable):
        rule(values, task, variable)


def finite(intervention: Intervention, rng: torch.Generator) -> None:
    """What the rule gives is finite, also for constant and for very large values."""
    _, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    values, task, variable = _nodes(rng)
    for what, given in (
        ("ordinary values", values),
        ("constant values", torch.full_like(values, 3.0)),
        ("zeros", torch.zeros_like(values)),
        ("values of size 1e30", values * 1e30),
    ):
        require_finite(rule(given, task, variable), f"what the rule gives for {what}")


def reusable(intervention: Intervention, rng: torch.Generator) -> None:
    """A rule stays the same from call to call."""
    _, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    nodes = _nodes(rng)
    first = rule(*nodes).clone()
    require_same(rule(*nodes), first, "values of two calls", tolerance=0.0)


def node_wise(intervention: Intervention, rng: torch.Generator) -> None:
    """What a node is set to depends on its own values, task and variable alone."""
    _, rule = intervention.draw(TASKS, ROWS, VARIABLES, rng)
    values, task, variable = _nodes(rng)
    some = torch.tensor([7, 2, 11], device=rng.device)
    found = rule(values[some], task[some], variable[some])
    require_same(found, rule(values, task, variable)[some], "values of 3 nodes, by themselves and among others")


def _nodes(
    rng: torch.Generator, *, tasks: int = TASKS, rows: int = ROWS, variables: int = VARIABLES
) -> tuple[Tensor, Tensor, Tensor]:
    """values [G, N], task [G] and variable [G] of every node of every task."""
    node = torch.arange(tasks * variables, device=rng.device)
    values = torch.randn(len(node), rows, generator=rng, device=rng.device)
    return 5.0 + 3.0 * values, node // variables, node % variables


CHECKS = (shape, device, degenerate, reproducible, global_rng, inputs_untouched, finite, reusable, node_wise)
