"""Judge a trained network on fresh tables, kind of table by kind of table."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from tabscm.engine.faults import enough_memory
from tabscm.engine.layout import align, number
from tabscm.engine.metrics import best_threshold, effects_error, mean, summarise
from tabscm.engine.sortability import r2_sortability, scale_sortability
from tabscm.engine.stream import Stream
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction, Table, Truth

LEGEND = """\
Perfect is 1, and 0 for SHD, the number of pairs with a wrong or missing edge. Guessing gives AUROC and direction 0.500,
the AP in brackets, and gain 0; the graph without edges has the SHD in brackets. F1 and SHD take the edges above 0.5,
F1* and SHD* those above {threshold:.2f}, which was best in validation; direction: true edges that point the right way;
gain: log-probability of the truth over the base rate, nats per pair."""


def evaluate(
    model: nn.Module,
    experiment: Experiment,
    *,
    device: torch.device,
    tables: int | None = None,
    threshold: float = 0.5,
) -> dict[str, dict[str, float]]:
    """Judge `model` on every cell of the experiment's evaluation, or on its training stream where there are none.

    Args:
        model: Table -> Prediction, on `device`; left in evaluation mode.
        experiment: says which tables; none of them was trained on, and the same ones come back every time.
        device: where tables are made and read.
        tables: per cell; None takes what the experiment says.
        threshold: chosen on validation; what it gives is reported beside what 0.5 gives.

    Returns:
        {cell: {metric: value}}, see `judge`.
    """
    cells = experiment.evaluation.cells or {"stream": experiment.stream}
    effects = "effects" in experiment.asks
    count = experiment.evaluation.tables if tables is None else tables
    return {
        name: judge(
            model,
            Stream(settings, seed=experiment.seed, device=device, purpose="evaluation", effects=effects),
            tables=count,
            threshold=threshold,
        )
        for name, settings in cells.items()
    }


def judge(model: nn.Module, stream: Stream, *, tables: int, threshold: float | None = None) -> dict[str, float]:
    """Judge `model` (left in evaluation mode) on the first `tables` tables of `stream`.

    Args:
        model: Table -> Prediction.
        stream: the tables.
        tables: how many of them.
        threshold: the one to report beside 0.5; None chooses the best for these tables, as validation does.

    Returns:
        The values of `metrics.summarise`, and

        - "threshold_chosen", and the means over tables "f1_chosen" and "shd_chosen" of the edges above it.
        - "r2_sortability": the mean over tables of what sorting their variables by R2 would tell of the order: 0.5 is
          chance. Real tables are near it; a stream that is far from it teaches a trick.
        - "varsortability": the same of sorting by variance, on the scale that variables have before they are recorded.
          Tables are standardised, so that a network is not shown it; what follows from it, such as noise of one size
          throughout, it is shown.
        - "effects_mae": the mean absolute error of the effects of interventions, in standard deviations; only where the
          model gives them and the stream measures them.
    """
    model.eval()
    batches, effects = [], []
    by_r2: list[float] = []
    by_variance: list[float] = []
    missing, step = tables, 0
    while missing > 0:
        table, truth, prediction = _read(model, stream, step)
        batches.append((prediction.logits[:missing], truth.adj[:missing]))
        by_r2 += r2_sortability(table.x[:missing], truth.adj[:missing]).tolist()
        if truth.scales is not None:
            by_variance += scale_sortability(truth.scales[:missing], truth.adj[:missing]).tolist()
        if "effects" in prediction.aux and truth.effects is not None:
            effects.append((prediction.aux["effects"][:missing], truth.effects[:missing]))
        missing, step = missing - len(table.x), step + 1
    chosen = best_threshold(batches) if threshold is None else threshold
    found = summarise(batches)
    at_chosen = summarise(batches, threshold=chosen)
    found |= {"f1_chosen": at_chosen["f1"], "shd_chosen": at_chosen["shd"], "threshold_chosen": chosen}
    found |= {"r2_sortability": mean(by_r2), "varsortability": mean(by_variance)}
    return found | {"effects_mae": effects_error(effects)} if effects else found


def _read(model: nn.Module, stream: Stream, step: int) -> tuple[Table, Truth, Prediction]:
    """A batch of `stream`, and what `model` says of it."""
    with enough_memory(lambda: (stream, step, 0)):
        table, truth = stream.batch(step)
        with torch.inference_mode():
            return table, truth, model(table)


def render(results: Mapping[str, Mapping[str, float]]) -> str:
    """The results as a table for the terminal, one line per cell, with a legend below."""
    lines = [("", "tables", "AUROC", "AP", "F1", "F1*", "SHD", "SHD*", "direction", "gain")]
    for cell, values in results.items():
        lines.append(
            (
                cell,
                f"{values['tables']:.0f}",
                _with_error(values["auroc"], values["auroc_se"]),
                f"{number(values['ap'])} ({number(values['density'])})",
                number(values["f1"]),
                number(values["f1_chosen"]),
                f"{number(values['shd'], '.1f')} ({number(values['shd_empty'], '.1f')})",
                number(values["shd_chosen"], ".1f"),
                number(values["direction"]),
                number(values["log_prob_gain"], "+.3f"),
            )
        )
    threshold = next(iter(results.values()))["threshold_chosen"]  # the same in every cell
    return f"{align(lines)}\n\n{LEGEND.format(threshold=threshold)}"


def _with_error(mean: float, error: float) -> str:
    return number(mean) if math.isnan(error) else f"{number(mean)} ± {number(error)}"
