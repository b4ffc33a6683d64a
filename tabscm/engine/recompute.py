"""Gradient checkpointing: less is kept for the backward pass, and computed again there."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from tabscm.engine.model import Model


def recompute_layers(model: Model) -> None:
    """Have the members of every nn.ModuleList in embeddings and encoders computed again in the backward pass.

    Of what they compute only the inputs are kept meanwhile. The numbers are the same, those of dropout as well: each
    member runs again from the state that the random generator had, and under the same autocast. A list within a member
    of a list is computed again in parts. Names and values of the weights stay as they are.
    """
    gated = [] if model.gate is None else [model.gate.embedding]
    lists = [
        module
        for part in (*gated, *(part for network in model.networks for part in (network.embedding, network.encoder)))
        for module in part.modules()
        if type(module) is nn.ModuleList
    ]
    members = dict.fromkeys(member for each in lists for member in each)  # one that is shared is wrapped once
    for member in members:
        member.forward = partial(checkpoint, member.forward, use_reentrant=False)
