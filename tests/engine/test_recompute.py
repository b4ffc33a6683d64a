"""Gradient checkpointing: the same numbers, from less that is kept."""

import io
import json
import math
from contextlib import contextmanager

import attrs
import pytest
import torch
from torch import nn

from tabscm import Draw, Encoder, Ramp, Weighted
from tabscm.engine.model import Model, autocast
from tabscm.engine.recompute import recompute_layers
from tabscm.engine.rehearsal import rehearse
from tabscm.engine.stream import Stream
from tabscm.engine.trainer import train

CPU = torch.device("cpu")


@attrs.frozen
class Forgetful(Encoder):
    """Layers with dropout, on the pairs."""

    name = "forgetful"
    needs = frozenset({"pairs"})
    layers: int = 8

    def build(self, width):
        return _Forgetful(width, self.layers)


class _Forgetful(nn.Module):
    def __init__(self, width, layers):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.3), nn.Linear(4 * width, width))
            for _ in range(layers)
        )

    def forward(self, evidence):
        pairs = evidence.pairs
        for layer in self.layers:
            pairs = pairs + layer(pairs)
        return attrs.evolve(evidence, pairs=pairs)


@contextmanager
def kept():
    """Counts the bytes that are kept for the backward pass, each storage once, parameters left out."""
    storages = {}

    def pack(tensor):
        if not isinstance(tensor, nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # held, so that none is reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(storage.nbytes() for storage in storages.values())


def build(experiment, *, recomputed):
    torch.manual_seed(1)
    model = Model(experiment)
    for parameter in model.parameters():
        # residual branches start at zero, which would hide a difference
        parameter.data += 0.05 * torch.randn(parameter.shape)
    if recomputed:
        recompute_layers(model)
    return model.train()


def gradients(model, table, precision="fp32"):
    torch.manual_seed(2)
    with autocast(CPU, precision):
        logits = model(table).logits
    logits.square().mean().backward()
    return [logits.detach(), *(parameter.grad for parameter in model.parameters())]


def table_of(experiment, variables=6):
    settings = attrs.evolve(experiment.stream, variables=Draw.constant(variables))
    return Stream(settings, seed=0, device=CPU).batch(0)[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("encoder", [None, Forgetful()], ids=["triangle", "dropout"])
def test_the_numbers_are_the_same(tiny, encoder, precision):
    experiment = tiny if encoder is None else attrs.evolve(tiny, encoder=encoder)
    table = table_of(experiment)
    plain, recomputed = (build(experiment, recomputed=recomputed) for recomputed in (False, True))
    for expected, found in zip(
        gradients(plain, table, precision), gradients(recomputed, table, precision), strict=True
    ):
        assert torch.equal(expected, found)


def deep(tiny, registry):
    """A mixture of two experts in each of 16 layers, whose load and router are balanced by a regulariser."""
    encoder = registry.find("encoder", "moe")(layers=16, experts=2, top_k=1)
    balance = Weighted(registry.find("regulariser", "load-balance")(), Ramp.constant(0.1))
    return attrs.evolve(tiny, encoder=encoder, regularisers=(balance,))


def test_sixteen_layers_of_experts_give_the_same_load_router_and_gradients(tiny, registry):
    experiment = deep(tiny, registry)
    table, found = table_of(experiment), []
    for recomputed in (False, True):
        model = build(experiment, recomputed=recomputed)
        prediction = model(table)
        aux = [prediction.aux[name] for name in ("load", "router")]
        assert [one.shape for one in aux] == [(len(table.x), 16, 2)] * 2
        (prediction.logits.square().mean() + experiment.regularisers[0].component(prediction).mean()).backward()
        found.append([prediction.logits, *aux, *(weight.grad for weight in model.parameters())])
    # every layer chooses: tokens go to both experts, and each router is moved
    assert all(bool(one.any()) for one in found[1][1].flatten(0, 1).T)
    assert all(bool(layer.feed_forward.router.weight.grad.any()) for layer in model.encoder.layers)
    for plain, recomputed in zip(*found, strict=True):
        assert torch.equal(plain, recomputed)


def test_sixteen_layers_of_experts_train(tiny, registry, tmp_path):
    settings = attrs.evolve(tiny.trainer, steps=4, validate_every=4, gradient_checkpointing=True)
    train(attrs.evolve(deep(tiny, registry), trainer=settings), tmp_path, device=CPU, out=io.StringIO())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line for line in lines if line["kind"] == "train"]
    assert len(losses) == 4
    for line in losses:
        assert all(math.isfinite(line[name]) for name in ("loss", "grad_norm", "loss/load-balance"))
        # 0.1 where both experts have the same, 0.2 where one has everything
        assert 0.1 * 0.9 < line["loss/load-balance"] < 0.2
    monitors = [line for line in lines if "expert_gini" in line]
    assert len(monitors) == 4
    assert all(0 <= line["expert_gini"] <= 0.5 and 0 <= line["expert_entropy"] <= 1 for line in monitors)


def test_dropout_does_drop(tiny):
    experiment = attrs.evolve(tiny, encoder=Forgetful())
    model, table = build(experiment, recomputed=True), table_of(experiment)
    first = model(table).logits
    assert not torch.equal(first, model(table).logits)


def test_less_is_kept(tiny):
    experiment = attrs.evolve(tiny, encoder=Forgetful(layers=16))
    table, sizes = table_of(experiment, 12), {}
    for recomputed in (False, True):
        model = build(experiment, recomputed=recomputed)
        with kept() as size:
            model(table)
        sizes[recomputed] = size()
    assert sizes[True] < sizes[False] / 4


def test_weights_keep_their_names(tiny):
    assert build(tiny, recomputed=True).state_dict().keys() == build(tiny, recomputed=False).state_dict().keys()


def test_lists_in_lists_are_reached(tiny):
    """The residual steps of the embedding are one list, the blocks within each of them another."""
    model = build(tiny, recomputed=True)
    wrapped = {name for name, module in model.named_modules() if "forward" in vars(module)}
    assert wrapped == {"embedding.steps.0", "embedding.steps.0.between.blocks.0", "encoder.blocks.0"}


def test_nothing_is_kept_where_nothing_is_learned(tiny):
    model = build(tiny, recomputed=True).eval()
    with torch.inference_mode(), kept() as size:
        model(table_of(tiny))
    assert size() == 0


def test_a_rehearsal_recomputes_too(tiny):
    model = rehearse(attrs.evolve(tiny, trainer=attrs.evolve(tiny.trainer, gradient_checkpointing=True)), device=CPU)
    assert "forward" in vars(model.encoder.blocks[0])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_compiled_it_gives_the_same(tiny, registry):
    """All of torch.compile but its last step, which translates to C++ and takes a minute."""
    names = {"embedding": "simple", "encoder": "columns", "head": "bilinear"}
    small = attrs.evolve(tiny, **{kind: registry.find(kind, name)() for kind, name in names.items()})
    table = table_of(small)
    expected = gradients(build(small, recomputed=False), table)
    model = build(small, recomputed=True)
    assert all("forward" in vars(layer) for layer in model.encoder.layers)
    compiled = torch.compile(model, dynamic=True, backend="aot_eager")
    found = [gradients(compiled, table)[0], *(weight.grad for weight in model.parameters())]
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
