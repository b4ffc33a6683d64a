"""Guards that every change to the network must keep, on the network of quick.toml."""

import attrs
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tabscm import ConfigError, ContractError, Draw, Encoder, Head, Loss, Regulariser
from tabscm.engine.evaluate import judge
from tabscm.engine.metrics import summarise
from tabscm.engine.model import Model, autocast, check_wiring, resolved
from tabscm.engine.optimiser import Optimiser
from tabscm.engine.stream import Stream
from tabscm.kernel.experiment import Weighted
from tabscm.kernel.interfaces import Evidence, Table

CPU = torch.device("cpu")


def fit(experiment, batch_of, steps):
    """Train a fresh network for `steps` on the batches `batch_of(step)`."""
    torch.manual_seed(0)
    model = Model(experiment)
    optimiser = Optimiser(model, attrs.evolve(experiment.trainer, steps=steps, warmup=10))
    for step in range(steps):
        table, truth = batch_of(step)
        experiment.loss(model(table), truth, table).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(step)
    return model.eval()


@pytest.fixture(scope="module")
def small(quick):
    """quick.toml on tables of 6 variables: learned in seconds."""
    stream = attrs.evolve(quick.stream, variables=Draw.constant(6), rows=Draw.constant(100), tables=32)
    return attrs.evolve(quick, stream=stream)


@pytest.fixture(scope="module")
def trained(small):
    return fit(small, Stream(small.stream, seed=0, device=CPU).batch, 100)


@pytest.fixture
def untrained(quick):
    """Random everywhere, also where branches start at zero."""
    torch.manual_seed(0)
    model = Model(quick)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_(std=0.1)
    return model.eval()


def predict(model, table):
    with torch.inference_mode():
        return model(table).logits


def test_overfits_eight_tables(quick):
    eight = attrs.evolve(quick.stream, variables=Draw.constant(8), rows=Draw.constant(100), tables=8)
    table, truth = Stream(eight, seed=1, device=CPU).batch(0)
    assert len(table.x) == 8
    model = fit(quick, lambda step: (table, truth), 120)
    assert summarise([(predict(model, table), truth.adj)])["auroc_pooled"] == 1.0


def test_learns_from_joint_distributions_and_from_nothing_else(small, trained):
    fresh = Stream(small.stream, seed=0, device=CPU, purpose="evaluation")
    assert judge(trained, fresh, tables=192)["auroc"] > 0.75
    torch.manual_seed(0)
    batches = []
    for step in range(6):
        table, truth = fresh.batch(step)
        # cells move within their column, each column on its own
        order = torch.rand(table.x.shape).argsort(1)
        moved = Table(table.x.gather(1, order), table.intervened.gather(1, order), table.observed)
        batches.append((predict(trained, moved), truth.adj))
    shuffled = summarise(batches)
    assert abs(shuffled["auroc"] - 0.5) < 3 * shuffled["auroc_se"]


def test_columns_that_never_meet_teach_nothing(small, registry):
    alone = attrs.evolve(
        small, embedding=registry.find("embedding", "simple")(), encoder=registry.find("encoder", "columns")()
    )
    model = fit(alone, Stream(small.stream, seed=0, device=CPU).batch, 100)
    fresh = Stream(small.stream, seed=0, device=CPU, purpose="evaluation")
    assert judge(model, fresh, tables=192)["auroc"] < 0.6


def test_columns_may_come_in_any_order(quick, untrained):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    order = torch.randperm(table.x.shape[2], generator=torch.Generator().manual_seed(0))
    moved = Table(table.x[:, :, order], table.intervened[:, :, order], table.observed[:, :, order])
    logits = predict(untrained, table)
    assert logits.std() > 0.1
    torch.testing.assert_close(predict(untrained, moved), logits[:, order][:, :, order], atol=1e-4, rtol=1e-4)


def test_rows_may_come_in_any_order(quick, untrained):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    order = torch.randperm(table.x.shape[1], generator=torch.Generator().manual_seed(0))
    moved = Table(table.x[:, order], table.intervened[:, order], table.observed[:, order])
    torch.testing.assert_close(predict(untrained, moved), predict(untrained, table), atol=1e-4, rtol=1e-4)


def test_tables_of_a_batch_do_not_see_each_other(quick, untrained):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    alone = Table(table.x[:1], table.intervened[:1], table.observed[:1])
    torch.testing.assert_close(predict(untrained, alone), predict(untrained, table)[:1], atol=1e-4, rtol=1e-4)


def test_starts_at_the_base_rate(quick):
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    probability = predict(Model(quick).eval(), table).sigmoid()
    torch.testing.assert_close(probability, torch.full_like(probability, quick.head.density), atol=1e-5, rtol=0)


@pytest.mark.parametrize("variables", [1, 2])
def test_the_smallest_tables(quick, untrained, variables):
    least = attrs.evolve(quick.stream, variables=Draw.constant(variables), rows=Draw.constant(2))
    table, _ = Stream(least, seed=0, device=CPU).batch(0)
    assert torch.isfinite(predict(untrained, table)).all()


def test_an_unmet_need_is_named_before_the_first_step(quick, registry):
    cap = registry.find("regulariser", "kl-cap")()
    with pytest.raises(ConfigError) as refusal:
        check_wiring(attrs.evolve(quick, regularisers=(Weighted(cap),)))
    assert str(refusal.value) == (
        "experiment: 1 problem\n\n"
        "  regularisers[0]\n"
        '    kl-cap needs "kl", which nothing before it gives\n'
        "    given: edges"
    )


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_automatic_precision_is_what_the_processor_computes(monkeypatch, native, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: native)
    assert resolved("auto", torch.device("cpu")) == precision
    assert resolved("bf16", torch.device("cpu")) == "bf16"
    with autocast(torch.device("cpu"), "auto"):
        assert torch.is_autocast_enabled("cpu") is native


def test_a_width_that_does_not_fit_the_heads_is_named(quick, registry):
    axial, identity = registry.find("embedding", "axial")(), registry.find("encoder", "identity")()
    with pytest.raises(ConfigError) as refusal:
        Model(attrs.evolve(quick, embedding=axial, encoder=identity, width=30))
    assert str(refusal.value) == (
        "experiment: 1 problem\n\n  embedding\n    axial: width 30 is not a multiple of heads, which is 4"
    )


@attrs.frozen
class Wants(Regulariser):
    """Reads what nobody gives."""

    name = "wants"
    needs = frozenset({"pairs", "kl"})

    def __call__(self, prediction):
        raise NotImplementedError


@attrs.frozen
class Penalised(Loss):
    """Reads what nobody gives, and holds one that does so too."""

    name = "penalised"
    needs = frozenset({"load"})
    of: tuple[Wants, ...] = (Wants(),)

    def __call__(self, prediction, truth, table):
        raise NotImplementedError


@attrs.frozen
class Gate(Encoder):
    """Measures how open it is."""

    name = "gate"
    gives = frozenset({"kl"})
    needs = frozenset({"mood"})

    def build(self, width):
        raise ValueError("gate: is stuck")


@attrs.frozen
class Answer(Head):
    """Gives something else than edges."""

    name = "answer"
    gives = frozenset({"hubs"})

    def build(self, width):
        raise ValueError("answer: has none")


@attrs.frozen
class Unbuilt(Head):
    """Forgets to build."""

    name = "unbuilt"
    gives = frozenset({"edges"})

    def build(self, width):
        return None


def problems(experiment):
    with pytest.raises(ConfigError) as refusal:
        Model(experiment)
    return str(refusal.value)


def test_every_problem_is_reported_at_once_by_its_key(quick):
    unwired = attrs.evolve(
        quick,
        encoder=Gate(),
        head=Answer(),
        auxiliary_heads=(Answer(),),
        auxiliary_losses=(Weighted(quick.loss), Weighted(Penalised())),
        regularisers=(Weighted(Wants()),),
    )
    assert problems(unwired) == (
        "experiment: 9 problems\n\n"
        '  head\n    the main head must give "edges"; answer does not\n\n'
        '  encoder\n    gate needs "mood", which nothing before it gives\n    given: pairs\n\n'
        '  auxiliary_heads[0]\n    another head gives "hubs" already\n\n'
        '  auxiliary_losses[1]\n    penalised needs "load", which nothing before it gives\n    given: hubs, kl\n\n'
        '  auxiliary_losses[1].of[0]\n    wants needs "pairs", which nothing before it gives\n    given: hubs, kl\n\n'
        '  regularisers[0]\n    wants needs "pairs", which nothing before it gives\n    given: hubs, kl\n\n'
        "  encoder\n    gate: is stuck\n\n"
        "  head\n    answer: has none\n\n"
        "  auxiliary_heads[0]\n    answer: has none"
    )


def test_a_network_alone_is_built_whatever_the_losses_needed(quick, registry):
    cap = registry.find("regulariser", "kl-cap")()
    trained_so = attrs.evolve(quick, regularisers=(Weighted(cap),))
    with pytest.raises(ConfigError):
        Model(trained_so)
    torch.manual_seed(0)
    model = Model(trained_so.network)
    torch.manual_seed(0)
    whole = Model(quick)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in model.state_dict().items())
    assert (model.trained_variables, model.trained_rows) == (whole.trained_variables, whole.trained_rows)


def test_pairs_are_no_part_of_a_prediction(quick):
    with pytest.raises(ConfigError) as refusal:
        check_wiring(attrs.evolve(quick, regularisers=(Weighted(Wants()),)))
    assert str(refusal.value) == (
        "experiment: 2 problems\n\n"
        '  regularisers[0]\n    wants needs "kl", which nothing before it gives\n    given: edges\n\n'
        '  regularisers[0]\n    wants needs "pairs", which nothing before it gives\n    given: edges'
    )


def test_an_encoder_inside_an_embedding_is_wired_as_well(quick):
    inside = attrs.evolve(quick, embedding=attrs.evolve(quick.embedding, between=Gate()))
    with pytest.raises(ConfigError) as refusal:
        check_wiring(inside)
    assert str(refusal.value) == (
        "experiment: 1 problem\n\n"
        '  embedding.between\n    gate needs "mood", which nothing before it gives\n    given: pairs'
    )
    assert 'needs "kl"' not in problems(attrs.evolve(inside, regularisers=(Weighted(Wants()),)))


def test_what_an_embedding_inside_another_gives_is_given(quick, registry):
    around = registry.find("embedding", "variational")
    wrapped = attrs.evolve(quick, embedding=around(of=quick.embedding))
    table, _ = Stream(quick.stream, seed=2, device=CPU).batch(0)
    assert Model(wrapped)(table).aux["kl"].shape == (len(table.x),)
    assert problems(attrs.evolve(wrapped, embedding=around(), encoder=Gate())) == (
        'experiment: 2 problems\n\n  encoder\n    gate needs "mood", which nothing before it gives\n    given: kl\n\n'
        "  encoder\n    gate: is stuck"
    )
    deep = around(of=attrs.evolve(quick.embedding, between=Gate()))
    assert problems(attrs.evolve(wrapped, embedding=deep)) == (
        "experiment: 2 problems\n\n"
        '  embedding.of.between\n    gate needs "mood", which nothing before it gives\n    given: kl, pairs\n\n'
        "  embedding\n    gate: is stuck"
    )


def test_what_is_built_must_be_a_module(quick):
    with pytest.raises(ContractError) as refusal:
        Model(attrs.evolve(quick, head=Unbuilt()))
    assert str(refusal.value) == "head unbuilt: build must return a torch.nn.Module, found NoneType"


class Returns(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, _):
        return self.value


NODES, PAIRS = torch.zeros(2, 4, 16), torch.zeros(2, 4, 4, 16)
BROKEN = [
    ("embedding", NODES, "embedding cross-moment: expected Evidence, found Tensor"),
    (
        "embedding",
        Evidence(nodes=NODES[:, :, :7]),
        "embedding cross-moment: nodes: expected shape [B=2, D=4, E=16], found [2, 4, 7]",
    ),
    (
        "embedding",
        Evidence(nodes=NODES, pairs=PAIRS[..., :7]),
        "embedding cross-moment: pairs: expected shape [B=2, D=4, D=4, E=16], found [2, 4, 4, 7]",
    ),
    (
        "embedding",
        Evidence(nodes=NODES[:, :3]),
        "embedding cross-moment: nodes: expected shape [B=2, D=4, E=16], found [2, 3, 16]",
    ),
    ("embedding", Evidence(nodes=NODES), "embedding cross-moment: expected pairs in the evidence, found none"),
    ("encoder", None, "encoder triangle: expected Evidence, found NoneType"),
    ("encoder", Evidence(nodes=NODES), "encoder triangle: expected pairs in the evidence, found none"),
    (
        "encoder",
        Evidence(nodes=NODES, pairs=PAIRS, aux={"kl": 1.0}),
        "encoder triangle: aux: expected a tensor as kl, found float",
    ),
    ("head", PAIRS, "head pair: expected a dict of tensors, found Tensor"),
    ("head", {"edges": [0.0]}, "head pair: expected a tensor as edges, found list"),
    ("head", {"edge": PAIRS}, "head pair: expected ['edges'], found ['edge']"),
    ("head", {"edges": PAIRS}, "head pair: expected shape [B=2, D=4, D=4], found [2, 4, 4, 16]"),
]


@pytest.mark.parametrize(("where", "value", "message"), BROKEN, ids=lambda part: part if isinstance(part, str) else "")
def test_what_a_component_may_not_return_is_named(tiny, where, value, message):
    model = Model(tiny)
    if where == "head":
        model.heads[0] = Returns(value)
    else:
        setattr(model, where, Returns(value))
    few = attrs.evolve(tiny.stream, variables=Draw.constant(4), tables=2)
    table, _ = Stream(few, seed=0, device=CPU).batch(0)
    with pytest.raises(ContractError) as refusal:
        model(table)
    assert str(refusal.value) == message


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_compiled_it_gives_the_same_and_compiles_few_times(tiny):
    """All of torch.compile but its last step, which translates to C++ and takes minutes."""
    torch.manual_seed(0)
    model = Model(tiny)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, dynamic=True, backend=counter)
    sizes = set()
    for step in range(8):
        table, truth = Stream(tiny.stream, seed=0, device=CPU).batch(step)
        sizes.add(tuple(table.x.shape))
        found = []
        for forward in (model, compiled):
            model.zero_grad()
            prediction = forward(table)
            tiny.loss(prediction, truth, table).mean().backward()
            found.append((prediction.logits, [weight.grad.clone() for weight in model.parameters()]))
        torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-3)
    assert len(sizes) > 5
    assert counter.frame_count <= 2
