"""SVG as text: elements whose attributes and contents are escaped, and paths."""

from collections.abc import Iterable

from markupsafe import Markup, escape

Point = tuple[float, float]


def element(tag: str, *inside: str, **attributes: str | float) -> Markup:
    """One element. `class_` is the attribute class, an underscore inside a name a hyphen."""
    written = Markup().join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value if isinstance(value, str) else short(value))
        for name, value in attributes.items()
    )
    content = Markup().join(escape(part) for part in inside)
    return Markup(f"<{tag}{{}}>{{}}</{tag}>" if content else f"<{tag}{{}}{{}}/>").format(written, content)


def figure(title: str, description: str, width: float, height: float, *inside: str, class_: str) -> Markup:
    """A whole picture that scales to the width it is given; who cannot see it gets the title and the description."""
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *inside,
        class_=class_,
        role="img",
        aria_label=f"{title}. {description}",
        viewBox=f"0 0 {short(width)} {short(height)}",
    )


def text(x: float, y: float, words: str, *, class_: str = "", anchor: str = "start") -> Markup:
    """Words that start, end or have their middle at a point."""
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def path(points: Iterable[Point | None]) -> str:
    """Straight lines from point to point for the attribute d; None lifts the pen."""
    written, pen = [], "M"
    for point in points:
        if point is not None:
            written.append(f"{pen}{short(point[0])} {short(point[1])}")
        pen = "M" if point is None else "L"
    return "".join(written)


def short(value: float) -> str:
    """A coordinate: a tenth of a pixel is as fine as anybody sees."""
    return f"{value:.1f}".removesuffix(".0")
