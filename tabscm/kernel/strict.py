"""Plain data to a frozen Experiment: strict hooks for cattrs, and the walk that turns its errors into mistakes.

cattrs by itself turns 3.7 into 3, "false" into True and "abc" into ("a", "b", "c"), and stops at the first validator.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import (
    BaseValidationError,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.errors import StructureHandlerNotFoundError
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn, override

from tabscm.kernel.errors import PluginError, did_you_mean
from tabscm.kernel.experiment import Experiment, Weighted
from tabscm.kernel.interfaces import KINDS, Component
from tabscm.kernel.registry import Registry
from tabscm.kernel.values import Draw, Ramp

KeyPath = tuple[str | int, ...]
"""Where in an experiment: ("stream", "mechanisms", 2, "frequency")."""

Form = Any
"""A type as an annotation writes it: int, Literal["a", "b"], tuple[Weighted[Loss], ...]."""

Hook = Callable[[object, Form], object]
"""(data, wanted type) -> value, as cattrs calls it."""


@attrs.frozen
class Mistake:
    """What is wrong with the value at `path`."""

    path: KeyPath
    lines: tuple[str, ...]


def structure(data: object, registry: Registry) -> tuple[Experiment | None, list[Mistake]]:
    """Build the experiment that `data` describes, or find every mistake in it."""
    try:
        return _converter(registry).structure(data, Experiment), []
    except (BaseValidationError, _Mismatch) as error:
        return None, list(_mistakes(error, registry))


# Hooks --------------------------------------------------------------------------------------------------------------


class _Mismatch(Exception):
    """A value that its type does not allow. `key` when the fault lies one level deeper."""

    def __init__(self, *lines: str, key: str | None = None) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.key = key


def _converter(registry: Registry) -> Converter:
    """A converter that coerces nothing and knows the components of `registry`. Hooks registered later go first."""
    converter = Converter(detailed_validation=True, forbid_extra_keys=True)
    of_fields = partial(_fields, converter)
    for scalar in (bool, int, float, str):
        converter.register_structure_hook(scalar, _scalar)
    converter.register_structure_hook(bytes, _no_list)
    converter.register_structure_hook_func(_is_iterable, _no_list)
    converter.register_structure_hook_func(_is(Literal), _literal)
    converter.register_structure_hook_factory(_is(tuple), partial(_list, converter))
    converter.register_structure_hook_factory(_is(dict), partial(_mapping, converter))
    converter.register_structure_hook_factory(
        lambda wanted: attrs.has(_bare(wanted)), lambda wanted: _only(dict, of_fields(wanted))
    )
    for value in (Draw, Ramp):
        converter.register_structure_hook(value, _number_or(of_fields(value)))
    converter.register_structure_hook_factory(_is(Weighted), lambda wanted: _weighted(of_fields(wanted)))
    converter.register_structure_hook_func(_is_kind, _component(registry, converter))
    return converter


def _bare(wanted: Form) -> Form:
    """A type without its arguments: Weighted for Weighted[Loss]."""
    origin: Form = get_origin(wanted)
    return origin or wanted


def _is(bare: Form) -> Callable[[Form], bool]:
    return lambda wanted: _bare(wanted) is bare


def _is_iterable(wanted: Form) -> bool:
    bare = _bare(wanted)
    return isinstance(bare, type) and issubclass(bare, Iterable)


def _is_kind(wanted: Form) -> bool:
    return any(wanted is kind for kind in KINDS.values())


def _scalar(data: object, wanted: Form) -> object:
    if type(data) is int and wanted is float:
        return float(data)
    if type(data) is not wanted:
        raise _Mismatch(f"expected {_describe(wanted)}, found {_found(data)}")
    if isinstance(data, float) and not math.isfinite(data):
        raise _Mismatch(f"expected a finite number, found {data}")
    return data


def _literal(data: object, wanted: Form) -> object:
    choices = get_args(wanted)
    if not any(type(data) is type(choice) and data == choice for choice in choices):
        near = (
            did_you_mean(data, [choice for choice in choices if isinstance(choice, str)])
            if isinstance(data, str)
            else ""
        )
        raise _Mismatch(f"expected {_describe(wanted)}, found {_found(data)}{'.' if near else ''}{near}")
    return data


def _list(converter: Converter, wanted: Form) -> Hook:
    if get_args(wanted)[1:] != (...,):
        return _no_list
    hook: Hook = homogenous_tuple_structure_factory(wanted, converter)
    return _only(list, hook)


def _no_list(_: object, wanted: Form) -> object:
    """cattrs would make any iterable of any iterable: ["a", "b", "c"] of "abc"."""
    name = wanted.__name__ if isinstance(wanted, type) else wanted
    raise StructureHandlerNotFoundError(f"the field is {name}; use tuple[X, ...] or dict[str, X]", wanted)


def _mapping(converter: Converter, wanted: Form) -> Hook:
    hook: Hook = make_mapping_structure_fn(wanted, converter)  # type: ignore[assignment]
    return _only(dict, hook)


def _only(found: type, hook: Hook) -> Hook:
    def structure(data: object, wanted: Form) -> object:
        if not isinstance(data, found):
            raise _Mismatch(f"expected {_describe(wanted)}, found {_found(data)}")
        return hook(data, wanted)

    return structure


def _fields(converter: Converter, wanted: Form) -> Hook:
    """A table whose keys are the fields of an attrs class. Validators run field by field, so that each is heard."""
    hooks = {field.name: override(struct_hook=_validated(field, converter)) for field in attrs.fields(_bare(wanted))}
    table: Hook = make_dict_structure_fn(wanted, converter, **hooks)  # type: ignore[arg-type, assignment]
    return table


def _validated(field: "attrs.Attribute[Any]", converter: Converter) -> Hook:
    def structure(data: object, wanted: Form) -> object:
        value = converter.structure(data, wanted)
        if field.validator is not None:
            # one that reads other fields fails here, without an instance; the constructor will ask it again
            with suppress(AttributeError):
                field.validator(None, field, value)
        return value

    return structure


def _number_or(table: Hook) -> Hook:
    """A Draw or a Ramp: a bare number is short for the constant one."""

    def structure(data: object, wanted: Form) -> object:
        if isinstance(data, dict):
            return table(data, wanted)
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise _Mismatch(f"expected {_describe(wanted)}, found {_found(data)}")
        return wanted.constant(_scalar(data, float))

    return structure


def _weighted(table: Hook) -> Hook:
    """A component with a weight, one table in TOML: take the weight out, and leave the rest to the component."""

    def structure(data: object, wanted: Form) -> object:
        if not isinstance(data, dict) or "weight" not in data:
            return table({"component": data}, wanted)
        own = {key: value for key, value in data.items() if key != "weight"}
        return table({"component": own, "weight": data["weight"]}, wanted)

    return structure


def _component(registry: Registry, converter: Converter) -> Hook:
    """A component: `use` says which, the other keys are its fields. A bare string is short for a table with `use`."""

    def structure(data: object, wanted: Form) -> object:
        kind = wanted.kind
        if not isinstance(data, str | dict):
            raise _Mismatch(f"expected {_describe(wanted)}, found {_found(data)}", _on_offer(kind, registry))
        if isinstance(data, str):
            return converter.structure({}, _find(kind, data, None, registry))
        if "use" not in data:
            raise _Mismatch(f"missing: expected the name of {_a(kind)}", _on_offer(kind, registry), key="use")
        name = data["use"]
        if not isinstance(name, str):
            raise _Mismatch(
                f"expected the name of {_a(kind)}, found {_found(name)}", _on_offer(kind, registry), key="use"
            )
        own = {key: value for key, value in data.items() if key != "use"}
        return converter.structure(own, _find(kind, name, "use", registry))

    return structure


def _find(kind: str, name: str, key: str | None, registry: Registry) -> type[Component]:
    try:
        return registry.find(kind, name)
    except PluginError as error:
        raise _Mismatch(*str(error).splitlines(), key=key) from None


# Mistakes -----------------------------------------------------------------------------------------------------------


def _mistakes(
    error: Exception, registry: Registry, path: KeyPath = (), more: tuple[str, ...] = ()
) -> Iterator[Mistake]:
    """Every mistake in an error of cattrs, which is a tree like the data. `more` are keys allowed beside the fields."""
    match error:
        case ClassValidationError():
            noted, own = error.group_exceptions()
            for inner, note in noted:
                if _bare(error.cl) is Weighted and note.name == "component":
                    # the component's keys and its weight share a table
                    yield from _mistakes(inner, registry, path, ("weight",))
                elif isinstance(inner, KeyError) and inner.args == (note.name,):
                    yield Mistake((*path, note.name), _missing(note.type, registry))
                else:
                    yield from _mistakes(inner, registry, (*path, note.name))
            for inner in own:
                yield from _mistakes(inner, registry, path, more)
        case IterableValidationError():
            for inner, element in error.group_exceptions()[0]:
                yield from _mistakes(inner, registry, (*path, element.index))
        case ForbiddenExtraKeysError():
            allowed = sorted([*(field.name for field in attrs.fields(error.cl)), *more])
            for key in sorted(error.extra_fields):
                near = did_you_mean(key, allowed)
                yield Mistake((*path, key), (f"unknown key.{near}", f"allowed: {', '.join(allowed) or 'none'}"))
        case _Mismatch():
            yield Mistake(path if error.key is None else (*path, error.key), error.lines)
        case StructureHandlerNotFoundError():
            yield Mistake(path, (f"no TOML value can be given here: {error}",))
        case ValueError() | TypeError() if error.args:
            # the first argument alone: attrs adds the field and the value as further ones
            yield Mistake(path, (str(error.args[0]),))
        case _:
            yield Mistake(path, (f"{type(error).__name__}: {error}",))


def _missing(wanted: Form, registry: Registry) -> tuple[str, ...]:
    expected = f"missing: expected {_describe(wanted)}"
    inner = wanted
    while get_args(inner):
        inner = get_args(inner)[0]  # Loss in tuple[Weighted[Loss], ...]
    return (expected, _on_offer(inner.kind, registry)) if _is_kind(inner) else (expected,)


def _on_offer(kind: str, registry: Registry) -> str:
    return f"on offer: {', '.join(registry.names(kind)) or 'none'}"


def _describe(wanted: Form) -> str:
    """What a type allows, in the words of a TOML file."""
    bare, args = _bare(wanted), get_args(wanted)
    simple = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    if wanted in simple:
        return simple[wanted]
    if bare is Literal:
        return _alternatives([f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in args])
    if bare in (Union, UnionType):
        return _alternatives([_describe(arg) for arg in args if arg is not NoneType])
    if wanted is Draw:
        return "a number or a table with low and high, or with choices"
    if wanted is Ramp:
        return "a number or a table with start, end and steps"
    if _is_kind(wanted):
        return f"the name of {_a(wanted.kind)}, or a table with `use`"
    if bare is Weighted:
        return _describe(args[0])
    return "a list" if bare is tuple else "a table"


def _found(data: object) -> str:
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


def _alternatives(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
