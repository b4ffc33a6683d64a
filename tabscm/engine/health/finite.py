"""Where a value that is not finite comes from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tabscm.engine.model import autocast
from tabscm.kernel.interfaces import Evidence, Table


def broken_weights(model: nn.Module) -> list[str]:
    """The names of all parameters and buffers that hold a value that is not finite."""
    named = [*model.named_parameters(), *model.named_buffers()]
    floats = [(name, value) for name, value in named if value.is_floating_point()]
    whole = torch.stack([torch.isfinite(value).all() for _, value in floats]).tolist() if floats else []
    return [name for (name, _), good in zip(floats, whole, strict=True) if not good]


def culprit(model: nn.Module, tables: Sequence[Table], precision: str) -> str | None:
    """Where values that are not finite begin, as the end of a sentence; None when the prediction is finite throughout.

    Args:
        model: as it was when the step began.
        tables: the parts of the step.
        precision: of the forward pass.
    """
    broken = broken_weights(model)
    if broken:
        return f"the weights {listed(broken)}, which the update before broke"
    for table in tables:
        bad = ~torch.isfinite(table.x)
        if bool(bad.any()):
            task, row, variable = bad.nonzero()[0].tolist()
            return f"the table itself: {int(bad.sum())} cells, first table {task}, row {row}, variable {variable}"
        module = _first_module(model, table, precision)
        if module is not None:
            return f"the module {module} of the network, though its table is finite"
    return None


def listed(names: Sequence[str]) -> str:
    """The first of some names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _first_module(model: nn.Module, table: Table, precision: str) -> str | None:
    """The first part of the network that gives a value that is not finite."""
    found: list[str] = []

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def look(module: nn.Module, _: object, given: object) -> None:
            if not found and not all(bool(torch.isfinite(value).all()) for value in _tensors(given)):
                found.append(name)

        return model.get_submodule(name).register_forward_hook(look)

    handles = [watch(name) for name, _ in model.named_modules() if name]
    try:
        with torch.no_grad(), autocast(table.x.device, precision):
            model(table)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _tensors(given: object) -> list[Tensor]:
    """The tensors that a module returned, as far as the engine knows how to look."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, Evidence):
        return [given.nodes, *([] if given.pairs is None else [given.pairs]), *given.aux.values()]
    if isinstance(given, dict):
        return [value for value in given.values() if isinstance(value, Tensor)]
    return [value for value in given if isinstance(value, Tensor)] if isinstance(given, tuple) else []
