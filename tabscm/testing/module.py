"""What the modules that embeddings, encoders and heads build have in common: how to build and question them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tabscm.kernel.interfaces import Embedding, Encoder, Evidence, Head
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import require, require_device, require_finite, require_same
from tabscm.testing.samples import WIDTH

Outputs = dict[str, Tensor]
"""What a module gave, by name."""


def build(spec: Embedding | Encoder | Head, rng: torch.Generator) -> nn.Module:
    """A module in eval mode whose parameters have left their initial values.

    Branches that start at zero would hide whatever is wrong inside them.
    """
    module = spec.build(WIDTH)
    require(isinstance(module, nn.Module), f"build returned {type(module).__name__} instead of a torch.nn.Module")
    module = module.to(rng.device).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng, device=rng.device))
    return module


def outputs(evidence: object) -> Outputs:
    """Nodes and pairs of an Evidence, by name."""
    require(isinstance(evidence, Evidence), f"returned {type(evidence).__name__} instead of Evidence")
    assert isinstance(evidence, Evidence)
    found = {"nodes": evidence.nodes}
    if evidence.pairs is not None:
        found["pairs"] = evidence.pairs
    return found


def everything(evidence: Evidence) -> Outputs:
    """Nodes, pairs and aux of an Evidence, by name."""
    return {**outputs(evidence), **evidence.aux}


def require_evidence(evidence: object, rng: torch.Generator, *, tasks: int, variables: int) -> None:
    """Go on if nodes are [B, D, E], pairs [B, D, D, E] or None, and all of it is finite and on the device of rng."""
    for name, found in outputs(evidence).items():
        axes = {"nodes": "B D E", "pairs": "B D D E"}[name]
        expect(found, axes, what=name, B=tasks, D=variables, E=WIDTH)
        require(found.is_floating_point(), f"{name} are {found.dtype}")
    assert isinstance(evidence, Evidence)
    for name, found in everything(evidence).items():
        require(isinstance(found, Tensor), f"{name} is {type(found).__name__} instead of a tensor")
        require_finite(found, name)
        require_device(found, rng, name)


def require_same_outputs(found: Outputs, expected: Outputs, when: str, *, tolerance: float = 1e-4) -> None:
    """Go on if both have the same names and, by name, the same values."""
    require(set(found) == set(expected), f"gave {sorted(found)} {when}, {sorted(expected)} before")
    for name, value in expected.items():
        require_same(found[name], value, f"{name} {when}", tolerance=tolerance)


def require_state(spec: Embedding | Encoder | Head, rng: torch.Generator, ask: Callable[[nn.Module], Outputs]) -> None:
    """Go on if state_dict carries everything from one module to another, which shares nothing with the first."""
    first, second = build(spec, rng), build(spec, rng)
    shared = {id(parameter) for parameter in first.parameters()} & {id(other) for other in second.parameters()}
    require(not shared, f"two modules that were built apart share {len(shared)} parameters")
    with torch.no_grad():
        expected = ask(first)
        second.load_state_dict(first.state_dict())
        require_same_outputs(ask(second), expected, "from a module with the same state_dict")


def require_deterministic(module: nn.Module, ask: Callable[[nn.Module], Outputs]) -> None:
    """Go on if the module in eval mode answers the same twice."""
    with torch.no_grad():
        expected = {name: value.clone() for name, value in ask(module).items()}
        require_same_outputs(ask(module), expected, "when asked again", tolerance=1e-6)


def require_autocast(module: nn.Module, ask: Callable[[nn.Module], Outputs], rng: torch.Generator) -> None:
    """Go on if under bfloat16 autocast the module gives the same names and shapes, and finite values."""
    with torch.no_grad():
        expected = ask(module)
        with torch.autocast(rng.device.type, dtype=torch.bfloat16):
            found = ask(module)
    require(set(found) == set(expected), f"gave {sorted(found)} instead of {sorted(expected)}")
    for name, value in found.items():
        require(value.shape == expected[name].shape, f"{name} has shape {list(value.shape)}")
        require_finite(value, name)


def require_gradients(module: nn.Module, ask: Callable[[nn.Module], Outputs], rng: torch.Generator) -> None:
    """Go on if a random function of the outputs has a finite gradient that is not zero for every parameter."""
    module.train()
    total = torch.zeros((), device=rng.device)
    for value in ask(module).values():
        target = torch.randn(value.shape, generator=rng, device=rng.device)
        total = total + (value.float() - target).square().mean()
    if not list(module.parameters()):
        return
    require(total.requires_grad, "no gradient reaches any parameter")
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        gradient = parameter.grad
        require(gradient is not None and bool(gradient.any()), f"no gradient reaches {name}")
        assert gradient is not None
        require_finite(gradient, f"gradient of {name}")
