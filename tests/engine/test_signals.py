"""Signals: at once when all is saved, after a checkpoint otherwise, and an exit code for each."""

import io
import signal
import threading

import pytest
import torch

from tabscm.engine.checkpoint import has_checkpoint, restore
from tabscm.engine.progress import Progress
from tabscm.engine.signals import Stopped, heard, stopping
from tabscm.engine.trainer import train


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 75)])
def test_each_signal_has_its_exit_code(name, code):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as end, heard():
        signal.raise_signal(number)
    assert end.value.code == code
    assert signal.getsignal(number) == before


def test_a_signal_waits_while_there_is_something_to_save(capfd):
    said = []

    def work():
        with heard(), stopping() as stop:
            stop.hold()
            signal.raise_signal(signal.SIGTERM)
            said.append((stop.asked, capfd.readouterr().err))
            stop.free()
            said.append("more")

    with pytest.raises(Stopped) as end:
        work()
    assert end.value.code == 143
    assert said == [(signal.SIGTERM, "\nSIGTERM: saving a checkpoint\n")]


def test_a_signal_that_nobody_acted_upon_ends_the_process_in_the_end(capfd):
    handlers = []

    def work():
        with stopping() as stop:
            stop.hold()
            signal.raise_signal(signal.SIGINT)
            handlers.append(signal.getsignal(signal.SIGINT))

    with pytest.raises(Stopped):
        work()
    assert capfd.readouterr().err == "\nSIGINT: saving a checkpoint; once more to end at once\n"
    # the second interrupt is left to the system, which ends the process on the spot
    assert [*handlers, signal.getsignal(signal.SIGINT)] == [signal.SIG_DFL, signal.default_int_handler]


def test_what_is_ignored_and_what_ends_a_process_by_itself_stay_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_hears_nothing_and_trains_all_the_same():
    heard_there = []

    def work():
        with heard(), stopping() as stop:
            heard_there.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard_there == [None]


class Interrupting(Progress):
    """Sends this process a signal when the parts of so many steps were learned from."""

    def __init__(self, parts):
        super().__init__(io.StringIO(), steps=20, step=0)
        self.parts = parts

    def count(self, tables):
        super().count(tables)
        self.parts -= 1
        if self.parts == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_training_stops_before_its_first_step_with_nothing_to_save(tiny, tmp_path):
    with pytest.raises(Stopped):
        train(tiny, tmp_path, device=torch.device("cpu"), progress=Interrupting(1))
    assert not has_checkpoint(tmp_path)


def test_a_training_stops_between_validations_with_a_checkpoint_of_the_steps_done(tiny, tmp_path, capfd):
    with pytest.raises(Stopped):
        train(tiny, tmp_path, device=torch.device("cpu"), progress=Interrupting(3))
    state = restore(tmp_path, "best")[2]  # which is the newest before the first validation
    assert (state.step, state.best_step) == (3, 0)
    assert capfd.readouterr().err == "\nSIGINT: saving a checkpoint; once more to end at once\n"
