"""Files that are there as a whole or not at all, whenever the process that writes them ends, or its machine."""

import os
from pathlib import Path
from typing import Any

from tabscm.engine.untrusted import read_object


def write_whole(file: Path, text: str) -> None:
    """Replace a file, beside which its text is written first."""
    part = part_of(file)
    part.unlink(missing_ok=True)
    write_new(part, text.encode())
    os.replace(part, file)
    flush(file.parent)


def part_of(file: Path) -> Path:
    """Where the text of a file is written first; it stays there when that is cut short."""
    return file.with_name(f"{file.name}.part")


def write_new(file: Path, data: bytes) -> None:
    """Write a file that does not exist yet, and have the disk keep what is in it."""
    with file.open("xb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def flush(folder: Path) -> None:
    """Have the disk keep the entries of a folder: what was made, renamed and removed there."""
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(file: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no file, or no JSON object in it."""
    try:
        return read_object(file)
    except (FileNotFoundError, ValueError):
        return None
