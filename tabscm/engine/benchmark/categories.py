"""Tables of categories, and tables in which columns are of several types.

Letters: N rows, D variables, P parents.
"""

from collections.abc import Sequence

import attrs
import numpy as np

from tabscm.engine.benchmark.case import Bools, Case, Floats
from tabscm.engine.benchmark.graphs import causal_order

MOST_PARENTS = 3
"""Of a random discrete variable: its table of probabilities doubles or more with each."""


@attrs.frozen(eq=False)
class Network:
    """A Bayesian network of discrete variables."""

    adj: Bools
    """[D, D], True at [i, j] when i causes j."""
    parents: Sequence[tuple[int, ...]]
    """[D] the parents of each variable, in the order of the axes of its table."""
    tables: Sequence[Floats]
    """[D] the probabilities of each variable: an axis for every parent, the last one for the variable itself."""


def sample(network: Network, rows: int, rng: np.random.Generator) -> Case:
    """Rows from a network by forward sampling, every state as its number."""
    codes = np.zeros((rows, len(network.tables)), dtype=np.int64)
    for variable in causal_order(network.adj):
        table = network.tables[variable][tuple(codes[:, parent] for parent in network.parents[variable])]
        below = np.broadcast_to(table, (rows, table.shape[-1])).cumsum(-1)  # [N, states]
        codes[:, variable] = (rng.random((rows, 1)) > below[:, :-1]).sum(-1)
    return Case(x=codes.astype(np.float64), adj=network.adj, intervened=np.zeros(codes.shape, bool), discrete=True)


def random_network(adj: Bools, rng: np.random.Generator) -> Network:
    """Variables of 2 to 4 states; every combination of parents has probabilities of its own, Dirichlet(1/2)."""
    states = rng.integers(2, 5, size=len(adj))
    parents = [tuple(map(int, np.flatnonzero(adj[:, variable]))) for variable in range(len(adj))]
    shapes = [tuple(int(states[parent]) for parent in those) for those in parents]
    tables = [rng.dirichlet(np.full(int(count), 0.5), size=shape) for shape, count in zip(shapes, states, strict=True)]
    return Network(adj=adj, parents=parents, tables=tables)


def with_few_parents(adj: Bools, rng: np.random.Generator) -> Bools:
    """The graph with some edges left out, so that no variable has more than MOST_PARENTS."""
    adj = adj.copy()
    for variable in range(len(adj)):
        parents = rng.permutation(np.flatnonzero(adj[:, variable]))
        adj[parents[MOST_PARENTS:], variable] = False
    return adj


def mixed(adj: Bools, rows: int, rng: np.random.Generator) -> Case:
    """A table whose columns are measurements, yes or no, ordered levels, or counts, a type for each at random.

    Every variable depends on a weighted sum of its parents, of which half of the variables see the tanh.
    """
    x = np.zeros((rows, len(adj)))
    for variable in causal_order(adj):
        parents = np.flatnonzero(adj[:, variable])
        given = x[:, parents]
        spread = given.std(0)
        signal = np.zeros(rows)
        if len(parents):
            weights = rng.uniform(0.7, 2.0, len(parents)) * rng.choice([-1.0, 1.0], len(parents))
            signal = (given - given.mean(0)) / np.where(spread > 0, spread, 1.0) @ weights
            signal = 2 * np.tanh(signal) if rng.random() < 0.5 else signal
        x[:, variable] = _typed(signal, rng)
    return Case(x=x, adj=adj, intervened=np.zeros(x.shape, dtype=np.bool_))


def _typed(signal: Floats, rng: np.random.Generator) -> Floats:
    """Values of one random type that depend on the signal: [N] -> [N]."""
    latent = signal + rng.normal(size=len(signal))
    kind = rng.integers(4)
    if kind == 0:
        return latent
    if kind == 1:
        yes: Floats = (latent > np.quantile(latent, rng.uniform(0.3, 0.7))).astype(np.float64)
        return yes
    if kind == 2:
        cuts = np.quantile(latent, np.sort(rng.uniform(0.1, 0.9, rng.integers(2, 5))))
        return np.digitize(latent, cuts).astype(np.float64)
    return rng.poisson(np.exp(np.clip(0.5 + 0.6 * signal, -3, 4))).astype(np.float64)
