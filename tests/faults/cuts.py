"""Cut trainings at random points, one to three times each, go on, and compare every bit.

    python tests/faults/cuts.py [--cuts 30] [--seed 0]

A cut is a signal after a random part of a step, which leaves a checkpoint there, or the end of everything there, which
leaves the one before. All in one process, one training after the other.
"""

import argparse
import contextlib
import io
import random
import signal
import sys
from pathlib import Path

import torch
from harness import EXPERIMENT, differences, outcome, scratch

from tabscm.engine import trainer
from tabscm.engine.checkpoint import has_checkpoint
from tabscm.engine.evaluate import evaluate
from tabscm.engine.progress import Progress
from tabscm.engine.runs import prepare, write_results
from tabscm.kernel.config import load
from tabscm.kernel.registry import discover

CPU = torch.device("cpu")


class End(Exception):
    """Of everything."""


class Cutting(Progress):
    """Cuts a training when so many more parts were learned from."""

    def __init__(self, parts, gently, steps):
        super().__init__(io.StringIO(), steps=steps, step=0)
        self.parts, self.gently = parts, gently

    def count(self, tables):
        super().count(tables)
        self.parts -= 1
        if self.parts == 0:
            if not self.gently:
                raise End
            signal.raise_signal(signal.SIGINT)


def cuts(points, seed, *, say=print):
    """Cut at so many points; returns what went wrong, a line each."""
    rng, wrong = random.Random(seed), []
    registry = discover()
    experiment = load(EXPERIMENT, registry)
    parts = experiment.trainer.steps * experiment.trainer.accumulate
    done = runs = resumes = differing = 0
    with scratch() as folder:
        expected = outcome(train(Path(folder) / "whole", experiment, registry))
        while done < points:
            runs += 1
            run = Path(folder) / f"run-{runs}"
            for again in range(min(rng.randint(1, 3), points - done)):
                progress = Cutting(rng.randint(1, parts), rng.random() < 0.7, experiment.trainer.steps)
                train(run, experiment, registry, again=again > 0, progress=progress)
                done += progress.parts <= 0
                resumes += again > 0
            train(run, experiment, registry, again=True)
            resumes += 1
            if found := differences(expected, outcome(run)):
                differing += 1
                wrong.append(f"run {runs}: {', '.join(found[:5])}")
    say(f"cuts: {done}, in {runs} runs, with {resumes} resumes")
    say(f"runs that differ in a bit: {differing} of {runs}")
    return wrong


def train(run, experiment, registry, *, again=False, progress=None):
    """Train, or go on, in the folder `run`."""
    prepare(run, experiment, registry, resume=again, overwrite=False)
    with contextlib.suppress(End, KeyboardInterrupt):
        resume = again and has_checkpoint(run)
        model = trainer.train(experiment, run, device=CPU, resume=resume, out=io.StringIO(), progress=progress)
        write_results(run, evaluate(model, experiment, device=CPU, threshold=model.threshold))
    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    sys.exit("\n".join(cuts(words.cuts, words.seed)) or 0)
