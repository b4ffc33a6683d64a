"""The training loop, flat: sample, predict, score, step; validate, save; say what happens."""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

import attrs
import numpy as np
import torch
from torch import Tensor

from tabscm.engine import faults
from tabscm.engine.ahead import Ahead
from tabscm.engine.board import Board
from tabscm.engine.checkpoint import has_checkpoint, restore, restore_weights, save
from tabscm.engine.curriculum import Curriculum
from tabscm.engine.evaluate import judge
from tabscm.engine.glance import Glance
from tabscm.engine.health.event import Event
from tabscm.engine.health.finite import NotFinite
from tabscm.engine.health.watch import Asked, Health
from tabscm.engine.loading import load_weights
from tabscm.engine.metrics import summarise
from tabscm.engine.model import Model, autocast, parameter_count, resolved
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.processes import ALONE, Processes, Share
from tabscm.engine.progress import Progress
from tabscm.engine.recompute import recompute_layers
from tabscm.engine.rollback import Rollback, roll_back
from tabscm.engine.signals import stopping
from tabscm.engine.state import State
from tabscm.engine.stopping import after_validation, why_stop
from tabscm.engine.training_log import TrainingLog
from tabscm.engine.whole import write_whole
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction, Table, Truth
from tabscm.kernel.shapes import expect

LOG = "metrics.jsonl"


def train(
    experiment: Experiment,
    run: Path,
    *,
    device: torch.device,
    resume: bool = False,
    out: TextIO = sys.stdout,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> Model:
    """Train a network on the experiment's stream, writing checkpoints and metrics into the folder `run`.

    Step k depends on the weights before it and on (seed, k) alone, k counted on from the steps of the weights that it
    started from, whose tables it does not see again, so that a resumed run is the run that would have
    been, bit for bit on a CPU; unless `precision = "auto"` means another one there, which is said.

    Args:
        experiment: what to train, on what.
        run: an existing folder; what this writes into it is listed in the README.
        device: where everything happens.
        resume: go on from the newest checkpoint in `run`, which may be one of no steps, see `start.begin`.
        out: where progress is printed.
        progress: told of it instead.
        processes: which train together, each called with the same arguments; only the first reads or writes `run`.

    Returns:
        The network of the best validation, with the threshold that was best there; in a process that is not the first,
        that of the last step.

    Raises:
        TrainingError: a loss, gradient, weight or momentum is not finite, and the experiment allows no rollback, or
            none helps; names the term, the step and how to see its tables again.
        CheckpointError: nothing to resume from, or it is damaged.
        MachineError: a disk takes no more, or memory is short; the last checkpoint is as it was.
        Stopped: a signal asked for it; there is a checkpoint of all that was done.
    """
    after: Rollback | None = None
    while True:
        try:
            return _train(
                experiment,
                run,
                device=device,
                resume=resume,
                out=out,
                progress=progress,
                processes=processes,
                after=after,
            )
        except NotFinite as error:
            if experiment.trainer.rollbacks == 0:
                raise
            broken = error.with_traceback(None)  # which holds a network and its gradients
        after = _rolled_back(broken, run, experiment, after, processes)
        resume = processes.tell(lambda: has_checkpoint(run))


def _train(
    experiment: Experiment,
    run: Path,
    *,
    device: torch.device,
    resume: bool,
    out: TextIO,
    progress: Progress | None,
    processes: Processes,
    after: Rollback | None,
) -> Model:
    """Train until the end, or until a value is not finite; `after` such a one, at the learning rates it left."""
    settings = experiment.trainer
    torch.manual_seed(experiment.seed)
    model = Model(experiment).to(device)
    if settings.gradient_checkpointing:
        recompute_layers(model)
    forward = torch.compile(model, dynamic=True) if settings.compile else model
    optimiser = Optimiser(model, settings)
    curriculum = Curriculum(experiment, device=device, effects="effects" in experiment.asks)
    validation = curriculum.stream(curriculum.last, "validation")
    precision = resolved(settings.precision, device)
    state = State(step=0, best_step=0, best_gain=-math.inf, seconds=0.0, tables=0)
    if resume:
        weights, momenta, state = _restored(run, processes)
        load_weights(model, weights, run)
        optimiser.load_state(momenta)
    if after:
        state = attrs.evolve(state, rollbacks=after.count, rate=after.rate)
    optimiser.lowered = state.rate
    health = Health(experiment, model, partial(loss_terms, experiment), step=state.step, processes=processes)
    if resume:
        health.recall(state.memory.get("health", {}), momenta)
    ahead, glance = Ahead(device), Glance(model, late=device.type == "cuda")
    written = run if processes.leads else None
    if written is not None:
        _forget_after(written / LOG, state.step)
    validations = state.step // settings.validate_every + (
        state.step == settings.steps and state.step % settings.validate_every > 0
    )
    seen = state.memory.get("training_log", ())
    table_log = TrainingLog(written, experiment, validations=validations, seen=seen)
    began = time.perf_counter() - state.seconds
    progress = progress or Progress(processes.out(out), steps=settings.steps, step=state.step, levels=curriculum.last)
    progress.say(
        f"{parameter_count(model.parameters()):,} parameters, {settings.steps:,} steps, {device.type} in {precision}, "
        f"threads: {torch.get_num_threads()}"
        + (f", processes: {processes.count}" if processes.count > 1 else "")
        + (f", from step {state.step}" if state.step else "")
    )
    if state.init:
        tables = "" if state.init.tables is None else f" and {state.init.tables:,} tables"
        progress.say(
            f"started from the weights of {state.init.name}, with {state.init.steps:,} steps{tables} behind them"
        )
    if state.precision not in (None, precision):
        progress.say(
            f"note: in {precision} from here on and in {state.precision} before, so not bit for bit the run that would "
            "have been"
        )
    state = attrs.evolve(state, precision=precision)
    # averages that a module keeps move with every part of a step, which is finished then
    whole_steps = any(True for _ in model.buffers())
    behind = state.init.steps if state.init else 0  # what these weights saw already comes from the stream's first steps

    purge = state.step + 1 if resume or after else None  # that step was logged and is not done again
    with (
        stopping() as stop,
        faults.named(run, lambda: health.batch),
        (written / LOG if written else Path(os.devnull)).open("a", encoding="utf-8") as log,
        Board(written, purge=purge) as board,
    ):

        def keep(state: State) -> None:
            """Write a checkpoint of `state`, after the log that a resumed run will go on with."""

            def write() -> None:
                os.fsync(log.fileno())
                memory = {"health": health.memory(), "training_log": table_log.seen}
                whole = attrs.evolve(state, seconds=time.perf_counter() - began, memory=memory)
                save(run, model.state_dict(), optimiser.state() | health.tensors(), whole)

            processes.tell(write)  # the first one writes, and the others wait for it
            stop.agree(processes)
            stop.free()

        if after:
            health.events.append(after.event)
            health.report(state.step, log, board, progress.say)
        for step in range(state.step, settings.steps):
            if news := why_stop(state, settings.early_stopping):
                progress.say(news)
                break
            before = attrs.evolve(state, step=step)
            state, news = curriculum.advance(state, step)
            if news:
                progress.say(news)
            # dropout, if any, follows from the step as well
            path = processes.seed(experiment.seed, step)
            torch.manual_seed(int(np.random.SeedSequence(path).generate_state(1, np.uint64)[0] >> 1))
            model.train()
            health.begin(step)
            level, stream = state.level, curriculum.stream(state.level)
            done = step + 1
            logs = done % settings.log_every == 0 or done == settings.steps
            validates = done % settings.validate_every == 0 or done == settings.steps
            parts: list[_Part] = []
            for part in range(settings.accumulate):
                stop.agree(processes)
                if stop.asked and not (part and whole_steps):
                    glance.settle()
                    keep(before)
                table, truth = health.sample(stream, behind + step, part, ahead)
                trained = _Part(truth, processes.shares(len(table.x), part, settings.split))
                for share in trained.shares:
                    own, own_truth = share.cut(table, truth)
                    with autocast(device, precision):
                        prediction = forward(own)
                    means = loss_terms(experiment, step, prediction, own_truth, own)
                    terms = {name: mean * share.weight for name, mean in means.items()}
                    torch.autograd.backward(sum(terms.values(), torch.zeros((), device=device)) / settings.accumulate)
                    trained.add(prediction, terms)
                progress.count(len(table.x))
                if state.tables is not None:
                    state = attrs.evolve(state, tables=state.tables + len(table.x))
                parts.append(trained)
                if part + 1 < settings.accumulate:
                    health.prepare(stream, behind + step, part + 1, ahead)
            seen = [trained.terms for trained in parts]
            processes.add_up(model, seen)
            means = {name: torch.stack([terms[name] for terms in seen]).mean() for name in terms}
            loss = torch.stack(list(means.values())).sum()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            look = partial(_look, health, health.asked, seen)
            glance.at(torch.stack([loss, norm, health.numbers]), look, now=logs or validates)
            stop.hold()
            rate = optimiser.step(step)
            if done < settings.steps:
                health.prepare(stream, behind + done, 0, ahead)
            health.after_update(step, optimiser.state(), late=glance.late)

            if logs:
                whole = [
                    (processes.whole(trained.predictions, trained.shares), trained.truth, trained.terms)
                    for trained in parts
                ]
                # tables of the stream are never seen twice: before the step these were as fresh as any
                fresh = summarise([(prediction.logits, truth.adj) for prediction, truth, _ in whole])
                record = {
                    "loss": float(loss),
                    **({f"loss/{name}": float(mean) for name, mean in means.items()} if len(means) > 1 else {}),
                    "log_prob_gain": fresh["log_prob_gain"],
                    "auroc_pooled": fresh["auroc_pooled"],
                    "grad_norm": float(norm),
                    "lr": rate,
                    "tables_per_second": progress.tables_per_second(),
                    "variables": table.x.shape[2],
                    "rows": table.x.shape[1],
                    **({"level": level} if experiment.curriculum else {}),
                    **({"peak_memory": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else {}),
                }
                _write(log, board, done, "train", record)
                table_log.add(whole, means, fresh)
                progress.show(done, level, record)
                health.logged(done, record, [prediction for prediction, _, _ in whole])
            health.report(done, log, board, progress.say)

            if validates:
                processes.check_same(model, done)
                found = processes.tell(partial(judge, model, validation, tables=settings.validation_tables))
                _write(log, board, done, "validation", found)
                table_log.write(level, rate, found)
                state = attrs.evolve(state, step=done, threshold=found["threshold_chosen"])
                state = after_validation(state, found, settings.early_stopping, waiting=level == curriculum.last)
                if level < curriculum.last:
                    easier = curriculum.stream(level, "validation")
                    at_level = processes.tell(partial(judge, model, easier, tables=settings.validation_tables))
                    _write(log, board, done, "level", {"level": level, **at_level})
                    state = attrs.evolve(state, level_value=at_level[experiment.curriculum[level - 1].metric])
                health.validated(done, found, level)
                health.report(done, log, board, progress.say)
                keep(state)
                progress.validated(done, level, float(loss), found)

    if processes.leads:
        weights, best = restore_weights(run, "best")
        load_weights(model, weights, run)
        model.threshold = best.threshold
    return model


def loss_terms(
    experiment: Experiment, step: int, prediction: Prediction, truth: Truth, table: Table
) -> dict[str, Tensor]:
    """Every weighted term of the loss at `step`, the mean over tasks: {name: scalar float32}; their sum is minimised.

    Raises:
        ContractError: a loss or regulariser returned something other than one number per task.
    """
    tasks = len(table.x)
    parts = [(experiment.loss, experiment.loss(prediction, truth, table), 1.0)]
    parts += [
        (entry.component, entry.component(prediction, truth, table), entry.weight.at(step))
        for entry in experiment.auxiliary_losses
    ]
    terms: dict[str, Tensor] = {}
    penalties = [
        (entry.component, entry.component(prediction), entry.weight.at(step)) for entry in experiment.regularisers
    ]
    for component, value, weight in [*parts, *penalties]:
        expect(value, "B", what=str(component), B=tasks)
        terms[component.name] = terms.get(component.name, 0) + weight * value.mean()
    return terms


@attrs.frozen(eq=False)
class _Part:
    """What came of one part of a step."""

    truth: Truth
    shares: list[Share]
    predictions: list[Prediction] = attrs.field(factory=list)
    """Of each share, without gradients, which would hold on to what the backward pass needed."""
    terms: dict[str, Tensor] = attrs.field(factory=dict)
    """Their sums over the shares, without gradients."""

    def add(self, prediction: Prediction, terms: Mapping[str, Tensor]) -> None:
        aux = {name: value.detach() for name, value in prediction.aux.items()}
        self.predictions.append(Prediction(logits=prediction.logits.detach(), aux=aux))
        for name, term in terms.items():
            self.terms[name] = self.terms[name] + term.detach() if name in self.terms else term.detach()


def _look(health: Health, asked: Asked, seen: Sequence[Mapping[str, Tensor]], numbers: list[float]) -> None:
    """Look at the numbers of a step, with the weights as they were before its update.

    Args:
        health: watches.
        asked: the step, and its tables.
        seen: the terms of the loss of each part.
        numbers: the loss, the norm of its gradient, and one that is finite when tables, weights and momenta are.
    """
    loss, norm, _ = numbers
    if not all(map(math.isfinite, numbers)):
        raise health.diagnosis(asked, seen, norm)
    health.before_update(asked, loss, norm)


def _rolled_back(
    broken: NotFinite, run: Path, experiment: Experiment, after: Rollback | None, processes: Processes
) -> Rollback:
    """What all processes go on with, as `roll_back` says in the first one."""
    told = processes.tell(lambda: attrs.asdict(roll_back(broken, run, experiment.trainer, after)))
    return Rollback(**{**told, "event": Event(**told["event"])})


def _restored(run: Path, processes: Processes) -> tuple[dict[str, Tensor], dict[str, Tensor], State]:
    """The newest checkpoint, for all processes."""
    found = restore(run, "last") if processes.leads else None
    weights, momenta = (found[0], found[1]) if found else (None, None)
    state = processes.tell(lambda: attrs.asdict(found[2]) if found else {})
    return processes.hand_out(weights), processes.hand_out(momenta), State(**state)


def _write(log: TextIO, board: Board, step: int, kind: str, values: dict[str, float]) -> None:
    """One line of metrics.jsonl and the same scalars for TensorBoard; NaN, a value undefined here, becomes null."""
    known = {name: value if math.isfinite(value) else None for name, value in values.items()}
    log.write(json.dumps({"step": step, "kind": kind, **known}) + "\n")
    log.flush()
    for name, value in known.items():
        if value is not None and board is not None:
            board.add_scalar(f"{kind}/{name}", value, step)


def _forget_after(log: Path, step: int) -> None:
    """Drop the lines of a log that belong to steps a resumed run will do again, and one that was cut short."""
    if log.exists():
        lines = log.read_text("utf-8", errors="replace").splitlines(keepends=True)
        kept, lost = [], 0
        for line in lines:
            try:
                if line.endswith("\n") and json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                lost += 1
        if lost:
            print(f"note: {log}: dropped {lost} lines that training did not write", file=sys.stderr)
        write_whole(log, "".join(kept))
