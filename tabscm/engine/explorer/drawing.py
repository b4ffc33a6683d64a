"""A result as plain values that the page's script draws: names, edges, and a layout for each range of thresholds."""

import json
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tabscm.engine.explorer.layered import Route, lay_out
from tabscm.engine.page.svg import Point, path, short

if TYPE_CHECKING:
    from tabscm.engine.result import Result

STOPS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds from which on a graph has a drawing of its own, beside the one that the page begins with. In between,
edges only go, so that nothing moves while the slider does; which graph is shown, `_without_cycles` says."""
STEPS = 100
"""Thresholds from 0 to 1 that the slider of the page can stop at, beside the one that the page begins with."""
FLOOR = 0.01
"""Edges that are no more probable are not on the page, unless it begins with a lower threshold."""
LISTED = 5000
"""Most edges that are on the page, the most probable ones."""
DRAWN = 300
"""Most edges of a drawing: of more, none can be followed."""
LABEL = 18
"""Most columns of a name inside a node, wide letters counting two."""
LETTER, PADDING = 7.3, 22.0
"""Width of a column, and of what is around the letters, in pixels."""
HEAD = 8.0
"""Length of an arrow's head, in pixels."""

Plain = dict[str, object]
"""What JSON can hold."""


def drawing(result: "Result", threshold: float, *, acyclic: bool) -> Plain:
    """Everything that the script reads; `explorer.js` says what it makes of it."""
    listed = _listed(result, threshold)
    labels = [label(name) for name in result.names]
    widths = [max(44.0, LETTER * columns + PADDING) for _, columns in labels]
    often = None if result.bootstrap is None else result.bootstrap.frequency
    required = _required(result)
    return {
        # halves of characters, which no file in UTF-8 holds, are written out here as in the rest of the page
        "names": [name.encode("utf-8", "backslashreplace").decode() for name in result.names],
        "labels": [text for text, _ in labels],
        "widths": widths,
        "threshold": threshold,
        "acyclic": acyclic,
        "floor": _floor(result, listed, threshold),
        "edges": [
            {
                "from": i,
                "to": j,
                "p": float(result.edge_prob[i, j]),
                "back": round(float(result.edge_prob[j, i]), 4),
                "required": bool(required[i, j]),
                "often": None if often is None else [round(float(often[i, j]), 4), round(float(often[j, i]), 4)],
            }
            for i, j in listed
        ],
        "repeats": None if result.bootstrap is None else result.bootstrap.repeats,
        "steps": STEPS,
        "layouts": list(_layouts(result, listed, threshold, widths)),
        "without_cycles": list(_without_cycles(result, listed, threshold)),
    }


def as_json(plain: Plain) -> Markup:
    """Plain values for the inside of a script element: nothing in them can end it, or be taken for markup."""
    text = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def label(name: str) -> tuple[str, int]:
    """A name as a node shows it, and how many columns that takes: shortened, and without what has no shape."""
    written, columns = "", 0
    for letter in name:
        letter = letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        width = 0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if columns + width > LABEL or len(written) >= 3 * LABEL:
            return f"{written}\N{HORIZONTAL ELLIPSIS}", columns + 1
        written, columns = written + letter, columns + width
    return written, columns


def _listed(result: "Result", threshold: float) -> list[tuple[int, int]]:
    """The edges that are on the page, the most probable first."""
    chosen = result.graph(min(FLOOR, threshold))
    ends = np.argwhere(chosen)
    order = np.argsort(-result.edge_prob[chosen], kind="stable")
    return [(int(i), int(j)) for i, j in ends[order][:LISTED]]


def _floor(result: "Result", listed: list[tuple[int, int]], threshold: float) -> float:
    """The least threshold for which all edges above it are on the page."""
    least = min(FLOOR, threshold)
    if len(listed) < LISTED:
        return least
    return max(least, float(result.edge_prob[listed[-1]]))


def _layouts(result: "Result", listed: list[tuple[int, int]], threshold: float, widths: list[float]) -> Iterator[Plain]:
    """A drawing for each stop that has one, from the lowest on. It holds until the next."""
    number = {ends: index for index, ends in enumerate(listed)}
    before: NDArray[np.bool_] | None = None
    for stop in sorted({*STOPS, threshold, _floor(result, listed, threshold)}):
        edges = result.graph(stop)
        if edges.sum() > DRAWN or (before is not None and (edges == before).all() and stop != threshold):
            continue
        before = edges
        downwards = result.graph(stop, acyclic=True)
        layout = lay_out(edges, downwards, widths)
        yield {
            "above": stop,
            "width": round(layout.width, 1),
            "height": round(layout.height, 1),
            "centres": [[round(x, 1), round(y, 1)] for x, y in layout.centres],
            "alone": None if layout.alone is None else round(layout.alone, 1),
            "routes": [
                {"edge": number[ends], "line": _line(route), "head": _head(route)}
                for ends, route in layout.routes.items()
            ],
            "left_out": [number[ends] for ends in layout.routes if not downwards[ends]],
        }


def _without_cycles(result: "Result", listed: list[tuple[int, int]], threshold: float) -> Iterator[Plain]:
    """What is left out of the acyclic graph from a threshold on, until the next: of edges that are still above it.

    Which graph is best can change anywhere, not only where an edge goes: what each edge adds is counted from the
    threshold. So it is asked for at every one that the slider can stop at, up to the first where nothing is left out:
    above that there are fewer edges, and no cycle either.
    """
    number = {ends: index for index, ends in enumerate(listed)}
    least = _floor(result, listed, threshold)
    stops = {step / STEPS for step in range(STEPS + 1) if step / STEPS >= least}
    before: NDArray[np.bool_] | None = None
    for stop in sorted({*stops, threshold, least}):
        edges = result.graph(stop)
        if edges.sum() > DRAWN:
            continue
        left_out = edges & ~result.graph(stop, acyclic=True)
        if before is None or (left_out != (before & edges)).any():
            before = left_out
            yield {"above": stop, "left_out": sorted(number[int(i), int(j)] for i, j in np.argwhere(left_out))}
        if not left_out.any():
            return


def _line(route: Route) -> str:
    """The curve of an edge up to its head, for the attribute d: upright at each point, straight between two in line."""
    *before, (x, y) = route.points
    points = [*before, (x, y + HEAD if route.upwards else y - HEAD)]
    written = f"M{short(points[0][0])} {short(points[0][1])}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        if abs(x0 - x1) < 0.05:
            written += f"V{short(y1)}"
        else:
            written += f"C{short(x0)} {short(middle)} {short(x1)} {short(middle)} {short(x1)} {short(y1)}"
    return written


def _head(route: Route) -> str:
    x, y = route.points[-1]
    back = y + HEAD + 1 if route.upwards else y - HEAD - 1
    corners: list[Point | None] = [(x, y), (x + 4.2, back), (x - 4.2, back)]
    return path(corners) + "z"


def _required(result: "Result") -> NDArray[np.bool_]:
    known = result.knowledge
    return np.zeros(result.edge_prob.shape, dtype=np.bool_) if known is None else known.required
