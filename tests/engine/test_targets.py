"""Interventions in every form in which people write them down come to the same cells."""

import numpy as np
import pandas as pd
import pytest
import torch

from tabscm import DataError
from tabscm.engine.frames import read_frame
from tabscm.engine.targets import aligned, intervened_cells

X = pd.DataFrame(
    np.random.default_rng(0).normal(size=(4, 3)), columns=["raf", "mek", "erk"], index=["p", "q", "r", "s"]
)
CELLS = np.zeros((4, 3), dtype=bool)
CELLS[1, 1] = CELLS[2, 1] = CELLS[2, 2] = True
CONDITIONS = ["none", "u0126", "both", "none"]
TARGETS = {"none": None, "u0126": "mek", "both": ["mek", "erk"], "unused": "raf"}


@pytest.mark.parametrize(
    ("extra", "interventions", "conditions"),
    [
        ({}, CELLS, None),
        ({}, CELLS.tolist(), None),
        ({}, pd.DataFrame(CELLS, columns=X.columns)[["erk", "raf", "mek"]], None),
        ({}, [None, "mek", ["mek", "erk"], ""], None),
        ({}, np.array([np.nan, "mek", ("erk", "mek"), " "], dtype=object), None),
        ({}, pd.Series(["", " mek", {"mek", "erk"}, pd.NA]), None),
        ({"target": [None, "mek", ["mek", "erk"], ""]}, "target", None),
        ({}, TARGETS, CONDITIONS),
        ({}, TARGETS, np.array(CONDITIONS)),
        ({}, TARGETS, pd.Series(CONDITIONS, dtype="category")),
        ({"condition": CONDITIONS}, TARGETS, "condition"),
        ({"dose": [0, 1, 2, 0]}, {0: "", 1: "mek", 2: ("mek", "erk")}, "dose"),
    ],
)
def test_all_forms_come_to_the_same_cells(extra, interventions, conditions):
    frame, cells = intervened_cells(read_frame(X.assign(**extra)), interventions, conditions)
    assert frame.names == ("raf", "mek", "erk")
    np.testing.assert_array_equal(cells, CELLS)
    assert cells.dtype == bool


def test_without_interventions_all_rows_are_observational():
    frame, cells = intervened_cells(read_frame(X), None)
    assert (frame.names, cells.shape, cells.any()) == (("raf", "mek", "erk"), (4, 3), False)


def test_a_mask_that_may_not_be_written_is_read_without_a_warning_of_torch():
    mask = CELLS.copy()
    mask.flags.writeable = False
    _, cells = intervened_cells(read_frame(X), mask)
    assert torch.from_numpy(cells).tolist() == CELLS.tolist()


def test_variables_of_an_array_have_numbers():
    _, cells = intervened_cells(read_frame(X.to_numpy()), [None, 1, [1, "x2"], None])
    np.testing.assert_array_equal(cells, CELLS)
    assert refusal([0, 0, 0, 3], X.to_numpy()) == (
        "interventions, row 3, counted from 0: there is no variable 3; X has 3, counted from 0."
    )
    assert refusal([0, 0, 0, 3]).startswith(
        "interventions, row 0, counted from 0: no variable is called '0'; there are"
    )


def refusal(interventions, X=X, conditions=None):
    with pytest.raises(DataError) as refused:
        intervened_cells(read_frame(X), interventions, conditions)
    return str(refused.value)


@pytest.mark.parametrize(
    ("interventions", "conditions", "message"),
    [
        (CELLS[:3], None, "interventions: the mask has the shape [3, 3], and X [4, 3]."),
        (
            CELLS.astype(int),
            None,
            "interventions: a mask holds True and False, and this one int64; compare it, mask != 0.",
        ),
        (
            pd.DataFrame(CELLS, columns=["raf", "mek", "akt"]),
            None,
            "interventions: the columns of the mask are not those of X; they differ in 'akt', 'erk'.",
        ),
        (["mek"] * 3, None, "interventions: 3 entries, and X has 4 rows; give one for each row."),
        (
            [None, None, "mekk", None],
            None,
            "interventions, row 2, counted from 0: no variable is called 'mekk'; did you mean 'mek'?",
        ),
        (
            "target",
            None,
            "X: no column is called 'target', as interventions asks; there are 'raf', 'mek', 'erk'.",
        ),
        (
            7,
            None,
            "interventions: expected a boolean mask [rows, variables], a column of target names with one entry a row, "
            "the name of such a column of X, or a mapping of conditions to targets together with conditions=.",
        ),
        (TARGETS, None, "interventions: a mapping needs conditions=, the condition of each row or a column of X."),
        (
            CELLS,
            CONDITIONS,
            "conditions: they need interventions={condition: targets}, which says what each of them sets.",
        ),
        (TARGETS, 7, "conditions: expected a column of X or one entry a row."),
        (TARGETS, CONDITIONS[:2], "conditions: 2 entries, and X has 4 rows; give one for each row."),
        (
            TARGETS,
            ["none", "u126", "both", "none"],
            "conditions, row 1, counted from 0: interventions says nothing of 'u126'; did you mean 'u0126'? Map a "
            "condition to None when it sets nothing.",
        ),
        (
            TARGETS,
            ["none", None, "both", "none"],
            "conditions, row 1, counted from 0: holds none; give each row a condition.",
        ),
        (
            {"none": None, "u0126": "mkk"},
            CONDITIONS,
            "interventions, condition 'u0126': no variable is called 'mkk'; there are 'raf', 'mek', 'erk'.",
        ),
    ],
)
def test_what_does_not_fit(interventions, conditions, message):
    assert refusal(interventions, conditions=conditions) == message


def test_rows_in_another_order_are_refused():
    aligned(X, pd.Series(["mek"] * 4, index=X.index), "interventions")
    aligned(X, ["mek"] * 4, "interventions")
    aligned(X.to_numpy(), pd.Series(["mek"] * 4), "interventions")
    with pytest.raises(DataError) as refused:
        aligned(X, pd.Series(["mek"] * 4, index=X.index[::-1]), "interventions")
    assert str(refused.value) == (
        "interventions: its index is not that of X; sort it the same way, or pass .to_numpy() if the rows are in order."
    )
