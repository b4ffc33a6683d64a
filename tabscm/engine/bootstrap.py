"""How steady a graph is: rows are drawn again with replacement, and the network reads what was drawn.

Letters: B drawn tables, N rows, D variables.
"""

from collections.abc import Callable, Iterator

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.canonical import on_grid
from tabscm.engine.doubt import Bootstrap
from tabscm.engine.knowledge import Constraints
from tabscm.engine.model import Model
from tabscm.engine.result import Result
from tabscm.engine.rows import listed
from tabscm.engine.standardise import standardise_exactly
from tabscm.engine.tables import DataTable
from tabscm.kernel.interfaces import Table
from tabscm.kernel.shapes import expect

SEED = 0
"""Which rows are drawn: the same ones every time."""
LEAST = 5
"""Rows with the same variables intervened on, below which they are drawn from together with others as few: of a single
row nothing else could be drawn."""
CELLS = {"cpu": 1 << 16, "cuda": 1 << 22}
"""Cells of tables that the network reads together, where one table has not more. The network reads cells anew for each
drawn table: their ranks, and what regressions leave of them, are not those of the whole table."""
PAIRS = {"cpu": 1 << 12, "cuda": 1 << 16}
"""The same of pairs of variables."""


@attrs.frozen(eq=False)
class Places:
    """A table in the order in which the network reads it, see `canonical_order`."""

    rows: NDArray[np.intp]
    """[N]."""
    columns: NDArray[np.intp]
    """[D]."""
    intervened: NDArray[np.bool_]
    """[N, D], in that order; True where an intervention set the cell."""


def bootstrap(
    model: Model,
    data: DataTable,
    places: Places,
    *,
    device: torch.device,
    repeats: int,
    threshold: float,
    acyclic: bool,
    knowledge: Constraints | None,
    done: Callable[[int], None],
) -> tuple[Bootstrap, list[str]]:
    """Draw as many rows as there are, `repeats` times, and count the edges of the graphs.

    Rows are drawn among those with the same variables intervened on, so that no condition vanishes or grows. A column
    that does not vary among the rows of a draw is shown to the network as such columns are in training, and has no edge
    in the graph of that draw. Which rows are drawn follows from what the table holds: neither their order nor that of
    the columns makes a difference.

    Args:
        model: on `device`, in evaluation mode.
        data: the table.
        places: its canonical order.
        device: where the network runs.
        repeats: tables to draw, >= 1.
        threshold: of their graphs, as in `Result.graph`.
        acyclic: as in `Result.graph`.
        knowledge: which every draw obeys.
        done: called with the number of tables read, after each batch.

    Returns:
        The frequencies, and what the user should know of them.
    """
    variables = len(data.names)
    frequency = np.zeros((variables, variables))
    constant = np.zeros(variables, dtype=np.int64)
    groups = _groups(places.intervened)
    together = _together(len(places.rows), variables, device)
    for first in range(0, repeats, together):
        drawn = np.stack([_draw(groups, number) for number in range(first, min(first + together, repeats))])  # [B, N]
        table, flat = _shown(data, places, drawn)
        with torch.inference_mode():
            logits = model(table.to(device)).logits.cpu()
        expect(logits, "B D D", what="logits", finite=True, B=len(drawn), D=variables)
        # [B, D, D] in the order of the table's own columns
        edge_prob = np.empty(logits.shape)
        edge_prob[:, places.columns[:, None], places.columns] = logits.double().sigmoid().numpy()
        for probabilities, still in zip(edge_prob, flat, strict=True):
            np.fill_diagonal(probabilities, 0.0)
            probabilities[still], probabilities[:, still] = 0.0, 0.0
            if knowledge is not None:
                probabilities = knowledge.condition(probabilities)
            result = Result(names=data.names, edge_prob=probabilities, knowledge=knowledge)
            frequency += _one_way(result.graph(threshold, acyclic=acyclic), probabilities)
        constant += flat.sum(0)
        done(first + len(drawn))
    found = Bootstrap(data.names, frequency / repeats, repeats, threshold, acyclic)
    return found, list(_notes(data, constant, repeats))


def _groups(intervened: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Rows that may stand for each other: of all rows [N], those with the same variables intervened on."""
    everywhere = np.arange(len(intervened))
    if not intervened.any():
        return [everywhere]
    _, pattern = np.unique(np.packbits(intervened, axis=1), axis=0, return_inverse=True)
    pattern = pattern.ravel()
    rare = np.bincount(pattern)[pattern] < LEAST
    pattern[rare] = -1
    return [everywhere[pattern == number] for number in np.unique(pattern)]


def _draw(groups: list[NDArray[np.intp]], number: int) -> NDArray[np.intp]:
    """The rows of draw `number`: [N]."""
    rng = np.random.default_rng([SEED, number])
    return np.concatenate([group[rng.integers(len(group), size=len(group))] for group in groups])


def _together(rows: int, variables: int, device: torch.device) -> int:
    """How many drawn tables are read at once: at least one."""
    kind = device.type if device.type in CELLS else "cpu"
    return max(1, min(CELLS[kind] // (rows * variables), PAIRS[kind] // variables**2))


def _shown(data: DataTable, places: Places, drawn: NDArray[np.intp]) -> tuple[Table, NDArray[np.bool_]]:
    """Drawn rows [B, N] as the network sees them, and which variables, in their own order, do not vary [B, D]."""
    tables, rows = drawn.shape
    x = np.empty((tables, rows, len(places.columns)), dtype=np.float32)
    observed = np.empty(x.shape, dtype=np.bool_)
    flat = np.empty((tables, len(places.columns)), dtype=np.bool_)
    at = places.rows[drawn]
    for place, column in enumerate(places.columns):  # one at a time, as in `predict`
        values = data.x[:, column][at]  # [B, N]
        there = ~np.isnan(values)
        z = standardise_exactly(torch.from_numpy(values)[..., None], torch.from_numpy(there)[..., None])[..., 0]
        x[..., place] = on_grid(z.numpy())
        observed[..., place] = there
        flat[:, column] = ~x[..., place].any(1)
    table = Table(torch.from_numpy(x), torch.from_numpy(places.intervened[drawn]), torch.from_numpy(observed))
    return table, flat


def _one_way(graph: NDArray[np.bool_], edge_prob: NDArray[np.float64]) -> NDArray[np.float64]:
    """A graph [D, D] with one direction of each pair: the more probable one, or half of each if they are equally so."""
    both = graph & graph.T
    kept = np.where(edge_prob > edge_prob.T, 1.0, np.where(edge_prob == edge_prob.T, 0.5, 0.0))
    return np.where(both, kept, graph)


def _notes(data: DataTable, constant: NDArray[np.int64], repeats: int) -> Iterator[str]:
    """Say of which columns some draws had nothing to see."""
    at = np.flatnonzero(constant)
    if len(at):
        most = int(constant.max())
        yield (
            f"bootstrap: in up to {most} of {repeats} draws a column does not vary, and has no edge there: "
            f"{listed(data.names[index] for index in at)}"
        )
