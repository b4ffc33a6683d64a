"""Who may import whom: kernel <- engine <- command line, kernel <- testing, public names <- plugins."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import tabscm
from tabscm.kernel.registry import discover

ROOT = Path(__file__).parents[1]


def files(folder):
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no Python file in {folder}"
    return found


def imports(path):
    """Every module that a file imports, wherever in it; `from a import b` counts as a.b, for b may be a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module, *packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def ours(path):
    return [module for module in imports(path) if within(module, "tabscm", "tabscm_builtin")]


@pytest.mark.parametrize("path", files("tabscm/kernel"), ids=lambda path: path.name)
def test_the_kernel_imports_only_the_kernel(path):
    assert [module for module in ours(path) if not within(module, "tabscm.kernel")] == []


@pytest.mark.parametrize("path", files("tabscm/engine"), ids=lambda path: path.name)
def test_the_engine_imports_no_plugin_and_reads_no_toml(path):
    assert [module for module in ours(path) if not within(module, "tabscm.kernel", "tabscm.engine")] == []
    assert [module for module in imports(path) if within(module, "tomli", "tomli_w", "tomllib")] == []


@pytest.mark.parametrize("path", files("tabscm/testing"), ids=lambda path: path.name)
def test_the_conformance_kit_imports_only_the_kernel(path):
    public = [f"tabscm.{name}" for name in dir(tabscm)]
    assert [module for module in ours(path) if not within(module, "tabscm.kernel", "tabscm.testing", *public)] == []


@pytest.mark.parametrize("path", files("plugins"), ids=lambda path: path.name)
def test_plugins_import_only_public_names_and_each_other(path):
    public = [f"tabscm.{name}" for name in dir(tabscm)]
    assert [module for module in ours(path) if module not in public and not within(module, "tabscm_builtin")] == []


def words(tree):
    """Every string of a tree that is no docstring."""
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in strings if node not in statements]


@pytest.mark.parametrize("path", [*files("tabscm/kernel"), *files("tabscm/engine")], ids=lambda path: path.name)
def test_kernel_and_engine_name_no_component(path):
    tree = ast.parse(path.read_text())
    names = {entry.component_class.name for entry in discover().entries()}
    # names of one word, such as "none", may mean something else; those with a hyphen cannot
    assert {word for word in words(tree) if "-" in word} & names == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and ".name" in ast.unparse(node):
            assert set(words(node)) & names == set(), ast.unparse(node)


def test_type_checkers_see_the_names_that_are_there():
    tree = ast.parse((ROOT / "tabscm/__init__.py").read_text())
    (branch,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = [(node.module, alias.name, alias.asname) for node in branch.body for alias in node.names]
    assert seen == [(home, name, name) for home, names in tabscm._HOMES.items() for name in names]
    assert dir(tabscm) == sorted(name for _, name, _ in seen)
    for home, name, _ in seen:
        assert getattr(tabscm, name) is getattr(import_module(home), name)
    with pytest.raises(AttributeError) as refusal:
        tabscm.nothing  # noqa: B018 - the access is what is tried
    assert str(refusal.value) == "module 'tabscm' has no attribute 'nothing'"
