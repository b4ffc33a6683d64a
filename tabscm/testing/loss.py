"""What a loss promises. A loss that `needs` something is not asked what it thinks of the edges.

It is given those optional fields of the truth that it `asks` for, and no others: one that reads more fails everywhere.
"""

import attrs
import torch
from torch import Tensor

from tabscm.kernel.interfaces import Loss, Prediction, Table, Truth
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import gradients, require, require_device, require_finite, require_same, traced, unchanged
from tabscm.testing.samples import first_task, prediction, rename, table, truth

ON_DEMAND = frozenset({"effects"})


def shape(loss: Loss, rng: torch.Generator) -> None:
    """The loss of each task: [B] float32 on the device of the prediction."""
    found = loss(*_inputs(loss, rng))
    expect(found, "B", what="loss", dtype=torch.float32, B=3)
    require_device(found, rng, "loss")


def asks(loss: Loss, rng: torch.Generator) -> None:
    """What `asks` names is made on demand: "effects"."""
    unknown = sorted(loss.asks - ON_DEMAND)
    require(not unknown, f"asks for {', '.join(unknown)}; on demand are made: {', '.join(sorted(ON_DEMAND))}")


def degenerate(loss: Loss, rng: torch.Generator) -> None:
    """One task, one variable and two variables are no special case."""
    for tasks, variables in ((1, 1), (1, 2), (3, 1), (3, 2)):
        what = f"loss of {tasks} tasks of {variables} variables"
        found = loss(*_inputs(loss, rng, tasks=tasks, variables=variables))
        expect(found, "B", what=what, finite=True, B=tasks)


def finite(loss: Loss, rng: torch.Generator) -> None:
    """Loss and gradient are finite however sure the prediction is, and however wrong."""
    given, answer, seen = _inputs(loss, rng)
    for what, logits in (
        ("at logits of 50, all right", 50 * _direction(answer)),
        ("at logits of 50, all wrong", -50 * _direction(answer)),
        ("at logits of 0", 0 * _direction(answer)),
    ):
        asked = traced(attrs.evolve(given, logits=logits))
        found = loss(asked, answer, seen)
        require_finite(found, f"loss {what}")
        for name, gradient in gradients(found, asked).items():
            require_finite(gradient, f"gradient of {name} {what}")


def gradient(loss: Loss, rng: torch.Generator) -> None:
    """The loss of every task has a gradient that is not zero."""
    given, answer, seen = _inputs(loss, rng)
    asked = traced(given)
    found = gradients(loss(asked, answer, seen), asked).values()
    moved = torch.stack([value.flatten(1).any(1) for value in found]).any(0)
    require(moved.all(), f"the gradient is zero for {int((~moved).sum())} of 3 tasks")


def diagonal(loss: Loss, rng: torch.Generator) -> None:
    """The diagonal of the logits is ignored."""
    given, answer, seen = _inputs(loss, rng)
    itself = torch.eye(5, dtype=torch.bool, device=rng.device)
    other = torch.where(itself, 40 * torch.randn(given.logits.shape, generator=rng, device=rng.device), given.logits)
    found = loss(attrs.evolve(given, logits=other), answer, seen)
    require_same(found, loss(given, answer, seen), "loss after the diagonal changed")


def pulls(loss: Loss, rng: torch.Generator) -> None:
    """From an unsure prediction, a small step towards the true edges lowers the loss of every task."""
    if loss.needs:
        return
    given, answer, seen = _inputs(loss, rng)
    given = attrs.evolve(given, logits=0.1 * given.logits)
    step = attrs.evolve(given, logits=given.logits + 0.05 * _direction(answer))
    worse = int((loss(step, answer, seen) >= loss(given, answer, seen)).sum())
    require(worse == 0, f"a step towards the truth does not lower the loss of {worse} of 3 tasks")


def prefers_truth(loss: Loss, rng: torch.Generator) -> None:
    """A confident right prediction costs less than an unsure one, and that less than a confident wrong one."""
    if loss.needs:
        return
    given, answer, seen = _inputs(loss, rng)
    linked = (answer.adj | answer.adj.mT).float()  # a loss need not mind directions: wrong is who is linked with whom
    right, unsure, wrong = (
        loss(attrs.evolve(given, logits=logits), answer, seen)
        for logits in (5 * _direction(answer), torch.zeros_like(given.logits), 5 - 10 * linked)
    )
    require((right < unsure).all(), f"right costs {_listed(right)}, unsure {_listed(unsure)}")
    require((unsure < wrong).all(), f"unsure costs {_listed(unsure)}, wrong {_listed(wrong)}")


def columns(loss: Loss, rng: torch.Generator) -> None:
    """The names of the variables do not matter."""
    given, answer, seen = _inputs(loss, rng)
    order = torch.tensor([3, 0, 4, 1, 2], device=rng.device)
    found = loss(rename(given, order), rename(answer, order), rename(seen, order))
    require_same(found, loss(given, answer, seen), "loss of reordered variables")


def tasks_apart(loss: Loss, rng: torch.Generator) -> None:
    """A task's loss does not depend on the other tasks of its batch."""
    given, answer, seen = _inputs(loss, rng)
    alone = loss(first_task(given), first_task(answer), first_task(seen))
    require_same(alone, loss(given, answer, seen)[:1], "loss of the first task by itself")


def deterministic(loss: Loss, rng: torch.Generator) -> None:
    """The same prediction always costs the same."""
    given, answer, seen = _inputs(loss, rng)
    require_same(loss(given, answer, seen), loss(given, answer, seen), "loss of two calls", tolerance=0.0)


def inputs_untouched(loss: Loss, rng: torch.Generator) -> None:
    """Prediction, truth and table are left as they are."""
    given, answer, seen = _inputs(loss, rng)
    with unchanged(logits=given.logits, adj=answer.adj, x=seen.x, **given.aux):
        loss(given, answer, seen)


def _inputs(loss: Loss, rng: torch.Generator, *, tasks: int = 3, variables: int = 5) -> tuple[Prediction, Truth, Table]:
    return (
        prediction(rng, loss.needs, tasks=tasks, variables=variables),
        truth(rng, loss.asks, tasks=tasks, variables=variables),
        table(rng, tasks=tasks, variables=variables),
    )


def _direction(answer: Truth) -> Tensor:
    """1 where there is an edge, -1 where there is none."""
    return 2 * answer.adj.float() - 1


def _listed(values: Tensor) -> str:
    return ", ".join(f"{float(value):.3g}" for value in values)


CHECKS = (
    shape,
    asks,
    degenerate,
    finite,
    gradient,
    diagonal,
    pulls,
    prefers_truth,
    columns,
    tasks_apart,
    deterministic,
    inputs_untouched,
)
