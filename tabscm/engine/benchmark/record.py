"""What became of one table and method, as a line of JSON."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import attrs

from tabscm.engine.benchmark.case import EDITION
from tabscm.engine.untrusted import parse_json
from tabscm.kernel.errors import TabSCMError

State = Literal["answered", "over", "failed"]
ENOUGH = 2
"""Tables over the limit after which a method is not tried again in a suite."""


@attrs.frozen(kw_only=True)
class Record:
    """One table, one method. Without an answer the metrics are those of the empty graph."""

    suite: str
    table: int
    method: str
    state: State
    seconds: float
    """Until the answer, or until the method was stopped or failed."""
    limit: float
    """Seconds it was given."""
    metrics: Mapping[str, float | None]
    """See `scores.judge`; None is what is undefined."""
    bins: list[list[float]] | None = None
    """See `scores.bins`."""
    why: str | None = None
    """There is no answer, in one line."""
    weights: str | None = None
    """What tells a network from others; None where there is none."""
    settings: str | None = None
    """See `Suite.settings`."""
    edition: int = EDITION

    def line(self) -> str:
        """The record as JSON, with its line end."""
        return json.dumps(attrs.asdict(self), allow_nan=False) + "\n"


def plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """NaN as null."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def read(file: Path) -> Iterator[Record]:
    """The records of a file, without a last line that was cut short; none where there is no such file.

    Raises:
        TabSCMError: names a line that is no record.
    """
    if not file.is_file():
        return
    for number, line in enumerate(file.read_text("utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            yield Record(**parse_json(line))
        except (ValueError, TypeError):
            raise TabSCMError(f"{file}, line {number}: not a line that this command writes; remove it") from None
