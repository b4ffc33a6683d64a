"""Plain data to a frozen Experiment or Network: strict hooks for cattrs.

cattrs by itself turns 3.7 into 3, "false" into True and "abc" into ("a", "b", "c"), and stops at the first validator.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import attrs
from cattrs import BaseValidationError, Converter
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.errors import StructureHandlerNotFoundError
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn, override

from tabscm.kernel.errors import PluginError, did_you_mean
from tabscm.kernel.experiment import MOST_OF_NETWORK, Weighted
from tabscm.kernel.interfaces import Component, Embedding, Encoder, Head
from tabscm.kernel.mistakes import (
    Form,
    Mismatch,
    Mistake,
    a_kind,
    bare_type,
    describe_type,
    describe_value,
    is_kind,
    mistakes,
    on_offer,
)
from tabscm.kernel.registry import Registry
from tabscm.kernel.values import Draw, Ramp

Hook = Callable[[object, Form], object]
"""(data, wanted type) -> value, as cattrs calls it."""

T = TypeVar("T")


def structure(data: object, wanted: type[T], registry: Registry) -> tuple[T | None, list[Mistake]]:
    """Build the value that `data` describes, or find every mistake in it."""
    try:
        return _converter(registry).structure(data, wanted), []
    except (BaseValidationError, Mismatch) as error:
        return None, list(mistakes(error, registry))


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
        lambda wanted: attrs.has(bare_type(wanted)), lambda wanted: _only(dict, of_fields(wanted))
    )
    for value in (Draw, Ramp):
        converter.register_structure_hook(value, _number_or(of_fields(value)))
    converter.register_structure_hook_factory(_is(Weighted), lambda wanted: _weighted(of_fields(wanted)))
    converter.register_structure_hook_func(is_kind, _component(registry, converter))
    return converter


def _is(bare: Form) -> Callable[[Form], bool]:
    return lambda wanted: bare_type(wanted) is bare


def _is_iterable(wanted: Form) -> bool:
    bare = bare_type(wanted)
    return isinstance(bare, type) and issubclass(bare, Iterable)


def _scalar(data: object, wanted: Form) -> object:
    if type(data) is int and wanted is float:
        if abs(data) >= 2**1023:
            raise Mismatch("expected a finite number, found one beyond the largest 64-bit number")
        return float(data)
    if type(data) is not wanted:
        raise Mismatch(f"expected {describe_type(wanted)}, found {describe_value(data)}")
    if isinstance(data, float) and not math.isfinite(data):
        raise Mismatch(f"expected a finite number, found {data}")
    return data


def _literal(data: object, wanted: Form) -> object:
    choices = get_args(wanted)
    if not any(type(data) is type(choice) and data == choice for choice in choices):
        near = (
            did_you_mean(data, [choice for choice in choices if isinstance(choice, str)])
            if isinstance(data, str)
            else ""
        )
        raise Mismatch(f"expected {describe_type(wanted)}, found {describe_value(data)}{'.' if near else ''}{near}")
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
            raise Mismatch(f"expected {describe_type(wanted)}, found {describe_value(data)}")
        return hook(data, wanted)

    return structure


def _fields(converter: Converter, wanted: Form) -> Hook:
    """A table whose keys are the fields of an attrs class. Validators run field by field, so that each is heard."""
    hooks = {
        field.name: override(struct_hook=_validated(field, converter)) for field in attrs.fields(bare_type(wanted))
    }
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
            raise Mismatch(f"expected {describe_type(wanted)}, found {describe_value(data)}")
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
            raise Mismatch(f"expected {describe_type(wanted)}, found {describe_value(data)}", on_offer(kind, registry))
        if isinstance(data, str):
            return _bounded(converter.structure({}, _find(kind, data, None, registry)))
        if "use" not in data:
            raise Mismatch(f"missing: expected the name of {a_kind(kind)}", on_offer(kind, registry), key="use")
        name = data["use"]
        if not isinstance(name, str):
            raise Mismatch(
                f"expected the name of {a_kind(kind)}, found {describe_value(name)}",
                on_offer(kind, registry),
                key="use",
            )
        own = {key: value for key, value in data.items() if key != "use"}
        return _bounded(converter.structure(own, _find(kind, name, "use", registry)))

    return structure


def _bounded(component: object) -> object:
    """The component, when no size of it is beyond what a network has: building one makes as many modules."""
    if isinstance(component, Embedding | Encoder | Head):
        for field in attrs.fields(type(component)):  # type: ignore[arg-type]
            value = getattr(component, field.name)
            if type(value) is int and value > MOST_OF_NETWORK:
                raise Mismatch(
                    f"{field.name} must be at most {MOST_OF_NETWORK}, found {_digits(value)}", key=field.name
                )
    return component


def _digits(value: int) -> str:
    """A whole number, or that it is a long one: Python writes out no more than 4300 digits."""
    return str(value) if value < 10**30 else "one of more than 30 digits"


def _find(kind: str, name: str, key: str | None, registry: Registry) -> type[Component]:
    try:
        return registry.find(kind, name)
    except PluginError as error:
        raise Mismatch(*str(error).splitlines(), key=key) from None
