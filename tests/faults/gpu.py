"""The GPU that is there: does it learn what a CPU learns, how fast, and in how much memory?

    python tests/faults/gpu.py [EXPERIMENT] [--steps N] [--timed N]     (default: experiments/prod.toml, 50, 300)

First so many steps with small tables that the host makes, the same on both: the losses are compared, in float32 and in
the precision of the experiment. Then as many as are to be timed, as `run` does them, tables included and the validation
at their end not; the first quarter, in which kernels are compiled, does not count. Operations are those of the matrix
products of forward and backward pass.
"""

import argparse
import io
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import torch
from torch.utils.flop_counter import FlopCounterMode

from tabscm import Draw
from tabscm.engine.hardware import describe, peak_flops
from tabscm.engine.model import Model, autocast, resolved
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.progress import Progress
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import loss_terms, train
from tabscm.kernel.config import load
from tabscm.kernel.experiment import Experiment
from tabscm.kernel.interfaces import Table, Truth
from tabscm.kernel.registry import discover

PROD = Path(__file__).parents[2] / "experiments/prod.toml"
CPU = torch.device("cpu")
WITHIN = {"fp32": 2e-2, "bf16": 1e-1}
"""How far a loss may be from that of the CPU, as a share. Each step builds on the rounding of those before: on a CPU
50 steps of prod.toml differ by up to 7e-3 where float32 is summed in another order, and by 5e-2 in bfloat16."""
SMALL = {"tables": 4, "variables": Draw(low=5, high=15), "rows": Draw.constant(100)}
WARMUP = 100
"""Steps."""
MEMORY = 24e9
"""Bytes that prod.toml has to do with."""
COUNTED = 5
"""Steps whose operations are counted."""


class Timed(Progress):
    """Says nothing, and knows when how many tables had been trained on."""

    def __init__(self, steps: int) -> None:
        super().__init__(io.StringIO(), steps=steps, step=0, levels=1)
        self.seen: list[tuple[float, int]] = []

    def count(self, tables: int) -> None:
        super().count(tables)
        self.seen.append((time.perf_counter(), tables))

    def rate(self) -> float:
        """Tables a second, of the last three quarters."""
        late = self.seen[len(self.seen) // 4 :]
        return sum(tables for _, tables in late[1:]) / (late[-1][0] - late[0][0])


def losses(experiment: Experiment, device: torch.device, precision: str, steps: int) -> list[float]:
    """Of the first steps, on tables that the host makes, at learning rates that move something within few steps."""
    torch.manual_seed(experiment.seed)
    model = Model(experiment).to(device).train()
    optimiser = Optimiser(model, attrs.evolve(experiment.trainer, precision=precision, warmup=WARMUP))
    effects = "effects" in experiment.asks
    stream = Stream(attrs.evolve(experiment.stream, **SMALL), seed=experiment.seed, device=CPU, effects=effects)
    found = []
    for step in range(steps):
        table, truth = (moved(each, device) for each in stream.batch(step))
        with autocast(device, precision):
            prediction = model(table)
        loss = sum(loss_terms(experiment, step, prediction, truth, table).values(), torch.zeros((), device=device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), experiment.trainer.clip)
        optimiser.step(step)
        found.append(loss.item())
    return found


def moved(batch: Table | Truth, device: torch.device) -> Table | Truth:
    """All of its tensors there."""
    parts = attrs.asdict(batch, recurse=False)
    return type(batch)(**{name: None if part is None else part.to(device) for name, part in parts.items()})


def operations(experiment: Experiment, device: torch.device) -> float:
    """Of the matrix products for one table of the stream, on average."""
    model = Model(experiment).to(device).train()
    stream = Stream(experiment.stream, seed=experiment.seed, device=device, effects="effects" in experiment.asks)
    tables = 0
    with FlopCounterMode(display=False) as counter:
        for step in range(COUNTED):
            table, truth = stream.batch(step)
            with autocast(device, experiment.trainer.precision):
                prediction = model(table)
            terms = loss_terms(experiment, step, prediction, truth, table)
            sum(terms.values(), torch.zeros((), device=device)).backward()
            tables += len(table.x)
    return counter.get_total_flops() / tables


def main(words: Sequence[str]) -> int:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", type=Path, default=PROD)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--timed", type=int, default=300, help="at least 4")
    args = parser.parse_args(words)
    if args.timed < 4:
        parser.error(f"argument --timed: expected at least 4, found {args.timed}")
    if not torch.cuda.is_available():
        print("there is no GPU here; nothing was measured")
        return 0
    device, good = torch.device("cuda"), True
    experiment = load(args.experiment, discover())
    print(f"{args.experiment.name} on {describe(device)}, torch {torch.__version__}", flush=True)
    expected = losses(experiment, CPU, "fp32", args.steps)
    for precision in dict.fromkeys(("fp32", resolved(experiment.trainer.precision, device))):
        found = losses(experiment, device, precision, args.steps)
        apart = [abs(one / other - 1) for one, other in zip(found, expected, strict=True)]
        right = sum(one <= WITHIN[precision] for one in apart)
        good &= right == args.steps
        print(
            f"losses within {WITHIN[precision]:g} of those of a CPU, in {precision}: {right} of {args.steps} "
            f"(at most {max(apart, default=math.nan):.1e})",
            flush=True,
        )

    settings = attrs.evolve(
        experiment.trainer, steps=args.timed, validate_every=args.timed, validation_tables=8, early_stopping=None
    )
    timed = Timed(args.timed)
    with tempfile.TemporaryDirectory() as folder:
        train(attrs.evolve(experiment, trainer=settings), Path(folder), device=device, progress=timed)
    peak = torch.cuda.max_memory_allocated(device)
    print(f"tables a second, of {args.timed} steps: {timed.rate():,.0f}")
    print(f"peak memory below {MEMORY / 1e9:g} GB: {int(peak < MEMORY)} of 1 ({peak / 1e9:.1f} GB)", flush=True)
    good &= peak < MEMORY
    performed, most = operations(experiment, device) * timed.rate(), peak_flops(describe(device))
    share = "" if most is None else f", {100 * performed / most:.1f} % of what its maker promises in bfloat16"
    print(f"matrix products: {performed / 1e12:,.2f} TFLOP a second{share}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
