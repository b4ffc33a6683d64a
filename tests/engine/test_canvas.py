"""The sheet of all pictures."""

import sys

import pytest

from tabscm.engine import canvas
from tabscm.engine.benchmark import picture


def test_nothing_is_drawn_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert canvas.sheet(3.0, 2.0, 1) is None
    assert picture.draw({}, tmp_path / "picture.png") is False
    assert not (tmp_path / "picture.png").exists()


def test_panels_share_a_sheet_and_keep_the_sides_they_name(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need the extra `plots`")
    figure, (first, second) = canvas.sheet(3.0, 2.0, 2)
    assert tuple(figure.get_size_inches()) == (3.0, 2.0)
    first.set_ylim(0, 7)
    assert second.get_ylim() == (0, 7)
    canvas.frame(first, "left", "bottom")
    assert {side for side, line in first.spines.items() if line.get_visible()} == {"left", "bottom"}
    assert first.spines["left"].get_edgecolor() == pytest.approx((0xD5 / 255, 0xDB / 255, 0xE1 / 255, 1.0))
