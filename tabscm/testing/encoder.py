"""What an encoder promises. It is tried with pairs and, unless it needs them, without."""

from functools import partial

import torch
from torch import nn

from tabscm.kernel.interfaces import Encoder, Evidence
from tabscm.kernel.nesting import evidence_given
from tabscm.testing.module import (
    Outputs,
    build,
    everything,
    outputs,
    require_autocast,
    require_deterministic,
    require_evidence,
    require_gradients,
    require_same_outputs,
    require_state,
)
from tabscm.testing.probe import require, unchanged
from tabscm.testing.samples import evidence, first_task, rename


def shape(encoder: Encoder, rng: torch.Generator) -> None:
    """The module gives Evidence: nodes [B, D, E], pairs [B, D, D, E] or None, all finite and on the same device."""
    for given in _evidences(encoder, rng):
        require_evidence(build(encoder, rng)(given), rng, tasks=3, variables=5)


def keeps(encoder: Encoder, rng: torch.Generator) -> None:
    """Pairs and aux that an embedding gave are handed on, and what `gives` says is added."""
    for given in _evidences(encoder, rng):
        found = build(encoder, rng)(given)
        has = set(found.aux) | ({"pairs"} if found.pairs is not None else set())
        expected = set(given.aux) | ({"pairs"} if given.pairs is not None else set()) | evidence_given(encoder)
        require(has == expected, f"expected {sorted(expected)}, found {sorted(has)}")


def degenerate(encoder: Encoder, rng: torch.Generator) -> None:
    """One task, one variable and two variables are no special case."""
    module = build(encoder, rng)
    for tasks, variables in ((1, 1), (1, 2), (2, 1), (2, 2)):
        for given in _evidences(encoder, rng, tasks=tasks, variables=variables):
            require_evidence(module(given), rng, tasks=tasks, variables=variables)


def columns(encoder: Encoder, rng: torch.Generator) -> None:
    """Reordering the variables reorders the evidence, and changes nothing else."""
    module = build(encoder, rng)
    order = torch.tensor([3, 0, 4, 1, 2], device=rng.device)
    for given in _evidences(encoder, rng):
        with torch.no_grad():
            expected = outputs(rename(module(given), order))
            require_same_outputs(outputs(module(rename(given, order))), expected, "of reordered variables")


def tasks_apart(encoder: Encoder, rng: torch.Generator) -> None:
    """A task's evidence does not depend on the other tasks of its batch."""
    module = build(encoder, rng)
    for given in _evidences(encoder, rng):
        with torch.no_grad():
            alone = outputs(module(first_task(given)))
            require_same_outputs(alone, outputs(first_task(module(given))), "of the first task by itself")


def inputs_untouched(encoder: Encoder, rng: torch.Generator) -> None:
    """The evidence it is given is left as it is."""
    module = build(encoder, rng)
    for given in _evidences(encoder, rng):
        with torch.no_grad(), unchanged(**outputs(given), **given.aux):
            module(given)


def deterministic(encoder: Encoder, rng: torch.Generator) -> None:
    """In eval mode the same evidence always gives the same answer."""
    for given in _evidences(encoder, rng):
        require_deterministic(build(encoder, rng), partial(_ask, given=given))


def autocast(encoder: Encoder, rng: torch.Generator) -> None:
    """The module works under bfloat16 autocast, as in training."""
    for given in _evidences(encoder, rng):
        require_autocast(build(encoder, rng), partial(_ask, given=given), rng)


def gradients(encoder: Encoder, rng: torch.Generator) -> None:
    """A gradient reaches every parameter."""
    given = _evidences(encoder, rng)[0]
    require_gradients(build(encoder, rng), lambda module: everything(module(given)), rng)


def state(encoder: Encoder, rng: torch.Generator) -> None:
    """Modules are built apart, and a state_dict carries everything from one to another."""
    given = _evidences(encoder, rng)[0]
    require_state(encoder, rng, lambda module: outputs(module(given)))


def _ask(module: nn.Module, given: Evidence) -> Outputs:
    return outputs(module(given))


def _evidences(encoder: Encoder, rng: torch.Generator, *, tasks: int = 3, variables: int = 5) -> list[Evidence]:
    needs = encoder.needs | {"kl"}  # some extra that it should hand on
    made = [evidence(rng, needs, tasks=tasks, variables=variables)]
    if "pairs" not in encoder.needs:
        made.append(evidence(rng, needs, tasks=tasks, variables=variables, pairs=False))
    return made


CHECKS = (shape, keeps, degenerate, columns, tasks_apart, inputs_untouched, deterministic, autocast, gradients, state)
