"""What monitors remember from step to step, as a checkpoint keeps it: a resumed run sees what the whole one would have.

A monitor says in `remembers` which of its attributes that is. What depends on a clock is not among it.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from tabscm.engine.health.event import Alarm


class Remembers(Protocol):
    """A monitor, or an alarm in one."""

    remembers: tuple[str, ...]


def remember(monitor: Remembers) -> dict[str, Any]:
    """What a monitor remembers as JSON has it, tensors apart."""
    found = {name: getattr(monitor, name) for name in monitor.remembers}
    return {name: _plain(value) for name, value in found.items() if not isinstance(value, Tensor)}


def tensors(monitor: Remembers) -> dict[str, Tensor]:
    """What a monitor remembers in tensors."""
    found = {name: getattr(monitor, name) for name in monitor.remembers}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def recall(monitor: Remembers, memory: Mapping[str, Any]) -> None:
    """Take back what `remember` and `tensors` gave; what is not in `memory` stays as it is."""
    for name in monitor.remembers:
        if name not in memory:
            continue
        now, then = getattr(monitor, name), memory[name]
        if isinstance(now, Alarm):
            recall(now, then)
        elif isinstance(now, Tensor):
            setattr(monitor, name, then.to(now.device))
        elif isinstance(now, deque):
            setattr(monitor, name, deque(map(_tuple, then), maxlen=now.maxlen))
        else:
            setattr(monitor, name, [_tuple(one) for one in then] if isinstance(now, list) else then)


def _plain(value: object) -> object:
    if isinstance(value, Alarm):
        return remember(value)
    return list(value) if isinstance(value, deque | list) else value


def _tuple(one: object) -> object:
    """JSON has lists where there were tuples."""
    return tuple(one) if isinstance(one, list) else one
