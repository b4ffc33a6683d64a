"""Graphs drawn from probabilities that were given to edges one by one; none of them has a cycle."""

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.acyclic import paths


def sample(
    edge_prob: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
    *,
    required: NDArray[np.bool_] | None = None,
    before: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Draw acyclic graphs, pair by pair.

    For each graph the pairs of variables are visited in a random order. Each draws i -> j, j -> i or neither, with
    probabilities p_ij, p_ji and 1 - p_ij - p_ji, of what closes no cycle with the edges that are there already and the
    order that is known. So pairs are independent but for the cycles: where none can close, a graph comes with the
    product of its probabilities, and where they are rare, i -> j is in about p_ij of the graphs. This is not a belief
    of the network in whole graphs, of which it says nothing; nor is it the product of its probabilities given that
    there is no cycle, in which no pair would come first. Where p_ij + p_ji is above 1, both are divided by their sum.

    Args:
        edge_prob: [D, D], in [0, 1], at [i, j] of i -> j; the diagonal is not read.
        count: how many graphs.
        rng: numpy's generator.
        required: [D, D] bool, edges that every graph has; acyclic together with `before`.
        before: [D, D] bool, acyclic: True at [i, j] when no path may lead from j to i.

    Returns:
        [count, D, D] bool, each acyclic.

    Source: this project.
    """
    size = len(edge_prob)
    required = np.zeros((size, size), dtype=np.bool_) if required is None else required
    first = paths(required if before is None else required | before)  # at [i, j]: i comes before j in every order
    decided = required | required.T | np.eye(size, dtype=np.bool_)
    prob = np.where(decided, 0.0, edge_prob)
    prob = prob / np.maximum(prob + prob.T, 1.0)
    # the order rules a direction out before any pair is visited; the other one keeps what neither leaves it
    neither = 1 - prob - prob.T
    prob = np.where(first.T, 0.0, np.where(first, _share(prob, neither), prob))
    graphs = np.empty((count, size, size), dtype=np.bool_)
    ends = np.triu_indices(size, 1)
    for graph in graphs:
        draw = rng.uniform(size=len(ends[0]))
        drawn = np.zeros((size, size), dtype=np.bool_)
        drawn[ends] = draw < prob[ends]
        drawn.T[ends] = (draw >= prob[ends]) & (draw < prob[ends] + prob.T[ends])
        graph[:] = _mended(drawn, _share(prob, neither), first, rng) | required
    return graphs


def _share(prob: NDArray[np.float64], neither: NDArray[np.float64]) -> NDArray[np.float64]:
    """[D, D] the probability of i -> j once j -> i is ruled out; 0 where nothing else is left to draw."""
    left = prob + np.maximum(neither, 0.0)
    return np.divide(prob, left, out=np.zeros_like(prob), where=left > 0)


def _mended(
    drawn: NDArray[np.bool_], share: NDArray[np.float64], first: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """`drawn` [D, D] with its edges taken in random order, and turned or left out where they close a cycle.

    As visiting the pairs one by one: an edge that closes no cycle when its turn comes is drawn as it would have been
    alone, and one that does is drawn again of the other direction and neither. A turned edge lies on the cycles of the
    one it was, so that only variables that hang together by cycles have to be visited.
    """
    adj = drawn.copy()
    for members in nx.strongly_connected_components(nx.from_numpy_array(drawn | first, create_using=nx.DiGraph)):
        if len(members) == 1:
            continue
        own = np.ix_(sorted(members), sorted(members))
        inside, reaches, likely = np.zeros_like(drawn[own]), first[own].copy(), share[own]
        np.fill_diagonal(reaches, True)
        for source, target in rng.permutation(np.argwhere(drawn[own])):
            if reaches[target, source]:
                if rng.uniform() >= likely[target, source]:
                    continue
                source, target = target, source
            inside[source, target] = True
            reaches |= np.outer(reaches[:, source], reaches[target])
        adj[own] = inside
    return adj
