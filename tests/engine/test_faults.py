"""What a machine does to a training: one line each, and the last checkpoint as it was."""

import ast
import errno
import io
import shutil
from pathlib import Path

import attrs
import pytest
import torch

from tabscm import CheckpointError, Draw, MachineError
from tabscm.engine import checkpoint, faults, trainer
from tabscm.engine.board import Board
from tabscm.engine.checkpoint import has_checkpoint, restore, save
from tabscm.engine.runs import prepare
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import train

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def disk(run, number):
    with pytest.raises(MachineError) as fault, faults.named(run):
        raise OSError(number, "What it is")
    return str(fault.value)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, "Make it writable"),
        (errno.ENOENT, "Something removed it; put it back"),
        (errno.EIO, "Look at the disk, and at what the system logs of it"),
    ],
)
def test_a_disk_that_takes_no_more_is_one_line(tmp_path, number, advice):
    assert disk(tmp_path, number) == (
        f"{tmp_path}: What it is. {advice}, then go on with --resume; the checkpoints in {tmp_path} are as they were."
    )


def test_the_reader_of_the_output_is_no_disk(tmp_path):
    with pytest.raises(BrokenPipeError), faults.named(tmp_path):
        raise BrokenPipeError


def test_a_mistake_of_ours_is_no_lack_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shape mismatch"), faults.named(tmp_path):
        raise RuntimeError("shape mismatch")


SPARE = "trainer.gradient_checkpointing = true keeps less of each"
OTHER = (
    "That is another experiment: start it from the weights of this run with --init, or close other programs and go on "
    "with --resume."
)


@pytest.mark.parametrize(
    ("settings", "what", "knob"),
    [
        (
            {"tables": 8},
            "8 tables of 30 variables (d) and 50 rows (n)",
            f"Halve it: stream.tables = 4 with trainer.accumulate doubled leaves a step as many tables; {SPARE}.",
        ),
        (
            {"pairs": 3600},
            "4 tables of 30 variables (d) and 50 rows (n)",
            f"Halve it: stream.pairs = 1800 with trainer.accumulate doubled leaves a step as many tables; {SPARE}.",
        ),
        (
            {"cells": 4500},
            "3 tables of 30 variables (d) and 50 rows (n)",
            f"Halve it: stream.cells = 2250 with trainer.accumulate doubled leaves a step as many tables; {SPARE}.",
        ),
        (
            {"tables": 1},
            "1 table of 30 variables (d) and 50 rows (n)",
            f"One table is too large: lower the upper end of stream.variables; {SPARE}.",
        ),
    ],
)
def test_a_lack_of_memory_names_the_batch_and_the_knob(tiny, settings, what, knob):
    sizes = {"variables": Draw.constant(30), "rows": Draw.constant(50), "tables": 64, "cells": 10**9, "pairs": 10**9}
    stream = Stream(attrs.evolve(tiny.stream, **{**sizes, **settings}), seed=0, device=CPU)
    with pytest.raises(MachineError) as fault, faults.enough_memory(lambda: (stream, 7, 0)):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nAnd more")
    said = "CUDA out of memory. Tried to allocate 2.00 GiB"
    assert str(fault.value) == f"out of memory at step 7 of the train tables, with {what} ({said}). {knob} {OTHER}"


def test_a_lack_of_memory_that_no_batch_is_behind():
    with pytest.raises(MachineError) as fault, faults.enough_memory(lambda: None):
        raise MemoryError
    message = "out of memory (no more memory). Close other programs, then go on with --resume."
    assert str(fault.value) == message


def test_torch_itself_says_what_is_taken_for_a_lack_of_memory():
    with pytest.raises(MachineError, match="allocate"), faults.enough_memory(lambda: None):
        torch.empty(2**60)


def test_a_training_out_of_memory_keeps_its_checkpoint_and_names_the_step(tiny, tmp_path, monkeypatch):
    real, calls = trainer.loss_terms, iter(range(99))

    def short(*words):
        if next(calls) == 11:
            raise MemoryError
        return real(*words)

    monkeypatch.setattr(trainer, "loss_terms", short)
    with pytest.raises(MachineError, match=r"^out of memory at step 11 of the train tables, with 8 tables of \d var"):
        train(tiny, tmp_path, device=CPU, out=io.StringIO())
    assert restore(tmp_path, "last")[2].step == 10


def test_a_run_folder_that_vanishes_is_not_made_again(tiny, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    real = trainer.judge

    def judge(*words, **more):
        shutil.rmtree(run)
        return real(*words, **more)

    monkeypatch.setattr(trainer, "judge", judge)
    with pytest.raises(MachineError, match=r"^.*: No such file or directory\. Something removed it; put it back, then"):
        train(tiny, run, device=CPU, out=io.StringIO())
    assert not run.exists()


def test_tensorboard_that_cannot_write_is_noted_once_and_training_goes_on(tiny, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    real = trainer.judge

    def judge(*words, **more):
        monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
        return real(*words, **more)

    monkeypatch.setattr(trainer, "judge", judge)
    train(tiny, tmp_path, device=CPU, out=io.StringIO())
    assert restore(tmp_path, "last")[2].step == 20
    assert capsys.readouterr().err == (
        f"note: {tmp_path}: nothing more is written for TensorBoard (No space left on device); training goes on "
        "without it\n"
    )


def test_tensorboard_that_cannot_begin_is_noted_once(tmp_path):
    said = []
    with Board(tmp_path / "nowhere", note=said.append) as board:
        board.add_scalar("loss", 1.0, 1)
    assert said == [
        f"note: {tmp_path}/nowhere: nothing more is written for TensorBoard (No such file or directory); training goes "
        "on without it"
    ]


STATE = checkpoint.State(step=10, best_step=10, best_gain=0.1, seconds=1.0)


def test_what_is_read_back_otherwise_is_refused_and_older_checkpoints_stay(tmp_path, monkeypatch):
    weights = {"a": torch.ones(3)}
    for step in (10, 20):
        save(tmp_path, weights, {}, attrs.evolve(STATE, step=step, best_step=20))
    real = checkpoint.write_new

    def bad(file, data):
        real(file, data[:-1] + b"!" if file.name == "weights.safetensors" else data)

    monkeypatch.setattr(checkpoint, "write_new", bad)
    with pytest.raises(CheckpointError) as fault:
        save(tmp_path, weights, {}, attrs.evolve(STATE, step=30, best_step=20))
    final = tmp_path / "checkpoints" / "step-00000030"
    assert str(fault.value) == (
        f"{final}: what is read back is not what was written: weights.safetensors changed since it was written (sha256 "
        "differs). Look at the disk and at the memory of this machine, then go on with --resume; the checkpoints "
        "before this one are as they were."
    )
    assert sorted(path.name for path in final.parent.iterdir()) == [f"step-000000{step}" for step in (10, 20, 30)]
    assert restore(tmp_path, "last")[2].step == 20


def test_a_run_that_fell_back_keeps_what_it_writes_and_drops_what_it_gave_up(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, {"a": torch.tensor(float(step))}, {}, attrs.evolve(STATE, step=step))
    for step in (20, 30):
        (tmp_path / "checkpoints" / f"step-000000{step}" / "state.json").write_text("")
    save(tmp_path, {"a": torch.tensor(15.0)}, {}, attrs.evolve(STATE, step=15))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000015"]
    assert restore(tmp_path, "last")[0]["a"] == 15


def test_a_start_that_was_cut_short_is_started_again(tiny, registry, tmp_path, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tabscm.engine.runs.origins", cut)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, tiny, registry, resume=False, overwrite=False)
    monkeypatch.undo()
    with pytest.raises(CheckpointError) as refusal:
        prepare(tmp_path, tiny, registry, resume=True, overwrite=False)
    message = f"{tmp_path}: nothing to resume, its start was cut short. Leave out --resume to start."
    assert str(refusal.value) == message
    prepare(tmp_path, tiny, registry, resume=False, overwrite=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiment.toml", "origins.json"]
    assert not has_checkpoint(tmp_path)


def test_nothing_is_pickled():
    """Neither torch.save nor torch.load nor pickle is anywhere: what they read can run."""
    # the conformance kit pickles what it reads back at once, as a cluster would
    for path in {*ROOT.glob("tabscm/**/*.py"), *ROOT.glob("plugins/**/*.py")} - {ROOT / "tabscm/testing/samples.py"}:
        tree = ast.parse(path.read_text("utf-8"))
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not called & {"torch.save", "torch.load", "pickle.load", "pickle.loads", "joblib.load"}, path
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        } | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"pickle", "dill", "cloudpickle", "shelve", "joblib"}, path
