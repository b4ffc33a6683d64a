"""Graphs and the classes of graphs that observations cannot tell apart.

A pattern is [D, D] bool: True at [i, j] alone is i -> j, at [i, j] and [j, i] an edge without direction.
"""

from itertools import combinations

import numpy as np

from tabscm.engine.benchmark.case import Bools, Floats
from tabscm.engine.benchmark.graphs import causal_order


def cpdag(adj: Bools) -> Bools:
    """The pattern of all graphs with the same independences as an acyclic graph.

    Source: Verma and Pearl 1990 (v-structures) and Meek 1995, rules 1 to 3; rule 4 needs background knowledge.
    """
    adjacent = adj | adj.T
    apart = ~adjacent & ~np.eye(len(adj), dtype=np.bool_)
    directed = np.zeros_like(adj)
    for child in range(len(adj)):
        parents = np.flatnonzero(adj[:, child])
        directed[parents[apart[np.ix_(parents, parents)].any(1)], child] = True
    while True:
        open_ = adjacent & ~directed & ~directed.T
        steps = directed.astype(np.int64)
        first = open_ & (steps.T @ apart.astype(np.int64) > 0)  # k -> i - j, k and j apart
        second = open_ & (steps @ steps > 0)  # i -> k -> j
        new = first | second
        if not new.any():
            new = _third(open_, directed, apart)
        if not new.any():
            return directed | open_
        directed |= new


def without_cycles(graph: Floats, scores: Floats) -> tuple[Bools, bool]:
    """The pattern of a graph, without the directed edges that close a cycle, the least sure ones left out first.

    Args:
        graph: [D, D], see `Answer.graph`.
        scores: [D, D], how sure each edge is.

    Returns:
        The pattern, and whether there was a cycle.
    """
    asserted = graph > 0
    open_ = asserted & asserted.T & (graph < 1)
    directed = asserted & ~open_
    try:
        causal_order(directed)
    except ValueError:
        pass
    else:
        return asserted, False
    kept = np.zeros_like(directed)
    reaches = np.eye(len(directed), dtype=np.bool_)  # [D, D], True at [i, j] when a path leads from i to j
    sources, targets = np.nonzero(directed)
    for edge in np.argsort(-scores[sources, targets], kind="stable"):
        source, target = sources[edge], targets[edge]
        if not reaches[target, source]:
            kept[source, target] = True
            reaches |= np.outer(reaches[:, source], reaches[target])
    return kept | open_, True


def one_graph(pattern: Bools) -> Bools:
    """An acyclic graph of a pattern without directed cycles: open edges follow an order that fits the directed ones."""
    order = causal_order(pattern & ~pattern.T)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return pattern & (place[:, None] < place)


def distance(one: Bools, other: Bools) -> int:
    """Unordered pairs on which two patterns differ."""
    differs = one != other
    return int(np.triu(differs | differs.T, 1).sum())


def _third(open_: Bools, directed: Bools, apart: Bools) -> Bools:
    """i - j where i - k -> j and i - l -> j, k and l apart."""
    new = np.zeros_like(open_)
    for i, j in np.transpose(np.nonzero(open_)):
        between = np.flatnonzero(open_[i] & directed[:, j])
        new[i, j] = any(apart[one, other] for one, other in combinations(between, 2))
    return new
