"""What a benchmark found, written down: a table, a picture, and everything for a program."""

import json
from collections.abc import Sequence
from pathlib import Path

from tabscm.engine.benchmark.case import Suite
from tabscm.engine.benchmark.picture import draw
from tabscm.engine.benchmark.runner import Found
from tabscm.engine.benchmark.summary import Score, summarise, to_json
from tabscm.engine.benchmark.table import headline, table
from tabscm.engine.whole import write_whole

EVERYTHING = "results.json"
TABLE = "table.md"
PICTURE = "picture.png"


def write(out: Path, suites: Sequence[Suite], found: Found) -> tuple[bool, str]:
    """Write results.json, table.md and picture.png into `out`.

    Returns:
        Whether the picture could be drawn, and the table with who is ahead.
    """
    scores: dict[str, dict[str, Score]] = {suite.name: {} for suite in suites}
    by_name = {suite.name: suite for suite in suites}
    for (suite, method), records in found.items():
        if records:
            scores[suite][method] = summarise(by_name[suite], list(records.values()))
    text = f"{table(suites, scores)}\n\n{headline(scores)}"
    write_whole(out / EVERYTHING, json.dumps(to_json(suites, scores), indent=1, allow_nan=False) + "\n")
    write_whole(out / TABLE, f"{text}\n")
    return draw({name: by for name, by in scores.items() if by}, out / PICTURE), text
