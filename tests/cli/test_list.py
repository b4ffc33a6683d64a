"""`list` names every component."""

from pathlib import Path

from tabscm import commands
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
