"""Send trainings SIGTERM, SIGINT, SIGUSR1, and SIGINT twice, in every phase.

    python tests/faults/stopping.py [--times 5] [--seed 0]

Each must end with its exit code within ten seconds, without a traceback, leave a checkpoint that is whole wherever
a step was done, and, when it goes on, be the run that never was stopped.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from harness import FALLBACK, Nursery, differences, outcome, scratch
from phases import PHASES

from tabscm.engine.checkpoint import has_checkpoint, restore

SIGNALS = {
    "SIGTERM": ([signal.SIGTERM], (143,)),
    "SIGINT": ([signal.SIGINT], (130,)),
    "SIGUSR1": ([signal.SIGUSR1], (75,)),
    # the second may come when the first has done its work already
    "SIGINT twice": ([signal.SIGINT, signal.SIGINT], (-signal.SIGINT, 130)),
}
SECONDS = 10.0


def stopping(times, seed, *, phases=tuple(PHASES), signals=tuple(SIGNALS), say=print):
    """Stop so often in each phase by each signal; returns what went wrong, a line each."""
    wrong = []
    with scratch() as folder, Nursery() as nursery:
        for phase in phases:
            more = ["--set", "trainer.compile=true"] if phase == "compile" else []
            reference, expected = Path(folder) / phase, None
            if phase != "compile" or times > 1:  # compiling takes a while
                whole = nursery.whole(reference, *more)
                assert whole.code == 0, whole.printed
                expected = outcome(reference)
            good, slowest = 0, 0.0
            for name in signals:
                for turn in range(times):
                    run = Path(folder) / f"{phase}-{name}-{turn}".replace(" ", "-")
                    faults, seconds = stop(nursery, run, phase, name, f"{seed} {turn}", more, expected)
                    slowest = max(slowest, seconds)
                    good += not faults
                    wrong += [f"{phase}, {name}, {turn}: {fault}" for fault in faults]
            say(f"{phase}: stopped as they should: {good} of {times * len(signals)}, the slowest after {slowest:.1f} s")
    return wrong


def stop(nursery, run, phase, name, seed, more, expected):
    """Stop one training and go on with it: what was wrong, and how many seconds it took to end."""
    numbers, codes = SIGNALS[name]
    struck = run.with_name(f"{run.name}.struck")
    nursery.start(run, *more, interrupt=[phase, [int(number) for number in numbers], seed, str(struck)])
    ended = nursery.end()
    if not struck.exists():
        # a phase that this training has not, such as going on in one that begins
        return [] if ended.code == 0 else [f"exit code {ended.code} without a signal: {ended.printed[-500:]}"], 0.0
    seconds = time.monotonic() - float(struck.read_text())
    faults = []
    if ended.code not in codes:
        faults.append(f"exit code {ended.code}: {ended.printed[-500:]}")
    if "Traceback" in ended.printed:
        faults.append(f"a traceback: {ended.printed[-1500:]}")
    if seconds > SECONDS:
        faults.append(f"took {seconds:.1f} s to end")
    if has_checkpoint(run):
        restore(run, "last")
    if expected is not None:
        finished = nursery.finish(run, *more)
        if finished.code != 0:
            faults.append(f"lost: exit code {finished.code}: {finished.printed[-500:]}")
        elif found := differences(expected, outcome(run)):
            faults.append(f"not the run that would have been: {', '.join(found[:5])}")
        if FALLBACK in finished.printed:
            faults.append(f"a checkpoint was not whole: {finished.printed[:300]}")
    return faults, seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    words = parser.parse_args()
    sys.exit("\n".join(stopping(words.times, words.seed, phases=words.phases)) or 0)
