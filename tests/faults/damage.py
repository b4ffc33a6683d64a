"""Damage the newest checkpoint of a run: flip bits, cut files short, take each file away.

    python tests/faults/damage.py [--flips 500] [--cuts 200] [--seed 0]

Each time the damage must be seen, the checkpoint before must take its place, and one line must say so.
"""

import argparse
import contextlib
import io
import random
import shutil
import sys
from pathlib import Path

from harness import scratch
from samples import is_of, put

from tabscm import CheckpointError
from tabscm.engine.checkpoint import restore

FILES = ("weights.safetensors", "optimiser.safetensors", "state.json", "manifest.json")


def damage(flips, cuts, seed, *, say=print):
    """Damage so often; returns what went wrong, a line each."""
    rng, wrong = random.Random(seed), []
    with scratch() as folder:
        base, run = Path(folder) / "base", Path(folder) / "run"
        put(base, 10, 20)
        for kind, times, change in (
            ("bit flips", flips, flip),
            ("truncations", cuts, cut),
            ("missing files", len(FILES), remove),
        ):
            good = 0
            for turn in range(times):
                shutil.rmtree(run, ignore_errors=True)
                shutil.copytree(base, run)
                # of all bytes of the checkpoint each is as likely
                files = [run / "checkpoints" / "step-00000020" / name for name in FILES]
                file = files[turn] if change is remove else rng.choices(files, [f.stat().st_size for f in files])[0]
                where = change(file, rng)
                found = judge(run)
                good += not found
                wrong += [f"{kind}: {file.name} {where}: {found}"] if found else []
            say(f"{kind} seen, the checkpoint before used, one line said: {good} of {times}")
    return wrong


def judge(run):
    """What is wrong with what becomes of a run whose newest checkpoint is damaged; nothing when nothing is."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            restored = restore(run, "last")
        except CheckpointError as refusal:
            return f"refused: {refusal}"
        except (OSError, ValueError) as error:
            return f"raised {type(error).__name__}: {error}"
    if not is_of(10, restored):
        return "what came back is not the checkpoint before"
    lines = said.getvalue().splitlines()
    named = len(lines) == 1 and "step-00000020: " in lines[0] and lines[0].endswith("; using step-00000010 instead")
    return "" if named else f"said: {lines}"


def flip(file, rng):
    """Flip one bit."""
    data, at = bytearray(file.read_bytes()), rng.randrange(8 * file.stat().st_size)
    data[at // 8] ^= 1 << at % 8
    file.write_bytes(data)
    return f"bit {at}"


def cut(file, rng):
    """Cut a file short, to nothing now and then."""
    length = rng.choice([0, rng.randrange(file.stat().st_size)])
    file.write_bytes(file.read_bytes()[:length])
    return f"at {length} bytes"


def remove(file, rng):
    """Take a file away."""
    file.unlink()
    return "missing"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    sys.exit("\n".join(damage(words.flips, words.cuts, words.seed)) or 0)
