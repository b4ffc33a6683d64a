"""How large the gradient is, and which term of the loss makes it so."""

import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tabscm.engine.health.event import Alarm, Event
from tabscm.engine.model import autocast
from tabscm.engine.processes import ALONE, Processes
from tabscm.kernel.interfaces import Prediction, Table, Truth

Terms = Callable[[int, Prediction, Truth, Table], Mapping[str, Tensor]]
"""(step, prediction, truth, table) -> every weighted term of the loss, a scalar each."""

HUGE = 1000.0
"""A norm that is never right: healthy runs stay below 10, the sources' naive acyclicity term made 46 767 of it."""
TIMES = 50.0
"""Times the running median, when also above NOTABLE; single hard batches of healthy runs reach 10 times."""
NOTABLE = 10.0
"""The sources' clip. A gradient below it is no explosion, however calm it was before."""
REMEMBERED, NEEDED = 100, 20
"""Steps that the median is taken over, and how many there must be."""

DROWNED = 10.0
"""Times the gradient of the main loss that another term may have: weights tuned for unnormalised data were 10 times
too high after normalisation."""


class Explosion:
    """The norm of the gradient, at every step."""

    remembers: tuple[str, ...] = ("alarm", "norms")

    def __init__(self) -> None:
        self.alarm = Alarm()
        self.norms: deque[float] = deque(maxlen=REMEMBERED)

    def look(self, step: int, norm: float, by_term: Callable[[], dict[str, float]]) -> list[Event]:
        """Look at the norm before clipping; `by_term` is asked only when an explosion begins."""
        usual = statistics.median(self.norms) if len(self.norms) >= NEEDED else None
        wrong = norm > HUGE or (usual is not None and norm > NOTABLE and norm > TIMES * usual)
        if not wrong:
            self.norms.append(norm)
        if not self.alarm.rings(wrong):
            return []
        terms = by_term()
        worst = max(terms, key=lambda name: terms[name])
        parts = ", ".join(f"{name} {terms[name]:,.3g}" for name in sorted(terms, key=lambda name: -terms[name]))
        before = f", {norm / usual:,.0f} times its median" if usual else ""
        line = (
            f"the norm of the gradient is {norm:,.0f}{before}; the term {worst} makes it (by term: {parts}). Usually "
            "its weight is too high or it grows with powers of the probabilities. Try a hundredth of its weight, or a "
            "form whose norm is controlled; clipping only hides it, for all other terms are scaled down with it."
        )
        return [Event(step, "explosion", norm, line)]


class Shares:
    """The gradient of each term, now and then: a term that drowns the main loss is named."""

    remembers: tuple[str, ...] = ("alarm",)

    def __init__(self, main: str) -> None:
        self.main = main
        self.alarm = Alarm(patience=2)

    def look(self, step: int, terms: Mapping[str, float]) -> tuple[dict[str, float], list[Event]]:
        """Look at the norm of the gradient of each term."""
        total = sum(terms.values()) or 1.0
        scalars = {f"grad/{name}": norm for name, norm in terms.items()}
        scalars |= {f"grad_share/{name}": norm / total for name, norm in terms.items()}
        worst = max(terms, key=lambda name: terms[name])
        if not self.alarm.rings(terms[worst] > DROWNED * terms[self.main]):
            return scalars, []
        line = (
            f"the term {worst} has {terms[worst] / total:.0%} of the gradient, {self.main} "
            f"{terms[self.main] / total:.0%}. Usually the weight of {worst} was tuned for data on another scale. Try a "
            "tenth of it."
        )
        return scalars, [Event(step, "drowned", terms[worst] / total, line)]


def by_term(
    model: nn.Module,
    batches: Sequence[tuple[Table, Truth]],
    terms: Terms,
    *,
    step: int,
    precision: str,
    split: int = 1,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """The norm of the gradient of each term, by doing the step again; nothing of the run is changed by it.

    Args:
        model: in training mode, with the weights of before the update.
        batches: the parts of the step.
        terms: what the loss is made of.
        step: which step it is, counted from 0.
        precision: of the forward pass.
        split: runs of tasks that a part is taken in.
        processes: which do so together, each its share.
    """
    device = next(model.parameters()).device
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sums: dict[str, tuple[Tensor, ...]] = {}
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(torch.initial_seed())  # the trainer seeds every step, so that dropout falls as it fell
        runs = [
            (share.weight, *share.cut(table, truth))
            for part, (table, truth) in enumerate(batches)
            for share in processes.shares(len(table.x), part, split)
        ]
        for weight, table, truth in runs:
            # averages that a module keeps, if any, move in a copy
            buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
            with autocast(device, precision):
                prediction = torch.func.functional_call(model, buffers, (table,))
            for name, mean in terms(step, prediction, truth, table).items():
                term = mean * weight
                if term.requires_grad:
                    found = torch.autograd.grad(term, weights, retain_graph=True, materialize_grads=True)
                else:
                    found = tuple(map(torch.zeros_like, weights))
                sums[name] = torch._foreach_add(sums[name], found) if name in sums else found
    for total in sums.values():
        processes.sum(total)
    return {name: float(torch.nn.utils.get_total_norm(total)) / len(batches) for name, total in sums.items()}
