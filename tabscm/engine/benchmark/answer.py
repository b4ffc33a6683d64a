"""What a method says of a table."""

import attrs

from tabscm.engine.benchmark.case import Bools, Floats


@attrs.frozen(eq=False)
class Answer:
    """A ranking of the ordered pairs and a graph."""

    scores: Floats
    """[D, D], higher where i -> j is surer, on a scale of the method's own."""
    graph: Floats
    """[D, D], 1 where i -> j is asserted, 1/2 both ways where an edge is and its direction is left open."""
    logits: Floats | None = None
    """[D, D] log-odds of i -> j, of a method that gives probabilities."""


def of_pattern(directed: Bools, undirected: Bools) -> Answer:
    """A graph of a Markov class, whose edges are all equally sure."""
    graph = directed.astype(float) + 0.5 * undirected
    return Answer(scores=graph, graph=graph)


def of_weights(weights: Floats, *, least: float) -> Answer:
    """A weighted graph: larger weights are surer, and those above `least` asserted."""
    size = abs(weights)
    return Answer(scores=size, graph=(size > least).astype(float))
