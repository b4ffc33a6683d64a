"""Experiment files: TOML to a frozen Experiment and back.

extends = "quick.toml"      a table without `use` merges into what it extends; anything else replaces it
[loss]
use = "focal"               the other keys are the component's; `loss = "focal"` is short for a table with `use` alone
[head]
density = 0.2               merges into the head of quick.toml, be that a table or a bare string
[evaluation.cells.large]    merges into [stream] in the same way, and so does the stream of a [[curriculum]]
variables = 50
[embeddings.counts]         merges into [embedding], for the specialist called counts
levels = 4
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli_w

from tabscm.kernel import files, strict
from tabscm.kernel.errors import ConfigError, Problem
from tabscm.kernel.experiment import Experiment, Network, Weighted
from tabscm.kernel.files import Data
from tabscm.kernel.interfaces import Component
from tabscm.kernel.mistakes import KeyPath, Mistake
from tabscm.kernel.registry import Registry
from tabscm.kernel.values import Draw, Ramp


def load(path: Path | str, registry: Registry, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment file.

    Args:
        path: the file.
        registry: the components it may use.
        overrides: `key.path=value`, each of which sets one scalar.

    Raises:
        ConfigError: every mistake of the file, of the files it extends, and of the overrides.
    """
    layers = list(files.layers(Path(path)))
    data: Data = {}
    for _, layer in reversed(layers):
        data = files.merge(data, layer)
    problems = []
    set_here = {}
    for override in overrides:
        try:
            set_here[files.override(data, override)] = override
        except files.BadOverride as error:
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


def load_network(path: Path | str, registry: Registry) -> Network:
    """Read the file of a network alone, as `dump` writes it: nothing extends another here, nothing is overridden.

    Raises:
        ConfigError: every mistake of the file.
    """
    network, mistakes = strict.structure(files.parse(Path(path)), Network, registry)
    if network is None:
        raise ConfigError(str(path), [Problem(_show(mistake.path), mistake.lines) for mistake in mistakes])
    return network


def vary(experiment: Experiment, swaps: Iterable[tuple[str, str]], registry: Registry) -> Experiment:
    """The experiment with other values at some keys, see `files.swap`.

    Args:
        experiment: stays as it is. Its cells have their own copy of the stream, and specialists that differ their own
            of the embedding, which a swap in either does not reach.
        swaps: (key.path, value), done in this order.
        registry: the components it may use.

    Raises:
        ConfigError: every mistake of the swaps and of the experiment they make.
    """
    data = to_data(experiment)
    swaps = list(swaps)
    source = " ".join(f"--swap {key}={value}" for key, value in swaps)
    problems = []
    for key, value in swaps:
        try:
            files.swap(data, key, value)
        except files.BadOverride as error:
            problems.append(Problem(key, (str(error),)))
    if problems:
        raise ConfigError(source, problems)
    return structure(data, registry, source)


def to_data(experiment: Experiment) -> Data:
    """The whole experiment as plain data, defaults included; `structure` makes an equal experiment of it."""
    return _table(experiment)


def dump(whole: Experiment | Network) -> str:
    """A whole experiment, or a network alone, as TOML, defaults included."""
    return tomli_w.dumps(_table(whole))


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


def _structure(data: Mapping[str, Any], registry: Registry) -> tuple[Experiment | None, list[Mistake]]:
    """Structure with cells and levels laid on the stream, and embeddings of specialists on that of all; what is wrong
    with those is not repeated in each."""
    filled: Any = data
    differing = {}
    for base, path, table in _differing(data):
        differing[path] = table
        filled = _with(filled, path, files.merge(base, table))
    experiment, mistakes = strict.structure(filled, Experiment, registry)
    return experiment, [mistake for mistake in mistakes if not _repeated(mistake.path, differing)]


def _differing(data: Mapping[str, Any]) -> Iterator[tuple[Data, KeyPath, Data]]:
    """Every table that says only where it differs from another: that one, its own path, and the table."""
    stream, evaluation, curriculum = (data.get(key) for key in ("stream", "evaluation", "curriculum"))
    embedding, embeddings = data.get("embedding"), data.get("embeddings")
    cells = evaluation.get("cells") if isinstance(evaluation, dict) else None
    found: list[tuple[object, KeyPath, object]] = [
        *((stream, ("evaluation", "cells", name), cell) for name, cell in _entries(cells)),
        *(
            (stream, ("curriculum", index, "stream"), level.get("stream"))
            for index, level in enumerate(curriculum if isinstance(curriculum, list) else ())
            if isinstance(level, dict)
        ),
        *((embedding, ("embeddings", name), own) for name, own in _entries(embeddings)),
    ]
    for base, path, table in found:
        base = {"use": base} if isinstance(base, str) else base
        if isinstance(base, dict) and isinstance(table, dict):
            yield base, path, table


def _entries(table: object) -> Iterable[tuple[str, object]]:
    return table.items() if isinstance(table, dict) else ()


def _with(data: Any, path: KeyPath, value: object) -> object:  # noqa: ANN401 - tables and lists, as TOML holds them
    """A copy of `data` in which `path` holds `value`."""
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = _with(data[path[0]], path[1:], value)
    return copy


def _repeated(path: KeyPath, differing: Mapping[KeyPath, Data]) -> bool:
    """Whether this is the mistake of a table in a key that it took over from the one it differs from."""
    return any(
        path[: len(start)] == start and len(path) > len(start) and not _writes(table, path[len(start) :])
        for start, table in differing.items()
    )


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
    source = next((source for source, layer in layers if _writes(layer, mistake.path)), top)
    return () if source == top else (f"written in {source}",)


def _show(path: KeyPath) -> str:
    """A path as a person would type it: stream.mechanisms[2].frequency."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if re.fullmatch(r"[\w-]+", key) else f'"{key}"')
    return text or "the file"


def plain(value: object) -> object:
    """A value as TOML would hold it."""
    match value:
        case Weighted():
            return {"use": value.component.name, "weight": plain(value.weight), **_table(value.component)}
        case Component():
            return {"use": value.name, **_table(value)}
        case Draw(low=float(low)) if value == Draw.constant(low):
            return low
        case Ramp(start=start) if value == Ramp.constant(start):
            return start
        case tuple():
            return [plain(element) for element in value]
        case dict():
            return {key: plain(element) for key, element in value.items()}
    return _table(value) if attrs.has(type(value)) else value


def _table(value: object) -> Data:
    """The fields of an attrs value. TOML has no None: only the lack of a key can mean it, and so it does here."""
    return {key: plain(inner) for key, inner in _fields(value).items() if inner is not None}


def _fields(value: object) -> dict[str, object]:
    """The fields of an attrs value, none of anything else."""
    cls = type(value)
    return {field.name: getattr(value, field.name) for field in attrs.fields(cls)} if attrs.has(cls) else {}
