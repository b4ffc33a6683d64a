"""What an embedding promises."""

import attrs
import torch

from tabscm.kernel.interfaces import Embedding, Table
from tabscm.kernel.nesting import evidence_given
from tabscm.testing.module import (
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
from tabscm.testing.samples import Apart, first_task, rename, table


def shape(embedding: Embedding, rng: torch.Generator) -> None:
    """The module gives Evidence: nodes [B, D, E], pairs [B, D, D, E] or None, all finite and on the table's device."""
    require_evidence(build(embedding, rng)(table(rng)), rng, tasks=3, variables=5)


def gives(embedding: Embedding, rng: torch.Generator) -> None:
    """Evidence has what `gives` of the embedding and of those inside it say: "pairs", and every other name in aux."""
    evidence = build(embedding, rng)(table(rng))
    has = set(evidence.aux) | ({"pairs"} if evidence.pairs is not None else set())
    said = evidence_given(embedding)
    require(has == said, f"gives says {sorted(said)}, found {sorted(has)}")


def degenerate(embedding: Embedding, rng: torch.Generator) -> None:
    """One task, one variable, two variables and two rows are no special case."""
    module = build(embedding, rng)
    for tasks, rows, variables in ((1, 2, 1), (2, 2, 2), (1, 20, 1), (1, 20, 2), (1, 2, 7)):
        evidence = module(table(rng, tasks=tasks, rows=rows, variables=variables))
        require_evidence(evidence, rng, tasks=tasks, variables=variables)


def columns(embedding: Embedding, rng: torch.Generator) -> None:
    """Reordering the columns of a table reorders the evidence, and changes nothing else."""
    module, given = build(embedding, rng), table(rng)
    order = torch.tensor([3, 0, 4, 1, 2], device=rng.device)
    with torch.no_grad():
        expected = outputs(rename(module(given), order))
        require_same_outputs(outputs(module(rename(given, order))), expected, "of reordered columns")


def rows(embedding: Embedding, rng: torch.Generator) -> None:
    """The order of the rows does not matter."""
    module, given = build(embedding, rng), table(rng)
    order = torch.randperm(given.x.shape[1], generator=rng, device=rng.device)
    shuffled = Table(given.x[:, order], given.intervened[:, order], given.observed[:, order])
    with torch.no_grad():
        require_same_outputs(outputs(module(shuffled)), outputs(module(given)), "of shuffled rows")


def tasks_apart(embedding: Embedding, rng: torch.Generator) -> None:
    """A task's evidence does not depend on the other tasks of its batch."""
    module, given = build(embedding, rng), table(rng)
    with torch.no_grad():
        alone = outputs(module(first_task(given)))
        require_same_outputs(alone, outputs(first_task(module(given))), "of the first task by itself")


def reads_values(embedding: Embedding, rng: torch.Generator) -> None:
    """What a column holds changes the evidence about it."""
    module, given = build(embedding, rng), table(rng)
    cubed = given.x.clone()
    cubed[:, :, 2] = cubed[:, :, 2] ** 3
    with torch.no_grad():
        found, before = module(attrs.evolve(given, x=cubed)), module(given)
    still = all(torch.equal(after[:, 2], outputs(before)[name][:, 2]) for name, after in outputs(found).items())
    require(not still, "the evidence about a column stays the same when its values are cubed")


def additive(embedding: Embedding, rng: torch.Generator) -> None:
    """One that says it is additive finds the same in rows that lie elsewhere as in a table of them."""
    if not embedding.additive:
        return
    rng = torch.Generator().manual_seed(rng.initial_seed())  # pieces are on the CPU
    module, given = build(embedding, rng), table(rng, tasks=1, rows=60)
    with torch.inference_mode():
        found = module.read(Apart(given))  # type: ignore[operator] # of a module nobody knows what it has
        require_same_outputs(outputs(found), outputs(module(given)), "of rows elsewhere")


def inputs_untouched(embedding: Embedding, rng: torch.Generator) -> None:
    """The table is left as it is."""
    module, given = build(embedding, rng), table(rng)
    with unchanged(x=given.x, intervened=given.intervened, observed=given.observed):
        module(given)


def deterministic(embedding: Embedding, rng: torch.Generator) -> None:
    """In eval mode the same table always gives the same evidence."""
    given = table(rng)
    require_deterministic(build(embedding, rng), lambda module: outputs(module(given)))


def autocast(embedding: Embedding, rng: torch.Generator) -> None:
    """The module works under bfloat16 autocast, as in training."""
    given = table(rng)
    require_autocast(build(embedding, rng), lambda module: outputs(module(given)), rng)


def gradients(embedding: Embedding, rng: torch.Generator) -> None:
    """A gradient reaches every parameter."""
    given = table(rng)
    require_gradients(build(embedding, rng), lambda module: everything(module(given)), rng)


def state(embedding: Embedding, rng: torch.Generator) -> None:
    """Modules are built apart, and a state_dict carries everything from one to another."""
    given = table(rng)
    require_state(embedding, rng, lambda module: outputs(module(given)))


CHECKS = (
    shape,
    gives,
    degenerate,
    columns,
    rows,
    tasks_apart,
    reads_values,
    additive,
    inputs_untouched,
    deterministic,
    autocast,
    gradients,
    state,
)
