"""Experiment files: TOML to a frozen Experiment and back.

extends = "quick.toml"      a table without `use` merges into what it extends; anything else replaces it
[loss]
use = "focal"               the other keys are the component's; `loss = "focal"` is short for a table with `use` alone
[head]
density = 0.2               merges into the head of quick.toml, be that a table or a bare string
[evaluation.cells.large]    merges into [stream] in the same way
variables = 50
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli
import tomli_w

from tabscm.kernel import strict
from tabscm.kernel.errors import ConfigError, Problem
from tabscm.kernel.experiment import Experiment, Weighted
from tabscm.kernel.interfaces import Component
from tabscm.kernel.registry import Registry
from tabscm.kernel.strict import KeyPath, Mistake
from tabscm.kernel.values import Draw, Ramp

Data = dict[str, Any]
"""What a TOML file holds: tables, lists and scalars."""


def load(path: Path | str, registry: Registry, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment file.

    Args:
        path: the file.
        registry: the components it may use.
        overrides: `key.path=value`, each of which sets one scalar.

    Raises:
        ConfigError: every mistake of the file, of the files it extends, and of the overrides.
    """
    layers = list(_layers(Path(path)))
    data: Data = {}
    for _, layer in reversed(layers):
        data = _merge(data, layer)
    problems = []
    set_here = {}
    for override in overrides:
        try:
            set_here[_override(data, override)] = override
        except _BadOverride as error:
            problems.append(Problem(f"--set {override}", (str(error),)))
    experiment, mistakes = _structure(data, registry)
    for mistake in mistakes:
        origin = _written_in(mistake, layers, set_here)
        problems.append(Problem(_show(mistake.path), (*mistake.lines, *origin)))
    if problems or experiment is None:
        raise ConfigError(str(path), problems)
    return experiment


def structure(data: Mapping[str, Any], registry: Registry, source: str) -> Experiment:
    """Build the experiment that plain data describes.

    Raises:
        ConfigError: every mistake, found in the place called `source`.
    """
    experiment, mistakes = _structure(data, registry)
    if experiment is None:
        raise ConfigError(source, [Problem(_show(mistake.path), mistake.lines) for mistake in mistakes])
    return experiment


def to_data(experiment: Experiment) -> Data:
    """The whole experiment as plain data, defaults included; `structure` makes an equal experiment of it."""
    return _table(experiment)


def dump(experiment: Experiment) -> str:
    """The whole experiment as TOML, defaults included."""
    return tomli_w.dumps(to_data(experiment))


def components(value: object) -> Iterator[Component]:
    """Every component in an experiment or in a part of it, those inside other components too."""
    if isinstance(value, Component):
        yield value
    inner = (
        value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else _fields(value).values()
    )
    for part in inner:
        yield from components(part)


def origins(experiment: Experiment, registry: Registry) -> dict[str, dict[str, str]]:
    """Who brought each component of an experiment: {"loss/focal": {"distribution": ..., "version": ...}}, sorted."""
    found = {}
    for component in components(experiment):
        origin = registry.origin(type(component))
        if origin is not None:
            found[f"{component.kind}/{component.name}"] = {
                "distribution": origin.distribution,
                "version": origin.version,
            }
    return dict(sorted(found.items()))


# Files --------------------------------------------------------------------------------------------------------------


def _layers(path: Path) -> Iterator[tuple[str, Data]]:
    """The file, then the file it extends, and so on, each without its `extends`."""
    seen: list[Path] = []
    while True:
        data = _parse(path)
        seen.append(path.resolve())
        base = data.pop("extends", None)
        yield str(path), data
        if base is None:
            return
        if not isinstance(base, str):
            raise ConfigError(str(path), [Problem("extends", ("expected the path of one file, as a string",))])
        below = path.parent / base
        if below.resolve() in seen:
            circle = " -> ".join(file.name for file in [*seen[seen.index(below.resolve()) :], below])
            raise ConfigError(str(path), [Problem("extends", (f"goes round in a circle: {circle}",))])
        if not below.is_file():
            raise ConfigError(str(path), [Problem("extends", (f"there is no file {below}",))])
        path = below


def _parse(path: Path) -> Data:
    try:
        raw = path.read_bytes()
        return tomli.loads(raw.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(str(path), [Problem("the file", ("does not exist",))]) from None
    except OSError as error:
        raise ConfigError(str(path), [Problem("the file", (f"cannot be read: {error.strerror}",))]) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError(str(path), [Problem(f"line {line}", (found,))]) from None
    except tomli.TOMLDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(str(path), [Problem(where, (f"not TOML: {error.msg}",))]) from None


def _merge(under: Data, over: Data) -> Data:
    """The table `over` laid on the table `under`: tables merge, anything else replaces."""
    if "use" in over:
        return over
    merged = dict(under)
    if "use" not in under:
        for key in _contradicted(under, over):
            merged.pop(key, None)
    for key, value in over.items():
        below = _as_table(under.get(key))
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _contradicted(under: Data, over: Data) -> tuple[str, ...]:
    """The keys of a Draw that end when the other way to write one is laid on it. Cells may have these names too."""
    if isinstance(over.get("choices"), list):
        return ("low", "high", "scale")
    if isinstance(under.get("choices"), list) and ("low" in over or "high" in over):
        return ("choices",)
    return ()


def _as_table(value: object) -> object:
    """A bare string is short for a table with `use`, and is read as one when something is laid on it."""
    return {"use": value} if isinstance(value, str) else value


# Overrides ----------------------------------------------------------------------------------------------------------


class _BadOverride(Exception):
    pass


def _override(data: Data, text: str) -> KeyPath:
    """Set one scalar of `data`, and return its path."""
    dotted, equals, value = text.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise _BadOverride("expected key.path=value, such as trainer.steps=200")
    scalar = _scalar(value.strip())
    table: Any = data
    for depth, key in enumerate(keys[:-1]):
        table[key] = _as_table(table.get(key, {}))
        table = table[key]
        if not isinstance(table, dict):
            raise _BadOverride(f"{'.'.join(keys[: depth + 1])} is not a table, so nothing in it can be set")
    if isinstance(table.get(keys[-1]), dict | list):
        what = "table" if isinstance(table[keys[-1]], dict) else "list"
        raise _BadOverride(f"{dotted.strip()} is a {what}; only one number, string or true or false can be set")
    table[keys[-1]] = scalar
    return tuple(keys)


def _scalar(text: str) -> object:
    """A TOML scalar, or a bare word as a string."""
    if re.fullmatch(r"[A-Za-z][\w.-]*", text) and text not in ("true", "false", "nan", "inf"):
        return text
    try:
        parsed = tomli.loads(f"value = {text}")
    except tomli.TOMLDecodeError:
        raise _BadOverride(
            f"{text!r} is no TOML value: write a number, true, false, a word or a quoted string"
        ) from None
    if parsed.keys() != {"value"} or isinstance(parsed["value"], dict | list):
        raise _BadOverride("one value only: a number, true, false, a word or a quoted string")
    return parsed["value"]


# Mistakes -----------------------------------------------------------------------------------------------------------


def _structure(data: Mapping[str, Any], registry: Registry) -> tuple[Experiment | None, list[Mistake]]:
    """Structure with the cells laid on the stream; what is wrong with the stream is not repeated cell by cell."""
    experiment, mistakes = strict.structure(_fill_cells(data), registry)
    return experiment, [mistake for mistake in mistakes if not _repeated(mistake.path, data)]


def _fill_cells(data: Mapping[str, Any]) -> Data:
    stream, evaluation = data.get("stream"), data.get("evaluation")
    cells = evaluation.get("cells") if isinstance(evaluation, dict) else None
    if not isinstance(stream, dict) or not isinstance(evaluation, dict) or not isinstance(cells, dict):
        return dict(data)
    filled = {name: _merge(stream, cell) if isinstance(cell, dict) else cell for name, cell in cells.items()}
    return {**data, "evaluation": {**evaluation, "cells": filled}}


def _repeated(path: KeyPath, data: Mapping[str, Any]) -> bool:
    """Whether this is the mistake of a cell in a key that the cell took over from the stream."""
    return path[:2] == ("evaluation", "cells") and len(path) > 3 and not _writes(data, path)


def _writes(data: object, path: KeyPath) -> bool:
    """Whether `data` holds the value at `path` itself, or a list or a component around it."""
    for key in path:
        if not isinstance(data, dict) or "use" in data:
            return True
        if key not in data:
            return False
        data = data[key]
    return True


def _written_in(mistake: Mistake, layers: list[tuple[str, Data]], set_here: Mapping[KeyPath, str]) -> tuple[str, ...]:
    """A line that says where the value was written, unless that is the file itself or nowhere."""
    if mistake.path in set_here:
        return (f"set by --set {set_here[mistake.path]}",)
    top = layers[0][0]
    source = next((source for source, layer in layers if _holds(layer, mistake.path)), top)
    return () if source == top else (f"written in {source}",)


def _holds(data: Any, path: KeyPath) -> bool:  # noqa: ANN401 - tables, lists and scalars, whatever TOML holds
    try:
        for key in path:
            if key == "use" and isinstance(data, str):
                return True
            data = data[key]
    except (LookupError, TypeError):
        return False
    return True


def _show(path: KeyPath) -> str:
    """A path as a person would type it: stream.mechanisms[2].frequency."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if re.fullmatch(r"[\w-]+", key) else f'"{key}"')
    return text or "the file"


# Back to plain data -------------------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    """A value as TOML would hold it."""
    match value:
        case Weighted():
            return {"use": value.component.name, "weight": _plain(value.weight), **_table(value.component)}
        case Component():
            return {"use": value.name, **_table(value)}
        case Draw(low=float(low)) if value == Draw.constant(low):
            return low
        case Ramp(start=start) if value == Ramp.constant(start):
            return start
        case tuple():
            return [_plain(element) for element in value]
        case dict():
            return {key: _plain(element) for key, element in value.items()}
    return _table(value) if attrs.has(type(value)) else value


def _table(value: object) -> Data:
    """The fields of an attrs value. TOML has no None: only the lack of a key can mean it, and so it does here."""
    return {key: _plain(inner) for key, inner in _fields(value).items() if inner is not None}


def _fields(value: object) -> dict[str, object]:
    """The fields of an attrs value, none of anything else."""
    cls = type(value)
    return {field.name: getattr(value, field.name) for field in attrs.fields(cls)} if attrs.has(cls) else {}
