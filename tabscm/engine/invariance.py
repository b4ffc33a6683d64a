"""Whether a graph depends on what it must not: the order of columns, the order of rows, the units of measurement."""

from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from tabscm.engine.layout import align
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.stream import Stream
from tabscm.engine.tables import DataTable
from tabscm.kernel.errors import TabSCMError
from tabscm.kernel.experiment import Experiment

PATIENCE = 1000
"""Tables in a row that hold a constant column after which no other is waited for."""


@attrs.frozen
class Changed:
    """Of how many tables something changed."""

    marginal: int = 0
    """The edges above 0.5."""
    acyclic: int = 0
    """The best graph without a cycle of them."""
    most: float = 0.0
    """The largest change of a probability."""


def invariance(model: Model, experiment: Experiment, *, device: torch.device, tables: int = 1000) -> dict[str, Changed]:
    """Predict fresh tables of the experiment's stream as they are, and again after changes that say nothing.

    Args:
        model: on `device`.
        experiment: its stream, of all its sizes; none of the tables was trained on.
        device: where the network runs.
        tables: how many.

    Returns:
        What changed, by "columns" (permuted), "rows" (permuted) and "units" (every column times ten to the power of a
        number from -3 to 3, and shifted by up to ten standard deviations).

    Raises:
        TabSCMError: the stream gives no tables whose columns all vary.
    """
    stream = Stream(experiment.stream, seed=experiment.seed, device=device, purpose="evaluation")
    rng = np.random.default_rng(experiment.seed)
    found = {"columns": Changed(), "rows": Changed(), "units": Changed()}
    done = step = constant = 0
    while done < tables:
        table, _ = stream.batch(step)
        step += 1
        recorded = table.x.double().masked_fill(~table.observed, torch.nan)
        for x, cells in zip(recorded.cpu().numpy(), table.intervened.cpu().numpy(), strict=True):
            # a column that is constant is refused by the reader of tables before anything is predicted
            if done < tables and bool((np.nanmax(x, 0) - np.nanmin(x, 0) > 1e-3).all()):
                done, constant = done + 1, 0
                found = _tried(model, x, cells, found, rng, device)
            else:
                constant += 1
        if done < tables and constant >= PATIENCE:
            raise TabSCMError(
                f"{constant:,} tables of the stream in a row have a constant column, and none such is predicted: found "
                f"{done:,} of {tables:,} tables. Use --run for a network that was trained on other tables."
            )
    return found


def render(found: dict[str, Changed], tables: int) -> str:
    """The counts for the terminal."""
    lines = [(f"{tables:,} tables", "changed graphs", "changed acyclic graphs", "largest change of a probability")]
    names = {"columns": "columns permuted", "rows": "rows permuted", "units": "units changed"}
    for name, changed in found.items():
        lines.append((names[name], str(changed.marginal), str(changed.acyclic), f"{changed.most:.1e}"))
    return align(lines)


def _tried(
    model: Model,
    x: NDArray[np.float64],
    cells: NDArray[np.bool_],
    found: dict[str, Changed],
    rng: np.random.Generator,
    device: torch.device,
) -> dict[str, Changed]:
    """What was `found`, and what is found of one more table, `x` [N, D] with intervened `cells`."""
    rows, variables = x.shape

    def read(x: NDArray[np.float64], cells: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
        data = DataTable(names=tuple(f"x{index}" for index in range(variables)), x=x, source="invariance")
        result = predict(model, data, device=device, intervened=cells)
        return result.edge_prob, result.graph(), result.graph(acyclic=True)

    columns, order = rng.permutation(variables), rng.permutation(rows)
    back = np.ix_(np.argsort(columns), np.argsort(columns))
    scale, shift = 10 ** rng.uniform(-3, 3, size=variables), rng.uniform(-10, 10, size=variables)
    before = read(x, cells)
    after = {
        "columns": tuple(matrix[back] for matrix in read(x[:, columns], cells[:, columns])),
        "rows": read(x[order], cells[order]),
        "units": read((x + shift) * scale, cells),
    }
    return {
        name: Changed(
            marginal=found[name].marginal + bool((graph != before[1]).any()),
            acyclic=found[name].acyclic + bool((acyclic != before[2]).any()),
            most=max(found[name].most, float(np.abs(edge_prob - before[0]).max())),
        )
        for name, (edge_prob, graph, acyclic) in after.items()
    }
