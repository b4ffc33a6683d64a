"""Tables in memory: what becomes a number, what is missing, and what is refused by name."""

import datetime
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabscm import DataError
from tabscm.engine import levels
from tabscm.engine.frames import read_frame
from tabscm.engine.tables import read_table

NAN = float("nan")


def frame(**columns):
    return pd.DataFrame({"a": [0.5, 1.5, 4.0, 2.0], **columns})


def column(values, name="b"):
    """What becomes of a column of a DataFrame: numbers, and the notes on it."""
    table = read_frame(frame(**{name: values})).table()
    return table.x[:, 1].tolist(), [note for note in table.notes if "missing" not in note]


def refusal(X):
    with pytest.raises(DataError) as refused:
        read_frame(X).table()
    return str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 5],
        np.array([1, 2, 3, 5], dtype=np.uint8),
        np.array([1, 2, 3, 5], dtype=np.float16),
        pd.array([1, 2, 3, 5], dtype="Int64"),
        pd.array([1, 2, 3, 5], dtype="Float32"),
        pd.array([1, 2, 3, 5], dtype=pd.SparseDtype("int")),
        pd.Series([1, 2.0, np.int8(3), decimal.Decimal(5)], dtype=object),
    ],
)
def test_numbers_stay_what_they_are(values):
    assert column(values) == ([1, 2, 3, 5], [])


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, NAN, 5],
        pd.array([1, 2, None, 5], dtype="Int64"),
        pd.array([1, 2, NAN, 5], dtype=pd.SparseDtype("float")),
        pd.Series([1, 2.0, None, 5], dtype=object),
        pd.Series([1, 2.0, pd.NaT, 5], dtype=object),
        pd.Series([1, 2.0, pd.NA, 5], dtype=object),
        pd.Series([1, 2.0, decimal.Decimal("nan"), 5], dtype=object),
    ],
)
def test_a_cell_without_a_value_is_missing(values):
    found, notes = column(values)
    np.testing.assert_array_equal(found, [1, 2, NAN, 5])
    assert notes == []


def test_missing_cells_are_counted():
    table = read_frame(frame(b=[1, NAN, NAN, 2], c=[1, 2, 3, NAN])).table()
    assert table.notes == ("3 of 12 cells are missing and read as unknown: of 'b' 50 %, 'c' 25 %",)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([True, False, True, True], [1, 0, 1, 1]),
        (pd.array([True, False, None, True], dtype="boolean"), [1, 0, NAN, 1]),
        (pd.Series([True, np.False_, None, True], dtype=object), [1, 0, NAN, 1]),
    ],
)
def test_truth_values(values, numbers):
    found, notes = column(values)
    np.testing.assert_array_equal(found, numbers)
    assert notes == ["column 'b' is read as numbers: 'False' = 0, 'True' = 1"]


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_categories(dtype):
    found, notes = column(pd.Series(["yes", "no", None, "yes"], dtype=dtype))
    np.testing.assert_array_equal(found, [1, 0, NAN, 1])
    assert notes == ["column 'b' is read as numbers: 'no' = 0, 'yes' = 1"]
    found, notes = column(pd.Series(["step 10", "step 9", "step 1", "step 9"], dtype=dtype))
    assert found == [2, 1, 0, 1]
    assert notes == [
        "column 'b' is read as numbers: 'step 1' = 0, 'step 9' = 1, 'step 10' = 2; if another order is meant, write "
        "numbers in that order, and where there is none, trust arrows at it less; leave out what is no variable"
    ]


def test_categories_with_an_order_keep_it():
    values = pd.Categorical(["low", "high", None, "mid"], categories=["low", "mid", "high", "never"], ordered=True)
    found, notes = column(values)
    np.testing.assert_array_equal(found, [0, 2, NAN, 1])
    assert notes == ["column 'b' is read as numbers: 'low' = 0, 'mid' = 1, 'high' = 2"]


def test_levels_are_sorted_as_people_do():
    assert levels.ordered(["10", "9", "-1.5", "2e0"]) == ["-1.5", "2e0", "9", "10"]
    assert levels.ordered(["b2", "B10", "a", "b1", "²", "3"]) == ["3", "a", "b1", "b2", "B10", "²"]
    assert levels.ordered(["x01", "x1"]) == ["x01", "x1"]
    assert levels.ordered(["a1", "1a", "a", "1"]) == ["1", "1a", "a", "a1"]


def test_an_array_gets_names():
    table = read_frame([[1, 2], [3, 5.5], [4, 1]]).table()
    assert table.names == ("x0", "x1")
    np.testing.assert_array_equal(table.x, [[1, 2], [3, 5.5], [4, 1]])


def test_what_is_masked_is_missing():
    X = np.ma.masked_array([[1, 2], [3, 5], [4, 1]], mask=[[0, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(read_frame(X).table().x, [[1, 2], [3, NAN], [4, 1]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1j, 2, 3, 4],
            "X, column 'b': holds complex numbers; Complex data not supported: make columns of the real and imaginary "
            "parts",
        ),
        (
            pd.Series([[1], [2], [3], [4]]),
            "X, column 'b': row 0, counted from 0, holds a list; argument must be a string or a number; remove it",
        ),
        (
            pd.Series([1, {"a": 1}, 3, 4]),
            "X, column 'b': row 1, counted from 0, holds a dict; argument must be a string or a number; remove it",
        ),
        (
            pd.period_range("2026-01", periods=4),
            "X, column 'b': row 0, counted from 0, holds a Period; argument must be a string or a number; remove it",
        ),
        (
            [1, np.inf, 2, 3],
            "X, column 'b': row 1, counted from 0, is infinity (inf); write NaN where there is no value, or remove the "
            "row",
        ),
        (
            pd.Series([1, 2, "three", 4], dtype=object),
            "X, column 'b': mixes numbers and text: 'three' in row 2, counted from 0; make it one of them",
        ),
        (
            ["2026-01-01", "2026-01-02", "2026-01-O3", "2026-01-04"],
            "X, row 2, counted from 0, column 'b': found '2026-01-O3' in a column of dates or times; correct it, or "
            "leave the cell or the column out",
        ),
        (
            ["1.5", "2", "x", "4"],
            "X, row 2, counted from 0, column 'b': found 'x' in a column of numbers; correct it, or remove the row or "
            "the column",
        ),
        (
            ["1,5", "2", "3", "4"],
            "X, row 0, counted from 0, column 'b': found '1,5'; write numbers with a decimal point and nothing between "
            "thousands, such as 1234.5",
        ),
        (
            pd.Series([True, "yes", "no", "no"], dtype=object),
            "X, column 'b': mixes truth values and text: 'yes' in row 1, counted from 0; make it one of them",
        ),
        ([7, 7, 7, 7], "X: column 'b' has the same value in all 4 rows used; remove it"),
        ([7, NAN, 7, 7], "X: column 'b' has the same value in all 4 rows used where there is one; remove it"),
        ([NAN, NAN, NAN, NAN], "X: column 'b' holds no value in all 4 rows used; remove it"),
        ([None, " ", "", None], "X: column 'b' holds no value in all 4 rows used; remove it"),
    ],
)
def test_a_column_that_is_no_variable(values, message):
    assert refusal(frame(b=values)) == message


DATES = (
    "column 'b' holds dates or times, such as '2026-01-01', and is left aside; if it is a variable, make numbers of "
)
DATES += "them, such as days since the first"
HOURS = DATES.replace("2026-01-01", "6:00:00")
NAMES = "column 'b' is text and left aside: no value occurs twice, as in names of rows"


def test_spans_of_time_are_left_aside():
    table = read_frame(frame(b=pd.to_timedelta(["6h", "7h", None, "9h"]), c=[2, 1, 4, 4])).table()
    assert table.aside == (HOURS,)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (pd.date_range("2026-01-01", periods=4), DATES),
        (pd.Series([datetime.date(2026, 1, 1)] * 4, dtype=object), DATES),
        (["2026-01-01", "2026-01-02", None, "2026-01-04"], DATES),
        (["p1", "p2", "p3", None], NAMES),
        (pd.Series(["p1", "p2", "p3", None], dtype="category"), NAMES),
        (["A", "A", None, "A"], "column 'b' is text and left aside: 'A' is its only value"),
    ],
)
def test_what_is_no_variable_is_left_aside_with_the_words_of_a_file(values, note, tmp_path):
    table = read_frame(frame(b=values, c=[2, 1, 4, 4])).table()
    assert table.names == ("a", "c")
    assert table.aside == (note,)
    frame(b=values, c=[2, 1, 4, 4]).to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.csv").aside == (note,)


def test_text_and_numbers_as_text_are_what_they_are_in_a_file(tmp_path):
    columns = {
        "a": np.arange(25.0) ** 2,
        "id": [f"case {number}" for number in range(25)],
        "ward": [f"w{number % 21}" for number in range(25)],
        "kind": ["none", "mild", None, "NA", "severe"] * 5,
        "count": [str(number % 7) for number in range(25)],
    }
    X = pd.DataFrame(columns)
    X.to_csv(tmp_path / "t.csv", index=False)
    here, file = read_frame(X).table(), read_table(tmp_path / "t.csv")
    assert here.names == file.names == ("a", "kind", "count")
    np.testing.assert_array_equal(here.x, file.x)
    assert here.aside == file.aside
    assert set(here.notes) - set(file.notes) == {"column 'count' is stored as text and read as numbers"}
    assert set(file.notes) < set(here.notes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "X: columns 0 and 1, counted from 0, are both called 'a'; rename one"),
        (["1", 1], "X: columns 0 and 1, counted from 0, are both called '1'; rename one"),
        (["a", " "], "X: column 1, counted from 0, is called ' '; give it a name of its own"),
        (["a", "\ud800"], "X: column 1, counted from 0, is called '\\ud800'; give it a name of its own"),
        (
            [("a", 1), ("a", 2)],
            "X: column 0, counted from 0, is called ('a', 1), which is no text; rename it (X.columns = [...])",
        ),
    ],
)
def test_names_that_cannot_be_used(names, message):
    X = pd.DataFrame(np.eye(3)[:, :2])
    X.columns = pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else pd.Index(names, dtype=object)
    assert refusal(X) == message


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            [1.0, 2.0],
            "X: expected 2D array, a row for each sample and a column for each variable, found 1 dimension instead. "
            "Reshape your data",
        ),
        (
            {"a": [1, 2]},
            "X: expected 2D array, a row for each sample and a column for each variable, found 0 dimensions instead. "
            "Reshape your data",
        ),
        ("data.csv", "X: expected a table, found the name 'data.csv'; read the file first, as with pandas"),
        (Path("data.csv"), "X: expected a table, found the name 'data.csv'; read the file first, as with pandas"),
        (
            np.ones((3, 1)),
            "X: 1 feature(s) (shape=(3, 1)) while a minimum of 2 is required. A graph needs two columns.",
        ),
        (np.ones((1, 3)), "X: 1 sample (shape=(1, 3)) while a minimum of 2 is required. A table needs two rows."),
        (np.ones((0, 3)), "X: 0 sample(s) (shape=(0, 3)) while a minimum of 2 is required. A table needs two rows."),
        (np.full((2, 2), b"a"), "X, column 'x0': has the type |S1, no number and no text; convert it, or remove it"),
    ],
)  # fmt: skip
def test_what_is_no_table(X, message):
    assert refusal(X) == message


def test_what_cannot_be_an_array():
    assert refusal([[1, 2], [3]]).startswith("X: expected a DataFrame or an array with rows and columns: ")


def mixed_columns():
    return {
        "number": [1.5, 2.5, None, 4.0],
        "whole": [1, None, 3, 4],
        "truth": [True, False, None, True],
        "text": ["b", "a", None, "b"],
    }


EXPECTED = np.array([[1.5, 1, 1, 1], [2.5, NAN, 0, 0], [NAN, 3, NAN, NAN], [4, 4, 1, 1]])


def test_pandas_polars_and_pyarrow_say_the_same():
    table = read_frame(pd.DataFrame(mixed_columns())).table()
    np.testing.assert_array_equal(table.x, EXPECTED)
    assert table.names == ("number", "whole", "truth", "text")


def test_polars():
    polars = pytest.importorskip("polars")
    X = polars.DataFrame(mixed_columns())
    X = X.with_columns(X["text"].cast(polars.Categorical).alias("category"))
    table = read_frame(X).table()
    np.testing.assert_array_equal(table.x[:, :4], EXPECTED)
    np.testing.assert_array_equal(table.x[:, 4], EXPECTED[:, 3])
    day = X.with_columns(polars.lit(datetime.date(2026, 1, 1)).alias("day"))
    assert read_frame(day).table().aside[0].startswith("column 'day' holds dates or times, such as '2026-01-01', ")
    assert refusal(X.lazy()) == "X: this is a query that has not run; pass its result, X.collect()"


def test_pyarrow():
    pyarrow = pytest.importorskip("pyarrow")
    X = pyarrow.table(mixed_columns())
    X = X.append_column("category", X["text"].dictionary_encode())
    table = read_frame(X).table()
    np.testing.assert_array_equal(table.x[:, :4], EXPECTED)
    np.testing.assert_array_equal(table.x[:, 4], EXPECTED[:, 3])
    day = X.append_column("day", pyarrow.array([datetime.date(2026, 1, 1)] * 4))
    assert read_frame(day).table().aside[0].startswith("column 'day' holds dates or times, such as '2026-01-01', ")
    assert "column 'parts': row 0, counted from 0, holds a" in refusal(
        X.append_column("parts", pyarrow.array([[1]] * 4))
    )


@pytest.mark.parametrize(
    ("cells", "suspected"),
    [
        (["a", None, "b"], True),
        (["a", "NA", " b "], True),
        (["a", None, "z"], False),
        (["0", "1", "0"], False),  # columns may be called so
    ],
)
def test_a_column_of_names_of_columns_is_suspected(cells, suspected):
    rows = np.arange(30.0)
    table = pd.DataFrame({"a": rows, "b": rows**2 % 7, "0": rows % 5, "1": rows % 3, "set": cells * 10})
    note = "the texts of column 'set' are names of columns: if it says what was set in each row, interventions='set'"
    assert (note in read_frame(table).table().notes) == suspected
