import pytest
import torch
from tabscm_builtin.interventions.do import Do
from tabscm_builtin.interventions.none import NoIntervention

from tabscm import Draw


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


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


def test_none_sets_nothing():
    cells, rule = NoIntervention().draw(3, 4, 5, rng())
    assert cells.shape == (3, 4, 5)
    assert not cells.any()
    values = torch.randn(2, 4)
    assert torch.equal(rule(values, torch.tensor([0, 1]), torch.tensor([0, 0])), values)
