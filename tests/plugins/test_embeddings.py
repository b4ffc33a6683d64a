import math
from collections import Counter

import pytest
import torch
from tabscm_builtin.embeddings import _families, _knots, _levels, _pieces, _ranks, cross_moment
from tabscm_builtin.embeddings._common import asinh
from tabscm_builtin.embeddings._families import Families, SingleChanges
from tabscm_builtin.embeddings._independence import curves, dependence, spread
from tabscm_builtin.embeddings._moments import cross_moments, gram
from tabscm_builtin.embeddings._ranks import gaussian_rank
from tabscm_builtin.embeddings._regression import regress, single_changes
from tabscm_builtin.embeddings._threads import on_all_cores
from tabscm_builtin.embeddings.axial import Axial
from tabscm_builtin.embeddings.cross_moment import CrossMoment
from tabscm_builtin.embeddings.gated_fusion import GatedFusion, by_value, selective_scan
from tabscm_builtin.embeddings.set import Set
from tabscm_builtin.embeddings.simple import Simple
from tabscm_builtin.embeddings.tabpfn import TabPFN
from tabscm_builtin.embeddings.variational import Variational
from tabscm_builtin.encoders.moe import MixtureOfExperts
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

from tabscm import Table

WIDTH = 16
CPU = torch.device("cpu")


def table(x):
    return Table(x=x, intervened=torch.zeros_like(x, dtype=torch.bool), observed=torch.ones_like(x, dtype=torch.bool))


def random_table(tasks=3, rows=40, variables=5, seed=0):
    x = torch.randn(tasks, rows, variables, generator=torch.Generator().manual_seed(seed))
    return table((x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True))


def shuffled(given, seed=0):
    """Every column with its rows in an order of its own: the columns as they were, what joins them gone."""
    noise = torch.rand(given.x.shape, generator=torch.Generator().manual_seed(seed))
    return table(given.x.gather(1, noise.argsort(1)))


def build(spec, seed=0, width=WIDTH):
    torch.manual_seed(seed)
    return spec.build(width).eval()


@pytest.mark.parametrize("spec", [Simple(), Set(), TabPFN()], ids=lambda spec: spec.name)
def test_a_per_column_embedding_sees_nothing_pairwise(spec):
    module, given = build(spec), random_table()
    with torch.no_grad():
        before, after = module(given), module(shuffled(given))
    assert before.pairs is None
    torch.testing.assert_close(after.nodes, before.nodes, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spec", [Axial(), CrossMoment(), GatedFusion()], ids=lambda spec: spec.name)
def test_the_others_do(spec):
    module, given = build(spec), random_table()
    with torch.no_grad():
        for parameter in module.parameters():  # branches that start at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
        before, after = module(given), module(shuffled(given))
    assert (after.nodes - before.nodes).abs().max() > 1e-2


@pytest.mark.parametrize(("spec", "steps"), [(Set(), 100), (TabPFN(), 50)], ids=["set", "tabpfn"])
def test_a_per_column_embedding_tells_shapes_of_columns_apart(spec, steps):
    normal = torch.randn(50, 64, 1, generator=torch.Generator().manual_seed(0))
    x = torch.cat([normal, (normal.square() - 1) / 2**0.5])
    skewed = (torch.arange(100) >= 50).float()
    torch.manual_seed(0)
    module, read = spec.build(WIDTH), torch.nn.Linear(WIDTH, 1)
    optimiser = torch.optim.AdamW([*module.parameters(), *read.parameters()], lr=1e-2)
    for _ in range(steps):
        logits = read(module(table(x)).nodes)[:, 0, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, skewed)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.detach() < 0.1  # knowing nothing costs log 2


def test_tabpfn_depends_on_the_order_of_rows_only_when_asked_to():
    given = random_table()
    backwards = table(given.x.flip(1))
    with torch.no_grad():
        plain, coded = build(TabPFN()), build(TabPFN(positions=True))
        assert (plain(backwards).nodes - plain(given).nodes).abs().max() < 1e-5
        assert (coded(backwards).nodes - coded(given).nodes).abs().max() > 1e-3


def divergence(mean, log_variance):
    """Of N(mean, exp(log_variance)) from N(0, I), as torch knows it: nats per vector."""
    posterior = Normal(mean, (0.5 * log_variance).exp())
    return kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1)


@pytest.mark.parametrize("of", [Simple(), CrossMoment(features=2, steps=0)], ids=lambda spec: spec.name)
def test_kl_is_the_mean_divergence_of_all_vectors_in_nats(of):
    module, given = build(Variational(of=of, latent=3)), random_table()
    with torch.no_grad():
        inner, found = module.of(given), module(given)
        vectors = inner.nodes
        if inner.pairs is not None:
            vectors = torch.cat([vectors, inner.pairs.flatten(1, 2)], 1)
        normed = module.norm(vectors)
        expected = divergence(module.mean(normed), module.log_variance(normed)).mean(1)
    torch.testing.assert_close(found.aux["kl"], expected)
    assert (found.pairs is None) == (inner.pairs is None)


def test_a_posterior_equal_to_the_prior_costs_nothing():
    module = build(Variational())
    with torch.no_grad():
        for layer in (module.mean, module.log_variance):
            layer.weight.zero_()
            layer.bias.zero_()
        torch.testing.assert_close(module(random_table()).aux["kl"], torch.zeros(3))
        module.mean.bias.fill_(2.0)  # 16 dimensions, each 2^2 / 2 nats
        torch.testing.assert_close(module(random_table()).aux["kl"], torch.full((3,), 32.0))


def test_training_draws_around_the_mean_that_evaluation_takes():
    module, given = build(Variational(latent=4)), random_table(tasks=1, variables=2)
    many = table(given.x.expand(4000, -1, -1))
    with torch.no_grad():
        mean = module(given).nodes
        normed = module.norm(module.of(given).nodes)
        deviation = (0.5 * module.log_variance(normed)).exp()
        drawn = module.train()(many).nodes
    torch.testing.assert_close(drawn.mean(0, keepdim=True), mean, atol=0.03, rtol=0)
    spread = (deviation.square() @ module.back.weight.square().mT).sqrt()
    torch.testing.assert_close(drawn.std(0, keepdim=True), spread, atol=0, rtol=0.1)


def test_one_bottleneck_inside_another_pays_for_both():
    module, given = build(Variational(of=Variational())), random_table()
    with torch.no_grad():
        inner, found = module.of(given), module(given)
        normed = module.norm(inner.nodes)
        own = divergence(module.mean(normed), module.log_variance(normed)).mean(1)
    torch.testing.assert_close(found.aux["kl"], inner.aux["kl"] + own)


def test_what_the_wrapped_embedding_measures_is_handed_on():
    inner = CrossMoment(features=2, steps=1, between=MixtureOfExperts(layers=1))
    found = build(Variational(of=inner))(random_table())
    assert set(found.aux) == {"kl", "load", "router"}


def sequential(x, step, decay, into, read):
    """The recurrence as it is written, one row after the other."""
    state = torch.zeros(*x.shape[:-3], x.shape[-2], into.shape[-1], x.shape[-1], dtype=x.dtype)
    answers = []
    for n in range(x.shape[-3]):
        kept = (step[..., n, :] * decay).exp()[..., None, None]
        added = step[..., n, :, None, None] * into[..., n, None, :, None] * x[..., n, :, None, :]
        state = kept * state + added
        answers.append((read[..., n, None, :, None] * state).sum(-2))
    return torch.stack(answers, -3)


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_parallel_scan_is_the_recurrence_and_has_its_gradient(rows, dtype):
    generator = torch.Generator().manual_seed(rows)

    def randn(*shape):
        return torch.randn(2, 3, rows, *shape, generator=generator).to(dtype)

    decay = -torch.tensor([0.0, 1.0, 4.0, 16.0], dtype=dtype)
    given = [randn(4, 5), 0.1 * randn(4).abs(), decay, randn(6), randn(6)]
    weights = randn(4, 5)
    found = []
    for scan in (sequential, selective_scan):
        inputs = [tensor.clone().requires_grad_() for tensor in given]
        answer = scan(*inputs)
        (answer * weights).sum().backward()
        found.append([answer.detach(), *(tensor.grad for tensor in inputs)])
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for expected, answer in zip(*found, strict=True):
        scale = expected.abs().max().clamp(min=1)  # sums of hundreds of terms of either sign
        torch.testing.assert_close(answer / scale, expected / scale, atol=tolerance, rtol=tolerance)


def test_a_scan_that_forgets_at_once_or_never_stays_finite():
    x, into = torch.ones(1, 500, 2, 1, requires_grad=True), torch.ones(1, 500, 1)
    step = torch.stack([torch.full((500,), 100.0), torch.full((500,), 0.01)], -1)[None].requires_grad_()
    decay = torch.tensor([-1e4, 0.0], requires_grad=True)
    answer = selective_scan(x, step, decay, into, into)
    torch.testing.assert_close(answer[0, :, 0, 0], torch.full((500,), 100.0))  # only the row itself
    torch.testing.assert_close(answer[0, :, 1, 0], 0.01 * torch.arange(1.0, 501.0))  # all rows so far
    answer.sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (x, step, decay))


def test_a_row_reads_no_later_row_of_the_scan():
    generator = torch.Generator().manual_seed(0)
    x, step, into = (torch.rand(1, 70, *shape, generator=generator) for shape in ((2, 3), (2,), (4,)))
    changed = x.clone()
    changed[:, 40:] += 1
    before, after = (selective_scan(one, step, -torch.ones(2), into, into) for one in (x, changed))
    assert torch.equal(after[:, :40], before[:, :40])
    assert ((after - before)[:, 40:].abs() > 0).all()


def test_rows_of_a_column_are_ordered_by_value_then_by_what_else_is_in_the_row():
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.3, 0.1, 0.2, 0.4]]).T[None]  # [1, 4, 2]
    cells = torch.stack([x, torch.zeros_like(x), torch.ones_like(x)], -1).transpose(1, 2)
    order = by_value(cells)
    assert order[0, 1].tolist() == [1, 2, 0, 3]
    assert set(order[0, 0, :2].tolist()) == {1, 3}
    backwards = by_value(cells.flip(2))
    assert torch.equal(x[0, order[0, 0], 1], x[0].flip(0)[backwards[0, 0], 1])


def test_tied_rows_of_gated_fusion_may_come_in_any_order():
    generator = torch.Generator().manual_seed(0)
    x = torch.cat(
        [torch.randint(0, 2, (2, 60, 3), generator=generator).float(), torch.randn(2, 60, 2, generator=generator)], -1
    )
    order = torch.randperm(60, generator=generator)
    module = build(GatedFusion())
    with torch.no_grad():
        found, expected = module(table(x[:, order])), module(table(x))
    torch.testing.assert_close(found.nodes, expected.nodes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.pairs, expected.pairs, atol=1e-4, rtol=1e-4)


def test_the_gate_is_the_share_of_the_crosses():
    module, given = build(GatedFusion()), random_table()
    with torch.no_grad():
        gate = module(given).aux["gate"]
        assert gate.shape == (3, 5, WIDTH)
        assert ((gate > 0) & (gate < 1)).all()
        assert gate.std() > 0.01  # it is of the column, and of the feature
        module.gate.weight.zero_()
        for bias, silenced in ((100.0, module.scan), (-100.0, module.crosses)):
            module.gate.bias.fill_(bias)
            before = module(given)
            assert (before.aux["gate"] == float(bias > 0)).all()
            kept = {name: value.clone() for name, value in silenced.state_dict().items()}
            for parameter in silenced.parameters():
                parameter.add_(torch.randn_like(parameter))
            torch.testing.assert_close(module(given).nodes, before.nodes)
            torch.testing.assert_close(module(given).pairs, before.pairs)
            silenced.load_state_dict(kept)


def test_each_branch_of_gated_fusion_matters():
    module, given = build(GatedFusion()), random_table()
    with torch.no_grad():
        before = module(given).nodes
        for branch in (module.crosses, module.scan):
            changed = build(GatedFusion())
            part = changed.crosses if branch is module.crosses else changed.scan
            for parameter in part.parameters():
                parameter.add_(torch.randn_like(parameter))
            assert (changed(given).nodes - before).abs().max() > 1e-2


def test_gated_fusion_tells_which_columns_go_together():
    """x_1 follows |x_0|, which no correlation shows; x_2 follows nothing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 50, 3, generator=generator)
    x[..., 1] = x[..., 0].abs() + 0.1 * x[..., 1]
    x = (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)
    places = torch.rand(32, 3, generator=generator).argsort(1)  # where each column goes
    given = table(torch.empty_like(x).scatter(2, places[:, None].expand_as(x), x))
    torch.manual_seed(0)
    module, read = GatedFusion().build(WIDTH), torch.nn.Linear(WIDTH, 1)
    optimiser = torch.optim.AdamW([*module.parameters(), *read.parameters()], lr=5e-3)
    truth = torch.zeros(32, 3, 3)
    tasks = torch.arange(32)
    truth[tasks, places[:, 0], places[:, 1]] = 1
    off_diagonal = ~torch.eye(3, dtype=torch.bool).expand(32, -1, -1)
    for _ in range(60):
        logits = read(module(given).pairs)[..., 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[off_diagonal], truth[off_diagonal])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.15  # the base rate, one in six, costs 0.45


@pytest.mark.parametrize(
    ("spec", "width", "message"),
    [
        (TabPFN(), 30, "tabpfn: width 30 is not a multiple of heads, which is 4"),
        (GatedFusion(), 30, "gated-fusion: width 30 is not a multiple of 2 and of heads, which is 4"),
        (GatedFusion(heads=3), 33, "gated-fusion: width 33 is not a multiple of 2 and of heads, which is 3"),
    ],
    ids=["tabpfn", "heads", "odd"],
)
def test_a_width_that_does_not_fit_is_named(spec, width, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        spec.build(width)


def moved(spec):
    """A module whose branches do not start at zero."""
    module = build(spec)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize(("rows", "kept"), [(257, 0), (2000, 0), (257, 4), (257, 9)])
def test_cross_moments_read_in_pieces_are_those_read_at_once(rows, kept, levels, monkeypatch):
    module, given = moved(CrossMoment(steps=2, levels=levels)), random_table(tasks=2, rows=rows)
    given.intervened[:, : rows // 3, 1] = True
    whole = module(given)  # with gradients, in one piece
    monkeypatch.setitem(cross_moment.CELLS, "cpu", 300)
    monkeypatch.setattr(cross_moment, "WHOLE", 300)
    monkeypatch.setattr(_pieces, "KEPT", 300 * kept)
    monkeypatch.setattr(_ranks, "RANKED", 2 * rows)
    lengths = []
    module.phi.register_forward_hook(lambda _, cells, __: lengths.append(cells[0].shape[1]))
    with torch.inference_mode():
        pieces = module(given)
    assert set(lengths) == {30, rows % 30}
    count = -(-rows // 30)
    # for the first moments, and for each residual step what is not kept; not to count levels
    assert len(lengths) == count + 2 * (count - kept)
    # what a variable leaves of itself is next to nothing, and its curves are known to fewer digits
    off = ~torch.eye(given.x.shape[2], dtype=torch.bool)
    torch.testing.assert_close(pieces.pairs[:, off], whole.pairs[:, off], atol=5e-5, rtol=1e-5)
    torch.testing.assert_close(pieces.pairs, whole.pairs, atol=5e-4, rtol=1e-5)


def test_asinh_is_that_of_torch():
    x = torch.cat([-torch.logspace(-30, 15, 500), torch.zeros(1), torch.logspace(-30, 15, 500)]).requires_grad_()
    torch.testing.assert_close(asinh(x), torch.asinh(x), atol=0, rtol=5e-7)
    (ours,), (theirs,) = (torch.autograd.grad(function(x).sum(), x) for function in (asinh, torch.asinh))
    there = x != 0
    torch.testing.assert_close(ours[there], theirs[there], atol=0, rtol=1e-5)


def test_moments_added_up_by_blocks_are_those_added_up_at_once(monkeypatch):
    module, given = moved(CrossMoment(steps=2)), random_table(tasks=2, rows=700, variables=20)
    whole = module(given)  # with gradients, in one block
    for cells in (30_000, 4000):
        monkeypatch.setitem(cross_moment.CELLS, "cpu", cells)
        monkeypatch.setattr(cross_moment, "WHOLE", cells)
        with torch.inference_mode():
            blocks = module(given)
        torch.testing.assert_close(blocks.pairs, whole.pairs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize("known", ["all", "intervened", "missing"])
def test_long_columns_are_read_by_bins_and_give_the_same(known, levels, monkeypatch):
    module, given = moved(CrossMoment(steps=2, levels=levels)), random_table(tasks=2, rows=4000)
    given.x[:, :, 1] = given.x[:, :, 1].round()
    if known != "all":
        given.intervened[:, :1000, 1] = True
    if known == "missing":
        given.observed[0, 500:2000, 2] = False
        given.x[~given.observed] = 0
    whole = module(given)
    read = []
    module.phi.register_forward_hook(lambda _, cells, __: read.append(cells[0].shape[0]))
    monkeypatch.setattr(cross_moment, "LONG", 1000)
    monkeypatch.setattr(cross_moment, "WHOLE", 1000)
    monkeypatch.setitem(cross_moment.CELLS, "cpu", 3000)
    with torch.inference_mode():
        by_bins = module(given)
        before = list(read)
        order = torch.randperm(4000)
        turned = module(Table(given.x[:, order], given.intervened[:, order], given.observed[:, order]))
    # the bins are read once, whatever the number of steps
    assert sum(before) == sum(read) / 2
    off = ~torch.eye(given.x.shape[2], dtype=torch.bool)
    torch.testing.assert_close(by_bins.pairs[:, off], whole.pairs[:, off], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(turned.pairs[:, off], by_bins.pairs[:, off], atol=5e-5, rtol=1e-4)


@pytest.fixture
def threads():
    """Sets how many threads torch may use, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("levels", [0, 4])
def test_long_columns_are_read_alike_on_one_core_and_on_several(levels, threads, monkeypatch):
    module, given = moved(CrossMoment(steps=1, levels=levels)), random_table(tasks=1, rows=4000)
    monkeypatch.setattr(cross_moment, "LONG", 1000)
    monkeypatch.setattr(cross_moment, "WHOLE", 1000)
    monkeypatch.setitem(cross_moment.CELLS, "cpu", 3000)
    monkeypatch.setattr(_levels, "ROWS", 1500)
    off, found, shares = ~torch.eye(given.x.shape[2], dtype=torch.bool), {}, []
    own = _pieces.Binned.__iter__
    monkeypatch.setattr(_pieces.Binned, "__iter__", lambda pieces: shares.append(len(pieces.parts)) or own(pieces))
    for count in (1, 3):
        threads(count)
        shares.clear()
        for dtype in (None, torch.bfloat16):
            with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype is not None):
                found[count, dtype] = module(given).pairs[:, off]
        assert torch.get_num_threads() == count
        assert sorted({*shares}) == ([7] if count == 1 else [1, 3])  # of seven pieces of 600 rows
    torch.testing.assert_close(found[3, None], found[1, None], atol=5e-5, rtol=1e-4)
    # a last digit of bfloat16 may fall either way; a core that forgets the precision is as far off as float32 is
    off_by, rounding = (
        (found[1, torch.bfloat16] - other).abs().mean() for other in (found[3, torch.bfloat16], found[1, None])
    )
    assert off_by < 0.25 * rounding


def test_what_fails_on_one_of_several_cores_is_raised(threads):
    threads(3)

    def halved(number):
        assert torch.get_num_threads() == 1
        assert torch.is_inference_mode_enabled()
        return 12 // number

    with torch.inference_mode():
        assert on_all_cores(halved, [4, 3, 2, 1], device=CPU) == [3, 4, 6, 12]
        with pytest.raises(ZeroDivisionError):
            on_all_cores(halved, [4, 0, 2], device=CPU)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("count", [1, 3])
def test_no_core_keeps_gradients(count, threads):
    threads(count)
    assert on_all_cores(lambda _: torch.is_grad_enabled(), [1, 2, 3], device=CPU) == [False] * 3


def test_bins_are_the_same_counted_and_sorted(monkeypatch):
    given = random_table(tasks=2, rows=3000)
    given.x[:, :, 0] = given.x[:, :, 0].round()  # ties
    given.x[0, :5, 1] = torch.tensor([-8.0, 8.0, 8.0, 0.0, -8.0])
    given.x.copy_((given.x / _knots.GRID).round() * _knots.GRID)
    phi = torch.nn.Linear(4, 3)
    by_sorting = _knots.knots(given, phi)
    monkeypatch.setattr(_knots, "ROWS", 700)
    by_counting = _knots.knots(given, phi)
    assert torch.equal(by_counting.bins, by_sorting.bins)
    assert torch.equal(by_counting.by_bin.features, by_sorting.by_bin.features)
    # and what stands for a cell is within a bin of it
    ranks, _ = by_counting.of(slice(None))
    torch.testing.assert_close(ranks, gaussian_rank(given.x), atol=2 * _knots.WIDTH, rtol=0)


def test_pieces_far_from_the_first_one_cost_no_digits():
    features = torch.randn(1, 1000, 2, 3) + torch.linspace(-50, 50, 1000)[None, :, None, None]
    exact = features.double().flatten(2)
    exact = exact - exact.mean(1, keepdim=True)
    expected = (exact.mT @ exact / 1000).view(1, 2, 3, 2, 3).transpose(2, 3).float()
    torch.testing.assert_close(cross_moments(features.split(10, 1)), expected, rtol=1e-5, atol=1e-4)


def test_rows_count_for_no_more_than_is_said():
    once = random_table(tasks=2, rows=40)
    thrice = Table(*(torch.cat([values] * 3, 1) for values in (once.x, once.intervened, once.observed)))
    for surest, alike in ((None, False), (40, True)):
        module = moved(CrossMoment(steps=0, surest=surest))
        with torch.no_grad():
            assert torch.allclose(module(thrice).pairs, module(once).pairs, atol=1e-4) is alike


def test_memory_does_not_grow_with_rows(monkeypatch):
    """While pieces are read nothing is larger than the values of the table, of which cells are four times as many."""
    monkeypatch.setitem(cross_moment.CELLS, "cpu", 500)
    monkeypatch.setattr(cross_moment, "WHOLE", 500)
    module, given = moved(CrossMoment(steps=1)), random_table(tasks=1, rows=20_000)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor):
                largest = max(largest, found.numel())
            return found

    ranks = gaussian_rank(given.x)
    monkeypatch.setattr(_ranks, "gaussian_rank", lambda _: ranks)
    with torch.no_grad(), Watch():
        module(given)
    assert largest <= given.x.numel()


def pair_of(noise, *, rows=20_000, strength=0.7, back=False):
    """x causes y, linearly; columns swapped where `back`."""
    x, e = noise(rows), noise(rows)
    table = torch.stack([x, strength * x + (1 - strength**2) ** 0.5 * e], 1)[None]
    table = (table - table.mean(1)) / table.std(1, correction=0)
    return table.flip(2) if back else table


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("strength", [0.5**0.5, 0.9])
def test_what_is_left_of_the_effect_does_not_depend_on_its_cause(strength, back):
    generator = torch.Generator().manual_seed(5)
    table = pair_of(lambda rows: (torch.rand(rows, generator=generator) - 0.5) * 12**0.5, strength=strength, back=back)
    columns = torch.stack([table, *curves(table)], -1)
    moments = cross_moments([columns])
    found = torch.cat([dependence(moments, 0, slice(1, 4), 0), spread(moments)], -1)[0]
    cause, effect = (1, 0) if back else (0, 1)
    assert found[cause, effect].abs().max() < 0.03
    assert found[effect, cause].abs().max() > 0.1


def test_normal_linear_pairs_leave_nothing_to_tell_direction_by():
    generator = torch.Generator().manual_seed(6)
    table = pair_of(lambda rows: torch.randn(rows, generator=generator))
    columns = torch.stack([table, *curves(table)], -1)
    moments = cross_moments([columns])
    assert dependence(moments, 0, slice(1, 4), 0).abs().max() < 0.03
    assert spread(moments).abs().max() < 0.03


def test_regression_takes_the_causes_that_are_believed_and_leaves_the_others():
    x = torch.randn(1, 5000, 3, generator=torch.Generator().manual_seed(1))
    x[..., 2] = x[..., 0] + x[..., 1]
    x = x / x.std(1, correction=0)
    correlation = gram(x) / 5000
    score = torch.full((1, 3, 3), -9.0)
    score[0, 0, 2] = score[0, 1, 2] = 9.0
    weights = regress(correlation, score, 1e-6).weights[0]
    assert weights[:2, 2].tolist() == pytest.approx([0.5**0.5] * 2, abs=0.02)
    assert weights[:, :2].abs().max() < 0.02
    score[0, 1, 2] = -9.0
    assert regress(correlation, score, 1e-6).weights[0, :2, 2].tolist() == pytest.approx([0.5**0.5, 0.0], abs=0.02)


def test_regression_parts_causes_that_nearly_follow_from_one_another_when_it_is_sure():
    x = torch.randn(1, 5000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[..., 1] = x[..., 0] + 0.05 * x[..., 1]
    x[..., 2] = 20.0 * (x[..., 1] - x[..., 0]) + 0.1 * x[..., 2]
    x = (x - x.mean(1)) / x.std(1, correction=0)
    correlation = gram(x) / 5000

    def explained(score):
        among = torch.full((1, 3, 3), -9.0)
        among[0, :2, 2] = score
        return 1 - (x - x @ regress(correlation, among, 1e-5).weights)[..., 2].var().item()

    assert explained(10.0) > 0.9
    assert explained(3.0) < 0.3


def test_regression_has_the_gradient_of_its_solution():
    x = random_table(tasks=2, rows=50, variables=4).x
    correlation = gram(x) / 50
    score = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def solved(score):
        penalty = torch.exp(-score) + 0.01 + 1e12 * torch.eye(4)
        system = correlation[:, None] + torch.diag_embed(penalty.mT)
        return torch.linalg.solve(system, (correlation * (1 - torch.eye(4))).mT[..., None])[..., 0].mT

    found, expected = (
        torch.autograd.functional.jacobian(of, score)
        for of in (lambda score: regress(correlation, score, 0.01).weights, solved)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("rest", [1.0, 1e-3])
def test_single_changes_are_those_of_regressions_with_and_without_the_edge(rest):
    rows = 400
    x = torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x[:, 2] = x[:, 0] - x[:, 1] + rest * x[:, 2]
    x[:, 3] = x[:, 0] + rest * x[:, 3]
    x = (x - x.mean(0)) / x.std(0, correction=0)
    causes = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    correlation = gram(x[None]) / rows
    # believed or not as firmly as scores go: what is not is all but out
    score = torch.where(causes, 99.0, -99.0)[None]
    found = single_changes(correlation, regress(correlation, score, 1e-9), rows)[0]
    for cause, effect in ((0, 2), (1, 2), (3, 2), (0, 3), (1, 3), (2, 3), (2, 0)):
        others = [other for other in range(4) if causes[other, effect] and other != cause]
        left = [value - _fit(x[:, others], value) for value in (x[:, cause], x[:, effect])]
        rho = torch.corrcoef(torch.stack(left))[0, 1]
        price = -rows * torch.log1p(-rho.square()) / 2 - torch.tensor(rows).log() / 2
        expected = [
            rho.atanh(),
            (rho.atanh() * rows**0.5).asinh() / 2,
            price.asinh() / 2,
            left[0].std(correction=0).log(),
        ]
        # a penalty of exp(5) lets a hundredth of what is left out in
        torch.testing.assert_close(found[cause, effect].double(), torch.stack(expected), atol=0.05, rtol=0.05)
    assert not found.diagonal().any()


def _fit(known, value):
    """What a regression on the columns `known` makes of `value`."""
    if known.shape[1] == 0:
        return torch.zeros_like(value)
    return known @ torch.linalg.lstsq(known, value[:, None]).solution[:, 0]


def test_single_changes_of_duplicates_and_of_more_variables_than_rows_are_finite():
    x = random_table(tasks=1, rows=5, variables=9).x
    x[..., 1] = x[..., 0]
    correlation = gram(x) / 5
    for believed in (-99.0, 0.0, 99.0):
        regressions = regress(correlation, torch.full((1, 9, 9), believed), 1e-8)
        assert single_changes(correlation, regressions, 5).isfinite().all()


def test_columns_that_nearly_follow_from_one_another_are_read_alike_in_any_order():
    module, given = moved(CrossMoment(steps=2)), random_table(tasks=1, rows=500)
    x = given.x
    x[..., 1] = x[..., 0] + 0.01 * x[..., 1]
    x[..., 2] = x[..., 0] - x[..., 3] + 0.02 * x[..., 2]
    x = (x - x.mean(1)) / x.std(1, correction=0)
    rows, columns = torch.randperm(500), torch.randperm(x.shape[2])
    with torch.inference_mode():
        pairs = module(Table(x, given.intervened, given.observed)).pairs
        by_rows = module(Table(x[:, rows], given.intervened[:, rows], given.observed[:, rows])).pairs
        of_columns = Table(x[..., columns], given.intervened[..., columns], given.observed[..., columns])
        by_columns = module(of_columns).pairs
    off = ~torch.eye(x.shape[2], dtype=torch.bool)
    torch.testing.assert_close(by_rows[:, off], pairs[:, off], atol=5e-5, rtol=1e-4)
    torch.testing.assert_close(by_columns[:, off], pairs[:, columns][:, :, columns][:, off], atol=5e-5, rtol=1e-4)


def test_few_values_are_a_level_each_and_more_are_cut_by_their_ranks():
    column = torch.arange(12.0) / 4
    x = torch.stack([column.sign() + (column > 1), column, column.clamp(min=1.5), torch.zeros(12)], 1)[None]
    given = table(x)
    given.observed[0, 0, 1] = False  # one of twelve fewer, and zero is no level of its own then
    cuts = _levels.borders(given, 3)
    cells = torch.stack([x, torch.zeros_like(x), given.observed.float()], -1)
    levels = _levels.levels_of(cells, cuts)
    assert levels.of[0].tolist() == [
        [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2],
        [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2],
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2],
        [0] * 12,
    ]
    assert (~levels.seen[0]).nonzero().tolist() == [[1, 0]]


def test_borders_are_the_same_counted_elsewhere(monkeypatch):
    given = random_table(tasks=1, rows=500)
    given.x[:, :, 0] = given.x[:, :, 0].round().clamp(-1, 1)
    given.x[:, :, 1] = given.x[:, :, 1].round()  # more ties than levels
    given.observed[:, :100, 2] = False
    given.x.copy_((given.x / _knots.GRID).round() * _knots.GRID)
    here = _levels.borders(given, 4)
    torch.testing.assert_close(_levels.borders_elsewhere(Halves(given), 4), here)
    monkeypatch.setattr(_levels, "RANKED", 1000)
    assert torch.equal(_levels.borders(given, 4), here)


class Halves:
    """A table whose rows lie in two places."""

    def __init__(self, whole):
        self.count, self.variables = whole.x.shape[1:]
        half = self.count // 2
        self.pieces = [
            Table(*(values[:, part] for values in (whole.x, whole.intervened, whole.observed)))
            for part in (slice(half), slice(half, None))
        ]

    def fold(self, of_piece, join, finish):
        first, second = map(of_piece, self.pieces)
        return finish(join(first, second))


class Recorded(torch.nn.Module):
    """Instead of a projection: notes what it is given."""

    def forward(self, x):
        self.given = x
        return x.new_zeros(*x.shape[:-1], 4)


@pytest.fixture
def discrete():
    """A table of 2, 3, 4, 2 and of very many values; the fourth is whether the first two agree."""
    rng = torch.Generator().manual_seed(0)
    x = torch.stack([torch.randint(high, (300,), generator=rng) for high in (2, 3, 4, 2)], 1).float()
    x[:, 3] = ((x[:, 0] + x[:, 1]) % 2 != 0).float()
    given = table(torch.cat([x, torch.randn(300, 1, generator=rng)], 1)[None])
    given.intervened[0, :40, 3] = True
    given.x[0, :5, 3] = 2.0  # a level that nobody but an intervention reaches
    given.observed[0, torch.rand(300, 5, generator=rng) < 0.1] = False
    given.x.masked_fill_(~given.observed, 0.0)
    return given


def family_score(given, levels, effect, causes, among):
    """By the book, of rows in which all `among` are known and nobody set the effect: (Dirichlet, penalised) nats."""
    seen, natural = given.observed[0], given.observed[0] & ~given.intervened[0]
    rows = [row for row in range(300) if natural[row, effect] and all(seen[row, one] for one in among)]
    cells = levels.of[0].T.tolist()
    counts = Counter((tuple(cells[row][one] for one in causes), cells[row][effect]) for row in rows)
    whole = Counter(tuple(cells[row][one] for one in causes) for row in rows)
    kinds = [len({cells[row][one] for row in range(300) if natural[row, one]}) for one in range(5)]
    dirichlet = sum(math.lgamma(n + 0.5) - math.lgamma(0.5) for n in counts.values())
    dirichlet -= sum(math.lgamma(n + kinds[effect] / 2) - math.lgamma(kinds[effect] / 2) for n in whole.values())
    likelihood = sum(n * math.log(n / whole[combination]) for (combination, _), n in counts.items())
    free = (kinds[effect] - 1) * math.prod(kinds[one] for one in causes)
    return torch.tensor([dirichlet, likelihood - free * math.log(300) / 2])


def squeezed(nats):
    return torch.asinh(nats.double()).float() / 2


def test_families_are_scored_by_the_book(discrete):
    cuts = _levels.borders(discrete, 4)
    cells = torch.stack([discrete.x, discrete.intervened.float(), discrete.observed.float()], -1)
    levels = _levels.levels_of(cells, cuts)
    families, changes = Families(4), SingleChanges(4)
    families.of_triples, changes.project = Recorded(), Recorded()
    families.cause = families.effect = Recorded()
    _, tables = families(lambda counting: counting(levels).double(), 300)

    def score(effect, causes, among):
        return family_score(discrete, levels, effect, causes, among)

    nearest = tables.nearest[0].tolist()
    for k in range(5):
        for at, i in enumerate(nearest[k]):
            for other, j in enumerate(nearest[k]):
                if i == j:
                    continue
                both, alone = score(k, (i, j), (i, j)), score(k, (), (i, j))
                first, second = score(k, (i,), (i, j)), score(k, (j,), (i, j))
                expected = [
                    *(first - alone, second - alone, both - second, both - first, both - first - second + alone),
                    *(score(two, (one,), (one,)) - score(two, (), (one,)) for one, two in ((i, j), (j, i))),
                    *(score(one, (k,), (k,)) - score(one, (), (k,)) for one in (i, j)),
                ]
                found = families.of_triples.given[0, k, at, other]
                torch.testing.assert_close(found, squeezed(torch.cat(expected)), atol=1e-4, rtol=1e-4)

    believed = torch.full((1, 5, 5), -1.0)
    causes = {0: (), 1: (4,), 2: (0, 3), 3: (0, 1), 4: (0, 1, 2)}
    for k, some in causes.items():
        believed[0, list(some), k] = 1.0
    changes(believed, tables)
    for k, some in causes.items():
        for i in set(range(5)) - {k}:
            among = {*some, i}
            with_it, without = (score(k, tuple(sorted(one)), among) for one in (among, among - {i}))
            found = changes.project.given[0, i, k]
            torch.testing.assert_close(found[:2], squeezed(with_it - without), atol=1e-4, rtol=1e-4)
            assert found[2] == (i in some)


def test_what_two_causes_do_together_is_seen_where_neither_alone_does_anything():
    """The third column is whether the first two differ; no curve of either knows anything of it."""
    found = []
    for levels in (0, 4):
        torch.manual_seed(0)
        module, read = CrossMoment(steps=0, levels=levels).build(WIDTH), torch.nn.Linear(WIDTH, 1)
        optimiser = torch.optim.AdamW([*module.parameters(), *read.parameters()], lr=1e-2)
        for step in range(60):
            x = torch.randint(2, (32, 100, 3), generator=torch.Generator().manual_seed(step)).float()
            joined = torch.arange(32) % 2 == 0
            x[joined, :, 2] = (x[joined, :, 0] != x[joined, :, 1]).float()
            logits = read(module(table(2 * x - 1)).pairs)[:, 0, 2, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, joined.float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        found.append(loss.item())
    without, with_levels = found
    assert with_levels < 0.1 < 0.5 < without  # knowing nothing costs log 2


@pytest.mark.parametrize("most", [1000, 100])
def test_families_are_scored_alike_with_tables_of_functions_and_without(most, discrete, monkeypatch):
    module = moved(CrossMoment(steps=1, levels=4))
    with torch.no_grad():
        before = module(discrete).pairs
        monkeypatch.setattr(_families, "TABLED", most)
        torch.testing.assert_close(module(discrete).pairs, before, atol=1e-4, rtol=1e-4)


def test_many_rows_are_counted_exactly_in_bfloat16():
    given = random_table(tasks=1, rows=1001)
    found = []
    spec = CrossMoment(steps=1, levels=3)
    module = moved(spec)
    monitored = module.families.of_triples.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    with torch.no_grad():
        module(given)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            module(given)
    monitored.remove()
    torch.testing.assert_close(*found)


def test_joining_counts_changes_neither():
    first, second = _levels.Tally(), _levels.Tally()
    first.add(torch.ones(2))
    second.add(torch.ones(2))
    assert [first.join(second).moments().tolist() for _ in range(2)] == [[2.0, 2.0]] * 2


def test_counts_are_exact_beyond_what_float32_holds():
    tally, many = _levels.Tally(), 2.0**24
    for more in (many, 1.0, 1.0):
        tally.add(torch.tensor([more]))
    assert tally.moments().item() == many + 2


@pytest.mark.parametrize("shape", [(2, 1, 3), (2, 9, 1), (1, 2, 2), (2, 40, 30)])
def test_levels_of_the_smallest_tables_and_of_more_variables_than_are_asked(shape):
    given = table(torch.randn(shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1))
    given.observed[:, :, -1] = False
    given.x[:, :, -1] = 0.0
    module = moved(CrossMoment(steps=1, levels=3))
    with torch.no_grad():
        assert torch.isfinite(module(given).pairs).all()


def test_borders_of_a_column_without_a_value_are_infinite():
    given = random_table(tasks=1, rows=6)
    given.observed[:, :, 1] = False
    for found in (_levels.borders(given, 3), _levels.borders_elsewhere(Halves(given), 3)):
        assert found[0, 1].tolist() == [math.inf] * 2


@pytest.mark.parametrize("variables", [14, 30])
def test_of_columns_that_say_as_much_the_order_does_not_choose(variables):
    """Few rows of two values: many counts are equal, and more columns say as much than are asked."""
    x = torch.randint(2, (3, 20, variables), generator=torch.Generator().manual_seed(0)).float()
    x[:, :, 1] = x[:, :, 0]
    order = torch.randperm(variables, generator=torch.Generator().manual_seed(1))
    module = moved(CrossMoment(steps=1, levels=3))
    with torch.no_grad():
        before, after = module(table(x)).pairs, module(table(x[:, :, order])).pairs
    torch.testing.assert_close(after, before[:, order][:, :, order], atol=2e-3, rtol=1e-3)
