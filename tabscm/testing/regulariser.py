"""What a regulariser promises."""

import attrs
import torch

from tabscm.kernel.interfaces import Regulariser
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import gradients, require, require_device, require_finite, require_same, traced, unchanged
from tabscm.testing.samples import first_task, prediction, rename

SIZES = (1.0, 10.0, 50.0)
"""Sizes of the logits that a penalty must bear."""


def shape(regulariser: Regulariser, rng: torch.Generator) -> None:
    """The penalty of each task: [B] float32 on the device of the prediction."""
    found = regulariser(prediction(rng, regulariser.needs))
    expect(found, "B", what="penalty", dtype=torch.float32, B=3)
    require_device(found, rng, "penalty")


def degenerate(regulariser: Regulariser, rng: torch.Generator) -> None:
    """One task, one variable and two variables are no special case."""
    for tasks, variables in ((1, 1), (1, 2), (3, 1), (3, 2)):
        what = f"penalty of {tasks} tasks of {variables} variables"
        found = regulariser(prediction(rng, regulariser.needs, tasks=tasks, variables=variables))
        expect(found, "B", what=what, finite=True, B=tasks)


def not_negative(regulariser: Regulariser, rng: torch.Generator) -> None:
    """The penalty is never below 0."""
    for size in SIZES:
        least = float(regulariser(prediction(rng, regulariser.needs, tasks=50, size=size)).min())
        require(least >= 0, f"{least:.3g} at logits of size {size:g}")


def finite(regulariser: Regulariser, rng: torch.Generator) -> None:
    """Penalty and gradient are finite however sure the prediction is, in small tables and large."""
    for variables in (5, 60):
        for size in SIZES:
            given = traced(prediction(rng, regulariser.needs, variables=variables, size=size))
            what = f"at logits of size {size:g}, {variables} variables"
            found = regulariser(given)
            require_finite(found, f"penalty {what}")
            for value in gradients(found, given).values():
                require_finite(value, f"gradient {what}")


def gradient(regulariser: Regulariser, rng: torch.Generator) -> None:
    """Some prediction has a gradient that is not zero."""
    given = traced(prediction(rng, regulariser.needs, tasks=50))
    moved = any(bool(value.any()) for value in gradients(regulariser(given), given).values())
    require(moved, "the gradient is zero for all of 50 tasks")


def diagonal(regulariser: Regulariser, rng: torch.Generator) -> None:
    """The diagonal of the logits is ignored."""
    given = prediction(rng, regulariser.needs)
    itself = torch.eye(5, dtype=torch.bool, device=rng.device)
    other = torch.where(itself, 40 * torch.randn(given.logits.shape, generator=rng, device=rng.device), given.logits)
    found = regulariser(attrs.evolve(given, logits=other))
    require_same(found, regulariser(given), "penalty after the diagonal changed")


def columns(regulariser: Regulariser, rng: torch.Generator) -> None:
    """The names of the variables do not matter."""
    given = prediction(rng, regulariser.needs)
    order = torch.tensor([3, 0, 4, 1, 2], device=rng.device)
    require_same(regulariser(rename(given, order)), regulariser(given), "penalty of reordered variables")


def tasks_apart(regulariser: Regulariser, rng: torch.Generator) -> None:
    """A task's penalty does not depend on the other tasks of its batch."""
    given = prediction(rng, regulariser.needs)
    require_same(regulariser(first_task(given)), regulariser(given)[:1], "penalty of the first task by itself")


def stateless(regulariser: Regulariser, rng: torch.Generator) -> None:
    """The same prediction always has the same penalty."""
    given = prediction(rng, regulariser.needs)
    first = regulariser(given)
    regulariser(prediction(rng, regulariser.needs))
    require_same(regulariser(given), first, "penalty of two calls", tolerance=0.0)


def inputs_untouched(regulariser: Regulariser, rng: torch.Generator) -> None:
    """The prediction is left as it is."""
    given = prediction(rng, regulariser.needs)
    with unchanged(logits=given.logits, **given.aux):
        regulariser(given)


CHECKS = (
    shape,
    degenerate,
    not_negative,
    finite,
    gradient,
    diagonal,
    columns,
    tasks_apart,
    stateless,
    inputs_untouched,
)
