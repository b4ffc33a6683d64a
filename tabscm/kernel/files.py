"""Experiment files as plain data: what a file extends, how tables merge, what --set overrides and --swap replaces."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tomli

from tabscm.kernel.errors import ConfigError, Problem
from tabscm.kernel.mistakes import KeyPath

MOST = 1 << 23
"""Bytes of a file; that of the released network, with all defaults written out, is a four-hundredth of it."""
DEEPEST = 50
"""Tables and lists inside each other; components that hold components seldom need 10."""

Data = dict[str, Any]
"""What a TOML file holds: tables, lists and scalars."""


def layers(path: Path) -> Iterator[tuple[str, Data]]:
    """The file, then the files it extends, and so on, each without its `extends`; each is laid on those after it.

    `extends` is one file, or a list in which each file is laid on those before it. Only the first of a list may extend
    another itself: what two of them share would be laid twice, and undo what lies between.

    Raises:
        ConfigError: one of them cannot be read, is not TOML, or extends what it cannot.
    """
    seen: list[Path] = []
    below: Path | None = path
    while below is not None:
        path, data = below, parse(below)
        seen.append(path.resolve())
        bases = _bases(path, data, seen)
        yield str(path), data
        for overlay in reversed(bases[1:]):
            laid = parse(overlay)
            if "extends" in laid:
                raise ConfigError(str(path), [Problem("extends", (f"{overlay} extends another; put it first",))])
            yield str(overlay), laid
        below = bases[0] if bases else None


def _bases(path: Path, data: Data, seen: list[Path]) -> list[Path]:
    """Take `extends` out of the file at `path`: the files it names."""
    found = data.pop("extends", [])
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(str(path), [Problem("extends", ("expected the path of a file, or a list of them",))])
    bases = [path.parent / name for name in names]
    for base in bases:
        if base.resolve() in seen:
            circle = " -> ".join(file.name for file in [*seen[seen.index(base.resolve()) :], base])
            raise ConfigError(str(path), [Problem("extends", (f"goes round in a circle: {circle}",))])
        if not base.is_file():
            raise ConfigError(
                str(path),
                [Problem("extends", (f"there is no file {base}; the path starts at the folder of this file",))],
            )
    return bases


def parse(path: Path) -> Data:
    """One TOML file by itself, `extends` and all.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    text = read_text(path)
    try:
        data = tomli.loads(text)
        if _deeper(data, DEEPEST):
            raise RecursionError
        return data
    except tomli.TOMLDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(str(path), [Problem(where, (f"not TOML: {error.msg}",))]) from None
    except RecursionError:
        found = f"tables and lists are nested deeper than {DEEPEST} times"
        raise ConfigError(str(path), [Problem("the file", (found,))]) from None
    except ValueError as error:  # of numbers and dates that Python does not hold
        raise ConfigError(str(path), [Problem("the file", (f"not TOML: {error}",))]) from None


def read_text(path: Path) -> str:
    """A file of UTF-8 text, with or without a byte order mark.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST + 1)
        if len(raw) > MOST:
            found = f"is larger than {MOST:,} bytes, which none is that people write"
            raise ConfigError(str(path), [Problem("the file", (found,))])
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(str(path), [Problem("the file", ("does not exist",))]) from None
    except IsADirectoryError:
        raise ConfigError(str(path), [Problem("the file", ("is a folder; name a TOML file in it",))]) from None
    except OSError as error:
        raise ConfigError(str(path), [Problem("the file", (f"cannot be read: {error.strerror}",))]) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError(str(path), [Problem(f"line {line}", (found,))]) from None


def _deeper(data: object, depth: int) -> bool:
    """Whether tables and lists are nested deeper than `depth`."""
    layer: list[object] = [data]
    for _ in range(depth):
        layer = [inner for one in layer for inner in _inside(one)]
        if not layer:
            return False
    return True


def _inside(one: object) -> Iterable[object]:
    return one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def merge(under: Data, over: Data) -> Data:
    """The table `over` laid on the table `under`: tables merge, anything else replaces."""
    if "use" in over:
        return over
    merged = dict(under)
    if "use" not in under:
        for key in _contradicted(under, over):
            merged.pop(key, None)
    for key, value in over.items():
        below = _as_table(under.get(key))
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _contradicted(under: Data, over: Data) -> tuple[str, ...]:
    """The keys of a Draw that end when another is laid on it: one of the other kind, or one that says its scale anew,
    and with it whether values are few. Cells may have these names too."""
    if isinstance(over.get("choices"), list):
        return ("low", "high", "scale", "per_decade")
    if isinstance(under.get("choices"), list) and ("low" in over or "high" in over):
        return ("choices",)
    if isinstance(over.get("scale"), str):
        return ("per_decade",)
    return ()


def _as_table(value: object) -> object:
    """A bare string is short for a table with `use`, and is read as one when something is laid on it."""
    return {"use": value} if isinstance(value, str) else value


class BadOverride(Exception):
    """What is wrong with an override."""


def override(data: Data, text: str) -> KeyPath:
    """Set one scalar of `data`, as `key.path=value` says, and return its path.

    Raises:
        BadOverride: the text is none, or what it addresses is no scalar.
    """
    dotted, equals, value = text.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise BadOverride("expected key.path=value, such as trainer.steps=200")
    scalar = _scalar(value.strip())
    table = _table_of(data, keys)
    if isinstance(table.get(keys[-1]), dict | list):
        what = "table" if isinstance(table[keys[-1]], dict) else "list"
        raise BadOverride(f"{dotted.strip()} is a {what}; only one number, string or true or false can be set")
    table[keys[-1]] = scalar
    return tuple(keys)


def swap(data: Data, dotted: str, value: str) -> None:
    """Put `value` at a key of `data`: the name of a component, a scalar, or a TOML file whose content is laid there.

    A component that is there already keeps its settings; any other comes with its defaults. A list becomes the list of
    this one value.

    Raises:
        BadOverride: the key or the value is none.
        ConfigError: the file cannot be read.
    """
    keys = [key.strip() for key in dotted.split(".")]
    if not all(keys):
        raise BadOverride("expected a key, such as embedding or trainer.lr")
    table = _table_of(data, keys)
    there = table.get(keys[-1])
    new: Any
    if value.endswith(".toml"):
        new = {}
        for _, layer in reversed(list(layers(Path(value)))):
            new = merge(new, layer)
        below = _as_table(there)
        new = merge(below, new) if isinstance(below, dict) else new
    else:
        new = _scalar(value)
    if isinstance(there, list):
        new = [new]
    elif isinstance(there, dict) and there.get("use", there) == new:
        return
    table[keys[-1]] = new


def _table_of(data: Data, keys: list[str]) -> Data:
    """The table that holds the last of the keys."""
    table: Any = data
    for depth, key in enumerate(keys[:-1]):
        table[key] = _as_table(table.get(key, {}))
        table = table[key]
        if not isinstance(table, dict):
            raise BadOverride(f"{'.'.join(keys[: depth + 1])} is not a table, so nothing in it can be set")
    return table  # type: ignore[no-any-return]


def _scalar(text: str) -> object:
    """A TOML scalar, or a bare word as a string."""
    if re.fullmatch(r"[A-Za-z][\w.-]*", text) and text not in ("true", "false", "nan", "inf"):
        return text
    try:
        parsed = tomli.loads(f"value = {text}")
    except tomli.TOMLDecodeError:
        raise BadOverride(
            f"{text!r} is no TOML value: write a number, true, false, a word or a quoted string"
        ) from None
    if parsed.keys() != {"value"} or isinstance(parsed["value"], dict | list):
        raise BadOverride("one value only: a number, true, false, a word or a quoted string")
    return parsed["value"]
