"""What a head promises. It is tried with pairs and, unless it needs them, without."""

from functools import partial

import torch
from torch import Tensor, nn

from tabscm.kernel.interfaces import EXTRAS, Evidence, Head
from tabscm.kernel.shapes import expect
from tabscm.testing.module import (
    Outputs,
    build,
    outputs,
    require_autocast,
    require_deterministic,
    require_gradients,
    require_same_outputs,
    require_state,
)
from tabscm.testing.probe import require, require_device, require_finite, unchanged
from tabscm.testing.samples import evidence, first_task, rename

SHAPES = {**EXTRAS, "edges": "B D D"}


def gives(head: Head, rng: torch.Generator) -> None:
    """The module gives exactly the names in `gives`."""
    require(bool(head.gives), "`gives` is empty")
    for given in _evidences(head, rng):
        found = set(_ask(build(head, rng), given))
        require(found == head.gives, f"gives says {sorted(head.gives)}, found {sorted(found)}")


def shape(head: Head, rng: torch.Generator) -> None:
    """ "edges" is [B, D, D], every other answer has a task on its first axis; all floating, on the same device."""
    for given in _evidences(head, rng):
        _require_answers(_ask(build(head, rng), given), rng, tasks=3, variables=5)


def finite(head: Head, rng: torch.Generator) -> None:
    """Every answer is finite, also for large evidence."""
    module = build(head, rng)
    for given in _evidences(head, rng, size=30.0):
        for name, answer in _ask(module, given).items():
            require_finite(answer, name)


def degenerate(head: Head, rng: torch.Generator) -> None:
    """One task, one variable and two variables are no special case."""
    module = build(head, rng)
    for tasks, variables in ((1, 1), (1, 2), (2, 1), (2, 2)):
        for given in _evidences(head, rng, tasks=tasks, variables=variables):
            answers = _ask(module, given)
            _require_answers(answers, rng, tasks=tasks, variables=variables)
            for name, answer in answers.items():
                require_finite(answer, f"{name} of {variables} variables")


def columns(head: Head, rng: torch.Generator) -> None:
    """Reordering the variables reorders the answers, and changes nothing else."""
    module = build(head, rng)
    order = torch.tensor([3, 0, 4, 1, 2], device=rng.device)
    for given in _evidences(head, rng):
        with torch.no_grad():
            expected = {name: _reorder(name, answer, order) for name, answer in _ask(module, given).items()}
            require_same_outputs(_ask(module, rename(given, order)), expected, "of reordered variables")


def tasks_apart(head: Head, rng: torch.Generator) -> None:
    """A task's answers do not depend on the other tasks of its batch."""
    module = build(head, rng)
    for given in _evidences(head, rng):
        with torch.no_grad():
            expected = {name: answer[:1] for name, answer in _ask(module, given).items()}
            require_same_outputs(_ask(module, first_task(given)), expected, "of the first task by itself")


def inputs_untouched(head: Head, rng: torch.Generator) -> None:
    """The evidence is left as it is."""
    module = build(head, rng)
    for given in _evidences(head, rng):
        with torch.no_grad(), unchanged(**outputs(given)):
            _ask(module, given)


def deterministic(head: Head, rng: torch.Generator) -> None:
    """In eval mode the same evidence always gives the same answers."""
    for given in _evidences(head, rng):
        require_deterministic(build(head, rng), partial(_ask, given=given))


def autocast(head: Head, rng: torch.Generator) -> None:
    """The module works under bfloat16 autocast, as in training."""
    for given in _evidences(head, rng):
        require_autocast(build(head, rng), partial(_ask, given=given), rng)


def gradients(head: Head, rng: torch.Generator) -> None:
    """A gradient reaches every parameter."""
    given = _evidences(head, rng)[0]
    require_gradients(build(head, rng), lambda module: _ask(module, given), rng)


def state(head: Head, rng: torch.Generator) -> None:
    """Modules are built apart, and a state_dict carries everything from one to another."""
    given = _evidences(head, rng)[0]
    require_state(head, rng, lambda module: _ask(module, given))


def _evidences(
    head: Head, rng: torch.Generator, *, tasks: int = 3, variables: int = 5, size: float = 1.0
) -> list[Evidence]:
    made = []
    for pairs in (True, False) if "pairs" not in head.needs else (True,):
        given = evidence(rng, head.needs, tasks=tasks, variables=variables, pairs=pairs)
        made.append(Evidence(given.nodes * size, None if given.pairs is None else given.pairs * size, given.aux))
    return made


def _ask(module: nn.Module, given: Evidence) -> Outputs:
    answers = module(given)
    require(isinstance(answers, dict), f"returned {type(answers).__name__} instead of a dict of tensors")
    assert isinstance(answers, dict)
    return answers


def _require_answers(answers: Outputs, rng: torch.Generator, *, tasks: int, variables: int) -> None:
    for name, answer in answers.items():
        if name in SHAPES:
            expect(answer, SHAPES[name], what=name, B=tasks, D=variables)
        require(answer.ndim > 0 and len(answer) == tasks, f"{name} is {list(answer.shape)} for {tasks} tasks")
        require(answer.is_floating_point(), f"{name} is {answer.dtype}")
        require_device(answer, rng, name)


def _reorder(name: str, answer: Tensor, order: Tensor) -> Tensor:
    for axis, letter in enumerate(SHAPES.get(name, "B").split()):
        if letter == "D":
            answer = answer.index_select(axis, order)
    return answer


CHECKS = (
    gives,
    shape,
    finite,
    degenerate,
    columns,
    tasks_apart,
    inputs_untouched,
    deterministic,
    autocast,
    gradients,
    state,
)
