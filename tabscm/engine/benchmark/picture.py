"""Accuracy against seconds, a panel for each size of tables that several suites share."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabscm.engine.benchmark.methods import METHODS, OURS
from tabscm.engine.benchmark.summary import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, PALE, OWN, OTHER = "#1f2933", "#d5dbe1", "#0f766e", "#6b7785"


def draw(results: Mapping[str, Mapping[str, Score]], file: Path) -> bool:
    """A dot for each method: its AP, averaged over the suites that it finished, above the seconds it takes per table.

    Args:
        results: scores by suite and method.
        file: a PNG, replaced.

    Returns:
        False when matplotlib is not installed, and nothing was drawn.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    panels = _panels(results)
    drawing = Figure(figsize=(1.2 + 4.6 * len(panels), 4.6), dpi=160, facecolor="white", layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, suites) in zip(axes, panels.items(), strict=True):
        _panel(axis, f"{title}, {len(suites)} suites" if len(suites) > 1 else title, [results[name] for name in suites])
    axes[0].set_ylabel("average precision", color=INK)
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
    for name, method in METHODS.items():
        there = [scores[name] for scores in suites if name in scores and not scores[name].given_up]
        # a method that did not finish everywhere is not averaged over the suites that were easy for it
        if name == "empty" or not there or len(there) < len(suites):
            continue
        precision = statistics.fmean(score.mean("ap") for score in there)
        seconds = statistics.fmean(score.figures["seconds"].mean for score in there)
        if math.isnan(precision):
            continue
        own = name == OURS
        axis.scatter([seconds], [precision], s=70 if own else 26, color=OWN if own else OTHER, zorder=3)
        axis.annotate(
            method.title + ("*" if method.raw else ""),
            (seconds, precision),
            (6, 3),
            textcoords="offset points",
            fontsize=8,
            color=OWN if own else INK,
            fontweight="bold" if own else "normal",
        )
    axis.set_xscale("log")
    axis.margins(x=0.2, y=0.08)
    axis.set_title(title, fontsize=10, color=INK)
    axis.set_xlabel("seconds per table, one core", fontsize=9, color=INK)
    axis.grid(color=PALE, linewidth=0.6)
    axis.spines[["right", "top"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(PALE)
    axis.tick_params(labelsize=8, color=PALE, labelcolor=OTHER)
