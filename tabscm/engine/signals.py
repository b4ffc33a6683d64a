"""Signals that ask a training to end: it writes a checkpoint first, and its exit code says which signal it was.

| signal | what is meant | exit code |
|---|---|---|
| SIGINT (Ctrl-C) | somebody at the keyboard has had enough; a second one ends the process on the spot | 130 |
| SIGTERM | the machine is needed for something else | 143 |
| SIGUSR1 | a scheduler's time is nearly over: save, end, and be put in the queue again | 75 |

75 is EX_TEMPFAIL of sysexits.h, "try again later"; the others are 128 + the number of the signal, as shells have it.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tabscm.engine.processes import Processes

REQUEUE = 75
"""Exit code after SIGUSR1."""
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")
"""The signals, where the system has them: Windows knows no SIGUSR1."""


class Stopped(KeyboardInterrupt):
    """A signal has asked this process to end, and it does; its text says how to go on.

    Args:
        text: for whoever reads the terminal; may be empty.
        number: of the signal.
    """

    def __init__(self, text: str = "", *, number: int = signal.SIGINT) -> None:
        super().__init__(*([text] if text else []))
        self.number = number

    @property
    def code(self) -> int:
        """The exit code."""
        return REQUEUE if signal.Signals(self.number).name == "SIGUSR1" else 128 + self.number


class Stop:
    """Whether this process has been asked to end. A signal ends it at once, but not while it `hold`s work unsaved."""

    def __init__(self) -> None:
        self.asked: int | None = None
        """The number of the signal, once there was one."""
        self.holding = False

    def hold(self) -> None:
        """From here on there is something to save: a signal waits until somebody looks at `asked`."""
        self.holding = True

    def free(self) -> None:
        """All is saved: a signal that waited ends the process now.

        Raises:
            Stopped: there was one.
        """
        self.holding = False
        if self.asked is not None:
            self.end()

    def agree(self, processes: "Processes") -> None:
        """Take over what another process was asked, so that all end at the same place."""
        numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
        for number, asked in zip(numbers, processes.any([self.asked == number for number in numbers]), strict=True):
            if asked and self.asked is None:
                self.asked = number

    def end(self) -> NoReturn:
        """End the process as the signal asked."""
        assert self.asked is not None
        raise Stopped(number=self.asked)

    def hear(self, number: int, _: FrameType | None) -> None:
        """The handler: note the signal, or end at once."""
        if number == signal.SIGINT:
            # the second one ends the process wherever it is, as SIGKILL would; checkpoints bear that at any time
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.asked is None:
            self.asked = number
            if not self.holding:
                self.end()
            again = "; once more to end at once" if number == signal.SIGINT else ""
            # not print, which may have been interrupted itself
            with contextlib.suppress(OSError):
                os.write(2, f"\n{signal.Signals(number).name}: saving a checkpoint{again}\n".encode())


@contextmanager
def heard() -> Iterator[None]:
    """While this lasts, any of the signals ends this process with its exit code. Only in the main thread."""
    with _installed(Stop(), everywhere=True):
        yield


@contextmanager
def stopping() -> Iterator[Stop]:
    """While this lasts, the signals that a Python function handles are handed to the `Stop` that it yields.

    What is ignored stays so, and so does what ends the process by itself, as SIGTERM does unless it is `heard`.

    Raises:
        Stopped: in the end, after a signal that nobody acted upon.
    """
    stop = Stop()
    with _installed(stop, everywhere=False):
        yield stop
        stop.free()


@contextmanager
def _installed(stop: Stop, *, everywhere: bool) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other thread may handle signals
        for number in [getattr(signal, name) for name in NAMES if hasattr(signal, name)]:
            handler = signal.getsignal(number)
            if callable(handler) or (everywhere and handler == signal.SIG_DFL):
                before[number] = signal.signal(number, stop.hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
