"""Sizes that no machine bears, found before memory is taken for them."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from tabscm.engine.model import Model
from tabscm.engine.stream import tables_per_batch
from tabscm.kernel.errors import ConfigError, ContractError, Problem
from tabscm.kernel.experiment import Experiment, Network, StreamSettings
from tabscm.kernel.scratch import installed_memory

GIGABYTE = 2**30
CELL, PAIR = 6, 5
"""Bytes that a cell of a table and a pair of variables take at the least: number and two flags, logit and edge."""
MOST_WEIGHTS = 20_000
"""Weights and biases of a network, each a tensor: the released one has 1 294. Python makes some 5 000 a second."""


def check_sizes(experiment: Experiment | Network) -> None:
    """Refuse a network, and batches where there are any, that alone would take more memory than this machine has.

    What passes may still be too large, together with all that training keeps.

    Raises:
        ConfigError: names each key, and what it would take.
    """
    memory = installed_memory()
    problems = [*_of_network(experiment, memory)]
    streams = _streams(experiment) if isinstance(experiment, Experiment) else {}
    for where, settings in streams.items():
        problems += _of_batch(where, settings, memory)
    if problems:
        raise ConfigError("experiment", problems)


def _streams(experiment: Experiment) -> dict[str, StreamSettings]:
    """Everything that tables are drawn by, and where the experiment says so."""
    levels = {f"curriculum[{index}].stream": level.stream for index, level in enumerate(experiment.curriculum)}
    cells = {f"evaluation.cells.{name}": cell for name, cell in experiment.evaluation.cells.items()}
    return {"stream": experiment.stream, **levels, **cells}


def _of_network(experiment: Experiment | Network, memory: int) -> Iterator[Problem]:
    try:
        # shapes without numbers. Arithmetic on them, and drawing normal numbers, makes torch import its compiler, which
        # takes longer than reading a table: the network that ships does without
        with _counted(), torch.device("meta"):
            model = Model(experiment)
    except _TooMany:
        advice = "lower its numbers of blocks, layers and steps"
        yield Problem("the network", (f"has more than {MOST_WEIGHTS:,} tensors of weights; {advice}",))
        return
    except (ConfigError, ContractError):
        return  # which building it says as well
    except RuntimeError as error:
        if "overflow" in str(error).lower():
            yield Problem("the network", ("has weights beyond counting; lower its width and sizes",))
        return  # a component whose building needs numbers
    bytes_ = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    if bytes_ > memory:
        yield Problem("the network", (f"its weights alone are {_show(bytes_, memory)}; lower its width and sizes",))


class _TooMany(Exception):
    """A network has more weights than MOST_WEIGHTS."""


@contextlib.contextmanager
def _counted() -> Iterator[None]:
    """Stop building a network after MOST_WEIGHTS: each number of layers may be allowed, and their product take days."""
    count = 0

    def counted(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal count
        count += 1
        if count > MOST_WEIGHTS:
            raise _TooMany

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()


def _of_batch(where: str, settings: StreamSettings, memory: int) -> Iterator[Problem]:
    variables, rows = round(settings.variables.most * (1 + settings.hidden.most)), round(settings.rows.most)
    pairs, cells = PAIR * variables**2, CELL * variables * rows
    if max(pairs, cells) > memory:
        key, size = ("variables", pairs) if pairs > cells else ("rows", cells)
        yield Problem(f"{where}.{key}", (f"one table takes at least {_show(size, memory)}; lower {key}",))
        return
    tables = tables_per_batch(settings, variables, rows)
    if tables * (pairs + cells) > memory:
        taken = _show(tables * (pairs + cells), memory)
        yield Problem(
            f"{where}.tables", (f"a batch of {tables:,} takes at least {taken}; lower tables, cells or pairs",)
        )


def _show(size: int, memory: int) -> str:
    found = f"{size / GIGABYTE:,.0f}" if size < 10**18 else "over a billion"
    return f"{found} GiB, and this machine has {memory / GIGABYTE:,.0f} GiB of memory"
