"""What interventions share: which cells are chosen, how large a change is, and the scale of a variable."""

from collections.abc import Callable

import torch
from torch import Tensor

from tabscm import Draw

Amounts = Callable[[Tensor, Tensor], Tensor]
"""(task [G], variable [G]) -> how far each row is moved, [G, N], in natural standard deviations of the variable."""


def choose_cells(rows: Draw, targets: Draw, at_once: Draw, shape: tuple[int, int, int], rng: torch.Generator) -> Tensor:
    """Draw the cells of experiments on few variables each, mixed with observational rows.

    Args:
        rows: share of a table's rows that are interventional.
        targets: share of a table's variables that are ever chosen; always at least one.
        at_once: variables that one row chooses, rounded; no more than are ever chosen.
        shape: B, N, D.

    Returns:
        [B, N, D] bool.
    """
    tasks, length, variables = shape
    device = rng.device
    interventional = torch.rand(tasks, length, generator=rng, device=device) < rows.sample((tasks, 1), rng)
    count = (targets.sample((tasks, 1), rng) * variables).ceil().clamp(min=1)
    shuffled = torch.rand(tasks, variables, generator=rng, device=device).argsort(1)
    # only the first `count` of the shuffled variables are ever chosen
    pick = (torch.rand(tasks, length, generator=rng, device=device) * count).long().clamp_(max=variables - 1)
    target = shuffled.gather(1, pick)  # [B, N]
    cells = torch.zeros(shape, dtype=torch.bool, device=device)
    cells.scatter_(2, target[:, :, None], interventional[:, :, None])
    if _one_at_a_time(at_once):
        return cells
    # in every row all variables in random order, but its first target first, and those never chosen last
    never = shuffled.argsort(1) >= count  # [B, D]
    order = torch.rand(shape, generator=rng, device=device) - cells.float() + 2.0 * never[:, None]
    more = at_once.sample((tasks, length), rng).round().minimum(count)  # [B, N]
    return (order.argsort(2).argsort(2) < more[:, :, None]) & interventional[:, :, None]


def draw_amounts(
    offset: Draw, spread: Draw, at_once: Draw, shape: tuple[int, int, int], rng: torch.Generator
) -> Amounts:
    """Draw how far cells are moved: an offset of each variable's own in a table, and a spread of each cell's own.

    Args:
        offset: standard deviation of the offset, over variables.
        spread: standard deviation over the rows of one variable.
        at_once: variables that one row chooses.
        shape: B, N, D.
    """
    tasks, length, variables = shape
    offsets = torch.randn(tasks, variables, generator=rng, device=rng.device) * offset.sample((tasks, 1), rng)
    # one number per row is enough where a row chooses one variable only
    width = 1 if _one_at_a_time(at_once) else variables
    spreads = torch.randn(tasks, length, width, generator=rng, device=rng.device) * spread.sample((tasks, 1, 1), rng)

    def amounts(task: Tensor, variable: Tensor) -> Tensor:
        return offsets[task, variable][:, None] + spreads[task, :, variable.clamp(max=width - 1)]

    return amounts


def natural_scale(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation of every node over its rows, both relative to the largest value, which comes last.

    Args:
        values: [G, N].

    Returns:
        mean, deviation and largest, [G, 1] each. The square of a large float32 overflows: what is made of the first
        two is multiplied by the third at the very end.
    """
    largest = values.abs().amax(1, keepdim=True).clamp(min=1e-30)
    scaled = values / largest
    mean = scaled.mean(1, keepdim=True)
    deviation = (scaled - mean).square().mean(1, keepdim=True).sqrt()
    return mean, deviation, largest


def _one_at_a_time(at_once: Draw) -> bool:
    return at_once.most < 1.5
