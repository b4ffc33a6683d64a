"""Drawings of numbers: curves over steps, reliability diagrams, and the gap between two values."""

import math
from collections.abc import Sequence

import attrs
from markupsafe import Markup

from tabscm.engine.page import shown
from tabscm.engine.page.svg import Point, element, figure, path, text

DRAWN = 160
"""Most points of a curve; a longer one is drawn as means of neighbours, in a band from the lowest to the highest."""
DOTTED = 20
"""Most points of a curve that are drawn as dots too."""
FEW = 30
"""Fewer pairs than this make a hollow point in a reliability diagram."""


@attrs.frozen
class Series:
    """One curve."""

    name: str
    style: str
    """Its class in the style sheet."""
    points: tuple[tuple[int, float | None], ...]
    """(step, value), by step; None where the value is undefined."""

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.points[-1][1] if self.points else None


@attrs.frozen
class Chart:
    """Curves over one pair of axes."""

    title: str
    unit: str
    series: tuple[Series, ...]
    guide: float | None = None
    """A value to compare with, drawn as a line across."""
    guide_name: str = ""
    log: bool = False
    """Whether the values are on a logarithmic axis; those that are not above 0 are left out."""
    digits: int = 3


def curves(chart: Chart) -> Markup:
    """The curves of a chart, with axes."""
    width, height, left, right, top, bottom = 360.0, 200.0, 46.0, 8.0, 10.0, 26.0
    wide, high = width - left - right, height - top - bottom
    series = [(one, _buckets(_drawable(one.points, chart.log))) for one in chart.series]
    found = [value for _, buckets in series for bucket in buckets for value in bucket[1:] if value is not None]
    guide = [] if chart.guide is None else [chart.guide]
    last = max((bucket[0] for _, buckets in series for bucket in buckets), default=1)
    along = ticks(0, last, 4)
    log = chart.log and bool(found)  # without a value there is no logarithm to take
    up = log_ticks(min(found + guide), max(found + guide)) if log else ticks_of(found + guide)
    low, top_value = up[0], up[-1]
    scale = math.log10 if log else float

    def x(step: float) -> float:
        return wide * step / max(along[-1], last)

    def y(value: float) -> float:
        return high * (1 - (scale(value) - scale(low)) / (scale(top_value) - scale(low)))

    grid = path(point for value in up for point in ((0, y(value)), (wide, y(value)), None))
    lines = [element("path", d=grid, class_="grid")]
    if chart.guide is not None:
        lines.append(element("path", d=path([(0, y(chart.guide)), (wide, y(chart.guide))]), class_="guide"))
    for one, buckets in series:
        band = [(x(step), y(value)) for step, _, value, _ in buckets if value is not None]
        band += [(x(step), y(value)) for step, _, _, value in reversed(buckets) if value is not None]
        if any(low != high for _, _, low, high in buckets):
            lines.append(element("path", d=path(band) + "Z", class_=f"band {one.style}"))
        line: list[Point | None] = [None if mean is None else (x(step), y(mean)) for step, mean, _, _ in buckets]
        lines.append(element("path", d=path(line), class_=f"line {one.style}"))
        if len(buckets) <= DOTTED:
            dots = [element("circle", cx=point[0], cy=point[1], r=2.2) for point in line if point is not None]
            lines.append(element("g", *dots, class_=f"dots {one.style}"))
    labels = [text(left - 7, top + y(value) + 3.5, shown.tick(value), anchor="end") for value in up]
    labels += [
        text(left + x(step), height - 8, shown.tick(step), anchor="middle" if step else "start") for step in along
    ]
    if not found:
        labels.append(text(left + wide / 2, top + high / 2, "undefined throughout", anchor="middle", class_="nothing"))
    inner = element("g", *lines, transform=f"translate({left:g} {top:g})")
    return figure(f"{chart.title} by step", _in_words(chart), width, height, inner, *labels, class_="curves")


def reliability(counts: Sequence[float], claimed: Sequence[float], occurred: Sequence[float], name: str) -> Markup:
    """A reliability diagram: how often what was claimed occurred, bin by bin, and how many pairs each bin holds.

    Args:
        counts: how many pairs each of the bins of equal width holds.
        claimed: the sum of their probabilities.
        occurred: how many are edges.
        name: of the tables they are from.
    """
    size, left, top, below = 220.0, 30.0, 8.0, 44.0
    width, height = left + size + 8, top + size + below + 22
    used = [index for index, count in enumerate(counts) if count]
    points = [(size * claimed[i] / counts[i], size * (1 - occurred[i] / counts[i])) for i in used]
    grid = path(
        point for k in (0, 0.25, 0.5, 0.75, 1) for point in ((0, size * k), (size, size * k), None, *_column(size, k))
    )
    step = size / len(counts)
    tallest = math.log1p(max([*counts, 1]))
    bars = [
        element(
            "rect",
            x=step * i + 2,
            y=size + 10 + (below - 20) * (1 - math.log1p(counts[i]) / tallest),
            width=step - 4,
            height=max(1.0, (below - 20) * math.log1p(counts[i]) / tallest),
            rx=1.5,
        )
        for i in used
    ]
    gaps = path(point for x, y in points for point in ((x, size - x), (x, y), None))
    drawn = [
        element("path", d=grid, class_="grid"),
        element("path", d=path([(0, size), (size, 0)]), class_="guide"),
        element("path", d=gaps, class_="gap"),
        element("path", d=path(points), class_="line validation"),
        # what a handful of pairs say is little: hollow
        *(
            element("circle", cx=x, cy=y, r=4, class_="few" if counts[i] < FEW else "point")
            for i, (x, y) in zip(used, points, strict=True)
        ),
        element("g", *bars, class_="bars"),
        *(
            text(step * (i + 0.5), size + below + 2, shown.short(counts[i]), anchor="middle", class_="tiny")
            for i in used
        ),
    ]
    labels = [text(left - 6, top + size * (1 - k) + 3.5, f"{k:g}", anchor="end") for k in (0, 0.5, 1)]
    labels += [text(left + size * k, height - 4, f"{k:g}", anchor="middle") for k in (0, 0.5, 1)]
    words = "; ".join(
        f"{occurred[i] / counts[i]:.2f} of {counts[i]:.0f} pairs at {claimed[i] / counts[i]:.2f}" for i in used
    )
    inner = element("g", *drawn, transform=f"translate({left:g} {top:g})")
    return figure(
        f"Reliability diagram of {name}",
        f"Share of edges among pairs, by their mean probability: {words or 'no pairs'}.",
        width,
        height,
        inner,
        *labels,
        class_="reliability",
    )


def span(reference: float | None, value: float | None) -> Markup:
    """A small scale from 0 to 1 with chance in its middle: a ring at `reference`, a dot at `value`."""
    width, height, edge = 120.0, 18.0, 7.0

    def x(share: float) -> float:
        return edge + (width - 2 * edge) * share

    drawn = [
        element("path", d=f"M{edge:g} 9H{width - edge:g}", class_="grid"),
        element("path", d=f"M{width / 2:g} 3V15", class_="guide"),
    ]
    if reference is not None and value is not None:
        drawn.append(element("path", d=f"M{x(reference):.1f} 9H{x(value):.1f}", class_="between"))
    if reference is not None:
        drawn.append(element("circle", cx=x(reference), cy=9, r=4, class_="ring"))
    if value is not None:
        drawn.append(element("circle", cx=x(value), cy=9, r=4.5, class_="point"))
    words = f"sortability {shown.number(reference)}, direction {shown.number(value)}, on a scale from 0 to 1"
    return figure("Direction beside sortability", words, width, height, *drawn, class_="span")


_Bucket = tuple[float, float | None, float | None, float | None]
"""Neighbouring points: the mean of their steps, then mean, lowest and highest of their values, None where undefined."""


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high` at equal distances, the ends included or just inside."""
    if not high > low:
        return [low, low + 1]
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def ticks_of(values: Sequence[float]) -> list[float]:
    """Round numbers at equal distances that take in all of `values`."""
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    if high == low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    inside = ticks(low, high, 4)
    step = inside[1] - inside[0] if len(inside) > 1 else high - low
    first = math.floor(low / step + 1e-9)
    return [round(k * step, 12) for k in range(first, math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis that take in `low` and `high`, both above 0: some three to six."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 3:
        stride = math.ceil((last - first) / 4)
        return [10.0**k for k in range(first, last + stride, stride)]
    fine = [digit * 10.0**k for k in range(first, last + 1) for digit in (1, 2, 5)]
    start = max((i for i, value in enumerate(fine) if value <= low * 1.0001), default=0)
    end = min((i for i, value in enumerate(fine) if value >= high * 0.9999), default=len(fine) - 1)
    return fine[start : max(end, start + 1) + 1]


def _column(size: float, share: float) -> tuple[Point, Point, None]:
    return (size * share, 0), (size * share, size), None


def _drawable(points: Sequence[tuple[int, float | None]], log: bool) -> list[tuple[int, float | None]]:
    return [(step, None if value is not None and log and value <= 0 else value) for step, value in points]


def _buckets(points: Sequence[tuple[int, float | None]]) -> list[_Bucket]:
    """Neighbours taken together, so that at most DRAWN are left."""
    size = max(1, math.ceil(len(points) / DRAWN))
    found: list[_Bucket] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        known = [value for _, value in part if value is not None]
        step = sum(step for step, _ in part) / len(part)
        if known:
            found.append((step, sum(known) / len(known), min(known), max(known)))
        else:
            found.append((step, None, None, None))
    return found


def _in_words(chart: Chart) -> str:
    parts = []
    for one in chart.series:
        known = [(step, value) for step, value in one.points if value is not None]
        if known:
            (first, start), (last, end) = known[0], known[-1]
            parts.append(f"{one.name}: {start:.4g} at step {first}, {end:.4g} at step {last}")
        else:
            parts.append(f"{one.name}: undefined throughout")
    if chart.guide is not None:
        parts.append(f"{chart.guide_name}: {chart.guide:.4g}")
    return "; ".join(parts) + "."
