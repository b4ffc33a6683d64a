"""The page of a run: a template, its style sheet, and drawings as inline SVG; whatever is shown is escaped."""

from tabscm.engine.page import shown
from tabscm.engine.page.curves import FEW, curves, reliability, span
from tabscm.engine.page.inline import HOME, environment, source, style
from tabscm.engine.page.pictures import dag, heat_map


def render(report: object) -> str:
    """The whole page as HTML, with nothing to fetch: style and pictures are inside.

    Args:
        report: what `report.html.j2` reads, see `tabscm.engine.report.Report`.
    """
    templates = environment(HOME)
    templates.globals |= {"curves": curves, "reliability": reliability, "span": span, "dag": dag}
    templates.globals |= {"heat_map": heat_map, "few": FEW}
    templates.filters |= {"number": shown.number, "data": shown.data, "count": shown.count, "time": shown.duration}
    sheet = style(HOME / "report.css")
    # the one style sheet a browser may apply; scripts, images and fonts are all refused
    return templates.get_template("report.html.j2").render(report=report, style=sheet, style_source=source(sheet))
