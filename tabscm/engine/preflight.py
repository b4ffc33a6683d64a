"""What is odd about a table, looked for before the network reads it. Nothing is changed or left out because of it.

Of a long table SAMPLED pairs of neighbouring rows are looked at, spread evenly, as its findings say; names of rows and
duplicates are looked for in all of them. Letters: N rows, D variables, S rows that are looked at.
"""

import re
from collections.abc import Iterator

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.doubt import Finding
from tabscm.engine.levels import MOST_LEVELS
from tabscm.engine.rows import listed, show
from tabscm.engine.sortability import r2_sortability, var_sortability
from tabscm.engine.tables import DataTable

SAMPLED = 20_000
"""Rows, each with the one after it."""
COMMON = 0.98
"""Share of the cells of a column with one value, above which it is nearly constant."""
TIED = 0.7
"""The same, above which a column of many values is mostly ties."""
BEYOND, BEYOND_LEVELS = 1.0, 5.0
"""A value that recurs may stand for a missing cell when it is so many times farther from all others than they are from
each other: the first, or in a column of few levels the second."""
DETERMINED = 1e-6
"""Share of a variance that others leave unexplained, below which a column is a combination of them."""
TAKES_PART = 1e-3
"""Standardised weight above which a column is part of such a combination."""
FOLLOWS, SURELY = 0.2, 6.0
"""A column follows the order of rows when its correlation with the row before, or with the number of the row, is above
the first, and that many standard errors from 0."""
MISSING = 0.15
"""Share of a column; the tables of the training miss no more."""
ROWS_PER_VARIABLE = 2
"""Below which rows are few: chance correlations are then as large as many real ones."""
SORTABLE = 0.95
"""How far a trivial rule may agree with the graph before that is said."""
MOST_SORTED = 100
"""Variables up to which graphs are compared with such rules: paths are counted in time that grows with the fourth
power."""
GAP = 1e9
"""What a missing cell stands as where columns are compared: farther out than any cell."""
APART = 10
"""Rows from which columns are compared in all units; two rows are the same in units of their own whatever they hold."""
FEW_PATHS = 10
"""Edges below which agreeing with a trivial rule is nothing."""
PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)?")
"""What pandas calls an index that was written as a column."""


_Counted = tuple[NDArray[np.float64], NDArray[np.intp]]
"""The distinct values of a column, in order, and how often each is there."""


@attrs.frozen(eq=False)
class _Seen:
    """The rows of a table that are looked at."""

    data: DataTable
    x: NDArray[np.float64]
    """[S, D], NaN where missing."""
    starts: NDArray[np.intp]
    """[S], which rows these are."""
    groups: NDArray[np.intp]
    """[N], equal where the same variables were intervened on."""

    def only(self, chosen: NDArray[np.bool_] | list[bool]) -> tuple[str, ...]:
        """The names of the variables chosen [D]."""
        return tuple(name for name, taken in zip(self.data.names, chosen, strict=True) if taken)


def preflight(data: DataTable, intervened: NDArray[np.bool_] | None = None) -> tuple[Finding, ...]:
    """Look at a table.

    Args:
        data: the table; constant columns were refused when it was read.
        intervened: [N, D] bool, True where an intervention set the cell; None means nowhere.

    Returns:
        Findings of the kinds "few-rows", "id-like", "duplicate", "missing", "missing-code", "near-constant",
        "heavy-ties", "collinear" and "time-ordered", at most one of each for the same columns.
    """
    rows = len(data.x)
    starts = np.arange(rows) if rows <= SAMPLED else np.linspace(0, rows - 2, SAMPLED).astype(np.intp)
    groups = np.zeros(rows, dtype=np.intp)
    if intervened is not None and intervened.any():
        groups = np.unique(np.packbits(intervened, axis=1), axis=0, return_inverse=True)[1].ravel()
    seen = _Seen(data, data.x[starts], starts, groups)
    ids = [_id_like(name, column) for name, column in zip(data.names, data.x.T, strict=True)]
    twins = _twins(seen)
    counted = [np.unique(column[~np.isnan(column)], return_counts=True) for column in seen.x.T]
    looked_at = (
        *_missing(seen),
        *_codes(seen, counted),
        *_ties(seen, counted),
        *_collinear(seen, twins),
        *_time_ordered(seen, ids),
    )
    if rows > SAMPLED:
        how = f" (seen in {SAMPLED:,} of {rows:,} rows, spread evenly)"
        looked_at = tuple(attrs.evolve(finding, line=finding.line + how) for finding in looked_at)
    return (*_few_rows(seen), *_ids(seen, ids), *_duplicates(seen, twins), *looked_at)


def sortable(data: DataTable, adj: NDArray[np.bool_]) -> tuple[Finding, ...]:
    """Whether a trivial rule would order the variables of a table as a graph found in it does; at most one finding.

    Args:
        data: the table.
        adj: [D, D], the graph, acyclic.
    """
    if adj.sum() < FEW_PATHS or len(data.x) <= len(adj):
        return ()
    cells = data.x[:: max(1, len(data.x) // SAMPLED)]
    gaps = np.isnan(cells)
    if gaps.all(0).any():  # a rule knows no more of such a column than of one that is not there
        return ()
    cells = cells / np.nanmax(np.abs(cells))  # one unit for all; of cells near the largest number there is no mean
    x = torch.from_numpy(np.where(gaps, np.nanmean(cells, 0), cells))[None]
    graph = torch.from_numpy(adj)[None]
    rules = {
        "how well the other variables explain each": float(r2_sortability(x, graph)),
        "the variance of each": float(var_sortability(x, graph)),
    }
    said = [
        f"{what} {'rises' if value > 0.5 else 'falls'} along {max(value, 1 - value):.0%} of its paths"
        for what, value in rules.items()
        if max(value, 1 - value) >= SORTABLE
    ]
    if not said:
        return ()
    return (
        Finding(
            "sortable",
            (),
            "a rule that knows nothing of causes would order the variables much as this graph does: "
            f"{', and '.join(said)}; simulated tables are often so, real ones seldom",
        ),
    )


def _few_rows(seen: _Seen) -> Iterator[Finding]:
    rows, variables = len(seen.data.x), len(seen.data.names)
    if rows < ROWS_PER_VARIABLE * variables:
        yield Finding(
            "few-rows",
            (),
            f"{rows} rows are few for {variables} variables, and chance makes some of them look dependent; take fewer "
            "columns or more rows",
        )


def _missing(seen: _Seen) -> Iterator[Finding]:
    gaps = np.isnan(seen.x).mean(0)
    columns = seen.only(gaps > MISSING)
    if columns:
        most = f"{gaps.max():.0%}" if len(columns) == 1 else f"up to {gaps.max():.0%}"
        yield Finding(
            "missing",
            columns,
            f"{_columns(columns)} miss{_es(columns)} {most} of the cells, more than any table of the training; read as "
            "unknown. Where a cell is missing because of its value, edges can be wrong",
        )


def _codes(seen: _Seen, counted: list[_Counted]) -> Iterator[Finding]:
    """Columns in which a value such as -999 stands for what is missing, by the looks of it."""
    found = []
    for name, (values, counts) in zip(seen.data.names, counted, strict=True):
        factor = BEYOND if len(values) > MOST_LEVELS else BEYOND_LEVELS
        for end, others in ((0, values[1:]), (-1, values[:-1])):
            if len(others) < 3 or counts[end] == 1:
                continue
            with np.errstate(
                over="ignore"
            ):  # next to the largest numbers differences are infinite, and nothing is said
                far = abs(others[end] - values[end]) > factor * (others[-1] - others[0])
            if far:
                found.append((name, f"{show(name)} ({values[end]:g} in {counts[end] / counts.sum():.1%} of cells)"))
    if found:
        yield Finding(
            "missing-code",
            tuple(dict.fromkeys(name for name, _ in found)),
            f"a value that recurs, far from all others: {_some([said for _, said in found])}; kept as it is. If it "
            "stands for a missing cell, leave these cells empty: it hides what the others say",
        )


def _ties(seen: _Seen, counted: list[_Counted]) -> Iterator[Finding]:
    """Columns in which one value is nearly everywhere, and such with many values that are mostly one."""
    near, tied = [], []
    for name, (values, counts) in zip(seen.data.names, counted, strict=True):
        share = counts.max(initial=0) / max(1, counts.sum())
        value = values[counts.argmax()] if len(values) else np.nan
        if share >= COMMON:
            near.append((name, f"{show(name)} ({value:g} in {share:.2%} of cells)"))
        elif share >= TIED and len(values) > MOST_LEVELS:
            tied.append((name, f"{show(name)} ({value:g} in {share:.0%})"))
    if near:
        yield Finding(
            "near-constant",
            tuple(name for name, _ in near),
            f"nearly constant: {_some([said for _, said in near])}; kept, but edges from and to what hardly varies are "
            "hardly seen",
        )
    if tied:
        yield Finding(
            "heavy-ties",
            tuple(name for name, _ in tied),
            f"numbers that are mostly one value: {_some([said for _, said in tied])}; kept as they are. If that value "
            "stands for nothing measured, leave the cells empty",
        )


def _ids(seen: _Seen, ids: list[str | None]) -> Iterator[Finding]:
    for name, said in zip(seen.data.names, ids, strict=True):
        if said is not None:
            yield Finding("id-like", (name,), f"column {show(name)} {said}; kept. If it is no measurement, remove it")


def _id_like(name: str, column: NDArray[np.float64]) -> str | None:
    """How a column names rows instead of saying something of them; None where it does not."""
    if PANDAS_INDEX.fullmatch(name):
        return "is an index of pandas by its name"
    if len(column) < 3 or np.isnan(column[0]) or np.isnan(column[-1]):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(column)
        if (steps == 1).all():
            return "counts the rows"
        if not (column[:100] == np.round(column[:100])).all() or not (column == np.round(column)).all():
            return None
        if (steps > 0).all() or (steps < 0).all():
            return "is a different whole number in every row, in order"
        if column.max() - column.min() == len(column) - 1 and (np.diff(np.sort(column)) == 1).all():
            return "numbers the rows in another order"
    return None


def _twins(seen: _Seen) -> dict[int, tuple[int, bool]]:
    """Columns that say what an earlier one says: which one, and whether even in the same units."""
    first: dict[bytes, int] = {}
    found = {}
    for index, column in enumerate(seen.x.T):
        twin = first.setdefault(_unit(column).tobytes(), index)
        if twin != index and (len(seen.x) >= APART or np.array_equal(seen.x[:, twin], column, equal_nan=True)):
            one, other = seen.data.x[:, twin], seen.data.x[:, index]
            same = bool(np.array_equal(one, other, equal_nan=True))
            if same or len(seen.x) == len(one) or _unit(one).tobytes() == _unit(other).tobytes():
                found[index] = (twin, same)
    return found


def _unit(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """A column at mean 0 and deviation 1, rounded, the first cell that is not 0 above 0: the same in all units."""
    if np.isnan(column).all():  # of a long table, in the rows that are looked at
        return np.full(len(column), GAP)
    with np.errstate(all="ignore"):
        scaled = column / np.nanmax(np.abs(column))
        centred = scaled - np.nanmean(scaled)
        rounded = np.round(centred / np.sqrt(np.nanmean(centred**2)), 6)
    apart = rounded[(rounded != 0) & ~np.isnan(rounded)]
    # adding 0 makes a negative zero a positive one
    found: NDArray[np.float64] = np.nan_to_num(rounded * (np.sign(apart[0]) if len(apart) else 1.0), nan=GAP) + 0.0
    return found


def _duplicates(seen: _Seen, twins: dict[int, tuple[int, bool]]) -> Iterator[Finding]:
    for index, (twin, same) in twins.items():
        pair = (seen.data.names[twin], seen.data.names[index])
        how = "identical" if same else "the same but for their units"
        yield Finding(
            "duplicate",
            pair,
            f"columns {show(pair[0])} and {show(pair[1])} are {how}: which of them causes what is undecidable; both "
            "are kept",
        )


def _collinear(seen: _Seen, twins: dict[int, tuple[int, bool]]) -> Iterator[Finding]:
    """Columns that are linear combinations of those before them."""
    whole = seen.x[~np.isnan(seen.x).any(1)]
    kept = [index for index in range(len(seen.data.names)) if index not in twins]
    if len(whole) < 2 * len(kept):
        return
    x = whole[:, kept]
    with np.errstate(all="ignore"):
        x = x / np.abs(x).max(0)
        x = x - x.mean(0)
        z = np.nan_to_num(x / np.sqrt((x**2).mean(0)))
    correlation = z.T @ z / len(z)
    basis: list[int] = []
    factor = np.zeros((len(kept), len(kept)))  # of the correlations of the basis, by Cholesky: rows in use are filled
    for index in range(len(kept)):
        size = len(basis)
        half = np.linalg.solve(factor[:size, :size], correlation[basis, index]) if size else np.zeros(0)
        left = correlation[index, index] - half @ half
        if left > DETERMINED:
            factor[size, :size], factor[size, size] = half, np.sqrt(left)
            basis.append(index)
        elif correlation[index, index] > 0.5:  # not constant where nothing is missing
            weights = np.linalg.solve(factor[:size, :size].T, half)
            parts = [seen.data.names[kept[basis[at]]] for at in np.flatnonzero(np.abs(weights) > TAKES_PART)]
            name = seen.data.names[kept[index]]
            yield Finding(
                "collinear",
                (name, *parts),
                f"column {show(name)} is a linear combination of {listed(parts)}: which of them causes what may be "
                "undecidable; all are kept, leave one out that is computed from the others",
            )


def _time_ordered(seen: _Seen, ids: list[str | None]) -> Iterator[Finding]:
    """Columns that go with the order of rows. Within one experiment, for rows are often listed by experiment."""
    if len(seen.data.x) < 20:
        return
    starts = seen.starts[seen.starts < len(seen.data.x) - 1]
    starts = starts[seen.groups[starts] == seen.groups[starts + 1]]
    if len(starts) < 20:
        return
    now, then = _ranked(seen.data.x[starts], seen.groups[starts]), _ranked(seen.data.x[starts + 1], seen.groups[starts])
    place = _ranked(starts[:, None].astype(np.float64), seen.groups[starts])
    with np.errstate(all="ignore"):
        before = np.nan_to_num((now * then).mean(0) / np.sqrt((now**2).mean(0) * (then**2).mean(0)))
        trend = np.nan_to_num((now * place).mean(0) / np.sqrt((now**2).mean(0) * (place**2).mean(0)))
    most = np.maximum(np.abs(before), np.abs(trend))
    follows = (most > FOLLOWS) & (most * np.sqrt(len(starts)) > SURELY)
    follows &= np.array([said is None for said in ids])
    columns = seen.only(follows)
    if columns:
        yield Finding(
            "time-ordered",
            columns,
            f"rows are not independent: {_columns(columns)} go{'es' if len(columns) == 1 else ''} with their order "
            f"(correlation with the row before, or with its number, up to {most[follows].max():.2f}), as in a time "
            "series, or where experiments are listed one after the other; the network takes rows for independent, so "
            "that its probabilities and the bootstrap are too sure. If somebody only sorted them, that is no harm",
        )


def _ranked(x: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Ranks within columns [S, D] from -1 to 1, less their mean within each group; 0 where missing."""
    order = np.argsort(x, axis=0, kind="stable")
    ranks = np.empty(x.shape)
    for column in range(x.shape[1]):
        _, inverse, counts = np.unique(x[order[:, column], column], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[order[:, column], column] = (last - (counts + 1) / 2)[inverse]
    ranks = 2 * ranks / max(1, len(x) - 1) - 1
    ranks[np.isnan(x)] = np.nan
    for group in np.unique(groups):
        here = groups == group
        part = ranks[here]
        there = ~np.isnan(part)
        ranks[here] = part - np.where(there, part, 0.0).sum(0) / np.maximum(1, there.sum(0))
    return np.nan_to_num(ranks)


def _columns(columns: tuple[str, ...]) -> str:
    return f"column{'' if len(columns) == 1 else 's'} {listed(columns)}"


def _es(columns: tuple[str, ...]) -> str:
    return "es" if len(columns) == 1 else ""


def _some(said: list[str]) -> str:
    more = f" and {len(said) - 5} more" if len(said) > 5 else ""
    return ", ".join(said[:5]) + more
