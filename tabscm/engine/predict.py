"""From a user's table to the probability of every edge."""

from typing import TextIO

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.bootstrap import Places, bootstrap
from tabscm.engine.canonical import canonical_order, on_grid
from tabscm.engine.familiarity import familiarity
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.model import Model
from tabscm.engine.preflight import MOST_SORTED, preflight, sortable
from tabscm.engine.progress import Counting
from tabscm.engine.provenance import Provenance, fingerprint, versions
from tabscm.engine.result import Result
from tabscm.engine.rows import listed
from tabscm.engine.standardise import LIMIT, standardise_exactly
from tabscm.engine.tables import DataTable
from tabscm.kernel.errors import DataError
from tabscm.kernel.interfaces import Table
from tabscm.kernel.shapes import expect


def predict(
    model: Model,
    data: DataTable,
    *,
    device: torch.device,
    intervened: NDArray[np.bool_] | None = None,
    knowledge: Knowledge | None = None,
    repeats: int = 0,
    threshold: float = 0.5,
    acyclic: bool = False,
    out: TextIO | None = None,
) -> Result:
    """Read a table in one forward pass.

    Rows and columns are shown to the network in an order of their own, see `canonical_order`: how a table is sorted and
    in which units it is measured changes no digit of the result.

    Args:
        model: on `device`; left in evaluation mode.
        data: the table; missing cells are shown to the network as missing.
        device: where the network runs.
        intervened: [N, D] bool, True where an intervention set the cell; None means nowhere.
        knowledge: what the result has to obey; the network does not see it.
        repeats: tables to draw again from the rows, see `bootstrap`; 0 for none.
        threshold: of the graphs of those tables.
        acyclic: whether these are the best graphs without a cycle.
        out: where the progress of that is shown, if it takes long; None for nowhere.

    Raises:
        DataError: more variables than the model takes, or a column that does not vary enough to be read.
        ConfigError: the knowledge names other variables, or contradicts itself.
    """
    rows, variables = data.x.shape
    if variables > model.max_variables:
        raise DataError(
            f"{data.source}: {variables} variables, and this model takes at most {model.max_variables}; "
            "remove columns, or train a model on larger tables"
        )
    # before the network reads for a while
    constraints = None if knowledge is None else knowledge.resolve(data.names)
    x = np.empty(data.x.shape, dtype=np.float32)
    observed: NDArray[np.bool_] | None = None  # where no cell is missing
    for index, column in enumerate(data.x.T):  # one at a time: float64 copies of all would need most of the memory
        there = ~np.isnan(column)
        if not there.all():
            observed = np.ones(x.shape, dtype=np.bool_) if observed is None else observed
            observed[:, index] = there
        z = standardise_exactly(torch.from_numpy(column)[:, None], torch.from_numpy(there)[:, None])
        x[:, index] = on_grid(z.numpy())[:, 0]
    _check_flat(data, x)
    cells = np.zeros(x.shape, dtype=np.bool_) if intervened is None else intervened
    expect(torch.from_numpy(cells), "N D", what="intervened", dtype=torch.bool, N=rows, D=variables)
    by_row, by_column = canonical_order(x, cells, observed)
    shown = torch.from_numpy(x[by_row[:, None], by_column])[None]  # [1, N, D]
    set_by = torch.from_numpy(cells[by_row[:, None], by_column])[None]
    known = torch.ones(1, 1, 1, dtype=torch.bool).expand(shown.shape)
    if observed is not None:
        known = torch.from_numpy(observed[by_row[:, None], by_column])[None]
    table = Table(x=shown, intervened=set_by, observed=known)
    model.eval()
    with torch.inference_mode():
        logits = model(table.to(device)).logits[0].cpu()
    expect(logits, "D D", what="logits", finite=True, D=variables)
    edge_prob = np.empty((variables, variables))
    edge_prob[np.ix_(by_column, by_column)] = logits.double().sigmoid().fill_diagonal_(0).numpy()
    result = Result(
        names=data.names,
        edge_prob=edge_prob,
        notes=(*data.notes, *_notes(model, data, x)),
        provenance=_provenance(model, data),
    )
    if knowledge is not None:
        result = result.given(knowledge)
    findings = preflight(data, intervened)
    if variables <= MOST_SORTED:
        findings += sortable(data, result.graph(acyclic=True))
    known_to = None if model.reference is None else familiarity(model.reference, table)
    result = attrs.evolve(result, findings=findings, familiarity=known_to)
    if repeats:
        counting = Counting(out, "rows drawn again", repeats)
        drawn, notes = bootstrap(
            model,
            data,
            Places(by_row, by_column, set_by[0].numpy()),
            device=device,
            repeats=repeats,
            threshold=threshold,
            acyclic=acyclic,
            knowledge=constraints,
            done=counting.show,
        )
        counting.end()
        result = attrs.evolve(result, bootstrap=drawn, notes=(*result.notes, *notes))
    return result


def _provenance(model: Model, data: DataTable) -> Provenance:
    return Provenance(
        table=data.source,
        rows=len(data.x),
        data=fingerprint(data.names, data.x),
        network=model.sha256,
        trained_variables=model.trained_variables,
        trained_rows=model.trained_rows,
        versions=versions(),
    )


def _check_flat(data: DataTable, x: NDArray[np.float32]) -> None:
    flat = [name for name, column in zip(data.names, x.T, strict=True) if not bool(column.any())]
    if flat:
        raise DataError(
            f"{data.source}: {listed(flat)} cannot be told from constant, so small are the differences beside the "
            "values; subtract a constant or remove the column"
        )


def _notes(model: Model, data: DataTable, x: NDArray[np.float32]) -> list[str]:
    notes = []
    for size, (low, high), what in (
        (x.shape[1], model.trained_variables, "variables"),
        (x.shape[0], model.trained_rows, "rows"),
    ):
        if not low <= size <= high:
            notes.append(f"the table has {size} {what}; the model was trained on {low} to {high}")
    cut = (x >= LIMIT).sum(0) + (x <= -LIMIT).sum(0)
    if cut.any():
        where = [name for name, count in zip(data.names, cut.tolist(), strict=True) if count]
        notes.append(
            f"cut {int(cut.sum())} cells at {LIMIT:g} standard deviations, in {listed(where)}; logarithms may suit "
            "heavy tails better"
        )
    return notes
