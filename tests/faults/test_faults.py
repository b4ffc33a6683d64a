"""The fault scripts beside this file, each a few times; python tests/faults runs them at their full length."""

import contextlib
import errno
import os
import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import cuts
import damage
import failing
import harness
import kill
import stopping
from injection import Calls, counted

from tabscm.engine import checkpoint
from tabscm.engine.runs import is_started, prepare
from tabscm.kernel.config import load
from tabscm.kernel.errors import CheckpointError
from tabscm.kernel.registry import discover


def quiet(*_, **__):
    """Says nothing: pytest shows what went wrong."""


def test_a_failing_call_is_heard_and_harms_nothing():
    assert failing.failing(failing.ERRORS[:1], say=quiet) == []


def test_damage_is_seen_and_the_checkpoint_before_used():
    assert damage.damage(flips=40, cuts=20, seed=0, say=quiet) == []


def test_damage_that_is_not_looked_for_is_found_out(monkeypatch):
    monkeypatch.setattr(checkpoint, "_fault", lambda *_: None)
    assert damage.damage(flips=10, cuts=0, seed=0, say=quiet) != []


def test_a_save_that_swallows_errors_is_found_out(monkeypatch):
    real = checkpoint.flush

    def careless(folder):
        with contextlib.suppress(OSError):
            real(folder)

    monkeypatch.setattr(checkpoint, "flush", careless)
    assert any("not heard of" in fault for fault in failing.failing(failing.ERRORS[:1], say=quiet))


def test_a_run_cut_anywhere_is_the_run_that_would_have_been():
    assert cuts.cuts(3, seed=0, say=quiet) == []


@pytest.mark.parametrize("overwrite", [False, True], ids=["a new run", "a run that replaces another"])
def test_a_start_cut_short_at_any_call_can_be_made_again(tmp_path, overwrite):
    registry = discover()
    experiment = load(harness.EXPERIMENT, registry)
    prepared = partial(prepare, experiment=experiment, registry=registry, resume=False, overwrite=overwrite)
    for at in range(1, 200):
        run = tmp_path / str(at)
        if overwrite:
            prepared(run)
            (run / "checkpoints/step-000010").mkdir(parents=True)
        with counted(Calls(run, at=at, how=errno.EIO)) as calls, contextlib.suppress(CheckpointError, OSError):
            prepared(run)
        if calls.struck is None:
            break
        if not is_started(run) or overwrite:
            prepared(run)
        assert is_started(run), calls.struck
        assert not (run / "checkpoints/step-000010").exists()
    assert at > 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="trainings are forked off")
def test_killed_trainings_are_the_runs_that_would_have_been():
    assert kill.kill(3, seed=0, say=quiet) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="trainings are forked off")
def test_stopped_trainings_leave_a_checkpoint_and_say_so_by_their_exit_code():
    assert stopping.stopping(1, seed=0, phases=("save", "step"), signals=("SIGTERM", "SIGUSR1"), say=quiet) == []
