"""Checkpoints: what comes back is what went in, or nothing does."""

import attrs
import pytest
import torch

from tabscm import CheckpointError
from tabscm.engine.checkpoint import State, load_weights, restore, save

STATE = State(step=10, best_step=10, best_gain=0.1, seconds=1.0)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def tensors(value=1.0):
    return {"a.weight": torch.full((3, 2), value), "b": torch.tensor(value)}


def test_what_was_saved_comes_back(run):
    save(run, tensors(2.0), {"a.weight/momentum_buffer": torch.ones(3, 2)}, STATE)
    weights, momenta, state = restore(run, "last")
    assert {name: value.tolist() for name, value in weights.items()} == {"a.weight": [[2.0, 2.0]] * 3, "b": 2.0}
    assert list(momenta) == ["a.weight/momentum_buffer"]
    assert state == STATE


def test_views_are_saved_as_they_look(run):
    save(run, {"a": torch.arange(6.0).view(2, 3).T}, {}, STATE)
    assert restore(run, "last")[0]["a"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_the_two_newest_and_the_best_are_kept(run):
    for step in (10, 20, 30, 40, 50):
        save(run, tensors(step), {}, attrs.evolve(STATE, step=step, best_step=min(step, 20)))
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["step-00000020", "step-00000040", "step-00000050"]
    assert restore(run, "best")[0]["b"] == 20
    assert restore(run, "last")[0]["b"] == 50


def test_nothing_to_restore(run):
    with pytest.raises(CheckpointError) as refusal:
        restore(run, "last")
    assert str(refusal.value) == f"{run}: no checkpoint here. Train one: python -m tabscm run EXPERIMENT --out {run}"


def test_a_folder_cut_short_is_not_a_checkpoint(run):
    save(run, tensors(1.0), {}, STATE)
    cut = save(run, tensors(2.0), {}, attrs.evolve(STATE, step=20))
    (cut / "manifest.json").unlink()
    assert restore(run, "last")[2].step == 10


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors", "state.json"])
def test_changed_bytes_are_refused_by_their_hash(run, name):
    folder = save(run, tensors(), {"b/exp_avg": torch.zeros(4)}, STATE)
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError) as refusal:
        restore(run, "best")
    assert str(refusal.value) == (
        f"{folder}: {name} changed since it was written (sha256 differs). Do not use it; delete it."
    )


def test_a_missing_file_is_refused(run):
    folder = save(run, tensors(), {}, STATE)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"incomplete or unreadable .* Do not use it; delete it\.$"):
        restore(run, "last")


def test_a_manifest_that_is_not_one_is_refused(run):
    folder = save(run, tensors(), {}, STATE)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"incomplete or unreadable .* Do not use it; delete it\.$"):
        restore(run, "last")


def test_weights_of_another_network_are_refused(run):
    model = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError) as refusal:
        load_weights(model, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, run)
    assert str(refusal.value) == f"{run}: the weights do not fit the experiment: weight"
