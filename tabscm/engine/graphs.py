"""Read a known graph: a CSV file of edges with the header `from,to`."""

from collections.abc import Sequence
from pathlib import Path

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from tabscm.engine.rows import read_header, read_rows, show, suggest
from tabscm.kernel.errors import DataError


def read_graph(path: str | Path, names: Sequence[str]) -> NDArray[np.bool_]:
    """Read the edges between the variables of a table; a file without edges is the empty graph.

    Args:
        path: a CSV file with the columns `from` and `to`; others are not read.
        names: [D] the variables, in the order of the table.

    Returns:
        adj: [D, D] bool, True at [i, j] when i causes j; acyclic.

    Raises:
        DataError: one line with file, row, column and what to do.
    """
    path = Path(path)
    rows = read_rows(path)
    header = read_header(path, rows)
    for name in ("from", "to"):
        if name not in header:
            raise DataError(f"{path}, row 1: no column is called {show(name)}; a graph has the header from,to")
    ends = [header.index(name) for name in ("from", "to")]
    adj = np.zeros((len(names), len(names)), dtype=np.bool_)
    reaches = np.eye(len(names), dtype=np.bool_)  # [D, D], True at [i, j] when a path leads from i to j
    for line, cells in rows:
        source, target = (_variable(path, line, header[end], cells[end].strip(), names) for end in ends)
        edge = f"{path}, row {line}: {names[source]} -> {names[target]}"
        if source == target:
            raise DataError(f"{edge} ends where it starts; remove it")
        if adj[source, target]:
            raise DataError(f"{edge} is here for the second time; remove it")
        if reaches[target, source]:
            back = nx.shortest_path(nx.from_numpy_array(adj, create_using=nx.DiGraph), target, source)
            cycle = " -> ".join(names[variable] for variable in (source, *back))
            raise DataError(f"{edge} closes the cycle {cycle}; a causal graph has none")
        adj[source, target] = True
        reaches |= np.outer(reaches[:, source], reaches[target])
    return adj


def _variable(path: Path, line: int, column: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise DataError(
            f"{path}, row {line}, column {show(column)}: the table has no variable {show(name)}; {suggest(name, names)}"
        )
    return names.index(name)
