"""Accuracy against seconds, a panel for each size of tables that several suites share."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabscm.engine.benchmark.methods import METHODS, OURS
from tabscm.engine.benchmark.summary import Score
from tabscm.engine.canvas import GREY, INK, PALE, TEAL, frame, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OWN, OTHER = TEAL, GREY
EMPTY = "empty"
"""Has nothing to show: its AP is the share of pairs that are edges."""
PANEL, HEIGHT = 4.6, 4.8
"""Inches of a panel."""
LETTER, LINE = 4.6, 9.0
"""Points: the width of a letter in a label, the distance of two labels."""
CAPTION = (
    "* sees the raw scale of columns; hollow: mean over the suites in ( ), on the others it was given up or is no use"
)
"""Below the panels."""


def draw(results: Mapping[str, Mapping[str, Score]], file: Path) -> bool:
    """A dot for each method: its AP, averaged over the suites that it finished, above the seconds it takes per table.

    Args:
        results: scores by suite and method.
        file: a PNG, replaced.

    Returns:
        False when matplotlib is not installed, and nothing was drawn.
    """
    panels = _panels(results)
    made = sheet(1.2 + PANEL * len(panels), HEIGHT, len(panels), layout="constrained")
    if made is None:
        return False
    drawing, axes = made
    for axis, (title, suites) in zip(axes, panels.items(), strict=True):
        _panel(axis, f"{title}, {len(suites)} suites" if len(suites) > 1 else title, [results[name] for name in suites])
    axes[0].set_ylabel("average precision", color=INK)
    drawing.supxlabel(CAPTION, x=0.01, ha="left", fontsize=7.5, color=OTHER)
    drawing.savefig(file)
    return True


def _panels(results: Mapping[str, Mapping[str, Score]]) -> dict[str, list[str]]:
    """Suites by the number of variables their names tell, small to large; those that tell none are not drawn alone."""
    sizes: dict[int, list[str]] = {}
    for name in results:
        for word in name.split("-"):
            if word[:1] == "d" and word[1:].isdecimal():
                sizes.setdefault(int(word[1:]), []).append(name)
    return {f"d = {size}": sizes[size] for size in sorted(sizes)} or {"all suites": list(results)}


def _panel(axis: "Axes", title: str, suites: Sequence[Mapping[str, Score]]) -> None:
    dots = []
    for name, method in METHODS.items():
        finished = [scores[name] for scores in suites if name in scores and not scores[name].given_up]
        if name == EMPTY or not finished:
            continue
        precision = statistics.fmean(score.mean("ap") for score in finished)
        seconds = statistics.fmean(score.figures["seconds"].mean for score in finished)
        if math.isnan(precision):
            continue
        own, whole = name == OURS, len(finished) == len(suites)
        colour = OWN if own else OTHER
        face = colour if whole else "white"
        axis.scatter([seconds], [precision], s=70 if own else 26, color=face, edgecolor=colour, zorder=3)
        text = method.title + ("*" if method.raw else "") + ("" if whole else f" ({len(finished)})")
        dots.append((seconds, precision, text, own))
    axis.set_xscale("log")
    axis.margins(x=0.25, y=0.08)
    axis.autoscale_view()
    _label(axis, dots)
    axis.set_title(title, fontsize=10, color=INK)
    axis.set_xlabel("seconds per table, one core", fontsize=9, color=INK)
    axis.grid(color=PALE, linewidth=0.6)
    frame(axis, "left", "bottom")
    axis.tick_params(labelsize=8, color=PALE, labelcolor=OTHER)


def _label(axis: "Axes", dots: Sequence[tuple[float, float, str, bool]]) -> None:
    """Names beside the dots, moved up or down where they would cover each other; ours first, which stays."""
    width, height = PANEL * 60, HEIGHT * 55  # points inside the axes, about
    (left, right), (low, high) = (map(math.log10, axis.get_xlim()), axis.get_ylim())
    taken: list[tuple[float, float, float]] = []
    for seconds, precision, text, own in sorted(dots, key=lambda dot: not dot[3]):
        x = (math.log10(seconds) - left) / (right - left) * width
        y = (precision - low) / (high - low) * height
        end = x + LETTER * len(text)
        shift = next(
            shift
            for step in range(len(dots) + 1)
            for shift in (LINE * step, -LINE * step)
            if all(abs(y + shift - other) >= LINE or end < start or stop < x for start, stop, other in taken)
        )
        taken.append((x, end, y + shift))
        axis.annotate(
            text,
            (seconds, precision),
            (6, shift - 3),
            textcoords="offset points",
            fontsize=8,
            color=OWN if own else INK,
            fontweight="bold" if own else "normal",
        )
