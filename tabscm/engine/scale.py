"""How long a prediction takes and how much memory, over the size of the table, each in a process of its own.

python -m tabscm.engine.scale ORDER      what the processes run; ORDER is JSON
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import torch

from tabscm.engine.layout import align
from tabscm.engine.model import Model
from tabscm.engine.predict import predict
from tabscm.engine.tables import DataTable
from tabscm.engine.trial import peak_memory
from tabscm.kernel.config import dump, load
from tabscm.kernel.errors import TabSCMError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import discover

VARIABLES = (10, 20, 50, 100, 200)
ROWS = (100, 1_000, 10_000, 100_000, 1_000_000)
MOST_CELLS = 50_000_000
"""Larger tables are not tried: a million rows of fifty columns is the promise."""
MANY_CELLS = 1_000_000
"""Of a table whose time is in proportion to its rows, at the least."""
MOST_SECONDS = 120.0
"""Sizes are not tried that would take longer, where time grows no slower than rows do."""
ENOUGH = 1.0
"""Seconds after which a prediction is not repeated, of at most REPEATS."""
REPEATS = 5


@attrs.frozen
class Order:
    """What one process measures."""

    experiment: str
    """A TOML file."""
    device: str
    variables: int
    rows: int


@attrs.frozen
class Cost:
    """Of one prediction."""

    seconds: float
    """The median of a few."""
    peak: int | None
    """Bytes that the process had at once, Python and torch included; on a GPU those there. None where unknown."""


def scale(experiment: Experiment, *, device: torch.device, say: Callable[[str], None]) -> dict[tuple[int, int], Cost]:
    """Measure predictions of the experiment's network, with the weights of its first step.

    Args:
        experiment: says which network.
        device: where it runs.
        say: told of every measurement.

    Returns:
        By (variables, rows), without the sizes that were skipped: larger than the network takes, or than MOST_CELLS,
        or slower than MOST_SECONDS by what the last one of as many variables took.

    Raises:
        TabSCMError: a process ended without a result.
    """
    most = Model(experiment).max_variables
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "experiment.toml"
        file.write_text(dump(experiment), "utf-8")
        for variables in VARIABLES:
            per_row = 0.0  # seconds, of the last size
            for rows in ROWS:
                name = f"prediction, D = {variables}, N = {rows:,}"
                if variables > most:
                    say(f"{name}: skipped, the network takes at most {most} variables")
                elif variables * rows > MOST_CELLS:
                    say(f"{name}: skipped, more than {MOST_CELLS:,} cells")
                elif per_row * rows > MOST_SECONDS:
                    say(f"{name}: skipped, it would take about {per_row * rows:,.0f} s, more than {MOST_SECONDS:g} s")
                else:
                    cost = _elsewhere(Order(str(file), device.type, variables, rows))
                    found[variables, rows] = cost
                    # a small table costs more for a row than a large one: what it takes does not foresee anything
                    per_row = cost.seconds / rows if variables * rows >= MANY_CELLS else 0.0
                    say(f"{name}: {_shown(cost)}")
    return found


def render(found: dict[tuple[int, int], Cost]) -> str:
    """The costs as a table, variables down and rows across."""
    lines = [("seconds, peak memory", *(f"N = {rows:,}" for rows in ROWS))]
    for variables in VARIABLES:
        costs = [found.get((variables, rows)) for rows in ROWS]
        lines.append((f"D = {variables}", *("skipped" if cost is None else _shown(cost) for cost in costs)))
    return align(lines)


def main(order: Order) -> None:
    """What a process does: measure, and print the cost as JSON."""
    device = torch.device(order.device)
    experiment = load(order.experiment, discover())
    torch.manual_seed(experiment.seed)
    model = Model(experiment).to(device)
    x = np.empty((order.rows, order.variables), order="F")
    rng = np.random.default_rng(0)
    for index in range(order.variables):
        x[:, index] = rng.normal(size=order.rows)
    data = DataTable(names=tuple(f"x{index}" for index in range(order.variables)), x=x, source="bench")
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < ENOUGH:
        began = time.perf_counter()
        predict(model, data, device=device)
        seconds.append(time.perf_counter() - began)
    print(json.dumps(attrs.asdict(Cost(statistics.median(seconds), peak_memory(device)))))


def _elsewhere(order: Order) -> Cost:
    command = [sys.executable, "-m", "tabscm.engine.scale", json.dumps(attrs.asdict(order))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TabSCMError(f"a prediction of {order.rows} rows and {order.variables} variables failed: {why}")
    return Cost(**json.loads(done.stdout))


def _shown(cost: Cost) -> str:
    seconds = f"{cost.seconds:.3f} s" if cost.seconds < 10 else f"{cost.seconds:.0f} s"
    return seconds if cost.peak is None else f"{seconds}, {cost.peak / 1e6:,.0f} MB"


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
