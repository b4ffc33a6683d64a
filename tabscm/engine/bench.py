"""How fast the stream, a training step and a prediction are, side by side on the machine at hand."""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from tabscm.engine.board import Board
from tabscm.engine.hardware import describe, peak_flops
from tabscm.engine.health.watch import Health
from tabscm.engine.layout import align
from tabscm.engine.model import Model, autocast
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.predict import predict
from tabscm.engine.recompute import recompute_layers
from tabscm.engine.stream import Stream
from tabscm.engine.tables import DataTable
from tabscm.engine.trainer import loss_terms
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction, Table, Truth
from tabscm.kernel.values import Draw

REPEATS = 30
PREDICTED = ((20, 1000), (100, 1000))
"""Variables and rows of the tables that are predicted."""


def speed(experiment: Experiment, *, device: torch.device, variables: int = 20, rows: int = 200) -> dict[str, float]:
    """Time the parts of training and prediction; medians, after a warm-up, weights as at the first step.

    Args:
        experiment: its stream, network and trainer, but tables of one size.
        device: where everything happens.
        variables: D of the tables trained on.
        rows: N of the tables trained on.

    Returns:
        By name: "tables" in a batch; "stream" and "step" in seconds per batch (a step is everything else: forward,
        loss, backward, optimiser); "flops", operations of the matrix products of a step; "tables_per_second" of the
        stream; "stream_share" of a whole training step, 0 to 1; "monitors" in seconds per step, those of log steps and
        validations shared out; "predict_D" in seconds for a table of D variables and 1 000 rows, for each D that the
        network takes.
    """
    settings = attrs.evolve(experiment.stream, variables=Draw.constant(variables), rows=Draw.constant(rows))
    stream = Stream(settings, seed=experiment.seed, device=device, effects="effects" in experiment.asks)
    batch = iter(range(10**9))
    table, truth = stream.batch(0)
    sampling = _median(lambda: stream.batch(next(batch)), device)

    torch.manual_seed(experiment.seed)
    model = Model(experiment).to(device)
    if experiment.trainer.gradient_checkpointing:
        recompute_layers(model)
    optimiser = Optimiser(model, experiment.trainer)

    def step() -> None:
        with autocast(device, experiment.trainer.precision):
            prediction = model(table)
        terms = loss_terms(experiment, 0, prediction, truth, table)
        torch.autograd.backward(sum(terms.values(), torch.zeros((), device=device)))
        torch.nn.utils.clip_grad_norm_(model.parameters(), experiment.trainer.clip)
        optimiser.step(0)

    training = _median(step, device)
    with FlopCounterMode(display=False) as counter:
        step()
    found = {
        "tables": float(len(table.x)),
        "stream": sampling,
        "step": training,
        "tables_per_second": len(table.x) / sampling,
        "flops": float(counter.get_total_flops()),
        "stream_share": sampling / (sampling + training),
        "monitors": _monitors(experiment, model, table, truth, device),
    }
    for size, length in PREDICTED:
        if size <= model.max_variables:
            values = np.random.default_rng(0).normal(size=(length, size))
            data = DataTable(names=tuple(f"x{index}" for index in range(size)), x=values, source="bench")
            found[f"predict_{size}"] = _median(lambda data=data: predict(model, data, device=device), device)  # type: ignore[misc]
    return found


def render(found: dict[str, float], *, variables: int = 20, rows: int = 200, device: torch.device | None = None) -> str:
    """The figures of `speed` for the terminal; those of a GPU, `device`, with its share of what its maker promises."""
    performed = found["flops"] / found["step"]
    lines = [
        (f"stream, D = {variables}, N = {rows}", f"{found['tables_per_second']:,.0f} tables/s"),
        (f"stream, a batch of {found['tables']:.0f}", f"{1e3 * found['stream']:.1f} ms"),
        ("training step on it, without the stream", f"{1e3 * found['step']:.1f} ms"),
        ("training steps, with the stream", f"{1 / (found['stream'] + found['step']):.1f} a second"),
        ("matrix products of a step", f"{found['flops'] / 1e9:,.1f} GFLOP, {performed / 1e9:,.0f} GFLOP/s"),
        *_share_of_peak(performed, device),
        ("share of the stream in a whole step", f"{100 * found['stream_share']:.1f} %"),
        ("monitors, added to a whole step", f"{100 * found['monitors'] / (found['stream'] + found['step']):.1f} %"),
    ]
    lines += [
        (f"prediction, D = {size}, N = {length}", f"{1e3 * found[f'predict_{size}']:.1f} ms")
        for size, length in PREDICTED
        if f"predict_{size}" in found
    ]
    return align(lines)


def _share_of_peak(performed: float, device: torch.device | None) -> list[tuple[str, str]]:
    if device is None or device.type != "cuda":
        return []
    peak = peak_flops(describe(device))
    share = "unknown" if peak is None else f"{100 * performed / peak:.1f} %"
    return [(f"share of the bfloat16 peak of {describe(device)}", share)]


class _Same(Stream):
    """A stream whose tables cost nothing, for they are always the same."""

    given: tuple[Table, Truth]

    def batch(self, step: int, part: int = 0) -> tuple[Table, Truth]:
        return self.given


def _monitors(experiment: Experiment, model: Model, table: Table, truth: Truth, device: torch.device) -> float:
    """Seconds per step that watching a run costs, what it writes included."""
    settings = experiment.trainer
    stream = _Same(experiment.stream, seed=experiment.seed, device=device)
    stream.given = (table, truth)
    health = Health(experiment, model, partial(loss_terms, experiment))
    health.several = False  # gradients by term are timed below
    momenta = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    norm, record = torch.ones((), device=device), {"loss": 1.0, "log_prob_gain": 1.0, "auroc_pooled": 1.0, "lr": 1.0}
    prediction: Prediction = model(table)
    log, steps = io.StringIO(), iter(range(10**9))
    with tempfile.TemporaryDirectory() as folder, Board(Path(folder)) as board:

        def watch() -> None:
            """As many steps as make one log step."""
            for _ in range(settings.log_every):
                step = next(steps)
                health.begin(step)
                health.sample(stream, step, 0)
                health.before_update(health.asked, 1.0, float(norm))
                health.after_update(step, momenta)
            health.logged(step, record, [prediction])
            health.report(step, log, board, lambda line: None)

        each = _median(watch, device) / settings.log_every
    if experiment.auxiliary_losses or experiment.regularisers:
        each += _median(lambda: health.by_term(0, [(table, truth)]), device) / settings.validate_every
    return each


def _median(work: Callable[[], object], device: torch.device) -> float:
    """The median of seconds that `work` takes, after a warm-up."""
    seconds = []
    for repeat in range(REPEATS + 5):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat >= 5:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
