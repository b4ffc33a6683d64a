"""The most probable graph without cycles, from probabilities that were given to edges one by one."""

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

EXACT = 10
"""Most variables that hang together by cycles for which every order is weighed; of more, a local search finds one."""
SMALLEST = 1e-12
"""Probabilities are kept this far from 0 and 1, so that log-odds are finite."""


def decode(
    edge_prob: NDArray[np.float64],
    threshold: float = 0.5,
    *,
    required: NDArray[np.bool_] | None = None,
    before: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """The acyclic graph of edges above a threshold whose log-odds, above those of the threshold, have the largest sum.

    At 0.5 that is the graph with the largest product of probabilities, edges there and edges not there, each judged on
    its own. Only variables on a common cycle compete, so that without a cycle nothing is dropped. Up to EXACT variables
    on common cycles the result is the best there is; of more, it is a best order up to moving one variable at a time.
    The same whatever the order of the variables, unless two graphs are equally good.

    Args:
        edge_prob: [D, D], in [0, 1], at [i, j] of i -> j; the diagonal is not read.
        threshold: in [0, 1].
        required: [D, D] bool, edges that stay whatever their probability; acyclic together with `before`.
        before: [D, D] bool, acyclic: True at [i, j] when no path may lead from j to i.

    Returns:
        [D, D] bool, acyclic, within the required edges and those above the threshold; none of those that were left out
        could be added without a cycle or a path against `before`.

    Source: the linear ordering problem; insertion moves as in Marti and Reinelt 2011, The Linear Ordering Problem.
    """
    nowhere = np.zeros(edge_prob.shape, dtype=np.bool_)
    required = nowhere if required is None else required
    first = required if before is None else required | before  # at [i, j]: i comes before j in every order
    above = ((edge_prob > threshold) & ~first.T) | required
    np.fill_diagonal(above, False)
    weight = np.where(above, _log_odds(edge_prob) - _log_odds(np.array(threshold)), 0.0)
    adj = above.copy()
    for members in nx.strongly_connected_components(nx.from_numpy_array(above | first, create_using=nx.DiGraph)):
        if len(members) > 1:
            own = np.ix_(sorted(members), sorted(members))
            adj[own] = _acyclic(above[own], weight[own], first[own])
    return adj


def paths(adj: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[D, D] bool, True at [i, j] when a path of one edge or more leads from i to j in `adj`, of the same shape."""
    found = adj.copy()
    while True:
        reach = found.astype(np.float32)  # sums stay whole below 2^24 variables
        longer = found | (reach @ reach > 0)
        if (longer == found).all():
            return found
        found = longer


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(probability, SMALLEST, 1 - SMALLEST)
    odds: NDArray[np.float64] = np.log(kept) - np.log1p(-kept)
    return odds


def _acyclic(above: NDArray[np.bool_], weight: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`decode` of variables that hang together by cycles. `first` is acyclic, and orders keep to it."""
    if len(weight) <= EXACT:
        order = _best_order(weight, first)
    else:
        order = _moved(weight, first, _first_order(above, weight, first))
    place = np.argsort(order)
    return _completed(above & (place[:, None] < place[None]), above, weight, first)


def _best_order(weight: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The order with the largest sum of weights from earlier to later, over all that keep to `first`.

    By sets of the variables that come first, each a bit mask: what a variable adds behind a set does not depend on the
    order within the set. All sets of one size are weighed at once, from those that are smaller by one.
    """
    count = len(weight)
    sets = np.arange(1 << count)
    within = (sets[:, None] >> np.arange(count)) & 1  # [sets, D]
    gains = within @ weight  # [sets, D], at [set, j] what j gets from the set before it
    gains[(1 - within) @ first > 0] = -np.inf  # where one that must come before j is not in the set
    best = np.full(len(sets), -np.inf)
    best[0] = 0.0
    last = np.zeros(len(sets), dtype=np.intp)
    size = within.sum(1)
    for members in range(1, count + 1):
        chosen = sets[size == members]
        before = chosen[:, None] & ~(1 << np.arange(count))  # [chosen, D]
        values = np.where(within[chosen] > 0, best[before] + gains[before, np.arange(count)], -np.inf)
        last[chosen] = values.argmax(1)
        best[chosen] = values.max(1)
    order, left = [], len(sets) - 1
    while left:
        order.append(last[left])
        left -= 1 << last[left]
    return np.array(order[::-1], dtype=np.intp)


def _first_order(above: NDArray[np.bool_], weight: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.intp]:
    """An order of the graph that takes edge after edge, the heaviest first, unless it closes a cycle.

    Where that leaves a choice, what sends out more than it takes in comes first.
    """
    adj = first | _completed(above & first, above, weight, first)
    surplus = weight.sum(1) - weight.sum(0)
    order: list[int] = []
    waiting = adj.sum(0)  # parents not yet placed
    free = np.ones(len(adj), dtype=np.bool_)
    while len(order) < len(adj):
        chosen = int(np.where(free & (waiting == 0), surplus, -np.inf).argmax())
        order.append(chosen)
        free[chosen] = False
        waiting -= adj[chosen]
    return np.array(order, dtype=np.intp)


def _moved(weight: NDArray[np.float64], first: NDArray[np.bool_], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """`order` after the best move of one variable to another place, and so on until none gains; it keeps to `first`."""
    places = np.arange(len(weight))
    while True:
        sorted_weight = weight[np.ix_(order, order)]
        # [p, q]: what the variable at place p loses by going behind the one at q, and gains by going before it
        cost = sorted_weight - sorted_weight.T
        total = np.cumsum(cost, axis=1)
        here = np.diagonal(total)[:, None]
        # to place q > p it passes p + 1 .. q; to q < p it passes q .. p - 1
        gain = np.where(np.triu(np.ones_like(cost), 1) > 0, here - total, here - total + cost)
        np.fill_diagonal(gain, 0.0)
        follows = first[np.ix_(order, order)]  # above the diagonal only
        lowest = np.where(follows, places[:, None], -1).max(0) + 1  # behind the last that must come before it
        highest = np.where(follows, places[None], len(places)).min(1) - 1
        gain[(places[None] < lowest[:, None]) | (places[None] > highest[:, None])] = -np.inf
        place, target = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[place, target] <= 1e-9 * max(1.0, float(weight.max())):  # rounding is no gain
            return order
        order = np.insert(np.delete(order, place), target, order[place])


def _completed(
    adj: NDArray[np.bool_], above: NDArray[np.bool_], weight: NDArray[np.float64], first: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """An acyclic graph with every further edge of `above` that closes no cycle and keeps to `first`, heaviest first."""
    adj = adj.copy()
    reaches = paths(adj | first) | np.eye(len(adj), dtype=np.bool_)
    for source, target in _heaviest_first(above & ~adj, weight):
        if not reaches[target, source]:
            adj[source, target] = True
            reaches |= np.outer(reaches[:, source], reaches[target])
    return adj


def _heaviest_first(edges: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.intp]:
    """[edges, 2] the ends of each edge."""
    ends = np.argwhere(edges)
    return ends[np.argsort(-weight[edges], kind="stable")]
