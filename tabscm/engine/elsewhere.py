"""A table that the workers of a cluster read, each some parts of it: from Parquet to the probability of every edge.

Each part is described first, in numbers that can be joined: counts, extremes, means and spreads. Then it is read again,
standardised, and held by the worker that read it while the network asks for sums over all rows. What is looked at for
findings is a sample. Letters: N rows of the table, n of a part, D variables, S rows of the sample.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO, TypeVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tabscm.engine.canonical import on_grid
from tabscm.engine.familiarity import familiarity
from tabscm.engine.knowledge import Knowledge
from tabscm.engine.model import Model, read_as
from tabscm.engine.parquet import Part, is_parquet, read_layout
from tabscm.engine.predict import check_flat, check_width, provenance, reading_notes
from tabscm.engine.preflight import MOST_SORTED, SAMPLED, preflight, sortable
from tabscm.engine.provenance import fingerprint, fingerprint_of_parts
from tabscm.engine.reading import Plan, Reading, Seen, Wishes, look, reading
from tabscm.engine.result import Result
from tabscm.engine.spread import Spread, opened
from tabscm.engine.standardise import LIMIT
from tabscm.engine.tables import DataTable, check_columns
from tabscm.kernel.errors import DataError, TabSCMError
from tabscm.kernel.interfaces import Rows, Table
from tabscm.kernel.shapes import expect

T = TypeVar("T")
R = TypeVar("R")

Held = tuple[NDArray[np.float32], NDArray[np.bool_] | None, NDArray[np.bool_] | None]
"""What a worker holds of a part: [n, D] standardised, 0 where not observed; where it is observed, None if everywhere;
and which cells were set, None if none."""


def predict_on_cluster(
    model: Model,
    path: Path,
    address: str,
    *,
    wishes: Wishes | None = None,
    knowledge: Knowledge | None = None,
    out: TextIO | None = None,
) -> Result:
    """`predict` of a table in Parquet that need not fit into the memory of one machine.

    Args:
        model: on the CPU; left in evaluation mode.
        path: a file or a folder of files, under the same path here and on the workers.
        address: of a Dask scheduler.
        wishes: which rows and columns are used, and how, and what was set in them; None for no wish.
        knowledge: what the result has to obey; the network does not see it.
        out: where the progress is shown, if it takes long; None for nowhere.

    Raises:
        DataError: the table cannot be used.
        ConfigError: the knowledge names other variables, or contradicts itself.
        TabSCMError: there is no such cluster, or it cannot do the work.
    """
    path, wishes = path.absolute(), Wishes() if wishes is None else wishes
    if model.not_additive:
        raise TabSCMError(
            f"{model.not_additive[0]} reads all rows of a table at once, so that no cluster can; leave out --cluster"
        )
    if not is_parquet(path):
        raise DataError(f"{path}: a cluster reads Parquet, a file or a folder of parts; save the table so")
    plan = Plan(path, read_layout(path, set(wishes.without) - set(wishes.where)), wishes)
    plan.check()
    how = None if plan.needs_a_look() else _checked(reading(plan, None), model, knowledge)
    with opened(address, out) as cluster:
        if how is None:
            looked: Spread[Part] = Spread(cluster, plan.layout.parts, "parts looked at")
            how = _checked(reading(plan, looked.fold(partial(look, plan), Seen.join, _itself)), model, knowledge)
        parts: Spread[Part] = Spread(cluster, how.parts, "parts read")
        found = parts.fold(partial(_describe, how, SAMPLED / how.rows), Description.join, _itself)
        gaps, constant = how.rows - found.count, found.least == found.most
        notes = check_columns(str(path), how.names, how.rows, gaps.tolist(), constant.tolist())
        held = _Held(parts.map(partial(_standardise, how, found)), how.rows, len(how.names))
        cut, moved = held.fold(_looks, torch.add, Tensor.tolist)
        check_flat(str(path), [name for name, cells in zip(how.names, moved, strict=True) if not cells])
        model.eval()
        with torch.inference_mode():
            prediction = model.read(held)
    logits = prediction.logits[0]
    expect(logits, "D D", what="logits", finite=True, D=len(how.names))
    of_reading = reading_notes(model, how.rows, dict(zip(how.names, cut, strict=True)))
    result = Result(
        names=how.names,
        edge_prob=logits.double().sigmoid().fill_diagonal_(0).numpy(),
        read_as=read_as(model, prediction),
        notes=(*how.notes, *notes, *how.described, *of_reading),
        provenance=provenance(model, str(path), how.rows, fingerprint_of_parts(how.names, found.digests)),
    )
    if knowledge is not None:
        result = result.given(knowledge)
    return _looked_at(model, result, found, how.rows)


def _checked(how: Reading, model: Model, knowledge: Knowledge | None) -> Reading:
    """How a table is read, when the model can take it; before it is read for a while."""
    check_width(model, str(how.plan.path), len(how.names))
    if knowledge is not None:
        knowledge.resolve(how.names)
    return how


@attrs.frozen(eq=False)
class Description:
    """What is known of some parts of a table; what is NaN counts nowhere."""

    digests: tuple[str, ...]
    """`fingerprint` of each part."""
    sample: NDArray[np.float64]
    """[S, D] the first rows of each part."""
    intervened: NDArray[np.bool_]
    """[S, D] which cells of the sample were set."""
    count: NDArray[np.int64]
    """[D] cells that are there."""
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    """[D] extremes."""
    unit: NDArray[np.float64]
    """[D] the largest absolute value, in which the rest is measured: squares of larger ones would overflow."""
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    """[D] sum of the squared deviations from the mean."""

    def join(self, other: "Description") -> "Description":
        """Of the parts of both. Source: Chan, Golub & LeVeque 1983, eq. 2.1."""
        unit = np.maximum(self.unit, other.unit)
        count = self.count + other.count
        own, its = self.unit / unit, other.unit / unit
        step = other.mean * its - self.mean * own
        share = other.count / np.maximum(1, count)
        return Description(
            digests=(*self.digests, *other.digests),
            sample=np.concatenate([self.sample, other.sample]),
            intervened=np.concatenate([self.intervened, other.intervened]),
            count=count,
            least=np.fmin(self.least, other.least),
            most=np.fmax(self.most, other.most),
            unit=unit,
            mean=self.mean * own + step * share,
            squares=self.squares * own**2 + other.squares * its**2 + step**2 * self.count * share,
        )

    def standardise(self, x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rows [n, D] as `standardise_column` and `on_grid` make them, 0 where missing: [n, D]."""
        z = np.empty(x.shape, dtype=np.float32)
        smallest = 4 * np.finfo(np.float64).eps
        for index, column in enumerate(x.T):
            deviation = math.sqrt(self.squares[index] / max(1, self.count[index]))
            cells = np.nan_to_num(column / self.unit[index], nan=self.mean[index]) - self.mean[index]
            # rounding leaves a constant column a deviation of about 1e-16 of its size: that is no signal
            flat = deviation <= smallest
            z[:, index] = 0 if flat else on_grid((cells / deviation).clip(-LIMIT, LIMIT))
        return z


class _Held(Rows):
    """The rows that workers hold."""

    def __init__(self, pieces: Spread[Held], rows: int, variables: int) -> None:
        self.pieces = pieces
        self.count = rows
        self.variables = variables

    def fold(self, find: Callable[[Table], T], join: Callable[[T, T], T], then: Callable[[T], R]) -> R:
        return self.pieces.fold(partial(_found, find), join, then)


def _found(find: Callable[[Table], T], held: Held) -> T:
    x, observed, intervened = held
    shape = (1, *x.shape)
    return find(
        Table(
            x=torch.from_numpy(x)[None],
            intervened=torch.zeros(1, 1, 1, dtype=torch.bool).expand(shape)
            if intervened is None
            else torch.from_numpy(intervened)[None],
            observed=torch.ones(1, 1, 1, dtype=torch.bool).expand(shape)
            if observed is None
            else torch.from_numpy(observed)[None],
        )
    )


def _describe(how: Reading, share: float, part: Part) -> Description:
    """`share` of the rows are in the sample."""
    x, intervened = how.read(part)
    sampled = max(2, math.ceil(len(x) * share))
    unit, mean, squares = np.empty(x.shape[1]), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    count = np.zeros(x.shape[1], dtype=np.int64)
    for index, column in enumerate(x.T):
        there = column[~np.isnan(column)]
        unit[index] = max(np.abs(there).max(initial=0.0), np.finfo(np.float64).tiny)
        count[index] = len(there)
        if len(there):
            cells = there / unit[index]
            mean[index] = cells.mean()
            squares[index] = ((cells - mean[index]) ** 2).sum()
    return Description(
        digests=(fingerprint((), x),),
        sample=x[:sampled].copy(),
        intervened=np.zeros((min(sampled, len(x)), x.shape[1]), dtype=np.bool_)
        if intervened is None
        else intervened[:sampled].copy(),
        count=count,
        least=np.fmin.reduce(x),
        most=np.fmax.reduce(x),
        unit=unit,
        mean=mean,
        squares=squares,
    )


def _standardise(how: Reading, description: Description, part: Part) -> Held:
    x, intervened = how.read(part)
    observed = np.ascontiguousarray(~np.isnan(x))
    return description.standardise(x), None if observed.all() else observed, intervened


def _looks(table: Table) -> Tensor:
    """[2, D] how many cells of each column were cut, and how many are not 0."""
    return torch.stack([(table.x[0].abs() >= LIMIT).sum(0), (table.x[0] != 0).sum(0)])


def _itself(found: T) -> T:
    return found


def _looked_at(model: Model, result: Result, found: Description, rows: int) -> Result:
    """The result with what a look at the sample says."""
    assert result.provenance is not None
    sample = DataTable(names=result.names, x=found.sample, source=result.provenance.table)
    findings = preflight(sample, found.intervened)
    if len(found.sample) < rows:
        how = f" (seen in {len(found.sample):,} of {rows:,} rows, the first of each part)"
        findings = tuple(attrs.evolve(finding, line=finding.line + how) for finding in findings)
    if len(result.names) <= MOST_SORTED:
        findings += sortable(sample, result.graph(acyclic=True))
    known_to = None
    if model.reference is not None:
        order = np.random.default_rng(0).permutation(len(found.sample))  # of which `familiarity` takes the first
        x = found.sample[order]
        table = _found(_itself, (found.standardise(x), np.ascontiguousarray(~np.isnan(x)), found.intervened[order]))
        known_to = familiarity(model.reference, table)
    return attrs.evolve(result, findings=findings, familiarity=known_to)
