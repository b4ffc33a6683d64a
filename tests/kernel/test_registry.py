"""Plugins are laid into a folder as pip would install them, and found through their metadata."""

import inspect
from importlib.metadata import distributions

import pytest

from tabscm import PluginError
from tabscm.kernel.registry import Registry, discover

GOOD = '''
import attrs
from tabscm import Regulariser, hookimpl

@attrs.frozen
class Cap(Regulariser):
    """A cap.

    More.
    """

    name = "cap"
    most: float = 1.0

    def __call__(self, prediction):
        raise NotImplementedError

@hookimpl
def tabscm_components():
    return [Cap]
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install(distribution, code) lays a plugin of one module into a folder; returns the plugins there, in order."""
    monkeypatch.syspath_prepend(tmp_path)
    # entry points of one module name would share a module: each test and distribution has its own
    modules = []

    def install(distribution, code, *, version="1.0", entry="plugin"):
        module = f"{distribution}_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[tabscm]\n{entry} = {module}\n")
        modules.append(distribution)
        found = {one.name: one for one in distributions(path=[str(tmp_path)])}
        return [plugin for name in modules for plugin in found[name].entry_points]

    return install


def test_a_plugin_is_found_with_its_origin(install, tmp_path):
    registry = discover(install("acme", GOOD, version="2.1"))
    (entry,) = registry.entries("regulariser")
    assert registry.entries() == [entry]
    assert entry.component_class is registry.find("regulariser", "cap")
    assert str(entry.origin) == "acme 2.1"
    assert entry.origin.file == inspect.getfile(entry.component_class)
    assert entry.origin.file.startswith(str(tmp_path))
    assert registry.origin(entry.component_class) == entry.origin
    assert registry.names("regulariser") == ["cap"]
    assert registry.names("loss") == []
    assert registry.quarantined == ()


def test_the_class_of_a_stranger_has_no_origin(install, shelf):
    registry = discover(install("acme", GOOD))
    assert registry.origin(shelf.find("loss", "bce")) is None


def test_an_origin_belongs_to_the_class_and_not_to_its_name(install):
    registry = discover(install("acme", GOOD))
    twin = discover(install("twin", GOOD)[1:]).find("regulariser", "cap")
    assert registry.origin(twin) is None


def test_a_second_distribution_with_the_same_entry_point_name_is_not_skipped(install):
    install("acme", GOOD, entry="same")
    registry = discover(install("other", GOOD.replace('"cap"', '"other-cap"'), entry="same"))
    assert registry.names("regulariser") == ["cap", "other-cap"]


BROKEN = {
    "import": ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
    "crash": ("raise RuntimeError", "RuntimeError"),
    "exit": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "long": ('raise ValueError("two\\n   lines")', "ValueError: two lines"),
    "syntax": ("def", "SyntaxError: invalid syntax ({module}.py, line 1)"),
    "no-hook": ("", "{module} has no function tabscm_components marked with @hookimpl"),
    "unmarked": (
        GOOD.replace("@hookimpl", ""),
        "{module} has no function tabscm_components marked with @hookimpl",
    ),
    "misspelt": (
        GOOD.replace("tabscm_components", "tabscm_component"),
        "PluginValidationError: unknown hook 'tabscm_component' in plugin <module '{module}' from '{file}'>",
    ),
    "failing-hook": (GOOD.replace("return [Cap]", "return [Hat]"), "NameError: name 'Hat' is not defined"),
    "no-list": (
        GOOD.replace("return [Cap]", "return {}"),
        "tabscm_components returned dict, not a list of classes",
    ),
    "no-class": (GOOD.replace("return [Cap]", "return ['cap']"), "'cap' is not a class"),
    "no-kind": (
        GOOD.replace("(Regulariser)", ""),
        "Cap must derive from exactly one of GraphSampler, Noise, Mechanism, Intervention, Measurement, Embedding, "
        "Encoder, Head, Loss, Regulariser",
    ),
    "two-kinds": (
        GOOD.replace("(Regulariser)", "(Regulariser, Loss)").replace("import Reg", "import Loss, Reg"),
        "Cap must derive from exactly one of GraphSampler, Noise, Mechanism, Intervention, Measurement, Embedding, "
        "Encoder, Head, Loss, Regulariser",
    ),
    "abstract": (GOOD.replace("__call__", "call"), "Cap does not define every method of its kind: __call__"),
    "no-attrs": (GOOD.replace("@attrs.frozen", ""), "Cap must be decorated with @attrs.frozen"),
    "derived": (
        GOOD.replace("@hookimpl", "class Hat(Cap):\n    '''A hat.'''\n    name = 'hat'\n\n@hookimpl").replace(
            "return [Cap]", "return [Cap, Hat]"
        ),
        "Hat must be decorated with @attrs.frozen",
    ),
    "mutable": (GOOD.replace("@attrs.frozen", "@attrs.define"), "Cap must be decorated with @attrs.frozen"),
    "mutable-dict": (
        GOOD.replace("@attrs.frozen", "@attrs.define(slots=False)"),
        "Cap must be decorated with @attrs.frozen",
    ),
    "no-name": (
        GOOD.replace('name = "cap"', ""),
        'Cap has no name: give it a class attribute such as name = "wave" (without a type)',
    ),
    "name-as-field": (
        GOOD.replace('name = "cap"', 'name: str = "cap"'),
        'Cap has no name: give it a class attribute such as name = "wave" (without a type)',
    ),
    "bad-name": (
        GOOD.replace('"cap"', '"KL_cap"'),
        "Cap is called 'KL_cap': a name is lower case, with hyphens",
    ),
    "no-docstring": (
        GOOD.replace('"""A cap.\n\n    More.\n    """', ""),
        "Cap has no docstring, whose first line `list` would print",
    ),
    "use": (
        GOOD.replace("most: float", "use: float"),
        'Cap has a field called "use", which means something else in TOML',
    ),
    "weight": (
        GOOD.replace("most: float", "weight: float"),
        'Cap has a field called "weight", which means something else in TOML',
    ),
    "no-type": (
        GOOD.replace("most: float = 1.0", "most = attrs.field(default=1.0)")
        .replace("@attrs.frozen", "@attr.s(frozen=True)")
        .replace("import attrs", "import attr, attrs")
        .replace("attrs.field", "attr.ib"),
        'Cap has a field "most" without a type',
    ),
    "unknown-type": (
        GOOD.replace("most: float", "most: 'Unknown'"),
        "NameError: name 'Unknown' is not defined",
    ),
    "gives": (
        GOOD.replace("most: float", 'gives = "kl"\n    most: float'),
        "Cap must have a set of names as `gives`, found 'kl'",
    ),
    "no-file": (
        GOOD.replace('name = "cap"', '__module__ = "nowhere"\n    name = "cap"'),
        "TypeError: <class 'nowhere.Cap'> is a built-in class",
    ),
    "twice": (GOOD.replace("[Cap]", "[Cap, Cap]"), 'Cap is a second regulariser called "cap"'),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_set_aside_and_the_others_work(install, tmp_path, case):
    code, reason = BROKEN[case]
    plugins = install("broken", code, version="0.3")
    module = plugins[0].value
    registry = discover([*plugins, *install("acme", GOOD)[1:]])
    wanted = reason.format(module=module, file=tmp_path / f"{module}.py")
    assert [str(plugin) for plugin in registry.quarantined] == [f"broken 0.3 ({wanted})"]
    assert registry.names("regulariser") == ["cap"]


def test_two_working_plugins_with_one_name_are_an_error(install, tmp_path):
    install("acme", GOOD)
    plugins = install("rival", GOOD, version="3.0")
    first, second = (tmp_path / f"{plugin.value}.py" for plugin in plugins)
    with pytest.raises(PluginError) as refusal:
        discover(plugins)
    assert str(refusal.value) == (
        f'Two plugins offer a regulariser called "cap": acme 1.0 ({first}) and rival 3.0 ({second}). '
        "Uninstall or rename one of them, or leave one out with --no-plugins."
    )


def test_one_name_may_be_used_by_two_kinds(install):
    install("acme", GOOD)
    code = GOOD.replace("Regulariser", "Loss")
    registry = discover(install("other", code))
    assert registry.names("loss") == registry.names("regulariser") == ["cap"]
    assert [entry.component_class.kind for entry in registry.entries()] == ["loss", "regulariser"]


def test_nothing_installed():
    with pytest.raises(PluginError) as refusal:
        discover([])
    assert str(refusal.value) == "No plugins are installed, not even the built-in ones. Run: pip install -e ."


MISSED = {
    "near": ("foccal", 'no loss is called "foccal". Did you mean "focal"?\non offer: bce, focal'),
    "far": ("hinge", 'no loss is called "hinge".\non offer: bce, focal'),
}


@pytest.mark.parametrize("case", MISSED)
def test_a_name_that_nothing_has(shelf, case):
    name, message = MISSED[case]
    with pytest.raises(PluginError) as refusal:
        shelf.find("loss", name)
    assert str(refusal.value) == message


def test_a_missed_name_mentions_broken_plugins_only_when_no_near_name_explains_it(install, shelf):
    install("acme", "import nothing_like_this")
    broken = discover(install("bolt", "raise RuntimeError")).quarantined
    registry = Registry(shelf.entries(), broken)
    with pytest.raises(PluginError) as refusal:
        registry.find("loss", "hinge")
    assert str(refusal.value) == (
        'no loss is called "hinge".\n'
        "on offer: bce, focal\n"
        "2 plugins could not be loaded: acme 1.0 (ModuleNotFoundError: No module named 'nothing_like_this'), "
        "bolt 1.0 (RuntimeError)"
    )
    with pytest.raises(PluginError) as refusal:
        registry.find("loss", "foccal")
    assert str(refusal.value) == MISSED["near"][1]


def test_nothing_on_offer():
    with pytest.raises(PluginError) as refusal:
        Registry([]).find("encoder", "identity")
    assert str(refusal.value) == 'no encoder is called "identity".\non offer: none'


def test_entries_come_in_the_order_of_kinds_and_names(shelf):
    names = [(entry.component_class.kind, entry.component_class.name) for entry in shelf.entries()]
    assert names[:5] == [
        ("graph", "ring"),
        ("noise", "gaussian"),
        ("mechanism", "linear"),
        ("mechanism", "mixture"),
        ("mechanism", "sine"),
    ]
    assert len(names) == 14


def test_an_error_names_who_brought_the_component(shelf):
    assert shelf.blame("mechanism sine: expected shape [G, N], found [3]") == (
        'mechanism sine: expected shape [G, N], found [3]\nmechanism "sine" is from shelf 1.0, conftest.py'
    )


@pytest.mark.parametrize("text", ["", "sine: x", "mechanism other: x", "step 3: mechanism sine: x"])
def test_an_error_of_nobody_stays_as_it_is(shelf, text):
    assert shelf.blame(text) == text
