"""Numbers that break training, put in at random steps: is every one named within one step?

    python tests/faults/non_finite.py [N]      N of each kind (default: 50)

A NaN or an infinity goes into a table, a term of the loss, the gradient of a parameter, a weight or a momentum;
training has to stop in that step or the next, name what it is and the step, and say how its tables come back. A spike
multiplies the loss of one step, which has to be named in that step, and no other.
"""

import contextlib
import io
import json
import math
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import attrs
import torch

from tabscm.engine import trainer
from tabscm.engine.health import spike, watch
from tabscm.engine.stream import Stream
from tabscm.kernel.config import load
from tabscm.kernel.errors import TrainingError
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.registry import discover

TINY = Path(__file__).parents[2] / "experiments/tiny.toml"
KINDS = ("batch", "loss", "gradient", "weight", "momentum")
STEPS = 12
"""Of a run in which a value that is not finite is put."""
AT = (spike.NEEDED, spike.NEEDED + 8)
"""Steps in which a spike is put: the level has to be known by then."""


def prepared(**changes: object) -> Experiment:
    """The smallest experiment, which validates only at its end."""
    tiny = load(TINY, discover())
    small = attrs.evolve(tiny.stream, tables=4)
    settings = attrs.evolve(tiny.trainer, **{"validation_tables": 4, "warmup": 0, **changes})
    return attrs.evolve(tiny, stream=small, trainer=settings)


@contextlib.contextmanager
def injected(kind: str, at: int, value: float, pick: random.Random):
    """Put `value` somewhere into what the name says, in step `at`; gives a list, which will hold the name of it."""
    where: list[str] = []
    optimiser, begin, terms, batch = trainer.Optimiser, watch.Health.begin, trainer.loss_terms, Stream.batch

    def poke(tensor: torch.Tensor) -> None:
        tensor[tuple(pick.randrange(length) for length in tensor.shape)] = value

    class Poking(optimiser):
        def step(self, step: int) -> float:
            rate = super().step(step)
            if step == at and kind in ("weight", "momentum"):
                values = weights if kind == "weight" else self.state()
                name = pick.choice([name for name in values if not name.endswith("/step")])
                where.append(name)
                with torch.no_grad():
                    poke(values[name])
            return rate

    weights: dict[str, torch.Tensor] = {}
    steps = iter(range(STEPS * 2))

    def beginning(self: watch.Health, step: int) -> None:
        begin(self, step)
        weights.update(self.model.named_parameters())
        if next(steps) == at and kind == "gradient":
            name = pick.choice(list(weights))
            where.append("gradient")
            handle = weights[name].register_hook(lambda gradient: (handle.remove(), gradient * value)[1])

    def broken_terms(experiment, step, *more):
        found = terms(experiment, step, *more)
        if step == at and kind == "loss":
            name = pick.choice(list(found))
            where.append(name)
            found[name] = found[name] * value
        return found

    def broken_batch(self, step, part=0):
        table, truth = batch(self, step, part)
        if self.purpose == "train" and step == at and kind == "batch":
            where.append("the table itself")
            poke(table.x)
        return table, truth

    with (
        mock.patch.object(trainer, "Optimiser", Poking),
        mock.patch.object(watch.Health, "begin", beginning),
        mock.patch.object(trainer, "loss_terms", broken_terms),
        mock.patch.object(Stream, "batch", broken_batch),
    ):
        yield where


def non_finite(kind: str, seed: int, folder: Path) -> str | None:
    """Break one run; None when it was named within one step, or else what happened instead."""
    pick = random.Random(f"{kind} {seed}")
    at, value = pick.randrange(STEPS - 1), pick.choice([math.nan, math.inf, -math.inf])
    experiment = prepared(steps=STEPS, validate_every=STEPS, log_every=pick.choice([1, 5, STEPS]))
    try:
        with injected(kind, at, value, pick) as where:
            trainer.train(experiment, folder, device=torch.device("cpu"), out=io.StringIO())
    except TrainingError as error:
        return _judged(str(error), at, where[0], experiment)
    return "trained to the end"


def _judged(said: str, at: int, where: str, experiment: Experiment) -> str | None:
    named = re.match(r"step (\d+): ", said)
    again = re.search(r"come back with tabscm\.engine\.stream: (Stream\(.*\)\.batch\([\d, ]+\))\. ", said)
    if "\n" in said or named is None or not 0 <= int(named[1]) - at <= 1:
        return f"put into step {at}, said: {said}"
    if where not in said:
        return f"put into {where}, said: {said}"
    if again is None:
        return f"no way to see the tables: {said}"
    table, _ = eval(again[1], {"Stream": Stream, "experiment": experiment, "device": torch.device("cpu")})
    return None if bool(torch.isfinite(table.x).all()) else f"the tables came back broken: {said}"


def spiked(seed: int, folder: Path) -> str | None:
    """Put a spike into one run; None when it was named in its step and nothing else was."""
    pick = random.Random(f"spike {seed}")
    at, times = pick.randrange(*AT), 10 ** pick.uniform(1, 4)
    steps = AT[1] + 2
    experiment = prepared(steps=steps, validate_every=steps, log_every=pick.choice([1, 5, steps]))
    terms = trainer.loss_terms

    def higher(experiment, step, *more):
        found = terms(experiment, step, *more)
        return {name: term * (times if step == at else 1.0) for name, term in found.items()}

    with mock.patch.object(trainer, "loss_terms", higher):
        trainer.train(experiment, folder, device=torch.device("cpu"), out=io.StringIO())
    lines = map(json.loads, (folder / trainer.LOG).read_text().splitlines())
    named = [line["step"] for line in lines if line.get("monitor") == "spike"]
    return None if named == [at + 1] else f"{times:.0f} times the loss in step {at + 1}, named at {named}"


def campaign(count: int, say=print) -> int:
    """Put in `count` of each kind and say how many were named; returns how many were not."""
    missed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind in (*KINDS, "spike"):
            for seed in range(count):
                run = Path(folder) / f"{kind}-{seed}"
                run.mkdir()
                fault = spiked(seed, run) if kind == "spike" else non_finite(kind, seed, run)
                if fault:
                    missed[kind] += 1
                    say(f"{kind} {seed}: {fault}")
            say(f"{kind}: {count - missed[kind]} of {count} named within one step")
    return missed.total()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 50) > 0)
