"""One order of rows and columns for all tables that hold the same: what follows cannot depend on how they came.

The network is symmetric, but sums of floating-point numbers depend on their order in the last digits, and now and then
an edge has a probability so near a threshold that the last digits decide. Sorted by content, the same table gives the
same numbers, bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**-20
"""Standardised values are rounded to multiples of this, a millionth of a standard deviation: below what matters, and
far above what is lost when units change (1e-15)."""
MISSING = 2**40
"""Stands for a missing cell, beyond all whole numbers of cells."""


def on_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to multiples of GRID; what is within 8 standard deviations is then exact in float32."""
    rounded: NDArray[np.float64] = np.round(values / GRID) * GRID
    return rounded


def canonical_order(
    x: NDArray[np.float32], intervened: NDArray[np.bool_], observed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """An order of rows and one of columns that follow from what the cells hold, and not from where they are.

    Columns get a fingerprint from their values, rows from their values and the fingerprints of the columns, columns
    once more from their values and the rows these are in, and so on while more are told apart, as in the refinement of
    colours of a graph. All sums are of
    whole numbers, modulo 2**64, and so exact in every order. Columns that no fingerprint tells apart are the same up to
    a permutation of rows, or a coincidence of one in 2**64.

    Args:
        x: [N, D] on the grid.
        intervened: [N, D], True where an intervention set the cell.
        observed: [N, D], False where a cell is missing; None when all are there.

    Returns:
        rows [N], columns [D]: `x[rows][:, columns]` is the same for every permutation of rows and columns of `x`.
    """
    rows, variables = x.shape

    def cells(column: int) -> NDArray[np.uint64]:
        whole = np.round(x[:, column] / np.float32(GRID)).astype(np.int64)
        if observed is not None:
            whole[~observed[:, column]] = MISSING
        return (2 * whole + intervened[:, column]).view(np.uint64)

    first = np.array([_mixed(cells(column)).sum() for column in range(variables)], dtype=np.uint64)

    def of_rows(of_columns: NDArray[np.uint64]) -> NDArray[np.uint64]:
        found = np.zeros(rows, dtype=np.uint64)
        for column in range(variables):
            found += _mixed(cells(column) + of_columns[column])
        return found

    by_column, told_apart = first, 0
    while True:
        by_row = of_rows(by_column)
        places = _mixed(by_row)
        by_column = np.array([_mixed(cells(column) ^ places).sum() for column in range(variables)], dtype=np.uint64)
        now = len(np.unique(by_row)) + len(np.unique(by_column))
        if now in (told_apart, rows + variables):  # nothing new, or nothing left to tell apart
            return np.argsort(by_row, kind="stable"), np.argsort(by_column, kind="stable")
        told_apart = now


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers that look random, the same for the same: the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result
