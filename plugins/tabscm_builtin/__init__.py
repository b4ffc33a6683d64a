"""The shelf of components that ship with TabSCM. They enter by the same hook as a stranger's."""

from tabscm import hookimpl


@hookimpl
def tabscm_components() -> list[type]:
    """The menu: every shipped component, grouped by kind."""
    return []
