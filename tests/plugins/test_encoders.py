import pytest
import torch
from tabscm_builtin.encoders.columns import Columns
from tabscm_builtin.encoders.graph import Graph
from tabscm_builtin.encoders.moe import MixtureOfExperts
from tabscm_builtin.encoders.triangle import Triangle

from tabscm import Evidence

WIDTH = 16


def evidence(tasks=4, variables=6, *, pairs=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(tasks, variables, WIDTH, generator=generator)
    grid = torch.randn(tasks, variables, variables, WIDTH, generator=generator)
    return Evidence(nodes=nodes, pairs=grid if pairs else None)


def build(spec, seed=0):
    """A module whose branches have left zero."""
    torch.manual_seed(seed)
    module = spec.build(WIDTH).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def train(module, ask, *, steps, lr):
    """The loss at every step."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = ask()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_moe_says_what_share_of_the_tokens_each_expert_got(top_k):
    module = build(MixtureOfExperts(layers=3, experts=4, top_k=top_k))
    with torch.no_grad():
        aux = module(evidence()).aux
    assert aux["load"].shape == aux["router"].shape == (4, 3, 4)
    torch.testing.assert_close(aux["load"].sum(-1), torch.ones(4, 3))
    torch.testing.assert_close(aux["router"].sum(-1), torch.ones(4, 3))
    tokens = aux["load"] * 6 * top_k  # of six variables, top_k experts each
    torch.testing.assert_close(tokens, tokens.round())
    assert (tokens <= 6).all()  # no expert twice for one token
    assert not aux["load"].requires_grad


def test_moe_is_the_sum_of_the_k_likeliest_experts_weighted_by_their_probability():
    module = build(MixtureOfExperts(layers=1, experts=4, top_k=2))
    experts, x = module.layers[0].feed_forward, evidence().nodes
    with torch.no_grad():
        found, load, router = experts(x)
        normed = experts.norm(x)
        probability = experts.router(normed).softmax(-1)  # [B, D, X]
        hidden = torch.einsum("bde,xhe->bdxh", normed, experts.up) + experts.up_bias
        hidden = torch.nn.functional.hardswish(hidden)
        answers = torch.einsum("bdxh,xeh->bdxe", hidden, experts.down) + experts.down_bias
        kept = probability >= probability.sort(-1, descending=True).values[..., 1:2]
        expected = x + (answers * (probability * kept)[..., None]).sum(2)
    assert (kept.sum(-1) == 2).all()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(load, kept.float().mean(1) / 2)
    torch.testing.assert_close(router, probability.mean(1))


def test_an_expert_that_is_not_chosen_is_not_asked():
    module = build(MixtureOfExperts(layers=1, experts=4, top_k=1))
    experts, x = module.layers[0].feed_forward, evidence().nodes
    with torch.no_grad():
        experts.router.weight.zero_()
        experts.router.bias.copy_(torch.tensor([0.0, 0.0, 5.0, 0.0]))
    found, load, _ = experts(x)
    assert load.tolist() == [[0, 0, 1, 0]] * 4
    found.square().sum().backward()
    asked = [bool(gradient.any()) for gradient in experts.up.grad]
    assert asked == [False, False, True, False]
    assert experts.router.bias.grad.any()  # though only one was chosen: its probability weighs the answer


def test_moe_attends_by_what_pairs_say():
    module, given = build(MixtureOfExperts()), evidence()
    other = Evidence(nodes=given.nodes, pairs=given.pairs.flip(0))
    with torch.no_grad():
        found = module(given)
        assert found.pairs is given.pairs
        assert (module(other).nodes - found.nodes).abs().max() > 1e-2


def test_layers_of_an_earlier_moe_come_first():
    first, second = build(MixtureOfExperts(layers=1)), build(MixtureOfExperts(layers=2), seed=1)
    with torch.no_grad():
        once = first(evidence())
        twice = second(once)
    for name in ("load", "router"):
        assert twice.aux[name].shape[1] == 3
        assert torch.equal(twice.aux[name][:, :1], once.aux[name])


def test_moe_of_sixteen_layers_learns():
    """Which variable is the sum of all the others: every variable has to hear from all."""
    given = evidence(tasks=32, variables=4, pairs=False)
    target = given.nodes.sum(1, keepdim=True)[..., 0].expand(-1, 4)
    torch.manual_seed(0)
    module = MixtureOfExperts(layers=16, experts=4).build(WIDTH).train()
    losses = train(module, lambda: (module(given).nodes[..., 0] - target).square().mean(), steps=30, lr=3e-3)
    assert losses[-1] < 0.2 * losses[0]


def test_every_layer_of_a_deep_moe_can_be_recomputed():
    from torch.utils.checkpoint import checkpoint

    module, given = build(MixtureOfExperts(layers=3, dropout=0.2)).train(), evidence()

    def gradients():
        module.zero_grad()
        torch.manual_seed(1)
        module(given).nodes.square().sum().backward()
        return [parameter.grad.clone() for parameter in module.parameters()]

    expected = gradients()
    for layer in module.layers:
        inner = layer.forward
        layer.forward = lambda *inputs, inner=inner: checkpoint(inner, *inputs, use_reentrant=False)
    for found, kept in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(found, kept)


def test_top_k_may_not_exceed_experts():
    with pytest.raises(ValueError, match=r"^top_k is 9, above experts, which is 8$"):
        MixtureOfExperts(top_k=9)
    with pytest.raises(ValueError, match=r"^moe: width 16 is not a multiple of heads, which is 3$"):
        MixtureOfExperts(heads=3).build(WIDTH)


def disbelieve(module):
    """Believe in no edge at all."""
    with torch.no_grad():
        for one in module.rounds:
            one.believe.weight.zero_()
            one.believe.bias.fill_(-torch.inf)


@pytest.mark.parametrize("pairs", [True, False])
def test_graph_sends_messages_only_along_edges_it_believes_in(pairs):
    module, given = build(Graph(rounds=1)), evidence(pairs=pairs)
    changed = Evidence(nodes=given.nodes.clone(), pairs=given.pairs)
    changed.nodes[:, 0] += 1.0
    changed.nodes[:, 0, 0] += 3.0
    with torch.no_grad():
        heard = (module(changed).nodes - module(given).nodes)[:, 1:].abs().amax((1, 2))
        disbelieve(module)
        silent = (module(changed).nodes - module(given).nodes)[:, 1:].abs().max()
    assert (heard > 1e-3).all()
    assert silent == 0


def test_graph_hears_from_causes_and_effects_apart():
    """A belief in 0 -> 1 alone: 1 hears from its cause, 0 from its effect, 2 from nobody; turned round, otherwise."""
    one = build(Graph(rounds=1)).rounds[0]
    nodes = torch.randn(1, 3, WIDTH, generator=torch.Generator().manual_seed(0))
    belief = torch.zeros(1, 3, 3)
    belief[0, 0, 1] = 3**0.5
    heard = one._heard(belief, nodes, None)[0]
    from_causes, from_effects = heard[:, WIDTH : 2 * WIDTH], heard[:, 2 * WIDTH : 3 * WIDTH]
    nobody = torch.zeros(WIDTH)
    torch.testing.assert_close(from_causes, torch.stack([nobody, nodes[0, 0], nobody]))
    torch.testing.assert_close(from_effects, torch.stack([nodes[0, 1], nobody, nobody]))
    assert heard[:, -2:].tolist() == [[0, 1], [1, 0], [0, 0]]


def test_graph_passes_a_message_on_from_round_to_round():
    """Every variable of a chain holds a random sign; the last has to tell the sign of the one two steps up."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(128, 4, generator=generator).argsort(1)
    tasks = torch.arange(128)
    pairs = torch.zeros(128, 4, 4, WIDTH)
    for step in range(3):
        pairs[tasks, order[:, step], order[:, step + 1], 0] = 1
    signs = (torch.rand(128, 4, generator=generator) < 0.5).float()
    nodes = torch.zeros(128, 4, WIDTH)
    nodes[..., 1] = 2 * signs - 1
    given, target = Evidence(nodes=nodes, pairs=pairs), signs[tasks, order[:, 1]]

    def final_loss(rounds):
        torch.manual_seed(0)
        module = Graph(rounds=rounds).build(WIDTH).train()

        def ask():
            last = module(given).nodes[tasks, order[:, 3], 2]
            return torch.nn.functional.binary_cross_entropy_with_logits(last, target)

        return train(module, ask, steps=60, lr=1e-2)[-1]

    assert final_loss(2) < 0.05
    assert final_loss(1) > 0.25  # one round tells the sum of the signs and the last but one, not which is which


def test_graph_updates_pairs_from_their_nodes():
    module, given = build(Graph()), evidence()
    changed = Evidence(nodes=given.nodes.flip(0), pairs=given.pairs)
    with torch.no_grad():
        assert (module(changed).pairs - module(given).pairs).abs().max() > 1e-2


ENCODERS = (Columns, Triangle, MixtureOfExperts, Graph)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
def test_dropout_is_of_training_alone(encoder):
    module, given = build(encoder(dropout=0.5)), evidence()
    plain = build(encoder())
    with torch.no_grad():
        assert torch.equal(module(given).nodes, plain(given).nodes)
        module.train()
        assert (module(given).nodes - module(given).nodes).abs().max() > 1e-2


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
def test_no_dropout_draws_no_random_number(encoder):
    module = build(encoder()).train()
    before = torch.get_rng_state()
    module(evidence())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_is_a_share(encoder, dropout):
    with pytest.raises(ValueError, match="dropout"):
        encoder(dropout=dropout)


def test_context_tells_every_pair_what_the_others_are_like():
    def moved(spec):
        given, changed = evidence(), evidence()
        changed.pairs[:, 4, 5] *= -1.0
        with torch.no_grad():
            module = build(spec)
            for block in module.blocks:  # triangles apart, whose paths reach far as well
                block[0].out.weight.zero_()
                block[0].out.bias.zero_()
            return (module(changed).pairs - module(given).pairs)[:, :4, :4].abs().amax((1, 2, 3))

    assert (moved(Triangle(context=8)) > 1e-3).all()
    assert not moved(Triangle()).any()


def test_context_says_nothing_at_first_but_a_constant():
    torch.manual_seed(0)
    with_context = Triangle(blocks=1, context=8).build(WIDTH)
    without = Triangle(blocks=1).build(WIDTH)
    without.load_state_dict({k: v for k, v in with_context.state_dict().items() if not k.startswith("context.")})
    torch.nn.init.zeros_(with_context.context.out.bias)
    torch.testing.assert_close(with_context(evidence()).pairs, without(evidence()).pairs)
