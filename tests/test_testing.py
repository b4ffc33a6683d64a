"""How the conformance kit reports."""

import attrs
import pytest
import torch

from tabscm import Noise
from tabscm.testing import ConformanceError, conformance


@attrs.frozen
class Lopsided(Noise):
    """Noise around 1."""

    name = "lopsided"

    def sample(self, shape, rng):
        return 1.0 + torch.randn(shape, generator=rng)


@attrs.frozen
class Flat(Noise):
    """No noise at all."""

    name = "flat"
    value: float = 1.0

    def sample(self, shape, rng):
        return torch.full(shape, self.value, device=rng.device)


@attrs.frozen
class Crashing(Noise):
    """Noise that never comes."""

    name = "crashing"

    def sample(self, shape, rng):
        raise RuntimeError("no noise today")


def report(*components, **settings):
    with pytest.raises(ConformanceError) as caught:
        conformance(*components, **settings)
    return str(caught.value)


def test_all_that_is_broken_is_in_one_message():
    message = report(Flat(), Flat(value=0.0))
    assert (
        message
        == """\
noise Flat(value=1.0) fails 3 of 13 checks

  mean
    promised: The mean is 0.
    found: mean 1, with a standard error of 0

  deviation
    promised: The standard deviation is 1.
    found: variance 0, with a standard error of 0

  independent
    promised: Values are independent along every axis, and from one call to the next.
    found: neighbours on axis 0 of 3: values have correlation nan

noise Flat(value=0.0) fails 2 of 13 checks

  deviation
    promised: The standard deviation is 1.
    found: variance 0, with a standard error of 0

  independent
    promised: Values are independent along every axis, and from one call to the next.
    found: neighbours on axis 0 of 3: values have correlation nan"""
    )


def test_a_crash_is_reported_with_its_place_and_hides_no_other_check():
    message = report(Crashing())
    assert message.startswith("noise Crashing() fails 9 of 13 checks")
    line = Crashing.sample.__code__.co_firstlineno + 1
    assert message.count(f"found: RuntimeError: no noise today ({__file__}, line {line}, in sample)") == 9


def test_the_seed_decides_what_is_tried():
    assert report(Lopsided()) == report(Lopsided(), seed=0) != report(Lopsided(), seed=1)


def test_the_global_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    report(Lopsided())
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_to_try_and_nowhere_to_try_it():
    with pytest.raises(TypeError, match=r"expected finished components, such as Sine\(\), found none"):
        conformance()
    if not torch.cuda.is_available():
        with pytest.raises(
            TypeError, match=r"there is no GPU here; for device=\"cuda\" put this under `with pretended"
        ):
            conformance(Lopsided(), device="cuda")


def test_a_class_instead_of_a_component():
    with pytest.raises(TypeError, match=r"found <class .*Lopsided'>; did you mean Lopsided\(\)\?"):
        conformance(Lopsided)
