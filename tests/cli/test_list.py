"""`list` names every component."""

import re
from pathlib import Path

import attrs
import pytest
import tomli
from tabscm_builtin.noises.exponential import Exponential

from tabscm import Noise, commands
from tabscm.commands.describe import described
from tabscm.kernel.config import load
from tabscm.kernel.interfaces import KINDS
from tabscm.kernel.registry import Quarantined, Registry, discover

ROOT = Path(__file__).parents[2]


def test_list_of_one_kind(call, monkeypatch, shelf):
    monkeypatch.setattr(commands, "discover", lambda: shelf)
    assert call("list", "mechanism") == (
        0,
        "mechanism\n"
        "  linear   A sum.\n"
        "           shelf 1.0, conftest.py\n"
        "  mixture  Several mechanisms.\n"
        "           shelf 1.0, conftest.py\n"
        "  sine     A wave.\n"
        "           shelf 1.0, conftest.py\n",
        "",
    )


def test_list_of_everything_fits_and_shows_every_component(call, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, out, err = call("list")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 120
    for entry in discover().entries():
        assert f"\n  {entry.component_class.name} " in out
        assert f"{entry.component_class.__doc__.splitlines()[0]} " in " ".join(out.split()) + " "
    assert "tabscm 0.1.0, plugins/tabscm_builtin/losses/bce.py\n" in out


def test_list_names_what_could_not_be_loaded(call, monkeypatch, shelf):
    broken = Quarantined("acme", "1.0", "ImportError: no module")
    monkeypatch.setattr(commands, "discover", lambda: Registry(shelf.entries(), [broken]))
    _, out, _ = call("list", "noise")
    assert out == (
        "noise\n  gaussian  The normal distribution.\n            shelf 1.0, conftest.py\n"
        "could not be loaded\n  acme 1.0 (ImportError: no module)\n"
    )


def test_list_of_a_kind_that_is_none(call):
    message = (
        'no kind is called "mechanisms". Did you mean "mechanism"?\n'
        "kinds: graph, noise, mechanism, intervention, measurement, embedding, encoder, head, loss, regulariser\n"
    )
    assert call("list", "mechanisms") == (2, "", message)
    message = message.replace(
        '"mechanisms". Did you mean "mechanism"?', '"sine". Of this name there is: list mechanism sine'
    )
    assert call("list", "sine") == (2, "", message)


def test_list_of_one_component_shows_its_settings(call, monkeypatch, shelf):
    monkeypatch.setattr(commands, "discover", lambda: shelf)
    assert call("list", "mechanism", "sine") == (
        0,
        "# shelf 1.0, conftest.py\n"
        "#\n"
        "# A wave.\n"
        "\n"
        'use = "sine"\n'
        "# How often a table draws it, relative to the others in its list.\n"
        "weight = 1.0\n"
        'frequency = { low = 1.0, high = 3.0, scale = "linear" }\n'
        "shifted = false\n",
        "",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_of_a_component_is_toml_with_all_settings(call, kind):
    for entry in discover().entries(kind):
        cls = entry.component_class
        code, out, err = call("list", kind, cls.name)
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 120
        shown = tomli.loads(out)
        assert shown.pop("use") == cls.name
        for field in attrs.fields(cls):
            # a setting, or a line that says why there is none, below what it means
            setting = rf"\n# .*\n({field.name} = |# {field.name} (has to|follows|is not set))"
            assert re.search(setting, out), (cls.name, field.name)


@pytest.mark.parametrize("kind", ["graph", "noise", "mechanism", "intervention", "measurement"])
def test_what_is_shown_of_a_component_can_be_pasted_into_an_experiment(call, tmp_path, kind):
    shown = {
        entry.component_class: call("list", kind, entry.component_class.name)[1] for entry in discover().entries(kind)
    }
    shown = {cls: out for cls, out in shown.items() if "has to be given" not in out}
    text = "".join(f"[[stream.{kind}s]]\n{out}\n" for out in shown.values())
    (tmp_path / "pasted.toml").write_text(f'extends = "{ROOT}/experiments/tiny.toml"\n{text}', "utf-8")
    pasted = getattr(load(tmp_path / "pasted.toml", discover()).stream, f"{kind}s")
    assert [one.component for one in pasted] == [cls() for cls in shown]


def test_settings_of_a_component_are_told(call):
    _, out, _ = call("list", "graph", "erdos-renyi")
    assert "\n# Share of the unordered pairs that carry an edge.\n# density is not set\n" in out
    assert "\ndegree = { low = 0.5, high = 3.5, " in out  # which follows from `density`
    assert call("list", "mechanism", "mixture")[1].endswith(
        '# The mechanisms, with constant weights, such as ["linear", { use = "mlp", weight = 2.0 }].\n'
        "# of has to be given\n"
    )


def test_a_component_without_source_is_shown_without_what_its_settings_mean():
    found = {"Noise": Noise, "attrs": attrs}
    lines = ["@attrs.frozen", "class Odd(Noise):", "    'A noise.'", "    name = 'odd'", "    width: float = 1.5"]
    exec("\n".join([*lines, "    sample = None"]), found)
    assert described(found["Odd"], "here 1.0", 120).endswith("\nweight = 1.0\nwidth = 1.5")


def test_what_a_component_inherits_is_told():
    class Wide(Exponential):
        """Wider."""

    told = "weight = 1.0\n# The long tail"
    assert told in described(attrs.frozen(Wide), "here 1.0", 120)


def test_list_of_a_component_that_is_none(call):
    code, out, err = call("list", "mechanism", "linaer")
    assert (code, out) == (2, "")
    assert err.startswith('no mechanism is called "linaer". Did you mean "linear"?\non offer: additive, ')
