"""Drawings of graphs: adjacency matrices as heat maps, and the edges of a graph in layers. Letters: D variables."""

import math
from collections.abc import Iterable, Sequence

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tabscm.engine.page.svg import Point, element, figure, short, text

LEVELS = 12
"""Shades of a heat map."""
LABELLED = 30
"""Most variables whose numbers are written at a heat map."""
CROWDED = 9
"""More nodes than this in a layer stand alternately higher and lower."""
SWEEPS = 12
"""Passes over the layers, each of which orders their nodes by where their neighbours stand."""
BENDS = (0.0, 16.0, -16.0, 32.0, -32.0, 52.0, -52.0, 76.0, -76.0)
"""How far aside the curves lie that an edge may take, in pixels."""
HEAD = 7.0
"""Length of an arrow's head, in pixels."""

Drawn = tuple[int, int, str]
"""An edge: from, to, and the class of the style sheet it is drawn in."""


def heat_map(
    values: NDArray[np.float64],
    order: Sequence[int],
    title: str,
    description: str,
    *,
    outlined: NDArray[np.float64] | None = None,
) -> Markup:
    """A square of shades, causes down and effects across.

    Args:
        values: [D, D] in [0, 1].
        order: [D] of the variables, in both directions.
        title: for who cannot see it, as is the description.
        description: what it shows.
        outlined: [D, D], the cells other than 0 get a frame.
    """
    side, margin = 240.0, 18.0
    count = len(order)
    cell = side / count
    shades = np.ceil(np.clip(values[np.ix_(order, order)], 0, 1) * LEVELS - 0.25).astype(int)  # under 2 %: left empty
    heat = [
        element("path", d=_squares(shades == level, cell), fill_opacity=f"{level / LEVELS:.2f}")
        for level in range(1, LEVELS + 1)
        if (shades == level).any()
    ]
    frames = np.zeros_like(values) if outlined is None else outlined[np.ix_(order, order)]
    diagonal = f"M0 0L{side:g} {side:g}"
    drawn = [
        element("rect", width=side, height=side, rx=3, class_="field"),
        element("path", d=diagonal, class_="grid"),
        element("g", *heat, class_="heat"),
        element("path", d=_squares(frames > 0, cell), class_="frame"),
    ]
    labels = []
    if count <= LABELLED:
        for place, variable in enumerate(order):
            middle = (place + 0.5) * cell
            labels.append(text(margin + middle, margin - 5, str(variable + 1), anchor="middle", class_="tiny"))
            labels.append(text(margin - 5, margin + middle + 2.5, str(variable + 1), anchor="end", class_="tiny"))
    inner = element("g", *drawn, transform=f"translate({margin:g} {margin:g})")
    return figure(title, description, margin + side + 2, margin + side + 2, inner, *labels, class_="matrix")


def layers(adj: NDArray[np.bool_]) -> list[list[int]]:
    """The variables of an acyclic graph [D, D], causes above effects, with few crossings between neighbours.

    Layers by longest path, then barycentre sweeps (Sugiyama et al. 1981). Variables without edges come last.
    """
    graph = nx.from_numpy_array(adj, create_using=nx.DiGraph)
    alone = sorted(nx.isolates(graph))
    graph.remove_nodes_from(alone)
    rows = [sorted(row) for row in nx.topological_generations(graph)]
    place: dict[int, float] = {}
    for row in rows:
        place |= _places(row)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        near = graph.predecessors if down else graph.successors
        for row in rows if down else reversed(rows):
            centre = {node: _mean([place[other] for other in near(node)], place[node]) for node in row}
            row.sort(key=lambda node: (centre[node], place[node]))
            place |= _places(row)
    return [*rows, alone] if alone else rows


def dag(rows: Sequence[Sequence[int]], edges: Iterable[Drawn], title: str, description: str) -> Markup:
    """A graph in layers, causes above effects, each edge in the style of its class."""
    most, gap, margin = 460.0, 66.0, 26.0
    count, longest = sum(map(len, rows)), max(map(len, rows))
    width = min(most, max(360.0, (longest - 1) * 104.0 + 4 * margin))  # a small graph is drawn a little larger
    radius = 12.0 if longest <= 18 and count <= 45 else 6.5
    at: dict[int, Point] = {}
    for depth, row in enumerate(rows):
        apart = min(104.0, (width - 2 * margin) / max(1, len(row) - 1))
        for place, node in enumerate(row):
            # neighbours of one layer stand a little higher and lower, so that edges between layers do not pile up
            raised = (13.0 if len(row) > CROWDED else 5.0) * (1 if place % 2 else -1) * (len(row) > 2)
            at[node] = (width / 2 + (place - (len(row) - 1) / 2) * apart, margin + depth * gap + raised)
    height = 2 * margin + (len(rows) - 1) * gap
    lines: dict[str, list[str]] = {}
    heads: dict[str, list[str]] = {}
    for source, target, style in edges:
        line, head = _arrow(at[source], at[target], radius + 2.5, [at[n] for n in at if n not in (source, target)])
        lines.setdefault(style, []).append(line)
        heads.setdefault(style, []).append(head)
    drawn = [
        part
        for style in lines
        for part in (
            element("path", d="".join(lines[style]), class_=f"edge {style}"),
            element("path", d="".join(heads[style]), class_=f"head {style}"),
        )
    ]
    for node, (x, y) in at.items():
        drawn.append(element("circle", cx=x, cy=y, r=radius, class_="node"))
        if radius > 8:
            drawn.append(text(x, y + 4, str(node + 1), anchor="middle", class_="name"))
    return figure(title, description, width, height, *drawn, class_="dag")


def _squares(chosen: NDArray[np.bool_], cell: float) -> str:
    """The chosen cells of a matrix [D, D], each a square a little smaller than the cell, for the attribute d."""
    gap = 1.0 if cell > 3 else 0.0
    size = short(cell - gap)
    return "".join(
        f"M{short(j * cell + gap / 2)} {short(i * cell + gap / 2)}h{size}v{size}h-{size}z"
        for i, j in zip(*np.nonzero(chosen), strict=True)
    )


def _arrow(start: Point, end: Point, clear: float, others: Sequence[Point]) -> tuple[str, str]:
    """A curve between two nodes and its head, bent so as to pass the other nodes at the widest distance."""
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    across = (-(y1 - y0) / length, (x1 - x0) / length)
    best, widest = start, -math.inf
    for bend in BENDS:
        control = ((x0 + x1) / 2 + across[0] * bend, (y0 + y1) / 2 + across[1] * bend)
        # room beyond twice the clearance is worth nothing, and a detour costs some
        room = min(2 * clear, _distance(others, start, control, end)) - abs(bend) / 12
        if room > widest:
            best, widest = control, room
    a, b = _towards(start, best, clear), _towards(end, best, clear)
    back = _towards(b, best, HEAD)
    side = ((b[1] - back[1]) / 2.1, (back[0] - b[0]) / 2.1)
    line = f"M{short(a[0])} {short(a[1])}Q{short(best[0])} {short(best[1])} {short(back[0])} {short(back[1])}"
    corners = [b, (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])]
    return line, "M" + "L".join(f"{short(x)} {short(y)}" for x, y in corners) + "z"


def _distance(points: Sequence[Point], start: Point, control: Point, end: Point) -> float:
    """How near a quadratic curve comes to any of the points."""
    if not points:
        return math.inf
    t = np.linspace(0.08, 0.92, 12)[:, None]
    curve = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)  # [12, 2]
    return float(np.linalg.norm(curve[:, None] - np.array(points)[None], axis=-1).min())


def _towards(start: Point, goal: Point, far: float) -> Point:
    """The point that lies so far from `start` on the way to `goal`."""
    length = math.hypot(goal[0] - start[0], goal[1] - start[1]) or 1.0
    return start[0] + (goal[0] - start[0]) * far / length, start[1] + (goal[1] - start[1]) * far / length


def _places(row: Sequence[int]) -> dict[int, float]:
    """Where each node of a layer stands, the middle of the layer at 0."""
    return {node: place - (len(row) - 1) / 2 for place, node in enumerate(row)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
