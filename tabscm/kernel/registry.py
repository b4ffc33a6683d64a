"""Which components there are, and whose: discovery over entry points, with broken plugins set aside."""

import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points

import attrs
import pluggy

from tabscm.kernel import hooks
from tabscm.kernel.errors import PluginError, did_you_mean
from tabscm.kernel.interfaces import KINDS, Component

NO_PLUGINS, ONLY_PLUGINS = "TABSCM_NO_PLUGINS", "TABSCM_ONLY_PLUGINS"
"""Environment variables: names of plugins that are left out, or of the only ones that are not, between commas. Not even
the import of a plugin that is left out happens. Processes that a command starts on its machine inherit them."""


@attrs.frozen
class Origin:
    """Who brought a component."""

    distribution: str
    version: str
    file: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@attrs.frozen
class Entry:
    """One component on offer."""

    component_class: type[Component]
    origin: Origin


@attrs.frozen
class Quarantined:
    """A plugin that was set aside, and why, in one line."""

    distribution: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.reason})"


@attrs.frozen
class LeftOut:
    """A plugin that was not loaded, because somebody asked for that."""

    plugin: str
    """Its entry point."""
    distribution: str
    version: str
    how: str
    """The option that did."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.plugin})"


@attrs.frozen(init=False)
class Registry:
    """Every component on offer, by kind and name."""

    quarantined: tuple[Quarantined, ...]
    left_out: tuple[LeftOut, ...]
    _by_name: dict[tuple[str, str], Entry]

    def __init__(
        self, entries: Iterable[Entry], quarantined: Iterable[Quarantined] = (), left_out: Iterable[LeftOut] = ()
    ) -> None:
        """Gather `entries`.

        Raises:
            PluginError: two of them claim one name; it says who brought each.
        """
        by_name: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            kind, name = entry.component_class.kind, entry.component_class.name
            first = by_name.setdefault((kind, name), entry)
            if first is not entry:
                raise PluginError(
                    f'Two plugins offer a {kind} called "{name}": {first.origin} ({first.origin.file})'
                    f" and {entry.origin} ({entry.origin.file}). Uninstall or rename one of them, or leave one out "
                    "with --no-plugins."
                )
        self.__attrs_init__(tuple(quarantined), tuple(left_out), by_name)

    def find(self, kind: str, name: str) -> type[Component]:
        """The component of this kind and name.

        Raises:
            PluginError: there is none; it says what is on offer, and the near name or the plugins that may explain it.
        """
        if (kind, name) in self._by_name:
            return self._by_name[kind, name].component_class
        near = did_you_mean(name, self.names(kind))
        lines = [f'no {kind} is called "{name}".{near}', f"on offer: {', '.join(self.names(kind)) or 'none'}"]
        if self.quarantined and not near:
            count = len(self.quarantined)
            broken = ", ".join(str(plugin) for plugin in self.quarantined)
            lines.append(f"{count} plugin{'s' if count != 1 else ''} could not be loaded: {broken}")
        if self.left_out and not near:
            left_out = ", ".join(str(plugin) for plugin in self.left_out)
            lines.append(f"left out by {self.left_out[0].how}, and not asked: {left_out}")
        raise PluginError("\n".join(lines))

    def names(self, kind: str) -> list[str]:
        """The names on offer of one kind, sorted."""
        return sorted(name for of_kind, name in self._by_name if of_kind == kind)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """What is on offer, of one kind or of all, kinds in the order of `KINDS`, names sorted."""
        kinds = [kind] if kind is not None else list(KINDS)
        return [self._by_name[of_kind, name] for of_kind in kinds for name in self.names(of_kind)]

    def origin(self, component_class: type[Component]) -> Origin | None:
        """Who brought this class; None for a class that came by no plugin."""
        entry = self._by_name.get((component_class.kind, component_class.name))
        return entry.origin if entry is not None and entry.component_class is component_class else None

    def blame(self, text: str) -> str:
        """The text of an error; who brought the component is added where its kind and name are what it begins with."""
        kind, _, name = text.partition(":")[0].partition(" ")
        entry = self._by_name.get((kind, name))
        return text if entry is None else f'{text}\n{kind} "{name}" is from {entry.origin}, {entry.origin.file}'


def discover(plugins: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every installed plugin.

    The entry points are walked here: pluggy's own loader stops at the first broken plugin, and silently skips a second
    distribution whose entry point has the same name.

    Args:
        plugins: the entry points to load; by default all those installed in the group "tabscm", less what NO_PLUGINS or
            ONLY_PLUGINS leaves out.

    Raises:
        PluginError: nothing is installed, two working plugins claim one name, or one is to be left out that is not
            installed.
    """
    plugins = list(entry_points(group=hooks.GROUP) if plugins is None else plugins)
    if not plugins:
        raise PluginError("No plugins are installed, not even the built-in ones. Run: pip install -e .")
    entries: list[Entry] = []
    quarantined: list[Quarantined] = []
    left_out: list[LeftOut] = []
    unwanted = _unwanted(plugins, os.environ)
    for plugin, how in zip(plugins, unwanted, strict=True):
        distribution, version = _brought_by(plugin)
        if how is not None:
            left_out.append(LeftOut(plugin.name, distribution, version, how))
            continue
        try:
            # naming a class's file may fail too: its __module__ can be anything
            found = [Entry(cls, Origin(distribution, version, inspect.getfile(cls))) for cls in _components(plugin)]
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code: whatever it raises, others go on
            quarantined.append(Quarantined(distribution, version, _reason(error)))
        else:
            entries += found
    return Registry(entries, quarantined, left_out)


@contextmanager
def restricted(*, no: Iterable[str], only: Iterable[str]) -> Iterator[None]:
    """Leave plugins out of what is discovered inside, in this process and in those it starts; an empty list changes
    nothing."""
    before = dict(os.environ)
    os.environ.update({name: ",".join(chosen) for name, chosen in ((NO_PLUGINS, no), (ONLY_PLUGINS, only)) if chosen})
    try:
        yield
    finally:
        for name in (NO_PLUGINS, ONLY_PLUGINS):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def is_name(found: object) -> bool:
    """Whether this may name a component: lower case, words joined by hyphens."""
    return isinstance(found, str) and re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", found) is not None


def is_frozen(cls: type) -> bool:
    """Whether the attributes of its instances cannot be set."""
    try:
        setattr(object.__new__(cls), "name", None)  # noqa: B010 - mypy would refuse what must fail here
    except attrs.exceptions.FrozenInstanceError:
        return True
    except AttributeError:
        return False
    return False


def is_set_of_names(found: object) -> bool:
    """Whether this may be what a component `gives` or `needs`."""
    return isinstance(found, set | frozenset) and all(isinstance(word, str) for word in found)


def _unwanted(plugins: list[EntryPoint], environment: Mapping[str, str]) -> list[str | None]:
    """For each plugin the option by which the environment leaves it out; None where it does not.

    A name is that of a distribution, however it writes its hyphens, or of an entry point.
    """
    no, only = (
        [_normal(name) for name in environment.get(variable, "").split(",") if name.strip()]
        for variable in (NO_PLUGINS, ONLY_PLUGINS)
    )
    if no and only:
        raise PluginError("--no-plugins and --only-plugins exclude each other: give one of them")
    names = [{_normal(plugin.name), _normal(_brought_by(plugin)[0])} for plugin in plugins]
    known = sorted(set().union(*names))
    option = "--no-plugins" if no else "--only-plugins"
    for name in no or only:
        if name not in known:
            raise PluginError(
                f'{option}: no plugin is called "{name}".{did_you_mean(name, known)}\ninstalled: {", ".join(known)}'
            )
    chosen = set(no or only)
    return [option if chosen and bool(both & chosen) == bool(no) else None for both in names]


def _brought_by(plugin: EntryPoint) -> tuple[str, str]:
    """The distribution of a plugin and its version."""
    return (plugin.dist.name, plugin.dist.version) if plugin.dist else (plugin.name, "?")


def _normal(name: str) -> str:
    """A name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _components(plugin: EntryPoint) -> list[type[Component]]:
    """Load one plugin and call its hook, through a plugin manager of its own."""
    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    manager.register(plugin.load(), name=plugin.name)
    manager.check_pending()  # a misspelt hook is an error, not silence
    answers = manager.hook.tabscm_components()
    if not answers:
        raise PluginError(f"{plugin.value} has no function tabscm_components marked with @hookimpl")
    (classes,) = answers
    if not isinstance(classes, list | tuple):
        raise PluginError(f"tabscm_components returned {type(classes).__name__}, not a list of classes")
    taken = set()
    for cls in classes:
        fault = _fault(cls)
        if fault is not None:
            raise PluginError(f"{getattr(cls, '__name__', repr(cls))} {fault}")
        if (cls.kind, cls.name) in taken:
            raise PluginError(f'{cls.__name__} is a second {cls.kind} called "{cls.name}"')
        taken.add((cls.kind, cls.name))
    return list(classes)


def _fault(cls: object) -> str | None:
    """What keeps a class from being a component; None when nothing does."""
    if not isinstance(cls, type):
        return "is not a class"
    kinds = [kind for kind in KINDS.values() if issubclass(cls, kind)]
    if len(kinds) != 1:
        return f"must derive from exactly one of {', '.join(kind.__name__ for kind in KINDS.values())}"
    if inspect.isabstract(cls):
        missing = sorted(name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False))
        return f"does not define every method of its kind: {', '.join(missing)}"
    if "__attrs_attrs__" not in vars(cls) or not is_frozen(cls):
        return "must be decorated with @attrs.frozen"
    name = getattr(cls, "name", None)
    if not isinstance(name, str):
        return 'has no name: give it a class attribute such as name = "wave" (without a type)'
    if not is_name(name):
        return f"is called {name!r}: a name is lower case, with hyphens"
    if not (cls.__doc__ or "").strip():
        return "has no docstring, whose first line `list` would print"
    for field in attrs.fields(attrs.resolve_types(cls)):
        if field.name in ("use", "weight"):
            return f'has a field called "{field.name}", which means something else in TOML'
        if field.type is None:
            return f'has a field "{field.name}" without a type'
    for attribute in ("gives", "needs"):
        names = getattr(cls, attribute)
        if not is_set_of_names(names):
            return f"must have a set of names as `{attribute}`, found {names!r}"
    return None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
