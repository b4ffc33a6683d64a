"""The one hook through which every component enters, built-in or not."""

import pluggy

from tabscm.kernel.interfaces import Component

GROUP = "tabscm"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def tabscm_components() -> list[type[Component]]:
    """Return the component classes of this plugin. Called once, when plugins are discovered."""
    raise NotImplementedError
