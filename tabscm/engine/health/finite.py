"""Whether the numbers of a step are finite, and where one that is not comes from."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tabscm.engine.model import autocast
from tabscm.kernel.errors import TrainingError
from tabscm.kernel.interfaces import Evidence, Table

LOWER = "Lower trainer.lr, trainer.muon_lr or trainer.clip and start again with --overwrite."


class NotFinite(TrainingError):
    """A value of a training step is not finite.

    Args:
        what: which value, and of which step.
        step: that step, counted from 0.
        again: how its tables are made once more.
        fixed: whether the learning rate has no part in it: the tables themselves are broken, say.
        updated: whether the weights of the step had moved already.
    """

    def __init__(self, what: str, *, step: int, again: str, fixed: bool = False, updated: bool = False) -> None:
        self.what, self.step, self.fixed, self.updated = f"step {step}: {what}", step, fixed, updated
        advice = "Mend what makes them and start again with --overwrite." if fixed else LOWER
        super().__init__(f"{self.what}. Its tables come back with tabscm.engine.stream: {again}. {advice}")


def size(values: Iterable[Tensor]) -> Tensor:
    """The norm of all numbers of some tensors, as a scalar that is not finite if even one of them is not.

    A few kernels for all of them on a GPU, where nothing waits for the answer; 2 ms on a CPU for 800 000 weights
    and as many momenta. Numbers beyond 1e19 count too: float32 cannot hold their squares.
    """
    floats = [value.detach().float() for value in values if value.is_floating_point() and value.numel()]
    return torch.stack(torch._foreach_norm(floats)).norm() if floats else torch.zeros(())


def broken(values: Mapping[str, Tensor]) -> list[str]:
    """The names of those that hold a value that is not finite."""
    return [name for name, value in values.items() if not bool(torch.isfinite(size([value])))]


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a network, by name."""
    return dict([*model.named_parameters(), *model.named_buffers()])


def broken_by_update(model: nn.Module, momenta: Mapping[str, Tensor]) -> str | None:
    """Which weights or momenta are not finite, as the subject of a sentence; None when all are finite."""
    for kind, values in (("weights", weights_of(model)), ("momenta", momenta)):
        names = broken(values)
        if names:
            return f"the {kind} {listed(names)}"
    return None


def culprit(model: nn.Module, tables: Sequence[Table], precision: str) -> str | None:
    """Where values that are not finite begin, as the end of a sentence; None when the prediction is finite throughout.

    Args:
        model: as it was when the step began.
        tables: the parts of the step.
        precision: of the forward pass.
    """
    names = broken(weights_of(model))
    if names:
        return f"the weights {listed(names)}, which the update before broke"
    for table in tables:
        if (cells := broken_cells([table])) is not None:
            return cells
        module = _first_module(model, table, precision)
        if module is not None:
            return f"the module {module} of the network, though its table is finite"
    return None


def broken_cells(tables: Sequence[Table]) -> str | None:
    """Which cells of the tables of a step are not finite, as the end of a sentence; None when all are finite."""
    for table in tables:
        bad = ~torch.isfinite(table.x)
        if bool(bad.any()):
            task, row, variable = bad.nonzero()[0].tolist()
            return f"the table itself: {int(bad.sum())} cells, first table {task}, row {row}, variable {variable}"
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
