"""What a page may wish for a graph: every entry is there, and is told from others before any work is done."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tabscm.engine.local.gate import Refusal

MOST_REPEATS = 500
"""Tables that may be drawn again: frequencies to two digits; of more, hardly any is done in time."""

FEWEST = 2
"""Variables that a table needs."""

LONGEST_NAME = 120
"""Letters of a file's name that are kept."""


def read_wishes(data: bytes) -> dict[str, Any]:
    """The entries of EXPECTED, in JSON.

    Raises:
        Refusal: it is something else.
    """
    try:
        wishes = json.loads(data)
    except (ValueError, RecursionError):
        raise Refusal(400, "this is no JSON") from None
    if not isinstance(wishes, dict) or set(wishes) != set(EXPECTED):
        raise Refusal(400, f"expected an object of {', '.join(EXPECTED)}")
    for key, (fits, what) in EXPECTED.items():
        if not fits(wishes[key]):
            raise Refusal(400, f"{key}: expected {what}")
    if len(wishes["variables"]) < FEWEST:
        raise Refusal(422, f"a graph needs {FEWEST} variables; tick at least {FEWEST} columns")
    for file in (wishes["knowledge"], (wishes["labels"] or {}).get("targets")):
        if file is not None:
            file["name"] = printable(file["name"]) or "the text"
    return wishes


def printable(name: str) -> str:
    """What a file is called, for people alone: the last part of its name, as far as it can be printed."""
    last = re.split(r"[\\/]", name)[-1][:LONGEST_NAME]
    return "".join(letter for letter in last if letter.isprintable()).strip()


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _tiers(value: object) -> bool:
    return isinstance(value, list) and all(map(_names, value))


def _edges(value: object) -> bool:
    return isinstance(value, list) and all(_names(edge) and len(edge) == 2 for edge in value)


def _file(value: object) -> bool:
    return value is None or (
        isinstance(value, dict)
        and set(value) == {"name", "text"}
        and all(isinstance(one, str) for one in value.values())
    )


def _labels(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and set(value) == {"column", "targets"}
        and isinstance(value["column"], str)
        and _file(value["targets"])
    )


def _repeats(value: object) -> bool:
    return type(value) is int and 0 <= value <= MOST_REPEATS


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _truth(value: object) -> bool:
    return isinstance(value, bool)


EXPECTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "variables": (_names, "a list of names"),
    "categories": (_names, "a list of names"),
    "tiers": (_tiers, "a list of tiers, each a list of names"),
    "required": (_edges, "a list of edges, each a list of a cause and an effect"),
    "forbidden": (_edges, "a list of edges, each a list of a cause and an effect"),
    "exogenous": (_names, "a list of names"),
    "sinks": (_names, "a list of names"),
    "knowledge": (_file, "null, or the name and the text of a file"),
    "labels": (_labels, "null, or a column, and its targets: null, or the name and the text of a file"),
    "bootstrap": (_repeats, f"a whole number from 0 to {MOST_REPEATS}"),
    "threshold": (_share, "a number from 0 to 1"),
    "acyclic": (_truth, "true or false"),
}
"""How each entry is told from others, and what it is."""
