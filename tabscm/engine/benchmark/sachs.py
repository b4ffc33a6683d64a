"""The protein-signalling table that comes with the package, and what its experiments intervened on."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files

import numpy as np

from tabscm.engine.benchmark.case import Bools, Case, Floats
from tabscm.engine.graphs import read_graph
from tabscm.engine.tables import read_table

OBSERVED = "cd3_cd28"
TARGETS: Mapping[str, str | None] = {
    "cd3_cd28": None,
    "cd3_cd28+icam2": None,
    "cd3_cd28+aktinhib": "akt",
    "cd3_cd28+g0076": "pkc",
    "cd3_cd28+psitect": "pip2",
    "cd3_cd28+u0126": "mek",
    "cd3_cd28+ly": "pip3",
    "pma": "pkc",
    "b2camp": "pka",
}
"""The protein that each condition sets, as commonly read; see data/README.md."""


def case(edges: int, index: int, rng: np.random.Generator, *, interventions: bool) -> Case:
    """The table itself for index 0, else as many of its rows drawn with replacement, within each condition.

    Args:
        edges: 17 or 20, which of the two graphs is taken for the truth.
        index: of the table.
        rng: which rows are drawn.
        interventions: all 7 466 rows, or the 853 observational ones.
    """
    names, parts = _read()
    chosen = TARGETS if interventions else {OBSERVED: None}
    rows, cells = [], []
    for condition, target in chosen.items():
        x = parts[condition]
        rows.append(x if index == 0 else x[rng.integers(len(x), size=len(x))])
        cells.append(np.tile([name == target for name in names], (len(x), 1)))
    return Case(x=np.concatenate(rows), adj=_graph(edges), intervened=np.concatenate(cells))


@cache
def _read() -> tuple[tuple[str, ...], dict[str, Floats]]:
    with as_file(files("tabscm") / "data" / "sachs.csv") as file:
        tables = {condition: read_table(file, where={"condition": condition}) for condition in TARGETS}
    return tables[OBSERVED].names, {condition: table.x for condition, table in tables.items()}


@cache
def _graph(edges: int) -> Bools:
    with as_file(files("tabscm") / "data" / f"sachs_edges_{edges}.csv") as file:
        return read_graph(file, _read()[0])
