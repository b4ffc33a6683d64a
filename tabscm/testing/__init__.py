"""The conformance kit: does a component keep the promises of its kind?

The whole test of a plugin's mechanism:

    def test_sine():
        conformance(Sine(), Sine(frequency=5.0))
"""

import sys
import traceback
from collections.abc import Callable
from itertools import groupby

import attrs
import torch

from tabscm.kernel.errors import ContractError
from tabscm.kernel.interfaces import KINDS, Component
from tabscm.testing import (
    component,
    embedding,
    encoder,
    graph,
    head,
    intervention,
    loss,
    measurement,
    mechanism,
    noise,
    regulariser,
)
from tabscm.testing.probe import Broken

Check = Callable[..., None]
"""check(component, rng) raises when a promise is broken; its docstring is the promise, its name the name."""

_BY_KIND: dict[str, tuple[Check, ...]] = {
    "graph": graph.CHECKS,
    "noise": noise.CHECKS,
    "mechanism": mechanism.CHECKS,
    "intervention": intervention.CHECKS,
    "measurement": measurement.CHECKS,
    "embedding": embedding.CHECKS,
    "encoder": encoder.CHECKS,
    "head": head.CHECKS,
    "loss": loss.CHECKS,
    "regulariser": regulariser.CHECKS,
}


@attrs.frozen
class Failure:
    """One promise that a component broke."""

    component: Component
    check: str
    promise: str
    found: str


class ConformanceError(AssertionError):
    """Every promise that was broken, in one message."""

    def __init__(self, failures: list[Failure]) -> None:
        self.failures = tuple(failures)
        blocks = []
        for _, group in groupby(failures, key=lambda failure: id(failure.component)):
            own = list(group)
            broken = own[0].component
            blocks.append(f"{broken.kind} {broken!r} fails {len(own)} of {len(checks(broken.kind))} checks")
            blocks += [
                f"  {failure.check}\n    promised: {failure.promise}\n    found: {failure.found}" for failure in own
            ]
        super().__init__("\n\n".join(blocks))


def conformance(*components: Component, seed: int = 0, device: str = "cpu") -> None:
    """Try every promise of each component's kind. The same seed tries the same thing.

    Args:
        components: finished components, such as `Sine(frequency=5.0)`.
        seed: of all that is made up to try them on.
        device: where to try them.

    Raises:
        ConformanceError: names every promise that was broken, and what was found.
        TypeError: something is no component, or nothing is given, or there is no such device.
    """
    if not components:
        raise TypeError("expected finished components, such as Sine(), found none")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise TypeError('there is no GPU here; for device="cuda" put this under `with pretended_gpu():`')
    failures = []
    for one in components:
        if not isinstance(one, Component) or one.kind not in KINDS:
            hint = f"; did you mean {one.__name__}()?" if isinstance(one, type) else ""
            raise TypeError(f"expected a component of one of the kinds {', '.join(KINDS)}, found {one!r}{hint}")
        for check in checks(one.kind):
            found = _try(check, one, torch.Generator(device).manual_seed(seed))
            if found is not None:
                failures.append(Failure(one, check_name(check), (check.__doc__ or "").strip(), found))
    if failures:
        raise ConformanceError(failures)


def checks(kind: str) -> tuple[Check, ...]:
    """Every check of a kind, those that all kinds share first."""
    return (*component.CHECKS, *_BY_KIND[kind])


def check_name(check: Check) -> str:
    """The name of a check in messages: "row-wise"."""
    return check.__name__.replace("_", "-")


def _try(check: Check, one: Component, rng: torch.Generator) -> str | None:
    """What was found instead of what is promised; None if the promise was kept."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(rng.initial_seed())
        try:
            check(one, rng)
        except (Broken, ContractError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - strange code: a crash in one check must not hide the others
            frames = traceback.extract_tb(error.__traceback__)
            home = getattr(sys.modules.get(type(one).__module__), "__file__", None)
            own = [frame for frame in frames if frame.filename == home]
            place = (own or frames)[-1]
            return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno}, in {place.name})"
    return None
