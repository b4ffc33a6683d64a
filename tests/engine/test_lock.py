"""One process in a run folder: the second gets a line, and a killed one leaves no lock."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from tabscm import CheckpointError
from tabscm.engine.lock import locked

HOLD = "import sys, time; from pathlib import Path; from tabscm.engine.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])):\n    print('has it', flush=True)\n    time.sleep(60)\n"


@pytest.fixture
def holder(tmp_path):
    """A process that has the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_has_the_folder(holder, tmp_path):
    with pytest.raises(CheckpointError) as refusal, locked(tmp_path):
        pass
    who = f"process {holder.pid} on {socket.gethostname()}"
    assert str(refusal.value) == (
        f"{tmp_path}: another process trains here ({who}). Wait until it has ended, or use --out for another folder."
    )


def test_a_killed_process_leaves_no_lock(holder, tmp_path):
    holder.kill()
    with locked(tmp_path, patience=10.0):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_waits_gets_it_in_the_end(holder, tmp_path):
    holder.send_signal(signal.SIGTERM)
    with locked(tmp_path / "new", patience=10.0), locked(tmp_path, patience=10.0):
        pass


def test_a_folder_that_stays_empty_goes_again(tmp_path):
    run = tmp_path / "run"
    with locked(run):
        assert (run / "lock").exists()
    assert not run.exists()
    with locked(run):
        (run / "kept").touch()
    assert list(run.iterdir()) == [run / "kept"]
    (run / "kept").unlink()
    with locked(run):  # somebody else's
        pass
    assert run.exists()


def test_a_file_and_a_folder_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path / "file", "is a file, not a folder. Use --out for another place."),
        (tmp_path / "file" / "run", "cannot be written: Not a directory. Use --out for another place."),
    ):
        with pytest.raises(CheckpointError) as refusal, locked(path):
            pass
        assert str(refusal.value) == f"{path}: {message}"
