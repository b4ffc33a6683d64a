"""Where the nodes and edges of a graph stand when it is drawn in layers, causes above effects.

Layers by longest path, long edges through dummy nodes, few crossings by barycentre sweeps, then as straight as the
widths allow. Each part of the graph that hangs together is laid out on its own, and the parts are set side by side.

Source: Sugiyama, Tagawa and Toda 1981; longest paths and splitting wide layers as in Healy and Nikolov 2013, chapter 13
of the Handbook of Graph Drawing. Differs: places in a layer are an isotonic regression on the mean of the neighbours.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs
import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.page.svg import Point

HEIGHT = 30.0
"""Of a node, in pixels."""
BESIDE, APART = 22.0, 58.0
"""Least room between two nodes of a layer, and between two layers, in pixels."""
WIDE = 1100.0
"""A layer wider than this is split into several, in pixels."""
LANE = 8.0
"""Width of the lane in which an edge passes a layer, in pixels."""
SWEEPS = 16
"""Passes over the layers, down and up in turn, that look for an order with fewer crossings."""
STRAIGHTENINGS = 8
"""Passes over the layers, down and up in turn, that move nodes towards their neighbours."""
MARGIN = 16.0
"""Around the drawing and between its parts, in pixels."""


@attrs.frozen
class Route:
    """The way of an edge from the border of its cause to that of its effect."""

    points: tuple[Point, ...]
    """Where it leaves, which lanes it takes, where it arrives; between these it curves, upright at each of them."""
    upwards: bool
    """Whether its effect stands above its cause, for otherwise a cycle could not be drawn."""


@attrs.frozen
class Layout:
    """A drawing, in pixels, y downwards."""

    width: float
    height: float
    centres: tuple[Point, ...]
    """[D] of the nodes."""
    routes: Mapping[tuple[int, int], Route]
    """By cause and effect."""
    alone: float | None
    """Where the nodes without edges begin, which stand below all others; None where there are none."""


def lay_out(edges: NDArray[np.bool_], downwards: NDArray[np.bool_], widths: Sequence[float]) -> Layout:
    """Draw a graph.

    Args:
        edges: [D, D] bool, True at [i, j] for i -> j.
        downwards: [D, D] bool, those of `edges` that decide which node stands above which; acyclic, see
            `acyclic.decode`. Of the others, those that cannot point downwards too go upwards.
        widths: [D] of the nodes, in pixels.
    """
    order = {node: place for place, node in enumerate(nx.topological_sort(_graph(downwards)))}
    down = nx.DiGraph()
    down.add_edges_from((min(e, key=order.__getitem__), max(e, key=order.__getitem__)) for e in _ends(edges))
    parts = [_Part(down.subgraph(members), edges, widths) for members in nx.weakly_connected_components(down)]
    # the widest first: small ones fill what is left of a row
    parts.sort(key=lambda part: (-part.width, min(part.nodes)))
    centres: dict[int, Point] = {}
    routes: dict[tuple[int, int], Route] = {}
    room = max([WIDE, *(part.width for part in parts)])
    corners, width, height = _shelved([(part.width, part.height) for part in parts], room, MARGIN)
    for part, (left, top) in zip(parts, corners, strict=True):
        centres |= {node: (x + left, y + top) for node, (x, y) in part.centres.items()}
        for ends, route in part.routes().items():
            routes[ends] = attrs.evolve(route, points=tuple((x + left, y + top) for x, y in route.points))
    loose = [node for node in range(len(widths)) if node not in centres]
    alone = None
    if loose:
        alone = height + (APART if centres else 0.0)
        boxes = [(widths[node] + BESIDE, HEIGHT + BESIDE / 2) for node in loose]
        corners, wide, deep = _shelved(boxes, max(width, WIDE), 0.0)
        for node, (left, top) in zip(loose, corners, strict=True):
            centres[node] = (left + widths[node] / 2, alone + top + HEIGHT / 2)
        width, height = max(width, wide), alone + deep
    return Layout(
        width=width + 2 * MARGIN,
        height=height + 2 * MARGIN,
        centres=tuple((centres[node][0] + MARGIN, centres[node][1] + MARGIN) for node in range(len(widths))),
        routes={
            ends: attrs.evolve(route, points=tuple((x + MARGIN, y + MARGIN) for x, y in route.points))
            for ends, route in routes.items()
        },
        alone=None if alone is None else alone + MARGIN,
    )


class _Part:
    """A connected part of a drawing: an acyclic graph, whose vertices are nodes, and lanes of edges as dummies."""

    def __init__(self, down: nx.DiGraph, edges: NDArray[np.bool_], widths: Sequence[float]) -> None:
        self.nodes = sorted(down.nodes)
        self.edges = edges
        self.wide: dict[int, float] = {node: widths[node] for node in self.nodes}
        self.layers = _split(_longest_paths(down), self.wide)
        self.chains: dict[tuple[int, int], list[int]] = {}  # upper end, dummies, lower end
        self.above: dict[int, list[int]] = defaultdict(list)  # the vertices of the layer above that it hangs on
        self.below: dict[int, list[int]] = defaultdict(list)
        self._thread(down, first=len(widths))
        self._untangle()
        self._place()

    def _thread(self, down: nx.DiGraph, first: int) -> None:
        """Lead every edge, two ways of one pair apart, from layer to layer; dummies are numbered from `first`."""
        layer = {node: depth for depth, row in enumerate(self.layers) for node in row}
        for upper, lower in sorted(down.edges):
            for ends in ((upper, lower), (lower, upper)):
                if not self.edges[ends]:
                    continue
                lanes = list(range(first, first + layer[lower] - layer[upper] - 1))
                first += len(lanes)
                for depth, lane in enumerate(lanes, start=layer[upper] + 1):
                    self.layers[depth].append(lane)
                    self.wide[lane] = LANE
                self.chains[ends] = [upper, *lanes, lower]
                for one, other in pairwise(self.chains[ends]):
                    self.below[one].append(other)
                    self.above[other].append(one)

    def _untangle(self) -> None:
        """Order the vertices of each layer so that few edges cross; of all orders that were tried, the best stays."""
        best, fewest = [list(row) for row in self.layers], self._crossings()
        for sweep in range(SWEEPS):
            if not fewest:
                break
            down = sweep % 2 == 0
            near = self.above if down else self.below
            rows = self.layers if down else self.layers[::-1]
            place = {vertex: float(at) for row in self.layers for at, vertex in enumerate(row)}
            for row in rows:
                centre = {v: _mean([place[other] for other in near[v]], place[v]) for v in row}
                # of equal ones, every other pass turns the order round, which leads out of some dead ends
                row.sort(key=lambda v: (centre[v], place[v] if sweep % 4 < 2 else -place[v]))
                place |= {vertex: float(at) for at, vertex in enumerate(row)}
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self.layers], crossings
        self.layers = best

    def _crossings(self) -> int:
        """Pairs of edges between neighbouring layers that cross."""
        count = 0
        for row, lower in pairwise(self.layers):
            place = {vertex: at for at, vertex in enumerate(lower)}
            seen: list[int] = []
            for vertex in row:
                ends = sorted(place[other] for other in self.below[vertex])
                count += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return count

    def _place(self) -> None:
        """Give every vertex its x, and every layer its y, from 0."""
        lanes = {lane for chain in self.chains.values() for lane in chain[1:-1]}
        x: dict[int, float] = {}
        gaps = [self._gaps(row) for row in self.layers]
        for row, gap in zip(self.layers, gaps, strict=True):
            whole = np.concatenate([[0.0], np.cumsum(gap)])
            x |= dict(zip(row, (whole - whole[-1] / 2).tolist(), strict=True))

        # what is part of a long edge pulls harder: a long edge that bends is harder to follow than a short one
        def pull(one: int, other: int) -> float:
            return 1.0 + 3.0 * ((one in lanes) + (other in lanes))

        for sweep in range(STRAIGHTENINGS):
            down = sweep % 2 == 0
            last = sweep >= STRAIGHTENINGS - 2
            for depth in range(len(self.layers)) if down else range(len(self.layers) - 1, -1, -1):
                row = self.layers[depth]
                wanted, weights = [], []
                for vertex in row:
                    near = self.above[vertex] if down else self.below[vertex]
                    if last:  # both sides have settled
                        near = self.above[vertex] + self.below[vertex]
                    pulls = [pull(vertex, other) for other in near]
                    total = sum(pulls)
                    at = sum(p * x[other] for p, other in zip(pulls, near, strict=True)) / total if near else x[vertex]
                    wanted.append(at)
                    weights.append(total if near else 0.1)
                x |= dict(zip(row, spread(wanted, gaps[depth], weights), strict=True))
        left = min(x[v] - self.wide[v] / 2 for v in x)
        self.x = {vertex: at - left for vertex, at in x.items()}
        self.width = max(self.x[v] + self.wide[v] / 2 for v in x)
        self.y: dict[int, float] = {}
        bottom = 0.0
        for row in self.layers:
            self.y |= dict.fromkeys(row, bottom + HEIGHT / 2)
            steep = max((abs(self.x[v] - self.x[other]) for v in row for other in self.below[v]), default=0.0)
            bottom += HEIGHT + APART + min(60.0, steep / 14)  # flat edges need a little more room to be told apart
        self.height = max(self.y.values()) + HEIGHT / 2

    def _gaps(self, row: Sequence[int]) -> list[float]:
        """Least distances between the middles of neighbours; a lane has its room in its width."""
        nodes = set(self.nodes)
        reach = [self.wide[vertex] / 2 + (BESIDE / 2 if vertex in nodes else 0.0) for vertex in row]
        return [one + other for one, other in pairwise(reach)]

    @property
    def centres(self) -> dict[int, Point]:
        """The middles of the nodes."""
        return {node: (self.x[node], self.y[node]) for node in self.nodes}

    def routes(self) -> dict[tuple[int, int], Route]:
        """The ways of the edges, which leave and enter a node beside each other in the order of where they go."""
        leaving, entering = self._ports(lower=True), self._ports(lower=False)
        found = {}
        for ends, chain in self.chains.items():
            points = [(leaving[ends], self.y[chain[0]] + HEIGHT / 2)]
            points += [
                (self.x[lane], self.y[lane] + side) for lane in chain[1:-1] for side in (-HEIGHT / 2, HEIGHT / 2)
            ]
            points.append((entering[ends], self.y[chain[-1]] - HEIGHT / 2))
            upwards = chain[0] == ends[1]
            found[ends] = Route(tuple(reversed(points) if upwards else points), upwards)
        return found

    def _ports(self, *, lower: bool) -> dict[tuple[int, int], float]:
        """Where edges meet the lower border of the node above them, or the upper border of the one below."""
        end, neighbour = (0, 1) if lower else (-1, -2)
        at: dict[int, list[tuple[float, tuple[int, int]]]] = defaultdict(list)
        for ends, chain in self.chains.items():
            at[chain[end]].append((self.x[chain[neighbour]], ends))
        ports = {}
        for node, edges in at.items():
            room = 0.7 * self.wide[node]
            apart = min(14.0, room / max(1, len(edges) - 1))
            for place, (_, ends) in enumerate(sorted(edges)):
                ports[ends] = self.x[node] + (place - (len(edges) - 1) / 2) * apart
        return ports


def spread(wanted: Sequence[float], gaps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones, by weighted squares, that keep order and gaps.

    Without their gaps they have to ascend: an isotonic regression, which pooling adjacent violators solves.

    Args:
        wanted: [n] places.
        gaps: [n - 1] least distances between neighbours.
        weights: [n] above 0.
    """
    offsets = np.concatenate([[0.0], np.cumsum(gaps)]).tolist()
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        mean, count = place - offset, 1
        while pools and pools[-1][0] > mean:
            other, heavy, many = pools.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + many
        pools.append((mean, weight, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _longest_paths(down: nx.DiGraph) -> list[list[int]]:
    """Layers by the longest path from above; what has no cause stands right above the first of its effects."""
    depth: dict[int, int] = {}
    for node in nx.lexicographical_topological_sort(down):
        depth[node] = 1 + max((depth[cause] for cause in down.predecessors(node)), default=-1)
    for node in down:
        if not down.in_degree(node):
            depth[node] = min(depth[effect] for effect in down.successors(node)) - 1
    layers: list[list[int]] = [[] for _ in range(1 + max(depth.values()))]
    # neighbours in the graph, found breadth-first, start beside each other
    for node in nx.bfs_tree(down.to_undirected(as_view=True), min(down)):
        layers[depth[node]].append(node)
    return layers


def _split(layers: list[list[int]], widths: Mapping[int, float]) -> list[list[int]]:
    """Cut each layer that is too wide into several of about the same width: no edge joins two nodes of a layer."""
    found = []
    for row in layers:
        cuts = max(1, int(np.ceil(sum(widths[node] + BESIDE for node in row) / WIDE)))
        found += [row[cut::cuts] for cut in range(cuts)]
    return [row for row in found if row]


def _shelved(boxes: Sequence[tuple[float, float]], room: float, between: float) -> tuple[list[Point], float, float]:
    """Upper left corners of boxes set side by side in rows no wider than `room`; the width and height of them all."""
    corners: list[Point] = []
    left = top = deep = width = 0.0
    for wide, high in boxes:
        if left and left + wide > room:
            left, top, deep = 0.0, top + deep + between, 0.0
        corners.append((left, top))
        width, deep = max(width, left + wide), max(deep, high)
        left += wide + between
    return corners, width, top + deep


def _graph(adj: NDArray[np.bool_]) -> nx.DiGraph:
    return nx.from_numpy_array(adj, create_using=nx.DiGraph)


def _ends(adj: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in np.argwhere(adj)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
