import math

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tabscm import Draw, Ramp, within
from tabscm.kernel.errors import near_to


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs low and high (or choices)"),
        ({"low": 1.0}, "needs low and high (or choices)"),
        ({"high": 1.0}, "needs low and high (or choices)"),
        ({"low": 2.0, "high": 1.0}, "low is 2, above high, which is 1"),
        ({"low": math.nan, "high": 1.0}, "low is nan, above high, which is 1"),
        ({"low": 0.0, "high": 1.0, "scale": "log"}, 'scale = "log" needs low above 0, found 0'),
        ({"choices": ()}, "choices is empty"),
        ({"choices": (1.0,), "low": 1.0}, "give either choices or low and high, not both"),
        ({"choices": (1.0,), "scale": "log"}, "give either choices or low and high, not both"),
        ({"choices": (1.0,), "per_decade": 6}, "give either choices or low and high, not both"),
        ({"low": 1.0, "high": 2.0, "per_decade": 6}, 'per_decade belongs to scale = "log", found scale = "linear"'),
        ({"low": 1.0, "high": 2.0, "scale": "log", "per_decade": 0}, "'per_decade' must be >= 1: 0"),
    ],
)
def test_draw_refuses(settings, message):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole text is compared below
        Draw(**settings)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("draw", "least", "most"),
    [
        (Draw.constant(3.0), 3.0, 3.0),
        (Draw(low=-1.0, high=2.0), -1.0, 2.0),
        (Draw(low=0.1, high=10.0, scale="log"), 0.1, 10.0),
        (Draw(choices=(5.0, 1.0, 3.0)), 1.0, 5.0),
        (Draw(low=0.1, high=10.0, scale="log", per_decade=3), 0.1, 10.0),
    ],
)
def test_draw_stays_within_what_it_says_and_fills_it(draw, least, most):
    assert (draw.least, draw.most) == (least, most)
    values = draw.sample((20_000,), torch.Generator().manual_seed(0))
    assert values.dtype == torch.float32
    # float32 may round the ends by one unit in the last place
    assert least - 1e-6 <= values.min() <= least + 0.01
    assert most - 0.01 <= values.max() <= most + 1e-5


def test_log_draw_gives_every_decade_its_share():
    values = Draw(low=0.1, high=10.0, scale="log").sample((20_000,), torch.Generator().manual_seed(0))
    assert (values < 1.0).float().mean() == pytest.approx(0.5, abs=0.02)


def test_a_log_draw_of_few_values_gives_each_of_them_as_often():
    draw = Draw(low=50, high=5000, scale="log", per_decade=2)
    expected = [50.0, 158.1139, 500.0, 1581.139, 5000.0]
    values, counts = draw.sample((50_000,), torch.Generator().manual_seed(0)).unique(return_counts=True)
    assert values.tolist() == pytest.approx(expected)
    assert counts.tolist() == pytest.approx([10_000] * 5, rel=0.05)
    rng = np.random.default_rng(0)
    assert {draw.integer(rng) for _ in range(200)} == {50, 158, 500, 1581, 5000}
    assert {draw.number(rng) for _ in range(200)} == set(draw.listed)


@pytest.mark.parametrize(("low", "high", "listed"), [(3.0, 3.0, (3.0, 3.0)), (2.0, 3.0, (2.0, 3.0))])
def test_a_log_draw_of_few_values_over_less_than_one_step_gives_its_ends(low, high, listed):
    assert Draw(low=low, high=high, scale="log", per_decade=2).listed == listed


def test_choices_are_equally_likely_and_nothing_else_is_drawn():
    values = Draw(choices=(1.0, 2.0, 4.0)).sample((30_000,), torch.Generator().manual_seed(0))
    counts = [int((values == choice).sum()) for choice in (1.0, 2.0, 4.0)]
    assert sum(counts) == 30_000
    assert all(count == pytest.approx(10_000, rel=0.05) for count in counts)


def test_draw_follows_its_generator():
    draw = Draw(low=0.0, high=1.0)
    first, second, other = (draw.sample((5,), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_draw_of_no_values():
    assert Draw.constant(1.0).sample((0, 3), torch.Generator()).shape == (0, 3)


@pytest.mark.parametrize("draw", [Draw(low=2, high=5), Draw(low=2, high=5, scale="log"), Draw(choices=(2, 3, 4, 5))])
def test_whole_numbers_include_both_ends(draw):
    rng = np.random.default_rng(0)
    assert {draw.integer(rng) for _ in range(200)} == {2, 3, 4, 5}


def test_one_whole_number():
    assert Draw.constant(7).integer(np.random.default_rng(0)) == 7


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (Draw(low=-1.0, high=0.5), "share must be at least 0, found -1"),
        (Draw(choices=(0.5, 1.5)), "share must be at most 1, found 1.5"),
    ],
)
def test_within_refuses(draw, message):
    share = attrs.make_class("Holder", {"share": attrs.field(validator=within(0.0, 1.0))})
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole text is compared below
        share(draw)
    assert str(refusal.value) == message


def test_within_lets_pass():
    share = attrs.make_class("Holder", {"share": attrs.field(validator=within(0.0, 1.0))})
    assert share(Draw(low=0.0, high=1.0)).share.most == 1.0
    assert share(None).share is None


def test_ramp_moves_in_a_straight_line_and_stays():
    ramp = Ramp(start=1.0, end=3.0, steps=4)
    assert [ramp.at(step) for step in (0, 1, 2, 4, 5, 1000)] == [1.0, 1.5, 2.0, 3.0, 3.0, 3.0]


@given(st.floats(-1e6, 1e6), st.integers(0, 10_000))
def test_constant_ramp_never_moves(value, step):
    assert Ramp.constant(value).at(step) == value


def test_ramp_refuses_negative_steps():
    with pytest.raises(ValueError, match=r"^'steps' must be >= 0: -1$"):
        Ramp(start=0.0, end=1.0, steps=-1)


def test_ramp_refuses_to_jump():
    with pytest.raises(ValueError, match=r"^steps = 0 needs start and end to be equal, found 1 and 0$"):
        Ramp(start=1.0, end=0.0, steps=0)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e39), (-1e39, 0.0), (-3e38, 3e38)])
def test_ranges_beyond_32_bits_are_refused(low, high):
    with pytest.raises(
        ValueError, match=r"low and high have to be numbers of 32 bits, and no further apart: 3\.4e\+38"
    ):
        Draw(low=low, high=high)


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("IV", ["iv", "age"], ["iv"]),
        ("b1x", ["B1", "b1"], ["b1"]),
        ("sine", ["linear"], []),
    ],
)
def test_a_name_that_may_have_been_meant(name, known, near):
    assert near_to(name, known) == near
