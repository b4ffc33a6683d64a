"""How weights move: Muon on matrices, AdamW on the rest, and the learning rate over the steps."""

import math

import torch
from torch import Tensor, nn

from tabscm.engine.model import resolved
from tabscm.engine.muon import Muon
from tabscm.kernel.experiment import TrainerSettings

SMALLEST_MATRIX = 8
"""A matrix with fewer rows or columns than this goes to AdamW: there is nothing to orthogonalise."""


class Optimiser:
    """One or two torch optimisers that step together and whose state has names."""

    def __init__(self, model: nn.Module, settings: TrainerSettings) -> None:
        weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        muon_takes = _is_matrix if settings.optimiser == "muon" else lambda _: False
        matrices = {name: weight for name, weight in weights.items() if muon_takes(weight)}
        rest = {name: weight for name, weight in weights.items() if name not in matrices}
        self.settings = settings
        self.lowered = 1.0
        """What rollbacks have left of the learning rates."""
        self._on_gpu = all(weight.is_cuda for weight in model.parameters())
        self._parts: list[tuple[torch.optim.Optimizer, dict[str, nn.Parameter], float]] = []
        if matrices:
            device = next(iter(matrices.values())).device
            muon = Muon(
                matrices.values(),
                lr=settings.muon_lr,
                weight_decay=settings.weight_decay,
                dtype=torch.bfloat16 if resolved(settings.precision, device) == "bf16" else torch.float32,
            )
            self._parts.append((muon, matrices, settings.muon_lr))
        if rest:
            # norms, biases and scalars are not decayed: their size is not an excess
            decayed = [weight for weight in rest.values() if weight.ndim >= 2]
            free = [weight for weight in rest.values() if weight.ndim < 2]
            shares = [(decayed, settings.weight_decay), (free, 0.0)]
            adamw = torch.optim.AdamW(
                [{"params": weights, "weight_decay": decay} for weights, decay in shares if weights],
                lr=settings.lr,
                betas=(0.9, 0.98),
                fused=True if self._on_gpu else None,
            )
            self._parts.append((adamw, rest, settings.lr))

    def step(self, step: int) -> float:
        """Move the weights by their gradients, then forget the gradients. Returns the learning rate of AdamW."""
        share = self.lowered * schedule(self.settings, step)
        for optimiser, _, peak in self._parts:
            for group in optimiser.param_groups:
                group["lr"] = peak * share
            optimiser.step()
            optimiser.zero_grad()
        return self.settings.lr * share

    def state(self) -> dict[str, Tensor]:
        """Everything the next step depends on, by "parameter/quantity"."""
        return {
            f"{name}/{quantity}": value
            for optimiser, parameters, _ in self._parts
            for name, parameter in parameters.items()
            for quantity, value in optimiser.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave, on each parameter's device."""
        for key, value in state.items():
            name, quantity = key.rsplit("/", 1)
            for optimiser, parameters, _ in self._parts:
                if name in parameters:
                    # AdamW keeps its step count on the host, unless it is fused
                    on_host = quantity == "step" and not self._on_gpu
                    device = "cpu" if on_host else parameters[name].device
                    optimiser.state[parameters[name]][quantity] = value.to(device)


def schedule(settings: TrainerSettings, step: int) -> float:
    """The learning rate at `step`, as a share of its peak: a straight rise, and the fall that the settings name."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    done = min(1.0, step / settings.steps)
    if settings.schedule == "exponential":
        return rise * math.pow(settings.floor, done)
    if settings.schedule == "constant":
        return rise * (settings.floor if done >= settings.drop_at and settings.drop_at < 1 else 1.0)
    fall = 0.5 * (1 + math.cos(math.pi * done))
    return rise * (settings.floor + (1 - settings.floor) * fall)


def _is_matrix(weight: nn.Parameter) -> bool:
    return weight.ndim in (2, 3) and min(weight.shape[-2:]) >= SMALLEST_MATRIX
