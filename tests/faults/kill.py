"""Kill trainings with SIGKILL at random moments and at random file-system calls, go on, finish, compare.

    python tests/faults/kill.py [--kills 300] [--seed 0]

Half of the kills come at a random moment, half before, in or after a random call that touches the folder of the run,
so that saving is really hit. A run is killed up to six times and then finished; it has to be the run that never was
killed: weights, momenta, state, metrics.jsonl, training_log.csv and eval.json.
"""

import argparse
import random
import sys
from pathlib import Path

from harness import FALLBACK, Nursery, differences, outcome, scratch
from injection import HOWS

MOST = 6
"""Kills of one run."""
CALLS = 700
"""Calls that a run makes in its folder, about."""


def kill(kills, seed, *, say=print):
    """Kill so often; returns what went wrong, a line each."""
    rng, wrong = random.Random(seed), []
    done = at_call = lost = partial = differing = runs = 0
    with scratch() as folder, Nursery() as nursery:
        reference = Path(folder) / "reference"
        whole = nursery.whole(reference)
        assert whole.code == 0, whole.printed
        expected = outcome(reference)
        while done < kills:
            runs += 1
            run = Path(folder) / f"run-{runs}"
            for _ in range(min(rng.randint(1, MOST), kills - done)):
                if rng.random() < 0.5:
                    nursery.begin(run, strike=[rng.randint(1, CALLS), rng.choice(HOWS)])
                    ended = nursery.end()
                    at_call += ended.code == -9
                else:
                    ended = nursery.kill(nursery.begin(run), rng.uniform(0, whole.seconds))
                done += ended.code == -9
                partial += FALLBACK in ended.printed
                if ended.code == 0:
                    break  # it was done before it was struck
                if ended.code != -9:
                    wrong.append(f"run {runs}: exit code {ended.code}: {ended.printed[-500:]}")
            ended = nursery.finish(run)
            partial += FALLBACK in ended.printed
            if ended.code != 0:
                lost += 1
                wrong.append(f"run {runs} lost: exit code {ended.code}: {ended.printed[-500:]}")
            elif found := differences(expected, outcome(run)):
                differing += 1
                wrong.append(f"run {runs} is not the run that would have been: {', '.join(found[:5])}")
            say(f"  {done} kills ({at_call} at a call) of {runs} runs", flush=True)
    say(f"kills: {done} of {kills}, {at_call} of them at a file-system call")
    say(f"runs lost: {lost} of {runs}")
    say(f"partial files read: {partial} of {runs} runs")
    say(f"runs that differ in a bit from the one never killed: {differing} of {runs}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    faults = kill(words.kills, words.seed)
    sys.exit("\n".join(faults) or 0)
