"""What is shown while something lasts, and only then."""

import io
import re
import time

from tabscm.engine import progress
from tabscm.engine.progress import Waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait(out, monkeypatch, *, soon=0.0, silence=0.0, lines=2):
    """Wait until so many lines have been written, or for a moment where none may be."""
    monkeypatch.setattr(progress, "SOON", soon)
    monkeypatch.setattr(progress, "SILENCE", silence)
    until = time.monotonic() + (60 if lines else 0.05)
    with Waiting(out, "reading t.csv"):
        while time.monotonic() < until and out.getvalue().count("reading t.csv") < max(lines, 1):
            time.sleep(0.01)
    return out.getvalue()


def test_a_line_says_what_goes_on_and_for_how_long(monkeypatch):
    assert wait(io.StringIO(), monkeypatch, silence=0.01).startswith("reading t.csv: 0:00\nreading t.csv: 0:0")


def test_on_a_terminal_the_line_moves_and_goes_away(monkeypatch):
    shown = wait(Terminal(), monkeypatch, lines=1)
    assert re.fullmatch(r"(\rreading t\.csv: 0:\d\d\x1b\[K)+\r\x1b\[K", shown)


def test_what_is_short_says_nothing(monkeypatch):
    for out in (io.StringIO(), Terminal()):
        assert wait(out, monkeypatch, soon=60.0, silence=60.0, lines=0) == ""


def test_an_error_ends_it(monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 60.0)
    waiting = Waiting(io.StringIO(), "reading")
    try:
        with waiting:
            raise ValueError
    except ValueError:
        pass
    assert not waiting._watch.is_alive()
