"""What is wrong with an experiment: the walk that turns the errors of cattrs into mistakes, and their words."""

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.errors import StructureHandlerNotFoundError

from tabscm.kernel.errors import did_you_mean
from tabscm.kernel.experiment import Weighted
from tabscm.kernel.interfaces import KINDS
from tabscm.kernel.registry import Registry
from tabscm.kernel.values import Draw, Ramp

KeyPath = tuple[str | int, ...]
"""Where in an experiment: ("stream", "mechanisms", 2, "frequency")."""

Form = Any
"""A type as an annotation writes it: int, Literal["a", "b"], tuple[Weighted[Loss], ...]."""


@attrs.frozen
class Mistake:
    """What is wrong with the value at `path`."""

    path: KeyPath
    lines: tuple[str, ...]


class Mismatch(Exception):
    """A value that its type does not allow. `key` when the fault lies one level deeper."""

    def __init__(self, *lines: str, key: str | None = None) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.key = key


def mistakes(error: Exception, registry: Registry, path: KeyPath = (), more: tuple[str, ...] = ()) -> Iterator[Mistake]:
    """Every mistake in an error of cattrs, which is a tree like the data. `more` are keys allowed beside the fields."""
    match error:
        case ClassValidationError():
            noted, own = error.group_exceptions()
            for inner, note in noted:
                if bare_type(error.cl) is Weighted and note.name == "component":
                    # the component's keys and its weight share a table
                    yield from mistakes(inner, registry, path, ("weight",))
                elif isinstance(inner, KeyError) and inner.args == (note.name,):
                    yield Mistake((*path, note.name), _missing(note.type, registry))
                else:
                    yield from mistakes(inner, registry, (*path, note.name))
            for inner in own:
                yield from mistakes(inner, registry, path, more)
        case IterableValidationError():
            for inner, element in error.group_exceptions()[0]:
                yield from mistakes(inner, registry, (*path, element.index))
        case ForbiddenExtraKeysError():
            allowed = sorted([*(field.name for field in attrs.fields(error.cl)), *more])
            for key in sorted(error.extra_fields):
                near = did_you_mean(key, allowed)
                yield Mistake((*path, key), (f"unknown key.{near}", f"allowed: {', '.join(allowed) or 'none'}"))
        case Mismatch():
            yield Mistake(path if error.key is None else (*path, error.key), error.lines)
        case StructureHandlerNotFoundError():
            yield Mistake(path, (f"no TOML value can be given here: {error}",))
        case ValueError() | TypeError() if error.args:
            # the first argument alone: attrs adds the field and the value as further ones
            yield Mistake(path, (str(error.args[0]),))
        case _:
            yield Mistake(path, (f"{type(error).__name__}: {error}",))


def on_offer(kind: str, registry: Registry) -> str:
    """The line that says which names of a kind there are."""
    return f"on offer: {', '.join(registry.names(kind)) or 'none'}"


def describe_type(wanted: Form) -> str:
    """What a type allows, in the words of a TOML file."""
    bare, args = bare_type(wanted), get_args(wanted)
    simple = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    if wanted in simple:
        return simple[wanted]
    if bare is Literal:
        return _alternatives([f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in args])
    if bare in (Union, UnionType):
        return _alternatives([describe_type(arg) for arg in args if arg is not NoneType])
    if wanted is Draw:
        return "a number or a table with low and high, or with choices"
    if wanted is Ramp:
        return "a number or a table with start, end and steps"
    if is_kind(wanted):
        return f"the name of {a_kind(wanted.kind)}, or a table with `use`"
    if bare is Weighted:
        return describe_type(args[0])
    return "a list" if bare is tuple else "a table"


def describe_value(data: object) -> str:
    """A value as a person who wrote TOML would name it."""
    match data:
        case bool():
            return "true" if data else "false"
        case int() | float():
            return str(data)
        case str():
            return f"a string: {data!r}"
        case list():
            return "a list"
        case dict():
            return "a table"
    return f"a date or time: {data}"


def a_kind(kind: str) -> str:
    """A kind with its article: an encoder, a loss."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def bare_type(wanted: Form) -> Form:
    """A type without its arguments: Weighted for Weighted[Loss]."""
    origin: Form = get_origin(wanted)
    return origin or wanted


def is_kind(wanted: Form) -> bool:
    """Whether this is the abstract class of a kind."""
    return any(wanted is kind for kind in KINDS.values())


def _missing(wanted: Form, registry: Registry) -> tuple[str, ...]:
    expected = f"missing: expected {describe_type(wanted)}"
    inner = wanted
    while get_args(inner):
        inner = get_args(inner)[0]  # Loss in tuple[Weighted[Loss], ...]
    return (expected, on_offer(inner.kind, registry)) if is_kind(inner) else (expected,)


def _alternatives(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
