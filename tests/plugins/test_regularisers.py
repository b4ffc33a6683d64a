import networkx as nx
import pytest
import torch
from tabscm_builtin.regularisers.acyclicity import Acyclicity
from tabscm_builtin.regularisers.kl_cap import KLCap
from tabscm_builtin.regularisers.load_balance import LoadBalance
from tabscm_builtin.regularisers.sparsity import Sparsity

from tabscm import Prediction
from tabscm.testing import ConformanceError, conformance

FORMS = ("stable-power", "naive-power", "exponential", "log-determinant", "spectral-radius")
BOUNDED = ("stable-power", "log-determinant", "spectral-radius")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def logits(*shape, size=1.0, seed=0):
    return size * torch.randn(shape, generator=rng(seed))


def sure(variables, *pairs, size=20.0):
    """Logits of a graph that is believed in without doubt."""
    values = torch.full((1, variables, variables), -size)
    for cause, effect in pairs:
        values[0, cause, effect] = size
    return values


def ring(variables):
    return [(node, (node + 1) % variables) for node in range(variables)]


def penalty(form, values):
    return Acyclicity(form=form)(Prediction(values))


def gradient_norm(form, values):
    values = values.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(penalty(form, values).sum(), values)
    return gradient.norm().item()


def edge_matrix(values):
    """Probabilities in float64, with no edge from a variable to itself."""
    return values.double().sigmoid() * (1 - torch.eye(values.shape[1]))


def test_stable_power_is_the_default():
    assert Acyclicity() == Acyclicity(form="stable-power")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [2, 3, 5])
def test_one_edge_that_closes_a_cycle_is_what_costs(form, length):
    path = [pair for pair in ring(length) if pair[1] != 0]
    shortcut = [*path, (0, length - 1)] if length > 2 else path
    open_path, tangled, closed = (
        penalty(form, sure(8, *pairs, size=80.0)).item() for pairs in (path, shortcut, ring(length))
    )
    if form == "spectral-radius":  # 1e-30 behind seven sure edges still weighs 1e-30^(1/8)
        assert max(open_path, tangled) < 1e-3
        assert closed == pytest.approx(1, rel=0.15)
    else:
        assert max(open_path, tangled) < 1e-6
        assert closed > 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_penalty_rises_with_the_edge_that_closes_the_cycle(form):
    values = sure(6, *ring(3), size=5.0).repeat(9, 1, 1)
    values[:, 2, 0] = torch.linspace(-4, 4, 9)
    assert (penalty(form, values).diff() > 0).all()


@pytest.mark.parametrize("form", ["stable-power", "exponential", "spectral-radius"])
def test_descent_leaves_no_cycle(form):
    values = logits(4, 8, 8)
    for _ in range(300):
        values.requires_grad_()
        (gradient,) = torch.autograd.grad(penalty(form, values).sum(), values)
        size = gradient.norm(dim=(1, 2), keepdim=True).clamp(min=1e-9)
        values = (values - 0.3 * gradient / size).detach()
    decoded = values > 0
    decoded &= ~torch.eye(8, dtype=torch.bool)
    assert all(
        nx.is_directed_acyclic_graph(nx.from_numpy_array(adj.numpy(), create_using=nx.DiGraph)) for adj in decoded
    )


@pytest.mark.parametrize("variables", [1, 2, 6, 30])
@pytest.mark.parametrize("size", [0.1, 3.0])
def test_forms_are_what_their_papers_say(variables, size):
    values = logits(5, variables, variables, size=size)
    edge = edge_matrix(values)
    eigenvalues = torch.linalg.eigvals(edge)
    eye = torch.eye(variables, dtype=torch.float64)
    expected = {
        "naive-power": sum((eigenvalues**k).sum(1).real for k in range(1, variables + 1)) / variables,
        "exponential": eigenvalues.exp().sum(1).real - variables,
        "log-determinant": variables * torch.log(torch.tensor(variables))
        - torch.linalg.det(variables * eye - edge).log(),
    }
    for form, value in expected.items():
        torch.testing.assert_close(penalty(form, values).double(), value, rtol=1e-3, atol=1e-5)
    radius = eigenvalues.abs().amax(1)
    torch.testing.assert_close(penalty("spectral-radius", values).double(), radius, rtol=0.05, atol=1e-6)


def test_spectral_radius_sees_a_cycle_without_rhythm():
    """The quotient of power iteration never settles on a cycle: its eigenvalues are all of one size."""
    values = sure(7, *ring(7), size=40.0)
    assert penalty("spectral-radius", values).item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("form", BOUNDED)
@pytest.mark.parametrize("variables", [1, 2, 20, 200])
@pytest.mark.parametrize("size", [1.0, 50.0, 90.0, 200.0])
def test_bounded_forms_are_finite_for_every_kind_of_graph(form, variables, size):
    full = torch.ones(1, variables, variables)
    for shape in (full, full.triu(1), full.triu(1) - full.triu(2), 0 * full):
        values = (size * (2 * shape - 1)).requires_grad_()
        found = penalty(form, values)
        found.sum().backward()
        assert 0 <= found.item() <= variables
        assert values.grad.isfinite().all()


def test_bare_powers_explode_where_stable_ones_do_not():
    """The sources saw gradient norms of 46 767 with 13 edges; weight 0.1 exploded, 0.001 was stable."""
    naive, stable = (
        [gradient_norm(form, logits(1, variables, variables)) for variables in (10, 20, 30)]
        for form in ("naive-power", "stable-power")
    )
    assert max(stable) < 1
    assert naive[0] > 1000 * stable[0]
    assert 0.1 * naive[1] > 46_767
    assert naive[2] > 1e10 * naive[1]


def test_bare_powers_break_no_promise_but_to_be_finite():
    with pytest.raises(ConformanceError) as broken:
        conformance(Acyclicity(form="naive-power"))
    assert [failure.check for failure in broken.value.failures] == ["finite"]


def test_divergence_is_free_up_to_a_bound():
    kl = torch.tensor([0.0, 0.4, 0.5, 8.0], requires_grad=True)
    given = Prediction(torch.zeros(4, 3, 3), {"kl": kl})
    torch.testing.assert_close(KLCap()(given), kl)
    found = KLCap(free_bits=0.5)(given)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.0, 7.5]))
    (gradient,) = torch.autograd.grad(found.sum(), kl)
    assert gradient.tolist() == [0, 0, 0, 1]


def balance(load, router):
    return LoadBalance()(Prediction(torch.zeros(len(load), 3, 3), {"load": load, "router": router}))


def test_load_balance_is_one_for_even_experts_and_their_number_for_one_that_does_it_all():
    even = torch.full((1, 2, 4), 0.25)
    one = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 2, 4)
    assert balance(even, even).item() == pytest.approx(1)
    assert balance(one, one).item() == pytest.approx(4)
    assert balance(torch.cat([even, one], 1), torch.cat([even, one], 1)).item() == pytest.approx(2.5)


def test_load_balance_evens_out_a_router():
    """Every token goes to the expert that its router likes best; the penalty must spread them."""
    scores = logits(1, 1, 64, 4)
    scores[..., 0] += 2
    for step in range(300):
        scores.requires_grad_()
        router = scores.softmax(3)  # [B, L, tokens, X]
        load = torch.nn.functional.one_hot(scores.argmax(3), 4).float().mean(2)
        if step == 0:
            assert load.max() > 0.7
        (gradient,) = torch.autograd.grad(balance(load, router.mean(2)).sum(), scores)
        scores = (scores - 5 * gradient).detach()
    assert load.max() < 0.4


def test_load_balance_has_no_gradient_for_the_load():
    load, router = (torch.full((1, 1, 4), 0.25, requires_grad=True) for _ in range(2))
    found = torch.autograd.grad(balance(load, router).sum(), (load, router), allow_unused=True)
    assert found[0] is None
    assert found[1].any()


def test_sparsity_counts_expected_edges_beyond_a_density():
    values = torch.logit(torch.tensor([[[0.9, 0.4], [0.2, 0.9]]]))
    assert Sparsity()(Prediction(values)).item() == pytest.approx(0.3)
    assert Sparsity(density=0.1)(Prediction(values)).item() == pytest.approx(0.2)
    assert Sparsity(density=0.5)(Prediction(values)).item() == 0


def test_descent_on_sparsity_stops_at_the_density():
    values = logits(3, 6, 6)
    for _ in range(500):
        values.requires_grad_()
        (gradient,) = torch.autograd.grad(Sparsity(density=0.15)(Prediction(values)).sum(), values)
        values = (values - gradient).detach()
    torch.testing.assert_close(Sparsity()(Prediction(values)), torch.full((3,), 0.15), atol=0.01, rtol=0)
