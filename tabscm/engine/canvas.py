"""The sheet that pictures are drawn on, where matplotlib is installed."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE, TEAL, RUST, GREY = "#1f2933", "#d5dbe1", "#0f766e", "#b4471f", "#6b7785"
"""The colours of all pictures: of text, of lines in the background, and three for what is drawn."""


def sheet(
    width: float, height: float, panels: int, *, layout: Literal["constrained"] | None = None
) -> "tuple[Figure, list[Axes]] | None":
    """A white sheet that needs no display, with panels side by side that share their vertical axis.

    Args:
        width: in inches.
        height: in inches.
        panels: how many.
        layout: leaves matplotlib to find room for labels; None leaves that to the caller.

    Returns:
        The sheet and its panels; None when matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(width, height), dpi=160, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, sharey=True, squeeze=False)[0])


def frame(axis: "Axes", *sides: str) -> None:
    """Leave only these sides of the frame of a panel, and draw them pale."""
    axis.spines[:].set_visible(False)
    axis.spines[list(sides)].set_visible(True)
    axis.spines[list(sides)].set_color(PALE)
