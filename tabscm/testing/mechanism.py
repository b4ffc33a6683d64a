"""What a mechanism promises."""

import torch
from torch import Tensor

from tabscm.kernel.interfaces import Mechanism
from tabscm.kernel.shapes import expect
from tabscm.testing.probe import (
    require,
    require_device,
    require_finite,
    require_global_rng,
    require_same,
    restart,
    unchanged,
)

MOVED = 1e-4
"""The least change of a value that counts."""


def shape(mechanism: Mechanism, rng: torch.Generator) -> None:
    """`draw` returns a function that gives values [G, N] float32."""
    mask, parents, noise = _inputs(rng)
    values = mechanism.draw(mask, rng)(parents, noise)
    expect(values, "G N", what="values", dtype=torch.float32, G=len(mask), N=noise.shape[1])


def device(mechanism: Mechanism, rng: torch.Generator) -> None:
    """Values are on the device of rng."""
    mask, parents, noise = _inputs(rng)
    require_device(mechanism.draw(mask, rng)(parents, noise), rng, "values")


def degenerate(mechanism: Mechanism, rng: torch.Generator) -> None:
    """One node, one row, one slot and no slots are no special case."""
    for nodes, rows, slots in ((1, 1, 0), (1, 1, 1), (3, 1, 2), (1, 2, 5), (4, 9, 0)):
        mask, parents, noise = _inputs(rng, nodes=nodes, rows=rows, slots=slots)
        what = f"values of {nodes} nodes with {slots} slots on {rows} rows"
        values = mechanism.draw(mask, rng)(parents, noise)
        expect(values, "G N", what=what, dtype=torch.float32, finite=True, G=nodes, N=rows)


def reproducible(mechanism: Mechanism, rng: torch.Generator) -> None:
    """The same rng gives the same functions."""
    mask, parents, noise = _inputs(rng)
    first, second = (mechanism.draw(mask, restart(rng))(parents, noise) for _ in range(2))
    require_same(first, second, "values of two equal generators", tolerance=0.0)


def global_rng(mechanism: Mechanism, rng: torch.Generator) -> None:
    """Randomness comes from rng alone."""
    mask, parents, noise = _inputs(rng)
    before = torch.get_rng_state()
    mechanism.draw(mask, rng)(parents, noise)
    require_global_rng(before)


def inputs_untouched(mechanism: Mechanism, rng: torch.Generator) -> None:
    """Mask, parents and noise are left as they are."""
    mask, parents, noise = _inputs(rng)
    with unchanged(mask=mask, parents=parents, noise=noise):
        mechanism.draw(mask, rng)(parents, noise)


def finite(mechanism: Mechanism, rng: torch.Generator) -> None:
    """Every value is finite, also far from the middle of the parents."""
    for size in (1.0, 10.0, 1e6 if mechanism.homogeneous else 30.0):
        mask, parents, noise = _inputs(rng, nodes=100)
        values = mechanism.draw(mask, rng)(parents * size, noise * size)
        require_finite(values, f"values of parents with standard deviation {size:g}")


def reusable(mechanism: Mechanism, rng: torch.Generator) -> None:
    """A function stays the same from call to call, also on other rows."""
    mask, parents, noise = _inputs(rng)
    function = mechanism.draw(mask, rng)
    first = function(parents, noise).clone()
    function(parents[:, :3], noise[:, :3])
    require_same(function(parents, noise), first, "values of two calls", tolerance=0.0)


def row_wise(mechanism: Mechanism, rng: torch.Generator) -> None:
    """A value depends on its own row alone."""
    mask, parents, noise = _inputs(rng)
    function = mechanism.draw(mask, rng)
    values = function(parents, noise)
    order = torch.randperm(noise.shape[1], generator=rng, device=rng.device)
    require_same(function(parents[:, order], noise[:, order]), values[:, order], "values of shuffled rows")
    require_same(function(parents[:, :5], noise[:, :5]), values[:, :5], "values of the first 5 rows")


def node_wise(mechanism: Mechanism, rng: torch.Generator) -> None:
    """A value depends on its own node alone."""
    mask, parents, noise = _inputs(rng)
    function = mechanism.draw(mask, rng)
    half = len(mask) // 2
    mine = torch.arange(len(mask), device=rng.device)[:, None] < half
    _, other_parents, other_noise = _inputs(rng)
    values = function(torch.where(mine[:, :, None], parents, other_parents), torch.where(mine, noise, other_noise))
    require_same(values[:half], function(parents, noise)[:half], "values after other nodes changed")


def padding(mechanism: Mechanism, rng: torch.Generator) -> None:
    """A slot that holds no parent does not matter."""
    mask, parents, noise = _inputs(rng)
    function = mechanism.draw(mask, rng)
    garbage = torch.where(mask[:, None, :], parents, 1e3 * torch.randn(parents.shape, generator=rng, device=rng.device))
    require_same(function(garbage, noise), function(parents, noise), "values after the empty slots changed")


def parents_matter(mechanism: Mechanism, rng: torch.Generator) -> None:
    """Whichever slot a parent is in, most values follow it."""
    mask, parents, noise = _inputs(rng, nodes=100, slots=3)
    mask = torch.ones_like(mask)
    function = mechanism.draw(mask, rng)
    values = function(parents, noise)
    for slot in range(3):
        changed = parents.clone()
        changed[:, :, slot] = torch.randn(noise.shape, generator=rng, device=rng.device)
        moved = _moved(function(changed, noise), values)
        require(moved > 0.5, f"only {moved:.0%} of 100 nodes follow the parent in slot {slot} of 3")


def noise_matters(mechanism: Mechanism, rng: torch.Generator) -> None:
    """The noise of a node with parents moves its values."""
    mask, parents, noise = _inputs(rng, nodes=100, slots=3)
    mask = torch.ones_like(mask)
    function = mechanism.draw(mask, rng)
    moved = _moved(function(parents, noise.roll(1, 1)), function(parents, noise))
    require(moved > 0.5, f"only {moved:.0%} of 100 nodes follow their noise")


def roots(mechanism: Mechanism, rng: torch.Generator) -> None:
    """A node without parents is moved by its noise, and by nothing else."""
    for slots in (0, 3):
        mask, parents, noise = _inputs(rng, nodes=100, rows=2000, slots=slots)  # a level may be rare
        mask = torch.zeros_like(mask)
        function = mechanism.draw(mask, rng)
        moved = _moved(function(parents, noise.roll(1, 1)), function(parents, noise))
        require(moved == 1.0, f"only {moved:.0%} of 100 nodes without parents follow their noise")
        still = function(parents, torch.ones_like(noise))
        require_same(still, still[:, :1].expand_as(still), "rows of a node without parents and with constant noise")


def homogeneous(mechanism: Mechanism, rng: torch.Generator) -> None:
    """`homogeneous` is True only where scaling parents and noise scales every difference of values alike."""
    if not mechanism.homogeneous:
        return
    mask, parents, noise = _inputs(rng)
    function = mechanism.draw(mask, rng)

    def differences(scale: float) -> Tensor:
        values = function(scale * parents, scale * noise)
        return values - values[:, :1]

    require_same(differences(8.0) / 8.0, differences(1.0), "differences of values at 8 times the scale")


def additive(mechanism: Mechanism, rng: torch.Generator) -> None:
    """`additive` is True only where noise is added to what the parents give."""
    if not mechanism.additive:
        return
    mask, parents, noise = _inputs(rng)
    function = mechanism.draw(mask, rng)
    signal = function(parents, torch.zeros_like(noise))
    require_same(function(parents, noise), signal + noise, "values, and what the parents give plus noise")


def parts(mechanism: Mechanism, rng: torch.Generator) -> None:
    """`parts` are mechanisms without parts of their own, with weights that are not negative, nor all 0."""
    found = mechanism.parts
    for part, weight in found:
        require(isinstance(part, Mechanism), f"{part!r} is no mechanism")
        require(part.parts == ((part, 1.0),), f"{part.name} has parts of its own")
        require(weight >= 0, f"the weight of {part.name} is {weight:g}")
    require(sum(weight for _, weight in found) > 0, f"the weights of {len(found)} parts add up to 0")


def _inputs(rng: torch.Generator, *, nodes: int = 24, rows: int = 50, slots: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """mask [G, P] with 0 to P parents a node, parents [G, N, P] strided as the stream hands them over, noise [G, N]."""
    count = torch.arange(nodes, device=rng.device) % (slots + 1)
    mask = torch.arange(slots, device=rng.device) < count[:, None]
    parents = torch.randn(nodes, slots, rows, generator=rng, device=rng.device).transpose(1, 2)  # [G, N, P]
    return mask, parents, torch.randn(nodes, rows, generator=rng, device=rng.device)


def _moved(found: Tensor, before: Tensor) -> float:
    """The share of nodes some of whose values moved."""
    return float(((found - before).abs() > MOVED).any(1).float().mean())


CHECKS = (
    shape,
    device,
    degenerate,
    reproducible,
    global_rng,
    inputs_untouched,
    finite,
    reusable,
    row_wise,
    node_wise,
    padding,
    parents_matter,
    noise_matters,
    roots,
    homogeneous,
    additive,
    parts,
)
