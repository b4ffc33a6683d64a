"""`check` names every mistake of an experiment."""

import re
from pathlib import Path

import pytest
import torch
from tabscm_builtin.mechanisms.linear import Linear

from tabscm.kernel.registry import discover

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "experiments/tiny.toml")
GOOD = re.compile(rf"{re.escape(TINY)}: good, [\d,]+ parameters\n")


def test_check_of_every_experiment_that_ships(call):
    files = sorted((ROOT / "experiments").rglob("*.toml"))
    code, out, err = call("check", *files)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(files)
    layer = "TOML, and by its underscore no experiment by itself; check what extends it"
    for file, line in zip(files, lines, strict=True):
        assert line == f"{file}: {layer}" if file.name.startswith("_") else line.startswith(f"{file}: good, ")
    assert GOOD.fullmatch(call("check", TINY)[1])


def test_a_layer_has_to_be_there_and_to_be_toml(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("_broken.toml").write_text("width = [")
    code, out, err = call("check", "_gone.toml", "_broken.toml")
    assert (code, out) == (2, "")
    assert err.startswith("_gone.toml: 1 problem\n\n  the file\n    does not exist\n\n_broken.toml: 1 problem\n")


def test_a_component_that_breaks_is_named_with_its_place_and_the_other_files_are_checked(call, monkeypatch):
    def broken(*_):
        torch.nn.functional.cross_entropy(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long))

    monkeypatch.setattr(Linear, "draw", broken)
    code, out, err = call("check", TINY, ROOT / "experiments/_wide.toml")
    assert (code, len(out.splitlines())) == (2, 1)
    line = broken.__code__.co_firstlineno + 1
    assert err == (
        f"{TINY}: ValueError: Expected input batch_size (3) to match target batch_size (2). "
        f"({__file__}, line {line}, in broken)\n"
    )

    def ours(*_):
        raise AssertionError

    monkeypatch.setattr(Linear, "draw", ours)
    with pytest.raises(AssertionError):
        call("check", TINY)


def test_check_names_all_mistakes_of_all_files(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(f'extends = "{TINY}"\nseed = -1\nwidth = 0')
    Path("b.toml").write_text(f'extends = "{TINY}"\nloss = "foccal"')
    code, out, err = call("check", "a.toml", TINY, "b.toml")
    assert code == 2
    assert GOOD.fullmatch(out)
    assert err == (
        "a.toml: 2 problems\n\n  seed\n    'seed' must be >= 0: -1\n\n  width\n    'width' must be >= 1: 0\n\n"
        'b.toml: 1 problem\n\n  loss\n    no loss is called "foccal". Did you mean "focal"?\n'
        f"    on offer: {', '.join(discover().names('loss'))}\n"
    )


def test_check_sees_that_there_is_nothing_to_learn(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(f'extends = "{TINY}"\nstream.variables = 1')
    line = "must reach 2: one variable alone has no edges"
    assert call("check", "a.toml") == (2, "", f"a.toml: 1 problem\n\n  stream.variables\n    {line}\n")


def test_check_sees_what_only_the_network_can_tell(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(
        f'extends = "{TINY}"\nhead = "pair"\nembedding = "simple"\nencoder = "columns"\nwidth = 15'
    )
    message = "a.toml: 1 problem\n\n  encoder\n    columns: width 15 is not a multiple of heads, which is 4\n"
    assert call("check", "a.toml") == (2, "", message)
