"""What a page says of the causes: what was set in it, and the knowledge file that was dropped into it, as one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabscm.engine.knowledge import Knowledge, Link, Tier, read_knowledge
from tabscm.kernel.errors import ConfigError, Problem

FILE = Path("knowledge.txt")
"""Where the text of a knowledge file is put, to be read as any other; Tetrad or TOML shows in its first line."""
SET = "what was set in the page"


def knowledge(order: Mapping[str, Any]) -> Knowledge | None:
    """All that is known by an order, see `wishes.EXPECTED`; None where nothing is.

    Raises:
        ConfigError: the file cannot be read, or has tiers where the page has some, too.
    """
    typed, file = _set(order), order["knowledge"]
    if file is None:
        return typed
    FILE.write_bytes(file["text"].encode("utf-8", "surrogatepass"))
    read = read_knowledge(FILE)
    if typed is not None and read.tiers and typed.tiers:
        found = "tiers are in this file and set in the page, too; leave out one of the two"
        raise ConfigError(file["name"], [Problem("tiers", (found,))])
    return Knowledge(
        tiers=read.tiers or (() if typed is None else typed.tiers),
        forbidden=(*read.forbidden, *(() if typed is None else typed.forbidden)),
        required=(*read.required, *(() if typed is None else typed.required)),
        exogenous=read.exogenous,
        sinks=read.sinks,
        source=file["name"] if typed is None else f"{file['name']} and {SET}",
    )


def _set(order: Mapping[str, Any]) -> Knowledge | None:
    """What was set in the page itself; what nothing causes, and what causes nothing, are edges that are forbidden."""
    if not any(order[key] for key in ("tiers", "required", "forbidden", "exogenous", "sinks")):
        return None
    forbidden = [Link(cause, effect, where="the forbidden edges") for cause, effect in order["forbidden"]]
    forbidden += [Link("*", name, where="the tick that nothing causes it") for name in order["exogenous"]]
    forbidden += [Link(name, "*", where="the tick that it causes nothing") for name in order["sinks"]]
    return Knowledge(
        tiers=[Tier(tier, where=f"tier {number}") for number, tier in enumerate(order["tiers"], start=1) if tier],
        forbidden=forbidden,
        required=[Link(cause, effect, where="the required edges") for cause, effect in order["required"]],
        source=SET,
    )
