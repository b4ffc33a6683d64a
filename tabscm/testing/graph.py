"""What a graph sampler promises."""

import torch

from tabscm.kernel.interfaces import GraphSampler
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import require, require_device, require_global_rng, require_same, restart


def shape(graphs: GraphSampler, rng: torch.Generator) -> None:
    """`sample` returns adj [B, D, D] bool."""
    expect(graphs.sample(4, 7, rng), "B D D", what="adj", dtype=torch.bool, B=4, D=7)


def device(graphs: GraphSampler, rng: torch.Generator) -> None:
    """Graphs are on the device of rng."""
    require_device(graphs.sample(4, 7, rng), rng, "adj")


def degenerate(graphs: GraphSampler, rng: torch.Generator) -> None:
    """One task, one variable and two variables are no special case."""
    for tasks, variables in ((1, 1), (1, 2), (5, 1), (5, 2), (1, 9)):
        what = f"adj of {tasks} tasks and {variables} variables"
        expect(graphs.sample(tasks, variables, rng), "B D D", what=what, dtype=torch.bool, B=tasks, D=variables)


def reproducible(graphs: GraphSampler, rng: torch.Generator) -> None:
    """The same rng gives the same graphs."""
    require_same(graphs.sample(8, 9, restart(rng)), graphs.sample(8, 9, restart(rng)), "adj of two equal generators")


def global_rng(graphs: GraphSampler, rng: torch.Generator) -> None:
    """Randomness comes from rng alone."""
    before = torch.get_rng_state()
    graphs.sample(4, 7, rng)
    require_global_rng(before)


def self_loops(graphs: GraphSampler, rng: torch.Generator) -> None:
    """No variable causes itself."""
    for variables in (1, 2, 12):
        loops = int(torch.diagonal(graphs.sample(64, variables, rng), dim1=1, dim2=2).sum())
        require(loops == 0, f"{loops} self loops in 64 graphs of {variables} variables")


def acyclic(graphs: GraphSampler, rng: torch.Generator) -> None:
    """Graphs have no cycles."""
    for variables in (2, 12):
        adj = graphs.sample(64, variables, rng)
        edges = (adj & ~torch.eye(variables, dtype=torch.bool, device=adj.device)).float()
        walks = edges
        for _ in range(variables - 1):
            walks = ((walks @ edges) > 0).float()
        cyclic = int(walks.flatten(1).any(1).sum())
        require(cyclic == 0, f"cycles in {cyclic} of 64 graphs of {variables} variables")


def labels(graphs: GraphSampler, rng: torch.Generator) -> None:
    """Which variable comes first says nothing about causal order."""
    tasks, variables = 1000, 5
    adj = graphs.sample(tasks, variables, rng).float()
    forth, back = adj.sum(0), adj.sum(0).mT  # [D, D]
    # tasks are independent, and within one an edge may go either way: the difference has variance forth + back
    excess = (forth - back) / (forth + back).clamp(min=1).sqrt()
    i, j = divmod(int(excess.argmax()), variables)
    require(
        excess.max() < 5,
        f"of {tasks} graphs, {int(forth[i, j])} have an edge {i} -> {j} and {int(back[i, j])} an edge {j} -> {i}",
    )


def tasks_differ(graphs: GraphSampler, rng: torch.Generator) -> None:
    """Every task, and every call, has a graph of its own."""
    adj = torch.cat([graphs.sample(32, 6, rng), graphs.sample(32, 6, rng)])
    if not bool(adj.any()):
        return
    require((adj[:32] != adj[:1]).any(), "all 32 graphs of a batch are the same")
    require((adj[:32] != adj[32:]).any(), "a second call gave the same graphs again")


CHECKS = (shape, device, degenerate, reproducible, global_rng, self_loops, acyclic, labels, tasks_differ)
