"""In which order the nodes of a batch are sampled: level by level, parents first.

Letters: B tasks, D variables, G nodes of one level, P parents.
"""

from collections.abc import Iterator
from itertools import groupby

import attrs
import torch
from torch import Tensor

from tabscm.engine.transfer import sent
from tabscm.kernel.errors import ContractError
from tabscm.kernel.interfaces import Mechanism


@attrs.frozen(eq=False)
class Group:
    """Nodes of one topological level that share a mechanism."""

    mechanism: Mechanism
    place: slice  # within the level
    parents: Tensor  # [G, P] int64, nodes of the batch
    mask: Tensor  # [G, P] bool, which slots of `parents` hold one


@attrs.frozen(eq=False)
class Level:
    """Nodes whose parents all lie on levels before."""

    nodes: Tensor  # [G] int64, numbers within the batch
    groups: list[Group]


def levels_of(
    adj: Tensor, depth: Tensor, mechanisms: list[Mechanism], which: Tensor, device: torch.device
) -> Iterator[Level]:
    """All nodes of the batch, on `device`, those of equal `depth` [B, D] together, grouped by the mechanism `which`
    [B, D] names; all three on the host."""
    variables = adj.shape[1]
    group = (depth * len(mechanisms) + which).flatten()
    group, order = torch.sort(group, stable=True)
    incoming = adj.transpose(1, 2).reshape(-1, variables)[order]  # [B D, D]
    count = incoming.sum(1)
    # parents first, in slots; whatever node fills the other slots is of the same task and masked
    parents = torch.argsort(incoming.to(torch.uint8), dim=1, descending=True, stable=True)
    parents += (order // variables * variables)[:, None]
    mask = torch.arange(variables) < count[:, None]
    found, sizes = torch.unique_consecutive(group, return_counts=True)
    starts = (sizes.cumsum(0) - sizes).tolist()
    widths = torch.stack([part.max() for part in torch.split(count, sizes.tolist())]).tolist()
    order, parents, mask = (sent(each, device) for each in (order, parents, mask))
    runs = zip(found.tolist(), starts, sizes.tolist(), widths, strict=True)
    for _, members in groupby(runs, key=lambda run: run[0] // len(mechanisms)):
        level = list(members)
        first, last = level[0][1], level[-1][1] + level[-1][2]
        groups = [
            Group(
                mechanisms[number % len(mechanisms)],
                slice(start - first, start - first + size),
                parents[start : start + size, :width],
                mask[start : start + size, :width],
            )
            for number, start, size, width in level
        ]
        yield Level(order[first:last], groups)


def depth_of(adj: Tensor, what: str) -> Tensor:
    """The longest path that ends at each node: [B, D] int64, 0 for roots.

    Args:
        adj: [B, D, D] bool.
        what: gave the graphs.

    Raises:
        ContractError: one of them has a cycle.
    """
    weight = adj.float()
    depth = torch.zeros(adj.shape[:2])
    for _ in range(adj.shape[1]):
        longer = (weight * (depth + 1)[:, :, None]).amax(1)
        if torch.equal(longer, depth):
            return depth.long()
        depth = longer
    raise ContractError(f"{what}: gave a graph with a cycle")
