"""Checkpoints: what comes back is what went in, or nothing does."""

import json
import shutil

import attrs
import pytest
import torch

from tabscm import CheckpointError
from tabscm.engine.checkpoint import State, has_checkpoint, restore, restore_weights, save
from tabscm.engine.loading import compare_origins, load_run, load_weights
from tabscm.engine.runs import prepare

STATE = State(step=10, best_step=10, best_gain=0.1, seconds=1.0)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def tensors(value=1.0):
    return {"a.weight": torch.full((3, 2), value), "b": torch.tensor(value)}


def test_what_was_saved_comes_back(run):
    save(run, tensors(2.0), {"a.weight/momentum_buffer": torch.ones(3, 2)}, STATE)
    weights, momenta, state = restore(run, "last")
    assert {name: value.tolist() for name, value in weights.items()} == {"a.weight": [[2.0, 2.0]] * 3, "b": 2.0}
    assert list(momenta) == ["a.weight/momentum_buffer"]
    assert state == STATE


def test_a_state_from_before_thresholds_and_levels_is_read(run):
    folder = save(run, tensors(), {}, STATE)
    old = {"step": 10, "best_step": 10, "best_gain": 0.1, "seconds": 1.0}
    assert State(**old) == restore_weights(run, "best")[1]
    state = json.loads((folder / "state.json").read_text())
    assert old.items() < state.items()


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


def spoil(file):
    """Flip one bit."""
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


def refused(run, which="last"):
    with pytest.raises(CheckpointError) as refusal:
        restore(run, which)
    return str(refusal.value)


def unusable(run, faults):
    return (
        f"{run}: no checkpoint can be used ({faults}). "
        f"To start again: python -m tabscm run EXPERIMENT --out {run} --overwrite"
    )


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors", "state.json"])
def test_changed_bytes_are_refused_by_their_hash(run, name):
    spoil(save(run, tensors(), {"b/exp_avg": torch.zeros(4)}, STATE) / name)
    fault = f"{name} changed since it was written (sha256 differs)"
    assert refused(run, "best") == unusable(run, f"step-00000010: {fault}")


def test_a_missing_file_is_refused(run):
    folder = save(run, tensors(), {}, STATE)
    (folder / "weights.safetensors").unlink()
    assert refused(run) == unusable(run, "step-00000010: weights.safetensors missing")


@pytest.mark.parametrize(
    ("manifest", "fault"),
    [
        ("[]", "unreadable (ValueError: holds list, expected an object)"),
        (
            "{",
            "unreadable (JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        ),
        ("{}", "unreadable (KeyError: 'files')"),
        (
            '{"files": {}}',
            "manifest.json does not list exactly weights.safetensors, optimiser.safetensors, state.json",
        ),
    ],
)
def test_a_manifest_that_seals_nothing_is_refused(run, manifest, fault):
    folder = save(run, tensors(), {}, STATE)
    (folder / "manifest.json").write_text(manifest)
    assert refused(run) == unusable(run, f"step-00000010: {fault}")


def test_every_damaged_checkpoint_is_named_when_none_is_whole(run):
    for step in (10, 20):
        spoil(save(run, tensors(), {}, attrs.evolve(STATE, step=step)) / "state.json")
    fault = "state.json changed since it was written (sha256 differs)"
    assert refused(run) == unusable(run, f"step-00000020: {fault}; step-00000010: {fault}")


@pytest.mark.parametrize("which", ["last", "best"])
def test_the_newest_that_is_whole_takes_the_place_of_a_damaged_one(run, which, capsys):
    save(run, tensors(1.0), {}, STATE)
    folder = save(run, tensors(2.0), {}, attrs.evolve(STATE, step=20, best_step=20))
    spoil(folder / "weights.safetensors")
    weights, _, state = restore(run, which)
    assert (weights["b"], state.step) == (1, 10)
    assert capsys.readouterr() == (
        "",
        f"note: {folder}: weights.safetensors changed since it was written (sha256 differs); "
        "using step-00000010 instead\n",
    )


def test_the_newest_takes_the_place_of_a_best_one_that_is_missing(run, capsys):
    best = save(run, tensors(1.0), {}, STATE)
    save(run, tensors(2.0), {}, attrs.evolve(STATE, step=20))
    shutil.rmtree(best)
    assert restore(run, "best")[2].step == 20
    assert capsys.readouterr().err == f"note: {best}: this checkpoint is missing; using step-00000020 instead\n"
    assert restore(run, "last")[2].step == 20
    assert capsys.readouterr().err == ""


def test_predicting_needs_no_momenta(run):
    folder = save(run, tensors(2.0), {}, STATE)
    (folder / "optimiser.safetensors").unlink()
    assert restore_weights(run, "best")[0]["b"] == 2
    assert refused(run) == unusable(run, "step-00000010: optimiser.safetensors missing")


def test_whether_there_is_a_checkpoint(run):
    assert not has_checkpoint(run)
    spoil(save(run, tensors(), {}, STATE) / "state.json")
    assert has_checkpoint(run)


def test_an_experiment_that_changed_is_refused(run):
    (run / "experiment.toml").write_text("seed = 1\n")
    save(run, tensors(), {}, STATE)
    (run / "experiment.toml").write_text("seed = 2\n")
    message = (
        f"{run}/experiment.toml: changed since step-00000010 was written (sha256 differs). Put it back as it was, "
        f"or start again: python -m tabscm run EXPERIMENT --out {run} --overwrite"
    )
    assert refused(run) == message
    with pytest.raises(CheckpointError) as refusal:
        load_run(run, None, torch.device("cpu"))
    assert str(refusal.value) == message
    (run / "experiment.toml").write_text("seed = 1\n")
    assert restore(run, "last")[2] == STATE


def test_components_that_come_from_elsewhere_now_are_noted(run, tiny, registry, capsys):
    prepare(run, tiny, registry, resume=False, overwrite=False)
    compare_origins(run, tiny, registry)
    assert capsys.readouterr().err == ""
    file = run / "origins.json"
    before = json.loads(file.read_text())
    version = before["loss/bce"]["version"]
    before["loss/bce"] = {"distribution": "acme", "version": "3"}
    file.write_text(json.dumps(before))
    prepare(run, tiny, registry, resume=True, overwrite=False)
    assert capsys.readouterr().err == f"note: {run}: acme 3 then, tabscm {version} now: loss/bce\n"
    file.write_text(json.dumps({name: {"distribution": "tabscm", "version": "0"} for name in before}))
    compare_origins(run, tiny, registry)
    first = ", ".join(sorted(before)[:3])
    assert capsys.readouterr().err == (
        f"note: {run}: tabscm 0 then, tabscm {version} now: {first} and {len(before) - 3} more\n"
    )


def test_origins_that_cannot_be_read_are_noted(run, tiny, registry, capsys):
    prepare(run, tiny, registry, resume=False, overwrite=False)
    (run / "origins.json").write_text("{}")
    compare_origins(run, tiny, registry)
    err = capsys.readouterr().err
    assert err.startswith(f"note: {run}/origins.json: cannot be compared with what is installed (KeyError: ")


def test_weights_of_another_network_are_refused(run):
    model = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError) as refusal:
        load_weights(model, {"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, run)
    assert str(refusal.value) == f"{run}: the weights do not fit the experiment: weight (2 x 2 there, 3 x 2 here)"
