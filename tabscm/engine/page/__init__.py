"""The page of a run: a template, its style sheet, and drawings as inline SVG; whatever is shown is escaped."""

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from tabscm.engine.page import shown
from tabscm.engine.page.curves import FEW, curves, reliability, span
from tabscm.engine.page.pictures import dag, heat_map

HOME = Path(__file__).parent


def render(report: object) -> str:
    """The whole page as HTML, with nothing to fetch: style and pictures are inside.

    Args:
        report: what `report.html.j2` reads, see `tabscm.engine.report.Report`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOME),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"curves": curves, "reliability": reliability, "span": span, "dag": dag}
    environment.globals |= {"heat_map": heat_map, "few": FEW}
    environment.filters |= {"number": shown.number, "data": shown.data, "count": shown.count, "time": shown.duration}
    style = (HOME / "report.css").read_text("utf-8")
    # the one style sheet a browser may apply; scripts, images and fonts are all refused
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(report=report, style=Markup(style), style_hash=digest)
