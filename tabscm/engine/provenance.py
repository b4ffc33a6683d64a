"""What a result was read from, and by what: enough to see later whether it was this table and this network."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import PurePath

import attrs
import numpy as np
import torch
from numpy.typing import NDArray


@attrs.frozen
class Provenance:
    """The table, the network and the versions behind a result."""

    table: str
    """Where the table was read."""
    rows: int
    """N."""
    data: str
    """sha256 of the table, see `fingerprint`, and `fingerprint_of_parts` where a cluster read it."""
    network: str | None
    """sha256 of the file that the weights are in; None where the network was read from no file."""
    trained_variables: tuple[int, int]
    trained_rows: tuple[int, int]
    """Fewest and most of the tables that the network was trained on."""
    versions: tuple[tuple[str, str], ...]
    """What was running, and in which version."""
    specialist: str = ""
    """The one of several networks that was asked alone; "" where a gate says who is, or there is but one."""

    @property
    def name(self) -> str:
        """What the table is called: its folder is nobody's business who gets the result."""
        return PurePath(self.table).name

    def to_json(self) -> dict[str, object]:
        """The fields as plain values, with the name of the table in place of where it was."""
        return {**attrs.asdict(self), "table": self.name, "versions": dict(self.versions)}


def fingerprint(names: Sequence[str], x: NDArray[np.float64]) -> str:
    """sha256 of a table as it was read, whatever file it came from.

    Of the names in UTF-8, each followed by a line break, and the cells [N, D] column by column as little-endian
    float64, missing ones as the one NaN of numpy.
    """
    digest = hashlib.sha256("".join(f"{name}\n" for name in names).encode("utf-8", "surrogatepass"))
    for column in x.T:  # one at a time, so that no copy of the table is made
        cells = np.where(np.isnan(column), np.nan, column).astype("<f8")
        digest.update(cells.tobytes())
    return digest.hexdigest()


def fingerprint_of_parts(names: Sequence[str], parts: Sequence[str]) -> str:
    """sha256 of a table that nobody read as a whole: of the names as in `fingerprint`, and of the fingerprints of its
    parts without names, in hexadecimal, each followed by a line break."""
    return hashlib.sha256(
        "".join(f"{line}\n" for line in (*names, *parts)).encode("utf-8", "surrogatepass")
    ).hexdigest()


def versions() -> tuple[tuple[str, str], ...]:
    """What runs here."""
    return (
        ("tabscm", version("tabscm")),
        ("torch", torch.__version__),
        ("numpy", np.__version__),
        ("Python", platform.python_version()),
    )
