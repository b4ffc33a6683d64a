"""Knowledge as a value: tiers, forbidden and required edges, causes and effects that are none."""

from collections.abc import Iterable, Sequence

import attrs

from tabscm.engine.knowledge.constraints import Constraints
from tabscm.engine.knowledge.resolving import resolve
from tabscm.kernel.errors import ConfigError, Problem


def _names(value: object) -> tuple[str, ...]:
    """One name, or several."""
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise _refused(f"expected a name or a list of names, found {value!r}")
    return names


def _list(value: object) -> tuple[object, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _refused(f"expected a list, found {value!r}")
    return tuple(value)


def _entries(value: object) -> tuple[str, ...]:
    """Names, or none."""
    return () if isinstance(value, tuple | list) and not value else _names(value)


def _refused(found: str) -> ConfigError:
    return ConfigError("knowledge", [Problem("in Python", (found,))])


@attrs.frozen
class Tier:
    """Variables of one time: those of a later tier never cause them."""

    variables: tuple[str, ...] = attrs.field(converter=_names)
    """Names or patterns, see `Knowledge`."""
    forbidden_within: bool = False
    """Whether they do not cause each other either."""
    where: str = attrs.field(default="", eq=False)
    """Where it was read, for messages; empty means its place in the list."""


@attrs.frozen
class Link:
    """Every variable of `source` to every other one of `target`."""

    source: tuple[str, ...] = attrs.field(converter=_names)
    target: tuple[str, ...] = attrs.field(converter=_names)
    where: str = attrs.field(default="", eq=False)
    """Where it was read, for messages; empty means its place in the list."""


def _tiers(value: object) -> tuple[Tier, ...]:
    return tuple(tier if isinstance(tier, Tier) else Tier(tier) for tier in _list(value))


def _links(value: object) -> tuple[Link, ...]:
    return tuple(link if isinstance(link, Link) else _link(link) for link in _list(value))


def _link(value: object) -> Link:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise _refused(f"expected a pair, (cause, effect), found {value!r}")
    return Link(value[0], value[1])


@attrs.frozen
class Knowledge:
    """What is known of the causes in a table, as hard constraints.

    Variables are given by name, or by a pattern as the shell has them: `*` is any text, `?` any one character, `[ab]`
    one of these. What is exactly the name of a variable means that variable alone, so that a column `dose[mg]` is
    written as it is; elsewhere `[*]`, `[?]` and `[[]` stand for the characters themselves. Upper and lower case differ.

        Knowledge(
            tiers=[["age", "sex"], ["dose_*"], ["outcome"]],
            required=[("dose_1", "outcome")],
            forbidden=[("sex", "dose_*"), (["age", "sex"], "outcome")],
            exogenous=["batch"],
        )
    """

    tiers: tuple[Tier, ...] = attrs.field(default=(), converter=_tiers)
    """In order: nothing of a later tier causes anything of an earlier one. A variable may be in none, and is free."""
    forbidden: tuple[Link, ...] = attrs.field(default=(), converter=_links)
    """Edges that are not there. The cause may still act through other variables."""
    required: tuple[Link, ...] = attrs.field(default=(), converter=_links)
    """Edges that are there."""
    exogenous: tuple[str, ...] = attrs.field(default=(), converter=_entries)
    """Variables that nothing causes."""
    sinks: tuple[str, ...] = attrs.field(default=(), converter=_entries)
    """Variables that cause nothing."""
    source: str = attrs.field(default="knowledge", eq=False)
    """Where it was read, for messages."""

    def resolve(self, names: Sequence[str]) -> Constraints:
        """What follows for a table with these variables.

        Args:
            names: [D] the variables of a table.

        Raises:
            ConfigError: every name or pattern that is none of theirs, and every contradiction, with the entries that
                make it.
        """
        return resolve(self, names)
