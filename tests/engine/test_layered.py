"""Drawing graphs in layers: who stands above whom, what overlaps, and where edges begin and end."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabscm.engine.acyclic import decode
from tabscm.engine.explorer.layered import HEIGHT, WIDE, lay_out, spread


def drawn(variables, density, seed, wide=80.0):
    """A random graph with cycles and its drawing: edges, acyclic edges, widths, layout."""
    rng = np.random.default_rng(seed)
    edge_prob = rng.uniform(size=(variables, variables)) * (rng.uniform(size=(variables, variables)) < density)
    np.fill_diagonal(edge_prob, 0)
    edges, downwards = edge_prob > 0.3, decode(edge_prob, 0.3)
    widths = rng.uniform(0.5 * wide, 1.5 * wide, size=variables).tolist()
    return edges, downwards, widths, lay_out(edges, downwards, widths)


@given(st.integers(1, 14), st.floats(0, 1), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_every_edge_is_drawn_from_border_to_border_and_no_two_nodes_touch(variables, density, seed):
    edges, downwards, widths, layout = drawn(variables, density, seed)
    assert set(layout.routes) == {(i, j) for i, j in np.argwhere(edges).tolist()}
    for (cause, effect), route in layout.routes.items():
        assert route.upwards == (layout.centres[cause][1] > layout.centres[effect][1])
        assert not (downwards[cause, effect] and route.upwards)
        side = -HEIGHT / 2 if route.upwards else HEIGHT / 2
        for node, (x, y), border in ((cause, route.points[0], side), (effect, route.points[-1], -side)):
            assert abs(x - layout.centres[node][0]) <= widths[node] / 2
            assert y == pytest.approx(layout.centres[node][1] + border)
        steps = [after[1] - before[1] for before, after in pairwise(route.points)]
        assert all(step < 0 for step in steps) if route.upwards else all(step > 0 for step in steps)
    boxes = [(x, y, width) for (x, y), width in zip(layout.centres, widths, strict=True)]
    for index, (x, y, width) in enumerate(boxes):
        assert width / 2 <= x <= layout.width - width / 2
        assert HEIGHT / 2 <= y <= layout.height - HEIGHT / 2
        for other_x, other_y, other in boxes[:index]:
            assert abs(x - other_x) >= (width + other) / 2 or abs(y - other_y) >= HEIGHT


@given(st.integers(2, 12), st.floats(0.1, 1), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_no_edge_runs_through_a_node(variables, density, seed):
    _, _, widths, layout = drawn(variables, density, seed)
    for (cause, effect), route in layout.routes.items():
        for x, y in route.points[1:-1]:  # where it passes a layer
            for node in set(range(variables)) - {cause, effect}:
                away = abs(y - layout.centres[node][1]) > HEIGHT / 2 + 0.01
                assert away or abs(x - layout.centres[node][0]) > widths[node] / 2


def test_a_chain_is_a_straight_line_and_a_long_edge_passes_beside_it():
    adj = np.zeros((4, 4), dtype=bool)
    adj[2, 0] = adj[0, 3] = adj[3, 1] = True
    layout = lay_out(adj, adj, [60.0] * 4)
    assert len({round(x, 6) for x, _ in layout.centres}) == 1
    heights = [layout.centres[node][1] for node in (2, 0, 3, 1)]
    assert heights == sorted(heights)
    adj[2, 1] = True
    layout = lay_out(adj, adj, [60.0] * 4)
    assert len(layout.routes[2, 1].points) == 6
    assert layout.alone is None


def test_crossings_that_are_not_needed_are_gone():
    """Two chains, the variables of one before those of the other, crossed."""
    adj = np.zeros((6, 6), dtype=bool)
    for source, target in ((0, 5), (1, 4), (2, 3), (5, 2), (4, 1)):
        adj[source, target] = True
    adj[0, 1] = True
    downwards = decode(adj.astype(float), 0.5)
    layout = lay_out(adj, downwards, [50.0] * 6)
    assert [ends for ends, route in layout.routes.items() if route.upwards] == [
        ends for ends in layout.routes if not downwards[ends]
    ]
    adj = np.zeros((8, 8), dtype=bool)
    for source in range(4):
        adj[source, 7 - source] = adj[source, 7 - (source + 1) % 4] = (
            True  # a ring, of which two layers cross 3 at the least
        )
    assert crossings(lay_out(adj, adj, [50.0] * 8)) == 3


def crossings(layout):
    ends = [(route.points[0][0], route.points[-1][0]) for route in layout.routes.values()]
    return sum((a - c) * (b - d) < 0 for index, (a, b) in enumerate(ends) for c, d in ends[:index])


def test_both_ways_of_a_pair_are_two_lines():
    adj = np.array([[False, True], [True, False]])
    layout = lay_out(adj, np.array([[False, True], [False, False]]), [60.0, 60.0])
    there, back = layout.routes[0, 1], layout.routes[1, 0]
    assert (there.upwards, back.upwards) == (False, True)
    assert {x for x, _ in there.points} & {x for x, _ in back.points} == set()


@pytest.mark.parametrize("variables", [1, 2, 40])
def test_nodes_without_edges_stand_in_rows(variables):
    nothing = np.zeros((variables, variables), dtype=bool)
    layout = lay_out(nothing, nothing, [100.0] * variables)
    assert layout.alone is not None
    assert len(set(layout.centres)) == variables
    assert layout.width < WIDE + 200


def test_a_layer_that_is_too_wide_is_split():
    star = np.zeros((40, 40), dtype=bool)
    star[0, 1:] = True
    layout = lay_out(star, star, [100.0] * 40)
    assert layout.width < 2 * WIDE  # all in one layer: more than 4
    assert len({y for _, y in layout.centres}) > 3


def test_the_same_graph_is_drawn_the_same():
    assert drawn(30, 0.1, 7)[3] == drawn(30, 0.1, 7)[3]


def test_a_hundred_variables_are_laid_out_in_a_moment():
    rng = np.random.default_rng(0)
    adj = np.triu(rng.uniform(size=(100, 100)) < 0.06, 1)
    before = time.process_time()
    lay_out(adj, adj, [90.0] * 100)
    assert time.process_time() - before < 5


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 10), st.floats(0, 9)), min_size=1, max_size=12))
def test_places_keep_their_gaps_and_no_shift_would_be_nearer(cases):
    wanted, weights, gaps = (list(part) for part in zip(*cases, strict=True))
    found = spread(wanted, gaps[1:], weights)
    assert all(b - a >= gap - 1e-9 for (a, b), gap in zip(pairwise(found), gaps[1:], strict=True))

    def cost(places):
        return sum(w * (p - want) ** 2 for p, want, w in zip(places, wanted, weights, strict=True))

    # moving all from some place on, or all before it, keeps the gaps if it is outwards
    for cut in range(len(found) + 1):
        for step in (0.01, -0.01):
            moved = [p + step if (at >= cut) == (step > 0) else p for at, p in enumerate(found)]
            assert cost(moved) >= cost(found) - 1e-9
