"""What every component promises, whatever its kind."""

import attrs
import torch

from tabscm.kernel.interfaces import Component
from tabscm.kernel.registry import is_frozen, is_name, is_set_of_names
from tabscm.testing.probe import require


def name(component: Component, rng: torch.Generator) -> None:
    """The name is lower case, words joined by hyphens."""
    found = getattr(component, "name", None)
    require(is_name(found), f"name is {found!r}")


def docstring(component: Component, rng: torch.Generator) -> None:
    """The class has a docstring, whose first line says what the component does."""
    lines = (type(component).__doc__ or "").splitlines()
    require(bool(lines) and bool(lines[0].strip()), "no docstring, or an empty first line")


def frozen(component: Component, rng: torch.Generator) -> None:
    """The class is a frozen attrs class."""
    require(attrs.has(type(component)), "not an attrs class: decorate it with @attrs.frozen")
    require(is_frozen(type(component)), "its attributes can be set: decorate it with @attrs.frozen")


def gives_and_needs(component: Component, rng: torch.Generator) -> None:
    """`gives` and `needs` are sets of names."""
    for label in ("gives", "needs"):
        found = getattr(component, label)
        require(is_set_of_names(found), f"{label} is {found!r}")


CHECKS = (name, docstring, frozen, gives_and_needs)
