import attrs
import torch
from tabscm import Function, Mechanism, hookimpl


@attrs.frozen
class Wave(Mechanism):
    """Sine of a weighted sum of the parents, plus noise."""

    name = "wave"
    frequency: float = 2.0

    def draw(self, mask: torch.Tensor, rng: torch.Generator) -> Function:
        weights = torch.randn(mask.shape, generator=rng, device=mask.device) * mask  # [G, P]
        return lambda parents, noise: torch.sin(self.frequency * torch.einsum("gnp,gp->gn", parents, weights)) + noise


@hookimpl
def tabscm_components() -> list[type]:
    return [Wave]
