"""Small files that are there as a whole or not at all, whenever the process that writes them ends."""

import os
from pathlib import Path
from typing import Any

from tabscm.engine.untrusted import read_object


def write_whole(file: Path, text: str) -> None:
    """Replace a file, beside which its text is written first."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(text, "utf-8", newline="")
    os.replace(part, file)


def read_json(file: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no file, or no JSON object in it."""
    try:
        return read_object(file)
    except (FileNotFoundError, ValueError):
        return None
