"""All monitors of a run together, as the trainer calls them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from torch import nn

from tabscm.engine.ahead import Ahead
from tabscm.engine.health.clock import StepTimes
from tabscm.engine.health.event import Event
from tabscm.engine.health.finite import broken_weights, culprit, listed
from tabscm.engine.health.gradient import Explosion, Shares, Terms, by_term
from tabscm.engine.health.learning import Collapse, Gap, Movement
from tabscm.engine.health.prediction import Divergence, Experts, Gate, Shape
from tabscm.engine.processes import ALONE, Processes
from tabscm.engine.stream import Stream
from tabscm.kernel.errors import ContractError, TrainingError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction, Table, Truth

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Health:
    """Watches a run and changes nothing in it.

    Between log steps it reads the clock and the norm of the gradient, which the trainer waits for anyway. A resumed run
    looks afresh: it may name again what is still wrong.

    Args:
        experiment: what is trained.
        model: the network, with the weights of `step`.
        terms: what the loss is made of.
        step: steps done already.
        processes: which train together; all look at the gradient together.
    """

    def __init__(
        self, experiment: Experiment, model: nn.Module, terms: Terms, *, step: int = 0, processes: Processes = ALONE
    ) -> None:
        settings = experiment.trainer
        self.settings, self.model, self.terms = settings, model, terms
        self.processes = processes
        self.levels = len(experiment.curriculum)
        self.several = bool(experiment.auxiliary_losses or experiment.regularisers)
        self.batches: list[tuple[Table, Truth]] = []
        self.times = StepTimes()
        self.explosion, self.shares = Explosion(), Shares(experiment.loss.name)
        self.collapse, self.gap, self.movement = Collapse(settings.warmup, step), Gap(), Movement(model, step)
        self.inside = (Shape(settings.warmup), Divergence(experiment), Gate(), Experts())
        self.scalars: dict[str, float] = {}
        self.events: list[Event] = []

    def begin(self) -> None:
        """A step begins."""
        self.batches.clear()
        self.times.begin()

    def prepare(self, stream: Stream, step: int, part: int, ahead: Ahead) -> None:
        """Have tables drawn ahead, timed."""
        self.times.sampling()
        ahead.prepare(stream, step, part)
        self.times.sampled(0.0)

    def sample(self, stream: Stream, step: int, part: int, ahead: Ahead | None = None) -> tuple[Table, Truth]:
        """The tables of part `part` of step `step`, timed.

        Raises:
            ContractError: a component of the stream broke its promise; says in which batch.
        """
        self.times.sampling()
        try:
            table, truth = stream.batch(step, part) if ahead is None else ahead.take(stream, step, part)
        except ContractError as error:
            again = f"It comes back with tabscm.engine.stream: {stream.again(step, part)}."
            raise ContractError(f"{error}\n{again}") from error
        tasks, rows, variables = table.x.shape
        # a row costs about what a variable costs another two, on the grid of pairs
        self.times.sampled(tasks * variables * (rows + variables**2))
        self.batches.append((table, truth))
        return table, truth

    def before_update(self, step: int, norm: float, batches: Sequence[tuple[Table, Truth]]) -> None:
        """The gradient of step `step`, counted from 0, on these tables has this norm before clipping.

        The weights are as they were then.
        """
        done = step + 1
        self.events += self.explosion.look(done, norm, lambda: self.by_term(step, batches))
        if self.several and self._due(done, self.settings.validate_every):
            scalars, events = self.shares.look(done, self.by_term(step, batches[:1]))
            self.scalars |= scalars
            self.events += events

    def after_update(self, step: int) -> None:
        """The weights have moved.

        Raises:
            TrainingError: some are not finite now.
        """
        done = step + 1
        self.events += self.times.ended(done)
        if self._due(done, self.settings.log_every) or self._due(done, self.settings.validate_every):
            broken = broken_weights(self.model)
            if broken:
                raise TrainingError(
                    f"step {step}: the weights {listed(broken)} are not finite after the update, though loss and "
                    "gradient were finite at every step. Lower trainer.lr and trainer.muon_lr and start again with "
                    "--overwrite."
                )

    def logged(self, done: int, record: Mapping[str, float], predictions: Sequence[Prediction]) -> None:
        """Look at a step that is logged: its `record` of the log and the predictions of its parts."""
        self.events += self.collapse.logged(done, record)
        if record.get("level", math.inf) > self.levels:  # the tables of lower levels are others than validation's
            self.gap.logged(record)
        for scalars, events in (
            self.movement.logged(done, self.collapse.gain, record["lr"]),
            self.times.logged(done),
            *(monitor.logged(done, predictions) for monitor in self.inside),
        ):
            self.scalars |= scalars
            self.events += events

    def validated(self, done: int, found: Mapping[str, float], level: int) -> None:
        """Look at a validation, on tables of the last level, that was made while training was on `level`."""
        if level <= self.levels:
            return  # of tables harder than any that were trained on, nothing has to be known yet
        self.events += self.collapse.validated(done, found)
        scalars, events = self.gap.validated(done, found)
        self.scalars |= scalars
        self.events += events

    def culprit(self, batches: Sequence[tuple[Table, Truth]]) -> str | None:
        """Where what is not finite begins in a step on these tables; None when the terms of the loss make it."""
        return culprit(self.model, [table for table, _ in batches], self.settings.precision)

    def by_term(self, step: int, batches: Sequence[tuple[Table, Truth]]) -> dict[str, float]:
        """The norm of the gradient of each term on some parts of step `step`, by doing them again."""
        return by_term(
            self.model,
            batches,
            self.terms,
            step=step,
            precision=self.settings.precision,
            split=self.settings.split,
            processes=self.processes,
        )

    def report(self, done: int, log: TextIO, board: "SummaryWriter | None", say: Callable[[str], None]) -> None:
        """Hand over what has come up: events to whoever watches, and everything to the log and to TensorBoard."""
        known = {name: value if math.isfinite(value) else None for name, value in self.scalars.items()}
        lines: list[dict[str, object]] = [{"step": done, "kind": "monitors", **known}] if known else []
        for event in self.events:
            say(str(event))
            kind = {"step": event.step, "kind": "health", "monitor": event.monitor}
            lines.append({**kind, "value": event.value if math.isfinite(event.value) else None, "line": event.line})
            known[f"event/{event.monitor}"] = event.value
        log.writelines(json.dumps(line) + "\n" for line in lines)
        log.flush()
        for name, value in known.items():
            if value is not None and board is not None:
                board.add_scalar(f"health/{name}", value, done)
        self.scalars, self.events = {}, []

    def _due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self.settings.steps
