import pytest
import torch

from tabscm import ContractError
from tabscm.kernel.shapes import expect


def test_sizes_come_back_by_letter():
    assert expect(torch.zeros(2, 3, 3), "B D D", what="adj") == {"B": 2, "D": 3}


def test_numbers_mean_themselves():
    assert expect(torch.zeros(2, 4), "B 4", what="x") == {"B": 2}


def test_scalars_and_empty_tensors():
    assert expect(torch.zeros(()), "", what="loss") == {}
    assert expect(torch.zeros(0, 5), "B D", what="x", finite=True) == {"B": 0, "D": 5}


@pytest.mark.parametrize(
    ("value", "shape", "more", "message"),
    [
        (None, "B D", {}, "graph ring: adj: expected a tensor [B, D], found NoneType"),
        ([[1.0]], "B D", {"B": 3}, "graph ring: adj: expected a tensor [B=3, D], found list"),
        (torch.zeros(2), "B D", {}, "graph ring: adj: expected shape [B, D], found [2]"),
        (torch.zeros(2, 3, 4), "B D D", {}, "graph ring: adj: expected shape [B, D, D], found [2, 3, 4]"),
        (torch.zeros(2, 3), "B D", {"B": 5}, "graph ring: adj: expected shape [B=5, D], found [2, 3]"),
        (torch.zeros(2, 3), "B 4", {}, "graph ring: adj: expected shape [B, 4], found [2, 3]"),
        (torch.zeros(2), "B", {"dtype": torch.bool}, "graph ring: adj: expected torch.bool, found torch.float32"),
        (torch.tensor([1.0, torch.nan]), "B", {"finite": True}, "graph ring: adj: holds NaN or infinity"),
        (torch.tensor([1.0, -torch.inf]), "B", {"finite": True}, "graph ring: adj: holds NaN or infinity"),
    ],
)
def test_messages(value, shape, more, message):
    with pytest.raises(ContractError) as refusal:
        expect(value, shape, what="graph ring: adj", **more)
    assert str(refusal.value) == message


def test_whole_numbers_are_always_finite():
    expect(torch.tensor([1, 2]), "B", what="x", finite=True)
