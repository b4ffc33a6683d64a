"""The process in which a table is read: python -P -m tabscm.engine.local.job, in a folder that holds an order.

Whatever the table does to it, the app lives on. It takes its limits before it reads anything, and leaves an answer.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import resource
except ImportError:  # Windows has no such limits; there the app's own clock is the only one
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from tabscm.engine.tables import DataTable

ORDER, ANSWER = Path("order.json"), Path("answer.json")


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
    """Take no more than so many seconds of a processor, bytes of memory, and bytes in a file."""
    if resource is not None:
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
        return {"error": _named(str(error), order)}
    try:
        data = read_table(file)
    except TabSCMError as error:  # which leaving out a column may mend
        return {"columns": names, "variables": names, "rows": None, "notes": [], "trouble": _named(str(error), order)}
    notes = [*data.notes, *(finding.line for finding in preflight(data))]
    return {"columns": names, "variables": data.names, "rows": len(data.x), "notes": notes, "trouble": None}


def _read(order: dict[str, Any]) -> dict[str, Any]:
    """Predict the graph, and write it in all forms."""
    from tabscm.kernel.errors import TabSCMError

    try:
        data = _table(order)
        return _graph(data, order)
    except TabSCMError as error:
        return {"error": _named(str(error), order)}


def _table(order: dict[str, Any]) -> "DataTable":
    """The chosen columns of the table."""
    import attrs

    from tabscm.engine.local.chosen import names_of, take
    from tabscm.engine.tables import read_table

    file, chosen = Path(order["table"]), order["variables"]
    if chosen != names_of(file):
        file = take(file, chosen)
    return attrs.evolve(read_table(file, categories=order["categories"]), source=order["name"])


def _graph(data: "DataTable", order: dict[str, Any]) -> dict[str, Any]:
    """Predict the graph of a table."""
    import torch  # only now: it takes a second, and a table that cannot be read does not need it

    from tabscm.engine.faults import is_out_of_memory
    from tabscm.engine.knowledge import Knowledge
    from tabscm.engine.loading import load_model
    from tabscm.engine.predict import predict
    from tabscm.kernel.registry import discover

    known = Knowledge(tiers=order["tiers"], source="the tiers that were set") if order["tiers"] else None
    device = torch.device("cpu")
    try:
        result = predict(load_model(Path(order["run"]), discover(), device), data, device=device, knowledge=known)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        raise
    shown = {"threshold": order["threshold"], "acyclic": order["acyclic"]}
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


def _named(message: str, order: dict[str, Any]) -> str:
    """A message about a file as the user knows it."""
    from tabscm.engine.local.chosen import TEXT, TYPED

    for file in (order["table"], str(TEXT), str(TYPED)):
        if message.startswith(file):
            return f"{order['name']}{message.removeprefix(file)}"
    return message


if __name__ == "__main__":
    sys.exit(main())
