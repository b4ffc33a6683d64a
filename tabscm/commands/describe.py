"""A component as a writer of experiments wants it: what it is, and every setting with its default."""

import ast
import inspect
import json
import re
import textwrap
from itertools import pairwise
from typing import Any

import attrs

from tabscm.kernel.config import plain
from tabscm.kernel.interfaces import Component

DRAWN = ("graph", "noise", "mechanism", "intervention", "measurement")
"""Kinds of which a stream lists several, and each table draws one."""


def described(component_class: type[Component], origin: str, columns: int) -> str:
    """A component as TOML, to be pasted into an experiment: who brought it, what it is, and all settings.

    Args:
        component_class: of the component.
        origin: who brought it, and the file that it lies in.
        columns: width of a line.
    """
    doc = inspect.cleandoc(component_class.__doc__ or "").splitlines()
    lines = [f"# {line}".rstrip() for line in [origin, "", *doc]]
    lines += ["", f'use = "{component_class.name}"']
    if component_class.kind in DRAWN:
        lines += ["# How often a table draws it, relative to the others in its list.", "weight = 1.0"]
    fields = [field for field in attrs.fields(component_class) if field.init]  # type: ignore[arg-type] # attrs classes
    complete = all(field.default is not attrs.NOTHING for field in fields)
    told = _told(component_class)
    for field in fields:
        comment = " ".join(told.get(field.name, "").split())
        lines += textwrap.wrap(comment, columns, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        lines.append(_setting(field, component_class() if complete else None))
    return "\n".join(lines)


def _setting(field: "attrs.Attribute[Any]", component: Component | None) -> str:
    """One line; `component` has every default where none has to be given."""
    default: Any = field.default
    if default is attrs.NOTHING:
        return f"# {field.name} has to be given"
    if component is not None:
        default = getattr(component, field.name)
    elif isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        if default.takes_self:
            return f"# {field.name} follows from the others where it is not given"
        default = default.factory()
    return f"# {field.name} is not set" if default is None else f"{field.name} = {_inline(plain(default))}"


def _inline(value: object) -> str:
    """TOML on one line."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {_inline(inner)}" for key, inner in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case bool() | str():
            return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _told(component_class: type) -> dict[str, str]:
    """The string below each field, also in classes that it extends; none where there is no source."""
    told: dict[str, str] = {}
    for cls in reversed(component_class.__mro__):
        try:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        except (OSError, TypeError, SyntaxError):
            continue
        assert isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    told[name] = text
    return told
