"""A component as a reader of experiments wants it: what it is, and every setting with its default."""

import ast
import inspect
import json
import textwrap
from itertools import pairwise
from typing import Any

import attrs

from tabscm.kernel.config import plain
from tabscm.kernel.interfaces import Component


def described(component_class: type[Component], columns: int) -> str:
    """What it is, then all that TOML may say of it, with defaults: it can be pasted into an experiment."""
    lines = [inspect.cleandoc(component_class.__doc__ or ""), "", f'use = "{component_class.name}"']
    told = _told(component_class)
    for field in attrs.fields(component_class):  # type: ignore[arg-type] # checked at discovery
        comment = " ".join(told.get(field.name, "").split())
        lines += textwrap.wrap(comment, columns, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        lines.append(_setting(field))
    return "\n".join(lines)


def _setting(field: "attrs.Attribute[object]") -> str:
    default: Any = field.default
    if default is attrs.NOTHING:
        return f"# {field.name} has to be given"
    if getattr(default, "takes_self", False):
        return f"# {field.name} follows from the others"
    default = default.factory() if hasattr(default, "takes_self") else default
    return f"# {field.name} is not set" if default is None else f"{field.name} = {_inline(plain(default))}"


def _inline(value: object) -> str:
    """TOML on one line."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {_inline(inner)}" for key, inner in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case bool() | str():
            return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _told(component_class: type) -> dict[str, str]:
    """The string below each field, also of classes it extends; none of what has no source."""
    told: dict[str, str] = {}
    for cls in reversed(component_class.__mro__):
        try:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        except (OSError, TypeError, SyntaxError, ValueError):
            continue
        body = definition.body if isinstance(definition, ast.ClassDef) else []
        for field, below in pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    told[name] = text
    return told
