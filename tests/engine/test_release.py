"""Released models: what was trained is what is read, sealed, in little room, with a card that says what it is."""

import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import attrs
import pytest
import torch

from tabscm import CheckpointError, ConfigError
from tabscm.engine import release as releasing
from tabscm.engine import released
from tabscm.engine.checkpoint import restore_weights, save, seal
from tabscm.engine.loading import load_model, load_run
from tabscm.engine.model import Model
from tabscm.engine.release import release, renew_familiarity
from tabscm.engine.runs import carry_out, prepare
from tabscm.engine.start import read_start

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tiny, registry, tmp_path_factory):
    """A run of four steps that started from one of two."""
    first, second = (tmp_path_factory.mktemp("runs") / name for name in ("first", "second"))
    for folder, count, start in ((first, 2, None), (second, 4, first)):
        experiment = attrs.evolve(tiny, trainer=attrs.evolve(tiny.trainer, steps=count, validate_every=count))
        found = None if start is None else read_start([str(start)], Model(experiment))
        prepare(folder, experiment, registry, resume=False, overwrite=False, start=found)
        carry_out(folder, experiment, device=CPU, resume=start is not None, out=io.StringIO())
    return second


@pytest.fixture
def into(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_the_released_network_is_that_of_the_run(run, into, registry):
    folder = release(run, registry, device=CPU)
    assert folder == into / "base" == released.released()
    names = ["card.md", "experiment.toml", "familiarity.json", "manifest.json", "model.safetensors", "network.toml"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "origins.json", "state.json"]
    (model, experiment), (own, own_experiment) = (load_run(path, registry, CPU) for path in (folder, run))
    assert experiment == own_experiment
    assert model.threshold == own.threshold
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in model.state_dict().items())


def seal_again(folder):
    """Make the manifest of a folder that of the files that are in it."""
    names = sorted({path.name for path in folder.iterdir()} - {"manifest.json", "card.md"})
    files = {
        name: {"bytes": len(data := (folder / name).read_bytes()), "sha256": hashlib.sha256(data).hexdigest()}
        for name in names
    }
    (folder / "manifest.json").write_text(json.dumps({"files": files}))


def test_the_network_is_read_whatever_became_of_the_stream_it_was_trained_on(run, into, registry):
    folder = release(run, registry, device=CPU)
    text = (folder / "experiment.toml").read_text()
    (folder / "experiment.toml").write_text(text.replace('use = "sine"', 'use = "sinus"'))
    seal_again(folder)
    with pytest.raises(ConfigError):
        load_run(folder, registry, CPU)
    model, own = load_model(folder, registry, CPU), load_model(run, registry, CPU)
    for name in ("threshold", "trained_variables", "trained_rows", "max_variables"):
        assert getattr(model, name) == getattr(own, name)
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_network_of_a_plugin_that_is_gone_is_named_with_who_brought_it(run, into, registry, capsys):
    folder = release(run, registry, device=CPU)
    text = (folder / "network.toml").read_text()
    (folder / "network.toml").write_text(text.replace('use = "triangle"', 'use = "octagon"'))
    origins = json.loads((folder / "origins.json").read_text())
    (folder / "origins.json").write_text(
        json.dumps({**origins, "encoder/octagon": {"distribution": "tabscm-octagon", "version": "0.1"}})
    )
    seal_again(folder)
    with pytest.raises(ConfigError, match=r'^.*/network\.toml: \d problems?\n\n.*\n    no encoder is called "octagon"'):
        load_model(folder, registry, CPU)
    assert capsys.readouterr().err == (
        f"note: {folder}: encoder octagon came from tabscm-octagon 0.1; install it again\n"
    )


def test_a_model_that_was_released_without_its_network_apart_is_read_by_its_experiment(run, into, registry):
    folder = release(run, registry, device=CPU)
    whole = load_model(folder, registry, CPU)
    (folder / "network.toml").unlink()
    with pytest.raises(CheckpointError) as refusal:
        load_model(folder, registry, CPU)
    assert str(refusal.value) == (
        f"{folder}: this released model cannot be used (manifest.json does not list exactly model.safetensors, "
        "state.json, experiment.toml, origins.json, familiarity.json). Install the package again, or release it anew"
    )
    seal_again(folder)
    model = load_model(folder, registry, CPU)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in model.state_dict().items())


def test_what_familiar_tables_look_like_is_released_and_can_be_added_later(run, into, registry):
    folder = release(run, registry, device=CPU)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    reference = load_model(folder, registry, CPU).reference
    assert len(reference.distances) == 60
    assert load_model(run, registry, CPU).reference is None

    (folder / "familiarity.json").unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json does not list exactly"):
        renew_familiarity(folder, registry)
    seal_again(folder)
    assert load_model(folder, registry, CPU).reference is None
    renew_familiarity(folder, registry)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not list(folder.parent.glob(".*"))
    with pytest.raises(CheckpointError) as refused:
        renew_familiarity(run, registry)
    assert str(refused.value) == f"{run}: not a released model. Make one: python -m tabscm release {run}"


def test_what_familiar_tables_look_like_is_sealed(run, into, registry):
    folder = release(run, registry, device=CPU)
    file = folder / "familiarity.json"
    file.write_text(file.read_text().replace("1", "2", 1))
    with pytest.raises(CheckpointError, match=r"familiarity\.json changed since it was written"):
        load_model(folder, registry, CPU)


def test_a_reference_of_other_statistics_is_left_aside_with_a_note(run, into, registry, capsys):
    folder = release(run, registry, device=CPU)
    file = folder / "familiarity.json"
    file.write_text(file.read_text().replace('"skewness"', '"slant"'))
    seal_again(folder)
    assert load_model(folder, registry, CPU).reference is None
    assert capsys.readouterr().err == (
        f"note: {file}: cannot be used here (ValueError: no statistic is called slant); tables are not compared with "
        "those of the training\n"
    )


def test_the_card_counts_all_steps_and_tables_and_names_the_weights(run, into, registry):
    folder = release(run, registry, name="sunday", hardware="two abaci", device=CPU)
    text = (folder / "card.md").read_text()
    assert text.startswith("# sunday\n")
    state, sha256 = seal(folder, "best")
    assert f"- sha256 of `model.safetensors`: `{sha256}`\n" in text
    assert "- 6 optimiser steps on 48 tables, none of them seen twice, in all.\n" in text
    assert (
        f"which started from the weights of `first` (sha256 `{state.init.sha256}`) with 2 steps and 16 tables" in text
    )
    assert "- Hardware: two abaci.\n" in text
    assert "- `mixture` (of `linear`, `mlp`, `sine`, `tanh`, `quadratic`, `threshold`): 36 %\n" in text
    assert "- `erdos-renyi` (density 0.3): 20 %\n" in text
    graphs = text.split("### Graphs")[1].split("###")[0]
    unused = re.search(r"^On offer and not trained on: (.*)\.$", graphs, re.MULTILINE)[1].split(", ")
    assert {"blocks", "geometric", "small-world"} <= set(unused)
    assert "erdos-renyi" not in unused
    assert "- 4 to 6 variables, 20 to 40 rows\n" in text
    results = json.loads((run / "eval.json").read_text())["mixed-d20"]
    assert f"| mixed-d20 | 8 | {results['auroc']:.3f} | {results['ap']:.3f} ({results['density']:.3f}) | " in text
    assert "more than 30 variables are refused." in text


def test_half_precision_takes_half_the_room_and_is_read_in_single(run, into, registry, monkeypatch):
    monkeypatch.setattr(releasing, "HALF", 0.02)  # few tables and hardly any training: one rank that flips shows
    whole, half = release(run, registry, device=CPU), release(run, registry, name="half", half=True, device=CPU)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.7 * sizes[0]  # the header counts in a network so small
    for name, value in restore_weights(half, "best")[0].items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, restore_weights(whole, "best")[0][name], atol=1e-4, rtol=1e-3)
    assert "stored in float16" in (half / "card.md").read_text()


def test_half_precision_that_changes_results_is_refused(run, into, registry, monkeypatch):
    monkeypatch.setattr(releasing, "HALF", -1.0)
    with pytest.raises(CheckpointError) as refusal:
        release(run, registry, half=True, device=CPU)
    found = str(refusal.value)
    assert found.startswith(f"{run}: half precision changes ")
    assert found.endswith(", more than -1. Leave out --half.")
    assert not into.exists()


def test_weights_that_half_precision_cannot_hold_are_refused(run, into, registry, tmp_path):
    large = tmp_path / "large"
    shutil.copytree(run, large)
    weights, state = restore_weights(run, "best")
    shutil.rmtree(large / "checkpoints")
    save(large, {**weights, "embedding.phi.4.bias": weights["embedding.phi.4.bias"] + 1e5}, {}, state)
    found = refused(large, registry, half=True)
    assert found == f"{large}: some weights are beyond the largest number of half precision, 65504. Leave out --half."


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "network.toml", "experiment.toml", "origins.json"])
def test_a_changed_byte_is_refused(run, into, registry, name):
    folder = release(run, registry, device=CPU)
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)
    for read in (
        lambda: load_model(folder, registry, CPU),
        lambda: load_run(folder, registry, CPU),
        lambda: seal(folder, "best"),
    ):
        with pytest.raises(CheckpointError) as refusal:
            read()
        assert str(refusal.value) == (
            f"{folder}: this released model cannot be used ({name} changed since it was written (sha256 differs)). "
            "Install the package again, or release it anew"
        )


def test_names(run, into, registry):
    assert released.names() == []
    release(run, registry, name="large", device=CPU)
    release(run, registry, device=CPU)
    assert released.names() == ["base", "large"]
    with pytest.raises(CheckpointError) as refusal:
        released.released("larg")
    assert str(refusal.value) == 'no released model is called "larg". Did you mean "large"? There are: base, large'
    assert released.find(Path("large")) == into / "large"
    assert released.find(Path("large:discrete")) == into / "large:discrete"
    with pytest.raises(CheckpointError) as refusal:
        released.find(Path("large:discrete"), whole=True)
    assert (
        str(refusal.value) == "large:discrete: one specialist is for predict, serve and bench accuracy; here use large"
    )
    with pytest.raises(CheckpointError) as refusal:
        released.find(Path("large:"))
    assert str(refusal.value) == "large: names no specialist after the colon; leave out the colon, or say which"
    assert released.find(None) == into / "base"
    assert released.find(run) == run


def refused(*args, **options):
    with pytest.raises(CheckpointError) as refusal:
        release(*args, device=CPU, **options)
    return str(refusal.value)


def test_nothing_is_released_by_accident(run, into, registry, tmp_path, monkeypatch):
    folder = release(run, registry, device=CPU)
    assert refused(run, registry) == f"{folder}: exists already. Use --overwrite to replace it."
    release(run, registry, overwrite=True, device=CPU)
    (into / "mine").mkdir()
    assert (
        refused(run, registry, name="mine", overwrite=True) == f"{into / 'mine'}: exists already. Use another --name."
    )
    assert refused(folder, registry, name="again") == f"{folder}: is released already; name the folder of a run"
    assert refused(run, registry, name="../x") == (
        '"../x" is no name for a released model; use lower-case letters, digits and hyphens'
    )
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "eval.json").unlink()
    assert refused(unfinished, registry, name="soon") == (
        f"{unfinished}: was not judged on fresh tables yet, there is no eval.json. Let it finish, or: "
        f"python -m tabscm eval {unfinished}"
    )
    monkeypatch.setattr(releasing, "MOST", 50_000)
    assert refused(run, registry, name="second").startswith(f"{into}: no room for 0.0 MB more beside 0.0 MB; ")


def test_a_run_that_is_not_whole_and_a_place_that_cannot_be_written(run, into, registry, tmp_path):
    part = tmp_path / "part"
    shutil.copytree(run, part)
    (part / "origins.json").unlink()
    assert refused(part, registry) == (
        f"{part / 'origins.json'}: cannot be read: No such file or directory. A release needs it."
    )
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / "base"
    assert refused(run, registry, into=tmp_path / "file") == (
        f"{folder}: cannot be written: File exists. Use --out for another place."
    )


@pytest.mark.parametrize("name", released.names())
def test_what_ships_is_read_by_the_components_of_today(name, registry):
    model, _ = load_run(released.released(name), registry, CPU)
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
