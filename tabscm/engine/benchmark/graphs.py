"""Random acyclic graphs; the order of the columns says nothing of the causal order.

Letters: D variables.
"""

import numpy as np

from tabscm.engine.benchmark.case import Bools


def uniform(variables: int, edges: int, rng: np.random.Generator) -> Bools:
    """So many edges, all sets of pairs equally probable: [D, D] bool.

    Source: Erdos and Renyi 1959, G(n, M).
    """
    pairs = np.transpose(np.triu_indices(variables, 1))  # [pairs, 2]
    chosen = pairs[rng.choice(len(pairs), size=min(edges, len(pairs)), replace=False)]
    adj = np.zeros((variables, variables), dtype=np.bool_)
    adj[chosen[:, 0], chosen[:, 1]] = True
    return shuffled(adj, rng)


def preferential(variables: int, edges: int, rng: np.random.Generator) -> Bools:
    """About so many edges, drawn to variables that have many: [D, D] bool. In half of the graphs hubs are causes.

    Source: Barabasi and Albert 1999, every new variable attached to edges / D older ones, rounded up or down at random.
    """
    adj = np.zeros((variables, variables), dtype=np.bool_)
    for new in range(1, variables):
        wanted = edges / variables
        count = min(new, int(wanted) + int(rng.random() < wanted % 1))
        weight = 1.0 + adj[:new, :new].sum(0) + adj[:new, :new].sum(1)
        adj[rng.choice(new, size=count, replace=False, p=weight / weight.sum()), new] = True
    return shuffled(adj.T if rng.random() < 0.5 else adj, rng)


def alternating(variables: int, edges: int, rng: np.random.Generator, index: int) -> Bools:
    """`uniform` for tables of even index, `preferential` for odd ones: [D, D] bool."""
    return (preferential if index % 2 else uniform)(variables, edges, rng)


def shuffled(adj: Bools, rng: np.random.Generator) -> Bools:
    """The same graph with its variables in random order."""
    order = rng.permutation(len(adj))
    return adj[np.ix_(order, order)]


def causal_order(adj: Bools) -> list[int]:
    """The variables, every one after its causes.

    Raises:
        ValueError: there is a directed cycle.
    """
    waiting = adj.sum(0)
    ready = [int(variable) for variable in np.flatnonzero(waiting == 0)]
    order: list[int] = []
    while ready:
        variable = ready.pop()
        order.append(variable)
        waiting = waiting - adj[variable]
        ready += [int(child) for child in np.flatnonzero(adj[variable] & (waiting == 0))]
    if len(order) < len(adj):
        raise ValueError("the graph has a directed cycle")
    return order
