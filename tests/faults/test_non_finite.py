"""One injection of each kind, of the campaign in non_finite.py."""

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("non_finite", Path(__file__).with_name("non_finite.py"))
non_finite = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(non_finite)


@pytest.mark.parametrize("kind", non_finite.KINDS)
def test_what_is_not_finite_is_named_within_one_step(kind, tmp_path):
    assert non_finite.non_finite(kind, 0, tmp_path) is None


def test_a_spike_is_named_in_its_step(tmp_path):
    assert non_finite.spiked(0, tmp_path) is None
