"""An ablation to look at: a dot and an interval for every row, a panel for every metric."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabscm.engine.canvas import GREY, INK, PALE, RUST, TEAL, frame, sheet
from tabscm.engine.comparison import PERCENT, Row, Score, empty_graph, scores
from tabscm.engine.measures import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BETTER, WORSE, UNDECIDED = TEAL, RUST, GREY
LETTER, LINE = 0.078, 0.34
"""Inches: the width of a letter in a label, the height of a row."""
PANEL, PANELS = 2.1, 6.0
"""Inches: the least width of a panel, and of all panels together."""


def draw(rows: Sequence[Row], cell: str, metrics: Sequence[str], file: Path) -> bool:
    """Draw the rows, best above, beside the base, whose mean is a line through each panel.

    A dot is the base's mean plus the row's paired difference (which is the row's mean where it has all the base's
    seeds), its interval that of the difference: where it does not touch the line, the row differs from the base. Small
    dots are seeds.

    Args:
        rows: the base first.
        cell: of the evaluation.
        metrics: a panel each; the first decides the order.
        file: a PNG, replaced.

    Returns:
        False when matplotlib is not installed, and nothing was drawn.
    """
    order = _order(rows, cell, metrics[0])
    labels = [f"{rows[index].label}  (base)" if index == 0 else rows[index].label for index in order]
    margin = 0.5 + LETTER * max(map(len, labels))
    panels = max(PANEL * len(metrics), PANELS)
    width, height = margin + panels + 0.3, 1.45 + LINE * len(rows)
    made = sheet(width, height, len(metrics))
    if made is None:
        return False
    drawing, axes = made
    drawing.subplots_adjust(
        left=margin / width, right=1 - 0.25 / width, top=1 - 0.62 / height, bottom=0.78 / height, wspace=0.14
    )
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, rows, order, cell, metric)
    _explain(axes[0], rows, order, cell, metrics[0], room=round(panels / LETTER))
    axes[0].set_yticks(range(len(rows)), labels)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    for tick, index in zip(axes[0].get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if index == 0 else "normal")
        tick.set_color(INK if rows[index].values(cell, metrics[0]) else UNDECIDED)
    said = f"{cell}, {_seeds(rows, cell, metrics)}"
    drawing.text(0.2 / width, 0.16 / height, said, color=UNDECIDED, fontsize=8, va="bottom")
    drawing.savefig(file)
    return True


def _panel(axis: "Axes", rows: Sequence[Row], order: Sequence[int], cell: str, metric: str) -> None:
    found = scores(rows, cell, metric)
    base = found[0].mean
    filled = sum(bool(row.values(cell, metric)) for row in rows)
    axis.plot([base, base], [-0.6, filled - 0.4], color=INK, linewidth=0.9, zorder=1)
    axis.patch.set_visible(False)  # a reason in the first panel may be longer than that panel
    for place, index in enumerate(order):
        values, score = list(rows[index].values(cell, metric).values()), found[index]
        if not values:
            continue
        colour = INK if index == 0 else _colour(score, metric)
        axis.axhline(place, color=PALE, linewidth=0.7, zorder=0)
        axis.scatter(values, [place] * len(values), s=9, color=colour, alpha=0.3, linewidth=0, zorder=2)
        centre = base + score.difference if score.pairs else score.mean
        if index > 0 and not math.isnan(score.half_width):
            ends = [centre - score.half_width, centre + score.half_width]
            axis.plot(ends, [place, place], color=colour, linewidth=2.2, solid_capstyle="round", zorder=3)
        axis.scatter([centre], [place], s=28, color=colour, edgecolor="white", linewidth=1.0, zorder=4)
    measure = MEASURES[metric]
    axis.set_title(f"{measure.title} {'↓' if measure.lower_is_better else '↑'}", fontsize=10, color=INK, pad=14)
    if empty := empty_graph(rows, cell, metric):
        axis.annotate(
            f"empty graph {empty}",
            (0.5, 1.0),
            (0, 4),
            "axes fraction",
            "offset points",
            ha="center",
            fontsize=7.5,
            color=UNDECIDED,
        )
    axis.margins(x=0.08)
    axis.locator_params(axis="x", nbins=4)
    frame(axis, "bottom")
    axis.tick_params(axis="x", labelsize=8, color=PALE, labelcolor=UNDECIDED)
    axis.tick_params(axis="y", labelsize=9, length=0)


def _explain(axis: "Axes", rows: Sequence[Row], order: Sequence[int], cell: str, metric: str, room: int) -> None:
    """In place of dots, why there are none."""
    for place, index in enumerate(order):
        if not rows[index].values(cell, metric):
            failed = [outcome.failed for outcome in rows[index].outcomes.values() if outcome.failed is not None]
            missing = "not measured" if rows[index].outcomes else "not yet run"
            why = rows[index].reason or (f"failed: {failed[0]}" if failed else missing)
            axis.annotate(
                why if len(why) <= room else f"{why[: room - 1]}…",
                (0, place),
                (2, 0),
                ("axes fraction", "data"),
                "offset points",
                va="center",
                fontsize=7.5,
                color=UNDECIDED,
                zorder=5,
                annotation_clip=False,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )


def _seeds(rows: Sequence[Row], cell: str, metrics: Sequence[str]) -> str:
    """Over how many seeds rows are compared with the base, and what is drawn of it."""
    found = {score.pairs for metric in metrics for score in scores(rows, cell, metric)} - {0}
    if not found:
        return "nothing to compare: the base has no results"
    if max(found) == 1:
        return "one seed: directional; the line is the base"
    seeds = " to ".join(map(str, sorted({min(found), max(found)})))
    drawn = f"{PERCENT} intervals of the paired difference to the base, the line; teal better, rust worse"
    alone = "\na row without an interval has one seed: directional" if 1 in found else ""
    return f"{seeds} seeds; {drawn}{alone}"


def _colour(score: Score, metric: str) -> str:
    if not score.decided:
        return UNDECIDED
    return BETTER if (score.difference > 0) != MEASURES[metric].lower_is_better else WORSE


def _order(rows: Sequence[Row], cell: str, metric: str) -> list[int]:
    """The rows by their difference to the base, best first, and at the end those without values."""
    sign = 1 if MEASURES[metric].lower_is_better else -1

    def rank(index: int) -> float:
        score = scores(rows, cell, metric)[index]
        value = sign * (score.difference if score.pairs else score.mean)
        return math.inf if math.isnan(value) else value

    return sorted(range(len(rows)), key=rank)
