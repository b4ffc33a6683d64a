"""Judge a trained network on fresh tables, kind of table by kind of table."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from tabscm.engine.layout import align, number
from tabscm.engine.metrics import summarise
from tabscm.engine.stream import Stream
from tabscm.kernel.experiment import Experiment

LEGEND = """\
Perfect is 1, and 0 for SHD, the number of pairs with a wrong or missing edge. Guessing gives AUROC and direction 0.500,
the AP in brackets, and gain 0; the graph without edges has the SHD in brackets. F1 and SHD take the edges above 0.5;
direction: true edges that point the right way; gain: log-probability of the truth over the base rate, nats per pair."""


def evaluate(
    model: nn.Module, experiment: Experiment, *, device: torch.device, tables: int | None = None
) -> dict[str, dict[str, float]]:
    """Judge `model` on every cell of the experiment's evaluation, or on its training stream where there are none.

    Args:
        model: Table -> Prediction, on `device`; left in evaluation mode.
        experiment: says which tables; none of them was trained on, and the same ones come back every time.
        device: where tables are made and read.
        tables: per cell; None takes what the experiment says.

    Returns:
        {cell: {metric: value}}, see `metrics.summarise`.
    """
    cells = experiment.evaluation.cells or {"stream": experiment.stream}
    count = experiment.evaluation.tables if tables is None else tables
    return {
        name: judge(model, Stream(settings, seed=experiment.seed, device=device, purpose="evaluation"), tables=count)
        for name, settings in cells.items()
    }


def judge(model: nn.Module, stream: Stream, *, tables: int) -> dict[str, float]:
    """Judge `model` (left in evaluation mode) on the first `tables` tables of `stream`; see `metrics.summarise`."""
    model.eval()
    batches, missing, step = [], tables, 0
    while missing > 0:
        table, truth = stream.batch(step)
        with torch.inference_mode():
            logits = model(table).logits[:missing]
        batches.append((logits, truth.adj[:missing]))
        missing, step = missing - len(logits), step + 1
    return summarise(batches)


def render(results: Mapping[str, Mapping[str, float]]) -> str:
    """The results as a table for the terminal, one line per cell, with a legend below."""
    lines = [("", "tables", "AUROC", "AP", "F1", "SHD", "direction", "gain")]
    for cell, values in results.items():
        lines.append(
            (
                cell,
                f"{values['tables']:.0f}",
                _with_error(values["auroc"], values["auroc_se"]),
                f"{number(values['ap'])} ({number(values['density'])})",
                number(values["f1"]),
                f"{number(values['shd'], '.1f')} ({number(values['shd_empty'], '.1f')})",
                number(values["direction"]),
                number(values["log_prob_gain"], "+.3f"),
            )
        )
    return f"{align(lines)}\n\n{LEGEND}"


def _with_error(mean: float, error: float) -> str:
    return number(mean) if math.isnan(error) else f"{number(mean)} ± {number(error)}"
