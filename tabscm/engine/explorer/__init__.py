"""The page of a result: one file of HTML that loads nothing, in which the graph can be explored.

What the user wrote, names of columns above all, is data in it: the template escapes what it shows, and the script reads
the rest as JSON from an element that no browser runs, and shows it as text.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from tabscm.engine.explorer.facts import facts
from tabscm.engine.page import shown
from tabscm.engine.page.inline import environment, source, style

if TYPE_CHECKING:
    from tabscm.engine.result import Result

HOME = Path(__file__).parent


def render(result: "Result", threshold: float, *, acyclic: bool) -> str:
    """The whole page.

    Args:
        result: what it shows.
        threshold: that the page begins with; it can be moved.
        acyclic: whether the page begins with the best graph without a cycle.
    """
    templates = environment(HOME)
    templates.filters |= {"number": shown.number, "count": shown.count}
    sheet = style(HOME / "explorer.css")
    script = (HOME / "explorer.js").read_text("utf-8")
    return templates.get_template("explorer.html.j2").render(
        facts=facts(result, threshold, acyclic=acyclic),
        style=sheet,
        style_source=Markup(source(sheet)),
        script=Markup(script),
        script_source=Markup(source(script)),
    )
