import pytest
import torch
from tabscm_builtin.interventions.activity import Activity
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.interventions.none import NoIntervention
from tabscm_builtin.interventions.shift import Shift
from tabscm_builtin.interventions.unknown_target import UnknownTarget

from tabscm import Draw


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def several(kind, at_once, **settings):
    return kind(rows=Draw.constant(1.0), at_once=Draw(choices=at_once), **settings)


def set_values(do, tasks=100, rows=400, variables=5, scale=1.0, centre=0.0):
    """What every node of every task would be set to: [B D, N]."""
    _, rule = do.draw(tasks, rows, variables, rng())
    node = torch.arange(tasks * variables)
    natural = centre + scale * torch.randn(len(node), rows, generator=rng(1))
    return rule(natural, node // variables, node % variables)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_do_sets_one_variable_in_its_share_of_the_rows(share):
    cells, _ = Do(rows=Draw.constant(share)).draw(50, 400, 7, rng())
    targets = cells.sum(2)
    assert targets.max() <= 1
    assert targets.float().mean() == pytest.approx(share, abs=0.01)


def test_do_draws_the_share_of_each_table_anew():
    cells, _ = Do(rows=Draw(low=0.0, high=0.8)).draw(400, 200, 7, rng())
    shares = cells.any(2).float().mean(1)
    assert shares.mean() == pytest.approx(0.4, abs=0.03)
    assert shares.std() == pytest.approx(0.8 * 12**-0.5, abs=0.04)


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.2, 2), (0.25, 3), (1.0, 10)])
def test_do_targets_its_share_of_the_variables_rounded_up(share, count):
    cells, _ = Do(rows=Draw.constant(1.0), targets=Draw.constant(share)).draw(30, 500, 10, rng())
    assert (cells.any(1).sum(1) == count).all()


def test_do_targets_every_variable_of_a_table_alike():
    cells, _ = Do(rows=Draw.constant(1.0)).draw(2000, 50, 5, rng())
    assert (cells.float().mean((0, 1)) - 0.2).abs().max() < 0.02


def test_do_without_spread_sets_one_value():
    found = set_values(Do(spread=Draw.constant(0.0)))
    torch.testing.assert_close(found, found[:, :1].expand_as(found))


def test_do_sets_values_in_units_of_the_variable():
    found = set_values(Do(offset=Draw.constant(2.0), spread=Draw.constant(1.5)), scale=10.0, centre=-70.0)
    assert found.mean(1).std() == pytest.approx(20.0, rel=0.1)
    assert found.mean() == pytest.approx(-70.0, abs=3.0)
    assert found.std(1).mean() == pytest.approx(15.0, rel=0.05)


def test_half_of_the_tables_are_set_with_spread():
    assert (set_values(Do()).std(1) > 0.5).float().mean() == pytest.approx(0.5, abs=0.15)


def test_do_does_not_read_the_order_of_the_rows():
    _, rule = Do().draw(1, 50, 1, rng())
    values = torch.randn(1, 50, generator=rng(1))
    node = torch.zeros(1, dtype=torch.long)
    torch.testing.assert_close(rule(values.flip(1), node, node), rule(values, node, node))


@pytest.mark.parametrize("kind", [Do, Shift])
def test_a_row_chooses_as_many_variables_as_it_was_asked_to(kind):
    cells, _ = several(kind, (2.0, 4.0), targets=Draw.constant(1.0)).draw(50, 200, 9, rng())
    counts = cells.sum(2)
    assert set(counts.unique().tolist()) == {2, 4}
    assert (counts == 2).float().mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", [Do, Shift])
def test_a_row_chooses_no_more_variables_than_are_ever_chosen(kind):
    cells, _ = several(kind, (7.0,), targets=Draw.constant(0.3)).draw(30, 100, 10, rng())
    assert (cells.sum(2) == 3).all()
    assert (cells.any(1).sum(1) == 3).all()


def test_several_targets_of_a_row_are_any_of_those_ever_chosen():
    cells, _ = several(Do, (2.0,), targets=Draw.constant(1.0)).draw(1, 6000, 4, rng())
    together = cells[0].float().mT @ cells[0].float()
    pairs = together.triu(1)[together.triu(1) > 0]
    assert len(pairs) == 6
    assert (pairs / 6000 - 1 / 6).abs().max() < 0.02


def test_several_targets_of_a_row_are_set_to_values_of_their_own():
    found = set_values(several(Do, (2.0,), offset=Draw.constant(0.0), spread=Draw.constant(1.0)), tasks=1, rows=4000)
    assert (torch.corrcoef(found) - torch.eye(5)).abs().max() < 0.1
    assert found.std(1).mean() == pytest.approx(1.0, abs=0.05)


def test_one_target_per_row_is_drawn_as_it_always_was():
    # what Do gave before a row could set several variables
    cells, rule = Do(rows=Draw.constant(0.5)).draw(2, 6, 4, rng())
    values = rule(torch.arange(12.0).view(2, 6), torch.tensor([0, 1]), torch.tensor([2, 3]))
    assert cells.nonzero().tolist() == [
        [0, 0, 2],
        [0, 2, 3],
        [0, 3, 2],
        [0, 4, 2],
        [1, 0, 2],
        [1, 2, 2],
        [1, 4, 2],
        [1, 5, 2],
    ]
    spread_out = torch.tensor([2.008, -0.0906, 4.4183, 8.3871, 2.6117, 2.5277])
    torch.testing.assert_close(values[0], spread_out, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(values[1], torch.full((6,), 12.8167), rtol=1e-4, atol=1e-4)


def test_shift_adds_to_what_is_there():
    _, rule = Shift(spread=Draw.constant(0.0)).draw(100, 400, 5, rng())
    node = torch.arange(500)
    natural = 7.0 + 3.0 * torch.randn(500, 400, generator=rng(1))
    added = rule(natural, node // 5, node % 5) - natural
    torch.testing.assert_close(added, added[:, :1].expand_as(added), rtol=1e-3, atol=1e-3)
    assert added[:, 0].std() == pytest.approx(2.0 * 3.0, rel=0.1)
    assert added.mean() == pytest.approx(0.0, abs=1.0)


def test_shift_keeps_the_influence_of_the_parents_that_do_cuts():
    parent = torch.randn(500, generator=rng(1))
    child = (parent + 0.5 * torch.randn(500, generator=rng(2)))[None]
    node = torch.zeros(1, dtype=torch.long)
    after = {}
    for kind in (Do, Shift):
        _, rule = kind(spread=Draw.constant(1.0)).draw(1, 500, 1, rng())
        after[kind] = torch.corrcoef(torch.stack([parent, rule(child, node, node)[0]]))[0, 1]
    assert after[Do].abs() < 0.15
    assert after[Shift] > 0.5


@pytest.mark.parametrize("of", [Do(), Shift()], ids=lambda one: one.name)
def test_unknown_target_does_the_same_and_does_not_tell(of):
    (cells, rule), (hidden, hidden_rule) = of.draw(3, 20, 5, rng()), UnknownTarget(of=of).draw(3, 20, 5, rng())
    assert hidden.any()
    assert torch.equal(hidden, cells)
    values, task, variable = torch.randn(2, 20, generator=rng(1)), torch.tensor([0, 2]), torch.tensor([4, 1])
    assert torch.equal(hidden_rule(values, task, variable), rule(values, task, variable))
    assert not UnknownTarget(of=of).shown
    assert of.shown
    assert UnknownTarget(of=of).measured


def test_activity_does_the_same_and_is_not_measured():
    (cells, rule), (felt, felt_rule) = Do().draw(3, 20, 5, rng()), Activity(of=Do()).draw(3, 20, 5, rng())
    assert torch.equal(felt, cells)
    values, task, variable = torch.randn(2, 20, generator=rng(1)), torch.tensor([0, 2]), torch.tensor([4, 1])
    assert torch.equal(felt_rule(values, task, variable), rule(values, task, variable))
    quiet = Activity(of=UnknownTarget(of=Do()))
    assert (Activity(of=Do()).shown, Activity(of=Do()).measured) == (True, False)
    assert (quiet.shown, quiet.measured) == (False, False)
    assert not UnknownTarget(of=Activity(of=Do())).measured


def test_none_sets_nothing():
    cells, rule = NoIntervention().draw(3, 4, 5, rng())
    assert cells.shape == (3, 4, 5)
    assert not cells.any()
    values = torch.randn(2, 4)
    assert torch.equal(rule(values, torch.tensor([0, 1]), torch.tensor([0, 0])), values)
