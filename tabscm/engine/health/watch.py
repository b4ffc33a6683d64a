"""All monitors of a run together, as the trainer calls them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import attrs
import torch
from torch import Tensor, nn

from tabscm.engine.ahead import Ahead
from tabscm.engine.health.clock import StepTimes
from tabscm.engine.health.event import Event
from tabscm.engine.health.finite import NotFinite, broken_by_update, broken_cells, culprit, size, weights_of
from tabscm.engine.health.gradient import Explosion, Shares, Terms, by_term
from tabscm.engine.health.learning import Collapse, Gap, Movement
from tabscm.engine.health.memory import Remembers, recall, remember, tensors
from tabscm.engine.health.prediction import Beliefs, Divergence, Experts, Gate, Shape
from tabscm.engine.health.spike import Spike
from tabscm.engine.processes import ALONE, Processes
from tabscm.engine.stream import Stream
from tabscm.kernel.errors import ContractError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Prediction, Table, Truth

if TYPE_CHECKING:
    from tabscm.engine.board import Board

KEPT = "health"
"""What the names of tensors begin with that the monitors remember."""


@attrs.define(eq=False)
class Asked:
    """A step, and the tables that it asked the stream for."""

    step: int
    """Counted from 0."""
    batches: list[tuple[Table, Truth]] = attrs.field(factory=list)
    """Its parts."""
    again: list[str] = attrs.field(factory=list)
    """How each of them is made once more."""
    key: str = ""
    """Of the stream that they are from, see `Stream`."""


class Health:
    """Watches a run and changes nothing in it.

    Between log steps it reads the clock and the norm of the gradient, which the trainer waits for anyway.

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
        self.asked = Asked(step)
        self.numbers = torch.zeros(())
        """Not finite as soon as a table of the step is not, or, since the update before, a weight or a momentum."""
        self.momenta: Mapping[str, Tensor] = {}
        self.spike = Spike()
        self.times = StepTimes()
        self.explosion, self.shares = Explosion(), Shares(experiment.loss.name)
        self.collapse, self.gap, self.movement = Collapse(settings.warmup, step), Gap(), Movement(model, step)
        self.inside = (Shape(settings.warmup), Divergence(experiment), Gate(), Experts(), Beliefs(experiment))
        self.scalars: dict[str, float] = {}
        self.events: list[Event] = []
        self.batch: tuple[Stream, int, int] | None = None
        """The stream, step and part of the batch that was asked for last."""

    def memory(self) -> dict[str, Any]:
        """What the monitors remember, for state.json; the clock's is no part of it."""
        return {name: remember(monitor) for name, monitor in self._lasting.items()}

    def tensors(self) -> dict[str, Tensor]:
        """What they remember in tensors, by "health/monitor/name"."""
        return {
            f"{KEPT}/{name}/{part}": value
            for name, monitor in self._lasting.items()
            for part, value in tensors(monitor).items()
        }

    def recall(self, memory: Mapping[str, Any], values: Mapping[str, Tensor]) -> None:
        """Take back what `memory` and `tensors` gave, which older checkpoints do not have: it is looked afresh then."""
        for name, monitor in self._lasting.items():
            start = f"{KEPT}/{name}/"
            own = {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}
            recall(monitor, {**memory.get(name, {}), **own})

    @property
    def _lasting(self) -> dict[str, Remembers]:
        """The monitors that remember, by name."""
        own: list[Remembers] = [self.spike, self.explosion, self.shares]
        own += [self.collapse, self.gap, self.movement, *self.inside]
        return {type(monitor).__name__: monitor for monitor in own}

    def begin(self, step: int) -> None:
        """Step `step`, counted from 0, begins."""
        self.asked = Asked(step)
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
        self.batch = stream, step, part
        self.asked.key = stream.key
        self.asked.again.append(stream.again(step, part))
        try:
            table, truth = stream.batch(step, part) if ahead is None else ahead.take(stream, step, part)
        except ContractError as error:
            again = f"It comes back with tabscm.engine.stream: {self.asked.again[part]}."
            raise ContractError(f"{error}\n{again}") from error
        self.numbers = self.numbers.to(table.x.device) + size([table.x])
        tasks, rows, variables = table.x.shape
        # a row costs about what a variable costs another two, on the grid of pairs
        self.times.sampled(tasks * variables * (rows + variables**2))
        self.asked.batches.append((table, truth))
        return table, truth

    def before_update(self, asked: Asked, loss: float, norm: float) -> None:
        """A step on these tables has this loss, and its gradient this norm before clipping; the weights are as they
        were then."""
        step, done = asked.step, asked.step + 1
        self.events += self.spike.look(done, loss, asked.key, asked.again[0])
        self.events += self.explosion.look(done, norm, lambda: self.by_term(step, asked.batches))
        if self.several and self._due(done, self.settings.validate_every):
            scalars, events = self.shares.look(done, self.by_term(step, asked.batches[:1]))
            self.scalars |= scalars
            self.events += events

    def after_update(self, step: int, momenta: Mapping[str, Tensor], *, late: bool = False) -> None:
        """The weights have moved, and so have the momenta.

        If `late`, as on a GPU, where looking means waiting, this looks in steps that are logged or validated. After any
        other the trainer does, with the loss of the next step, in `numbers`.

        Raises:
            NotFinite: some are not finite now.
        """
        done = step + 1
        self.events += self.times.ended(done)
        self.momenta = momenta
        self.numbers = self._moved()
        if late and not self._due(done, self.settings.log_every) and not self._due(done, self.settings.validate_every):
            return
        if not bool(torch.isfinite(self.numbers)):
            what = broken_by_update(self.model, momenta)
            what = f"{what} are not finite after the update, though loss and gradient were finite at every step"
            raise NotFinite(what, step=step, again=self.asked.again[0], updated=True)

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

    def diagnosis(self, asked: Asked, seen: Sequence[Mapping[str, Tensor]], norm: float) -> NotFinite:
        """Which term of which part of a step is not finite, and where that begins.

        Args:
            asked: the step, and its tables.
            seen: the terms of each part.
            norm: of their gradient.
        """
        tables = [table for table, _ in asked.batches]
        bad = [
            (part, [name for name in terms if not bool(torch.isfinite(terms[name]))]) for part, terms in enumerate(seen)
        ]
        part, names = next(((part, names) for part, names in bad if names), (0, []))
        origin = culprit(self.model, tables, self.settings.precision)
        cells = broken_cells(tables)
        if names:
            what = f"the term {' and '.join(names)} is not finite"
        elif not math.isfinite(norm):
            what = f"every term is finite, but the norm of their gradient is {norm}"
        else:
            moved = broken_by_update(self.model, self.momenta)
            what = "every term is finite, but " + (
                f"{moved} are not since the update before" if moved else "a value is not"
            )
        what += f"; it begins in {origin}" if origin else ""
        fixed = cells is not None and cells == origin
        return NotFinite(what, step=asked.step, again=asked.again[part], fixed=fixed)

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

    def report(self, done: int, log: TextIO, board: "Board", say: Callable[[str], None]) -> None:
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

    def _moved(self) -> Tensor:
        """The norm of all weights and momenta; what an optimiser keeps on the host are counters."""
        device = next(self.model.parameters()).device
        return size(
            value for value in (*weights_of(self.model).values(), *self.momenta.values()) if value.device == device
        )

    def _due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self.settings.steps
