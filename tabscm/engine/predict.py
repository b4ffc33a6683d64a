"""From a user's table to the probability of every edge."""

from collections.abc import Mapping, Sequence
from typing import TextIO

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.bootstrap import Places, bootstrap
from tabscm.engine.canonical import canonical_order, on_grid
from tabscm.engine.familiarity import familiarity
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.model import Model, read_as
from tabscm.engine.preflight import MOST_SORTED, preflight, sortable
from tabscm.engine.progress import Counting, Waiting
from tabscm.engine.provenance import Provenance, fingerprint, versions
from tabscm.engine.result import Result
from tabscm.engine.rows import listed
from tabscm.engine.standardise import LIMIT, standardise_column
from tabscm.engine.tables import DataTable
from tabscm.kernel.errors import DataError
from tabscm.kernel.interfaces import Table
from tabscm.kernel.scratch import in_file, room
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
    in which units it is measured changes no digit of the result. A table that is too large for memory is read from a
    file in its own order, of which no more than rounding depends.

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
    check_width(model, data.source, variables)
    # before the network reads for a while
    constraints = None if knowledge is None else knowledge.resolve(data.names)
    x = room((variables, rows), np.float32).T
    if repeats and in_file(x):
        raise DataError(
            f"{data.source}: too large for memory, so that no rows can be drawn again; leave the bootstrap out"
        )
    observed: NDArray[np.bool_] | None = None  # where no cell is missing
    cut = dict.fromkeys(data.names, 0)
    for index, (name, column) in enumerate(zip(data.names, data.x.T, strict=True)):
        first = 0
        for z, there in standardise_column(torch.from_numpy(column)):
            some = slice(first, first := first + len(z))
            x[some, index] = on_grid(z.numpy())
            cut[name] += int((np.abs(x[some, index]) >= LIMIT).sum())
            if observed is None and not there.all():
                observed = room((variables, rows), np.bool_).T
                observed[:] = True
            if observed is not None:
                observed[some, index] = there.numpy()
    check_flat(data.source, [name for name, column in zip(data.names, x.T, strict=True) if not bool(column.any())])
    if intervened is not None:
        expect(torch.from_numpy(intervened), "N D", what="intervened", dtype=torch.bool, N=rows, D=variables)
    findings = preflight(data, intervened)
    by_column, places = np.arange(variables), None
    if not in_file(x):  # what is too large for memory is read in its own order: the last digits may depend on it
        cells = np.broadcast_to(np.False_, x.shape) if intervened is None else intervened
        by_row, by_column = canonical_order(x, cells, observed)
        order = (by_row[:, None], by_column)
        x = x[order]
        intervened = None if intervened is None else intervened[order]
        observed = None if observed is None else observed[order]
        places = Places(by_row, by_column, cells[order]) if repeats else None
    table = Table(
        x=torch.from_numpy(x)[None],  # [1, N, D]
        intervened=_flags(intervened, (rows, variables), default=False),
        observed=_flags(observed, (rows, variables), default=True),
    )
    if model.training:  # else to walk over its thousand modules would be for nothing
        model.eval()
    with torch.inference_mode(), Waiting(out, f"the network reads {rows} rows"):
        prediction = model(table.to(device))
    logits = prediction.logits[0].cpu()
    expect(logits, "D D", what="logits", finite=True, D=variables)
    edge_prob = np.empty((variables, variables))
    edge_prob[np.ix_(by_column, by_column)] = logits.double().sigmoid().fill_diagonal_(0).numpy()
    result = Result(
        names=data.names,
        edge_prob=edge_prob,
        read_as=read_as(model, prediction),
        notes=(*data.notes, *reading_notes(model, rows, cut)),
        provenance=provenance(model, data.source, rows, fingerprint(data.names, data.x)),
    )
    if knowledge is not None:
        result = result.given(knowledge)
    if variables <= MOST_SORTED:
        findings += sortable(data, result.graph(acyclic=True))
    known_to = None if model.reference is None else familiarity(model.reference, table)
    result = attrs.evolve(result, findings=findings, familiarity=known_to)
    if places is not None:
        counting = Counting(out, "rows drawn again", repeats)
        drawn, notes = bootstrap(
            model,
            data,
            places,
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


def check_width(model: Model, source: str, variables: int) -> None:
    """Refuse a table of more variables than the model takes."""
    if variables > model.max_variables:
        raise DataError(
            f"{source}: {variables} variables, and this model takes at most {model.max_variables}; "
            "remove columns, or train a model on larger tables"
        )


def check_flat(source: str, flat: Sequence[str]) -> None:
    """Refuse a table with columns that are 0 everywhere once they are standardised."""
    if flat:
        raise DataError(
            f"{source}: {listed(flat)} cannot be told from constant, so small are the differences beside the "
            "values; subtract a constant or remove the column"
        )


def provenance(model: Model, source: str, rows: int, data: str) -> Provenance:
    """What a result of this model was read from; `data` is the fingerprint."""
    return Provenance(
        table=source,
        rows=rows,
        data=data,
        network=model.sha256,
        trained_variables=model.trained_variables,
        trained_rows=model.trained_rows,
        versions=versions(),
        specialist=model.alone if isinstance(model, Model) else "",
    )


def _flags(given: NDArray[np.bool_] | None, shape: tuple[int, int], *, default: bool) -> torch.Tensor:
    """[1, N, D] bool; `default` everywhere, without taking memory for it, when none are given."""
    if given is None:
        return torch.full((1, 1, 1), default).expand(1, *shape)
    return torch.from_numpy(given)[None]


def reading_notes(model: Model, rows: int, cut: Mapping[str, int]) -> list[str]:
    """Say which specialist was asked alone, where a table is larger or smaller than those of the training, and how many
    of its cells were cut."""
    notes = []
    if isinstance(model, Model) and model.alone:
        notes.append(f"the specialist {model.alone} alone was asked, and no gate whether the table is of its kind")
    for size, (low, high), what in (
        (len(cut), model.trained_variables, "variables"),
        (rows, model.trained_rows, "rows"),
    ):
        if not low <= size <= high:
            notes.append(f"the table has {size} {what}; the model was trained on {low} to {high}")
    if any(cut.values()):
        where = [name for name, count in cut.items() if count]
        notes.append(
            f"cells cut at {LIMIT:g} standard deviations: {sum(cut.values())}, in {listed(where)}; look for codes of "
            "missing values, such as -999, and take logarithms of heavy tails"
        )
    return notes
