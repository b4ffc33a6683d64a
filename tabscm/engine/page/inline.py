"""What every page of ours shares: templates that escape, and one file in which nothing runs that we did not write."""

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

HOME = Path(__file__).parent
"""Where the style sheet lies that all pages begin with."""


def environment(home: Path) -> jinja2.Environment:
    """Templates of a folder, in which whatever is shown is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(home),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style(file: Path) -> Markup:
    """The style sheet of a page, behind the one that all share."""
    return Markup((HOME / "base.css").read_text("utf-8") + file.read_text("utf-8"))


def source(text: str) -> str:
    """What a content-security policy calls an inline style sheet or script: the only one that a browser then takes."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
