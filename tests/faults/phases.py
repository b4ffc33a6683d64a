"""Send this process a signal when its training comes to a certain phase."""

import functools
import os
import random
import signal
import threading
import time
from pathlib import Path

import torch

from tabscm import commands
from tabscm.engine import checkpoint, runs, trainer
from tabscm.engine.health.watch import Health
from tabscm.engine.optimiser import Optimiser

PHASES = {
    "start": [(commands, "rehearse", 1), (commands, "prepare", 1), (trainer, "Model", 1), (trainer, "restore", 1)],
    "compile": [(torch, "compile", 1)],
    "step": [(Optimiser, "step", 13), (trainer, "loss_terms", 27), (Optimiser, "state", 3)],
    "accumulation": [(Health, "sample", 28)],
    "validation": [(trainer, "judge", 5)],
    "save": [(checkpoint, "write_new", 12), (checkpoint, "flush", 12), (checkpoint, "_fault", 3), (os, "replace", 12)],
    "shutdown": [(runs, "evaluate", 1), (runs, "write_results", 1), (commands, "write_report", 1)],
}
"""By phase, which functions are in it, and how often each is called in a training at most; a random one of these calls
is where the signal comes."""


def interrupt(phase, numbers, seed, struck):
    """Have the signals `numbers` come in a phase; `struck` is written when the last one has."""
    rng = random.Random(seed)
    where, name, most = rng.choice(PHASES[phase])
    at, calls, real = rng.randint(1, most), [0], getattr(where, name)
    if phase == "compile":
        return compiling(numbers, rng.uniform(0.0, 1.5), struck)

    @functools.wraps(real, updated=())
    def meeting(*words, **more):
        calls[0] += 1
        if calls[0] == at:
            send(numbers, struck)
        return real(*words, **more)

    setattr(where, name, meeting)
    return None


def compiling(numbers, seconds, struck):
    """Have the signals come so long after the first forward pass of a compiled model has begun."""
    real = torch.compile

    def compile(model, **more):
        # what the network is turned into is left out: it takes a minute, and is the same code that waits
        compiled = real(model, backend="aot_eager", **more)
        timer = threading.Timer(seconds, lambda: send(numbers, struck))
        timer.daemon = True

        def forward(*words):
            if not timer.ident:
                timer.start()
            return compiled(*words)

        return forward

    torch.compile = compile


def send(numbers, struck):
    """Send signals, each once the one before was heard."""
    Path(struck).write_text(str(time.monotonic()))
    if len(numbers) == 1:
        os.kill(os.getpid(), numbers[0])
        return

    def both():
        os.kill(os.getpid(), numbers[0])
        while signal.getsignal(numbers[0]) != signal.SIG_DFL:
            time.sleep(0.001)
        os.kill(os.getpid(), numbers[1])

    threading.Thread(target=both, daemon=True).start()
    time.sleep(0.2)
