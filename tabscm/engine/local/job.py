"""The process in which a table is read: python -P -m tabscm.engine.local.job, in a folder that holds an order.

Whatever the table does to it, the app lives on. It takes its limits before it reads anything, and leaves an answer.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import resource
except ImportError:  # Windows has no such limits; there the app's own clock is the only one
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tabscm.engine.knowledge import Knowledge
    from tabscm.engine.tables import DataTable
    from tabscm.kernel.errors import TabSCMError

ORDER, ANSWER = Path("order.json"), Path("answer.json")
SAID = Path("said.txt")
"""How far it is, in words."""
TARGETS = Path("targets.toml")
"""Where the text is put that says what each condition sets."""
SHOWN = 3
"""Most problems of a file of the user's that are told at one time."""


def main() -> int:
    """Do what the order says."""
    order = json.loads(ORDER.read_text("utf-8"))
    limit(order["seconds"], order["bytes"])
    try:
        answer = _check(order) if order["do"] == "check" else _read(order)
    except MemoryError:
        answer = {"error": "reading this table takes more memory than the app gives to it"}
    ANSWER.write_text(json.dumps(answer), "utf-8")
    return 0


def limit(seconds: int, size: int) -> None:
    """Take no more than so many seconds of each processor, bytes of memory, and bytes in a file."""
    if resource is not None:
        seconds *= os.cpu_count() or 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _check(order: dict[str, Any]) -> dict[str, Any]:
    """The columns of a table and what is to know of it."""
    from tabscm.engine.local.chosen import check_size, names_of
    from tabscm.engine.preflight import preflight
    from tabscm.engine.tables import read_table
    from tabscm.kernel.errors import TabSCMError

    file = Path(order["table"])
    try:
        names = names_of(file)
        check_size(file, order["bytes"])
    except TabSCMError as error:
        return {"error": _named(error, order)}
    try:
        data = read_table(file)
    except TabSCMError as error:  # which leaving out a column may mend
        return {"columns": names, "variables": names, "rows": None, "notes": [], "trouble": _named(error, order)}
    notes = [*data.notes, *(finding.line for finding in preflight(data))]
    return {"columns": names, "variables": data.names, "rows": len(data.x), "notes": notes, "trouble": None}


def _read(order: dict[str, Any]) -> dict[str, Any]:
    """Predict the graph, and write it in all forms."""
    from tabscm.engine.local.known import knowledge
    from tabscm.kernel.errors import TabSCMError

    try:
        data, cells = _table(order)
        known = knowledge(order)
        if known is not None:
            known.resolve(data.names)  # what is wrong with it is said before the network is loaded
        return _graph(data, cells, known, order)
    except TabSCMError as error:
        return {"error": _named(error, order)}


def _table(order: dict[str, Any]) -> "tuple[DataTable, NDArray[np.bool_] | None]":
    """The chosen columns of the table, and which of its cells interventions set."""
    import attrs

    from tabscm.engine.local.chosen import names_of, take
    from tabscm.engine.rows import show
    from tabscm.engine.tables import Asked, read_table
    from tabscm.engine.targets import read_targets, with_interventions
    from tabscm.kernel.errors import DataError

    file, chosen, labels = Path(order["table"]), order["variables"], order["labels"]
    targets, asked = None, None
    if labels is not None:
        if labels["column"] in chosen:
            found = f"column {show(labels['column'])} says how each row came about, and is no variable; untick it"
            raise DataError(f"{file}: {found}")
        chosen, asked = [*chosen, labels["column"]], Asked(labels["column"], "the page")
        if labels["targets"] is not None:
            TARGETS.write_bytes(labels["targets"]["text"].encode("utf-8", "surrogatepass"))
            targets = read_targets(TARGETS)
    if chosen != names_of(file):
        file = take(file, chosen)
    data = attrs.evolve(read_table(file, categories=order["categories"], labels=asked), source=order["name"])
    return with_interventions(data, targets)


def _graph(
    data: "DataTable", cells: "NDArray[np.bool_] | None", known: "Knowledge | None", order: dict[str, Any]
) -> dict[str, Any]:
    """Predict the graph of a table."""
    import torch  # only now: it takes a second, and a table that cannot be read does not need it

    from tabscm.engine.faults import is_out_of_memory
    from tabscm.engine.loading import load_model
    from tabscm.engine.predict import predict
    from tabscm.kernel.registry import discover

    device = torch.device("cpu")
    shown = {"threshold": order["threshold"], "acyclic": order["acyclic"]}
    try:
        result = predict(
            load_model(Path(order["run"]), discover(), device),
            data,
            device=device,
            intervened=cells,
            knowledge=known,
            repeats=order["bootstrap"],
            out=Said(),
            **shown,
        )
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        raise
    result.to_html("graph.html", **shown)
    whole = json.dumps(result.to_json(**shown), indent=2, allow_nan=False) + "\n"
    for ending, text in (
        ("json", whole),
        ("csv", result.to_edges_csv(**shown)),
        ("gml", result.to_gml(**shown)),
        ("dot", result.to_dot(**shown)),
    ):
        Path(f"graph.{ending}").write_bytes(text.encode("utf-8", "backslashreplace"))
    return {"edges": len(result.edges(**shown))}


class Said(io.StringIO):
    """A terminal of one line, the last that was said, in a file for the app."""

    def isatty(self) -> bool:
        """So that whoever counts says so often."""
        return True

    def write(self, text: str) -> int:
        """Say something; what goes back to the start of the line replaces what was there."""
        if text.startswith("\r"):
            SAID.write_text(text.replace("\x1b[K", "").strip(), "utf-8")
        return len(text)


def _named(error: "TabSCMError", order: dict[str, Any]) -> str:
    """A message in one line, about a file as the user knows it."""
    from tabscm.engine.local.chosen import TEXT, TYPED
    from tabscm.engine.local.known import FILE
    from tabscm.kernel.errors import ConfigError

    line = str(error)
    if isinstance(error, ConfigError):
        found = [f"{problem.where}: {'; '.join(problem.lines)}" for problem in error.problems]
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        line = " ".join(f"{error.source}: {'; '.join(found[:SHOWN])}{more}".split())
    names = dict.fromkeys((order["table"], str(TEXT), str(TYPED)), order["name"])
    names |= {str(FILE): (order.get("knowledge") or {}).get("name")}
    names |= {str(TARGETS): ((order.get("labels") or {}).get("targets") or {}).get("name")}
    for file, name in names.items():
        if name is not None and line.startswith(file):
            return f"{name}{line.removeprefix(file)}"
    return line


if __name__ == "__main__":
    sys.exit(main())
