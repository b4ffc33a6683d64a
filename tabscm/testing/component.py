"""What every component promises, whatever its kind."""

import re

import attrs
import torch

from tabscm.kernel.interfaces import Component
from tabscm.testing.probe import require

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def name(component: Component, rng: torch.Generator) -> None:
    """The name is lower case, words joined by hyphens."""
    found = getattr(component, "name", None)
    require(isinstance(found, str) and NAME.fullmatch(found) is not None, f"name is {found!r}")


def docstring(component: Component, rng: torch.Generator) -> None:
    """The class has a docstring, whose first line says what the component does."""
    lines = (type(component).__doc__ or "").splitlines()
    require(bool(lines) and bool(lines[0].strip()), "no docstring, or an empty first line")


def frozen(component: Component, rng: torch.Generator) -> None:
    """The class is a frozen attrs class."""
    require(attrs.has(type(component)), "not an attrs class: decorate it with @attrs.frozen")
    try:
        setattr(component, "name", component.name)  # noqa: B010 - mypy would refuse what must fail here
    except attrs.exceptions.FrozenInstanceError:
        return
    except AttributeError:
        pass
    require(False, "its attributes can be set: decorate it with @attrs.frozen")


def gives_and_needs(component: Component, rng: torch.Generator) -> None:
    """`gives` and `needs` are sets of names."""
    for label in ("gives", "needs"):
        found = getattr(component, label)
        kept = isinstance(found, set | frozenset) and all(isinstance(entry, str) for entry in found)
        require(kept, f"{label} is {found!r}")


CHECKS = (name, docstring, frozen, gives_and_needs)
