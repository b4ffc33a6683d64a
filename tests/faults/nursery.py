"""A process that has loaded everything and trained nothing: trainings are forked off it, and begin at once.

Reads one order a line from standard input: {"words": of the command line, "printed": file, "folder": of the run,
"strike": [at, how] or null, see injection.py, "interrupt": [phase, signals, seed, file] or null, see phases.py}.
Answers with {"pid": ...}, and with {"code": ...} when that process has ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch._dynamo
import torch.utils.tensorboard  # noqa: F401 - both to have them loaded
from injection import strike
from phases import interrupt

import tabscm.commands  # noqa: F401
from tabscm.__main__ import main


def bear(order):
    """What a child does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(order["printed"]).open("wb", buffering=0) as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    if order["strike"]:
        kept = strike(order["folder"], *order["strike"])  # noqa: F841 - lasts as long as the child
    if order["interrupt"]:
        interrupt(*order["interrupt"])
    try:
        code = main(order["words"])
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - of which the parent has to hear
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def answer(**words):
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever gives the orders
    answer(ready=True)
    zombies = []
    for line in sys.stdin:
        for zombie in zombies:
            os.waitpid(zombie, 0)
        zombies.clear()
        pid = os.fork()
        if pid == 0:
            bear(json.loads(line))
        answer(pid=pid)
        # it stays a zombie, whose number nobody else gets, until the next order
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        killed = ended.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        answer(code=-ended.si_status if killed else ended.si_status)
        zombies.append(pid)
