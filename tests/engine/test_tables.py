"""The reader: every refusal read whole, and what is accepted."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tabscm
from tabscm import DataError
from tabscm.engine.tables import read_table

SACHS = Path(tabscm.__file__).parent / "data" / "sachs.csv"


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    """Work where the files are, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)


def write(content, name="t.csv"):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def refusal(content, *, name="t.csv", **options):
    with pytest.raises(DataError) as refused:
        read_table(write(content, name), **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_file_that_is_missing():
    with pytest.raises(DataError) as refused:
        read_table("absent.csv")
    assert str(refused.value) == "absent.csv: there is no such file"


def test_a_folder():
    Path("folder").mkdir()
    with pytest.raises(DataError) as refused:
        read_table("folder")
    assert str(refused.value) == "folder: this is a folder; name a CSV file in it"


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"a,b\n1,2\n3,5\n", mtime=0)[:-9]])
def test_a_damaged_gzip_file(content):
    message = "t.csv.gz: this is not a whole gzip file; copy it again, or unpack it first"
    assert refusal(content, name="t.csv.gz") == message


REFUSED = {
    "empty file": ("", "t.csv: this file is empty; the first row must name the columns"),
    "only blank lines": ("\n\n", "t.csv: this file is empty; the first row must name the columns"),
    "header only": ("a,b\n", "t.csv: there is a header and no row; a table needs at least two rows"),
    "one row": ("a,b\n1,2\n", "t.csv: there is one row; a table needs at least two rows"),
    "not UTF-8": (
        b"a,b\n1,2\n\xff,3\n",
        "t.csv, row 3, column 1: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "not UTF-8, far down": (
        b"a,b\n" + b"1,2\n" * 9000 + b"3,\xe9\n",
        "t.csv, row 9002, column 2: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "UTF-16": (
        "a,b\n1,2\n".encode("utf-16"),
        "t.csv: this is UTF-16 text; save the table as CSV in UTF-8",
    ),
    "NUL byte": (
        b"a,b\n1,2\n3\0,4\n",
        "t.csv, row 3: this is not text (a NUL byte); save the table as CSV in UTF-8",
    ),
    "quote never closed": (
        'a,b\n1,2\n"3,4\n5,6\n',
        't.csv, row 3: a quote that opens here is not closed; write a quote inside a quoted field twice: ""',
    ),
    "quote never closed in a large file": (
        'a,b\n1,2\n"3,4\n' + "5,6\n" * 50_000,
        't.csv, row 3: a quote that opens here is not closed; write a quote inside a quoted field twice: ""',
    ),
    "a field that is too long": (
        "a,b\n1,2\n3," + "x" * 140_000 + "\n",
        "t.csv, row 3, column 2: a field of 140,000 characters, and at most 131,072 are read; shorten it, or remove "
        "the column",
    ),
    "a field of many lines that is too long": (
        'a,b\n1,2\n"3,4\n' + "5,6\n" * 50_000 + '",7\n5,6\n',
        "t.csv, row 3, column 1: a field of 200,004 characters, and at most 131,072 are read; shorten it, or remove "
        "the column",
    ),
    "text after a quote": (
        'a,b\n1,2\n"3"x,4\n',
        't.csv, row 3: text follows a closing quote; write a quote inside a quoted field twice: ""',
    ),
    "too few fields": (
        "a,b,c\n1,2,3\n4,5\n",
        "t.csv, row 3: 2 fields where the header has 3; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "too many fields": (
        "a,b\n1,2\n3,4,\n",
        "t.csv, row 3: 3 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "rows are called by their line": (
        'a,b\n"1\n\n",2\n3\n',
        "t.csv, row 5: 1 field where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "blank row": (
        "a,b\n1,2\n\n3,4\n",
        "t.csv, row 3: this row is empty; remove it, or, if another table follows, give that a file of its own",
    ),
    # Header
    "two columns of one name": (
        "a,b, a\n1,2,3\n4,5,6\n",
        "t.csv, row 1: columns 1 and 3 are both called 'a'; rename one",
    ),
    "no name": (
        "a,\n1,2\n3,5\n",
        "t.csv, row 1: column 2 has no name; give it one; if every row ends with a separator, remove these",
    ),
    "row index of pandas": (
        ",a,b\n0,1,2\n1,3,5\n",
        "t.csv, row 1: column 1 has no name; give it one; if it numbers the rows, remove it (pandas: "
        "index=False, R: row.names=FALSE)",
    ),
    "tabs": ("a\tb\n1\t2\n", "t.csv, row 1: columns are separated by tabs; rename the file to end in .tsv"),
    "an Excel file": (
        b"PK\x03\x04\x14\x00\xff\n",
        "t.csv: this is an Excel or ZIP file; save the table as CSV in UTF-8",
    ),
    "control character in a name": (
        "a,\x1b[31mb\n1,2\n3,5\n",
        "t.csv, row 1: the name of column 2, '\\x1b[31mb', holds a control character; rename it",
    ),
    "no header": ("1,2\n3,4\n5,7\n", "t.csv, row 1: holds only numbers; the first row must name the columns"),
    "semicolons": (
        "a;b\n1,5;2,5\n",
        "t.csv, row 1: the header is a single field, 'a;b'; separate columns by commas (by tabs in a .tsv file)",
    ),
    # Cells
    "a word for a missing value that is not read as one": (
        "a,b\n1,2\n3,n.a.\n4,5\n",
        "t.csv, row 3, column 'b': found 'n.a.' in a column of numbers; if it stands for a missing value, leave the "
        "cell empty",
    ),
    "column without any value": (
        "a,b,c\n1,2,\n3,5,NA\n",
        "t.csv: column 'c' holds no value in all 2 rows used; remove it",
    ),
    "column of NaN": (
        "a,b,c\n1,2,nan\n3,5,NaN\n",
        "t.csv: column 'c' holds no value in all 2 rows used; remove it",
    ),
    "column of infinities": (
        "a,b,c\n1,2,inf\n3,5,-Infinity\n4,4,inf\n",
        "t.csv, row 2, column 'c': found 'inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "column of infinities and nothing": (
        "a,b,c\n1,2,\n3,5,-inf\n",
        "t.csv, row 3, column 'c': found '-inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "infinities and a word for none": (
        "a,b,c\n1,2,None\n3,5,inf\n4,4,inf\n6,1,None\n",
        "t.csv, row 3, column 'c': found 'inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "infinity": (
        "a,b\n1,2\n-inf,4\n5,6\n",
        "t.csv, row 3, column 'a': found '-inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "overflow": (
        "a,b\n1,2\n3,1e400\n5,6\n",
        "t.csv, row 3, column 'b': found '1e400', which is beyond the largest 64-bit number, 1.8e308; rescale the "
        "column",
    ),
    "nothing but overflow": (
        "a,b,c\n1,1,1e400\n3,1e400,1e400\n",
        "t.csv, row 3, column 'b': found '1e400', which is beyond the largest 64-bit number, 1.8e308; rescale the "
        "column",
    ),
    "text in a column of numbers": (
        "a,b\n1,2\n3,4\n5,six\n7,eight\n",
        "t.csv, row 4, column 'b': found 'six' in a column of numbers; correct it, or remove the row or the column",
    ),
    "text before the numbers": (
        "a,b\n1,x\n3,y\n5,6\n",
        "t.csv, row 2, column 'b': found 'x' in a column of numbers; correct it, or remove the row or the column",
    ),
    "text far above the numbers": (
        "a,b\n" + "1,x\n" * 15_000 + "2,3\n",
        "t.csv, row 2, column 'b': found 'x' in a column of numbers; correct it, or remove the row or the column",
    ),
    "text far below the numbers": (
        "a,b\n" + "1,2\n" * 15_000 + "2,x\n",
        "t.csv, row 15002, column 'b': found 'x' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a long cell is cut": (
        "a,b\n1,2\n3," + "x" * 99 + "\n",
        f"t.csv, row 3, column 'b': found '{'x' * 37}...' in a column of numbers; correct it, or remove the row or the "
        "column",
    ),
    "decimal commas": (
        'a,b\n1,"2,5"\n3,"4,5"\n',
        "t.csv, row 2, column 'b': found '2,5'; write numbers with a decimal point and nothing between thousands, such "
        "as 1234.5",
    ),
    "thousands separators": (
        'a,b\n1,"2"\n3,"-1,234.5"\n',
        "t.csv, row 3, column 'b': found '-1,234.5'; write numbers with a decimal point and nothing between thousands, "
        "such as 1234.5",
    ),
    "underscores, which Python reads": (
        "a,b\n1,2\n3,1_000\n",
        "t.csv, row 3, column 'b': found '1_000'; write numbers with a decimal point and nothing between thousands, "
        "such as 1234.5",
    ),
    "digits of another script, which Python reads": (
        "a,b\n1,2\n3,٣\n",
        "t.csv, row 3, column 'b': found '٣' in a column of numbers; correct it, or remove the row or the column",
    ),
    # Columns
    "constant column": (
        "a,b,c\n1,2,3\n4,2.0,6\n",
        "t.csv: column 'b' has the same value in all 2 rows used; remove it",
    ),
    "constant where it is there": (
        "a,b,c\n1,2,3\n4,,6\n",
        "t.csv: column 'b' has the same value in all 2 rows used where there is one; remove it",
    ),
    "constant columns": (
        "a,b,c\n1,2,3\n4,2.0,3\n",
        "t.csv: columns 'b', 'c' have the same value in all 2 rows used; remove them",
    ),
    "columns of one value, and of none": (
        "a,b,c,d,e\n1,2,3,,\n4,2.0,3,,5\n",
        "t.csv: column 'd' holds no value and columns 'b', 'c', 'e' have the same value in all 2 rows used where there "
        "is one; remove them",
    ),
    "no numbers": (
        "a,b\nx,y\ny,z\n",
        "t.csv: no column holds numbers or categories; a graph needs at least two such columns; column 'a' is text and "
        "left aside: no value occurs twice, as in names of rows; column 'b' is text and left aside: no value occurs "
        "twice, as in names of rows",
    ),
    "one variable": (
        "a,b\n1,y\n2,z\n",
        "t.csv: only column 'a' holds numbers or categories; a graph needs at least two such columns; column 'b' is "
        "text and left aside: no value occurs twice, as in names of rows",
    ),
    "one column": (
        "a\n1\n2\n",
        "t.csv: only column 'a' holds numbers or categories; a graph needs at least two such columns",
    ),
    "a cell that is no date among dates": (
        "a,b,day\n1,2,2024-05-01\n3,5,2024-05-02\n4,5,2024-O5-03\n9,7,2024-05-07\n",
        "t.csv, row 4, column 'day': found '2024-O5-03' in a column of dates or times; correct it, or leave the cell "
        "or the column out",
    ),
    "a number among dates": (
        "a,b,day\n1,2,2024-05-01\n3,5,2024-05-02\n4,5,20240503\n9,7,2024-05-07\n",
        "t.csv, row 4, column 'day': found '20240503' in a column of dates or times; correct it, or leave the cell or "
        "the column out",
    ),
    "no date far below a thousand dates": (
        "a,b,day\n"
        + "".join(f"{i},{i * i},{1000 + i % 9000}-{i // 9000 + 1}-01\n" for i in range(11_000))
        + "1,2,soon\n",
        "t.csv, row 11002, column 'day': found 'soon' in a column of dates or times; correct it, or leave the cell or "
        "the column out",
    ),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(content, message):
    assert refusal(content) == message


CONDITIONS = "a,b,kind,batch\n" + "1,2,control,1\n3,5,control,1\n,x,treated,1\n4,4,treated,2\n7,8,control,3\n"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"knd": "control"}, "t.csv: no column is called 'knd', as --where asks; did you mean 'kind'?"),
        ({"z": "1"}, "t.csv: no column is called 'z', as --where asks; there are 'a', 'b', 'kind', 'batch'"),
        ({"kind": "Control"}, "t.csv, column 'kind': no row has 'Control', as --where asks; did you mean 'control'?"),
        ({"batch": "9"}, "t.csv, column 'batch': no row has '9', as --where asks; there are '1', '2', '3'"),
        (
            {"kind": "treated", "batch": "3"},
            "t.csv: there is no row with 'kind' = 'treated' and with 'batch' = '3'; a table needs at least two rows",
        ),
        ({"batch": "3"}, "t.csv: there is one row with 'batch' = '3'; a table needs at least two rows"),
        (
            {"kind": "treated"},
            "t.csv, row 4, column 'b': found 'x' in a column of numbers; correct it, or remove the row or the column",
        ),
    ],
)
def test_choices_that_are_refused(where, message):
    assert refusal(CONDITIONS, where=where) == message


def test_a_column_that_is_constant_only_in_the_rows_chosen():
    content = "a,b,kind\n1,2,x\n2,2,x\n3,3,y\n"
    message = "t.csv: column 'b' has the same value in all 2 rows used; remove it"
    assert refusal(content, where={"kind": "x"}) == message


def test_numbers_come_back_as_they_are():
    table = read_table(write('a,"b, c",d\r\n1,-2.5e-3, 3\r\n.5,"7",1e308\r\n'))
    assert table.names == ("a", "b, c", "d")
    np.testing.assert_array_equal(table.x, [[1, -0.0025, 3], [0.5, 7, 1e308]])
    assert table.x.dtype == np.float64
    assert (table.source, table.notes) == ("t.csv", ())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbfa,b\n1,2\n3,5\n"),
        ("t.tsv", b"a\tb\n1\t2\n3\t5\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n3,5\n", mtime=0)),
        ("t.tsv.gz", gzip.compress(b"a\tb\n1\t2\n3\t5\n", mtime=0)),
        ("no-newline-at-the-end.csv", b"a,b\n1,2\n3,5"),
        ("blank-lines-at-the-end.csv", b"a,b\n1,2\n3,5\n\n\n"),
        ("carriage-returns.csv", b"a,b\r1,2\r3,5\r"),
        ("spaces.csv", b" a , b \n 1, 2 \n3 ,5\n"),
        ("spaces-before-quotes.csv", b'a, "b"\n"1", "2"\n3, 5\n'),
        ("no-break-spaces.csv", "a,b\n\u00a01,2\n3,5\u00a0\n".encode()),
        ("UPPER.TSV.GZ", gzip.compress(b"a\tb\n1\t2\n3\t5\n", mtime=0)),
    ],
)
def test_other_formats(name, content):
    table = read_table(write(content, name))
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.x, [[1, 2], [3, 5]])


def test_text_is_categories_or_left_aside_with_a_note():
    rows = [f"{i**2},{'xyz'[i % 3]} w,{i % 7},{i % 2 == 0},s{i},A,w{i % 21}\n" for i in range(1500)]
    table = read_table(write("a,kind,b,on,id,site,ward\n" + "".join(rows)))
    assert table.names == ("a", "kind", "b", "on")
    assert table.x[:3].tolist() == [[0, 0, 0, 1], [1, 1, 1, 0], [4, 2, 2, 1]]
    assert table.notes == (
        "column 'kind' is read as numbers: 'x w' = 0, 'y w' = 1, 'z w' = 2; if another order is meant, write numbers "
        "in that order, and where there is none, trust arrows at it less; leave out what is no variable",
        "column 'on' is read as numbers: 'False' = 0, 'True' = 1",
        "column 'id' is text and left aside: 1000 different values or more, and at most 20 are read as categories",
        "column 'site' is text and left aside: 'A' is its only value",
        "column 'ward' is text and left aside: 21 different values, and at most 20 are read as categories",
    )
    assert table.aside == table.notes[2:]


def test_categories_of_a_long_table_with_gaps():
    gap = "1,,2\n" * 6000
    table = read_table(write(f"a,dose,b\n{gap}3,none,4\n{gap}5,mild,7\n8,None,9\n8,mild,1\n{gap}"))
    assert table.x[~np.isnan(table.x[:, 1]), 1].tolist() == [2, 0, 1, 0]
    assert table.notes[0].startswith("column 'dose' is read as numbers: 'mild' = 0, 'None' = 1, 'none' = 2")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"id": "row"},
            "t.csv, column 'id': no row has 'row', as --where asks; there are 'r0', 'r1', 'r2', 'r3', 'r4' and "
            "995 more",
        ),
        (
            {"id": "r1500", "of": "b"},
            "t.csv: there is no row with 'id' = 'r1500' and with 'of' = 'b'; a table needs at least two rows",
        ),
    ],
)
def test_of_a_column_of_many_texts_a_message_knows_the_first_and_the_one_asked_for(where, message):
    rows = "".join(f"r{row},{'ab'[row % 2]},{row},{row * row}\n" for row in range(2000))
    assert refusal(f"id,of,x,y\n{rows}", where=where) == message


def test_columns_that_are_left_out_are_not_judged():
    table = read_table(write("id,a,b,c\nx,1,2,7\n2,3,5,7\nsoon,4,4,7\n"), without=["c", "id"])
    assert table.names == ("a", "b")
    assert table.notes == ("left out, as asked: 'id', 'c'",)


@pytest.mark.parametrize(
    ("without", "options", "message"),
    [
        (["knd"], {}, "t.csv: no column is called 'knd', as --without asks; did you mean 'kind'?"),
        (["kind"], {"categories": ["kind"]}, "t.csv: column 'kind' is left out by --without; drop --category"),
    ],
)
def test_columns_that_cannot_be_left_out(without, options, message):
    assert refusal(CONDITIONS, without=without, **options) == message


@pytest.mark.parametrize("word", ["", "NaN", " NA", "n/a", "null", "?", "."])
def test_a_cell_that_says_so_is_missing(word):
    table = read_table(write(f"a,b,kind\n1,2,x\n3,{word},y\n5,6,{word}\n7,8,x\n"))
    assert table.names == ("a", "b", "kind")
    np.testing.assert_array_equal(table.x, [[1, 2, 0], [3, np.nan, 1], [5, 6, np.nan], [7, 8, 0]])
    assert table.notes[0].startswith("column 'kind' is read as numbers: 'x' = 0, 'y' = 1")
    assert table.notes[1] == "2 of 12 cells are missing and read as unknown: of 'b' 25 %, 'kind' 25 %"


def test_none_is_missing_among_numbers_and_a_category_among_words():
    table = read_table(write("a,b,kind\n1,2,mild\n3,None,none\n5,6,mild\n7,8,\n"))
    np.testing.assert_array_equal(table.x, [[1, 2, 0], [3, np.nan, 1], [5, 6, 0], [7, 8, np.nan]])


def test_missing_cells_far_from_the_others():
    gap = ",1\n,2\n" * 6000
    table = read_table(write(f"a,b\n{gap}3,4\n{gap}5,7\n"))
    assert np.isnan(table.x[:, 0]).sum() == 24_000
    assert table.x[~np.isnan(table.x[:, 0]), 0].tolist() == [3, 5]


def test_doses_with_their_unit_are_ordered_by_their_numbers_and_their_distances_advised():
    table = read_table(write("a,dose\n1,0.5 mg\n2,0.25 mg\n4,10 mg\n3,0.5 mg\n"))
    assert table.x[:, 1].tolist() == [1, 0, 2, 1]
    assert table.notes == (
        "column 'dose' is read as numbers: '0.25 mg' = 0, '0.5 mg' = 1, '10 mg' = 2; to keep their distances, write "
        "the number alone, and its unit in the name of the column; leave out what is no variable",
    )


def test_columns_of_the_same_levels_have_one_note():
    table = read_table(write("a,b,kind,c,d\nyes,no,x,1,no\nno,no,y,2,yes\nyes,yes,x,3,no\n"))
    assert table.notes == (
        "columns 'a', 'b' and 'd' are read as numbers: 'no' = 0, 'yes' = 1",
        "column 'kind' is read as numbers: 'x' = 0, 'y' = 1; leave out what is no variable",
    )


def test_text_that_is_asked_for_is_a_variable():
    text = "a,dose,on,kind\n" + "1,5 mg,yes,x\n2,10 mg,no,x\n4,,no,y\n3,none,yes,x\n" * 4000
    table = read_table(write(text), where={"kind": "x"}, categories=["dose", "on"])
    assert table.names == ("a", "dose", "on")
    assert table.x[:3].tolist() == [[1, 0, 1], [2, 1, 0], [3, 2, 1]]
    assert table.notes == (
        "kept 12000 of 16000 rows with 'kind' = 'x'",
        "column 'dose' is read as numbers: '5 mg' = 0, '10 mg' = 1, 'none' = 2; if another order is meant, write "
        "numbers in that order, and where there is none, trust arrows at it less",
        "column 'on' is read as numbers: 'no' = 0, 'yes' = 1",
    )
    whole = read_table("t.csv", categories=["dose", "kind"])
    assert whole.names == ("a", "dose", "on", "kind")
    np.testing.assert_array_equal(whole.x[2], [4, np.nan, 0, 1])


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (["knd"], "t.csv: no column is called 'knd', as --category asks; did you mean 'kind'?"),
        (["kind"], "t.csv: column 'kind' chooses rows by --where, and is no variable; drop --category"),
        (
            ["id"],
            "t.csv, column 'id': has more than 20 different values, too many for categories; leave it out, or make "
            "numbers or fewer categories of it",
        ),
        (["empty"], "t.csv: column 'empty' holds no value in all 30 rows used; remove it"),
    ],
)
def test_text_that_cannot_be_a_variable(categories, message):
    content = "a,b,kind,id,empty\n" + "".join(f"{i},{i * i},x,s{i},\n" for i in range(30))
    assert refusal(content, where={"kind": "x"}, categories=categories) == message


def test_infinity_may_be_a_word_among_others():
    table = read_table(write("a,b,dose\n1,2,inf\n3,5,saline\n"))
    assert table.names == ("a", "b")


def test_rows_are_chosen_by_text_and_by_number():
    table = read_table(write(CONDITIONS), where={"kind": "control", "batch": "1"})
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.x, [[1, 2], [3, 5]])
    assert table.notes == ("kept 2 of 5 rows with 'kind' = 'control' and with 'batch' = '1'",)


def test_a_column_that_chooses_rows_may_hold_anything():
    table = read_table(write('a,b,dose\n1,2,"1,5"\n3,5,"1,5"\n4,7,\n4,7,2\n'), where={"dose": "1,5"})
    assert table.names == ("a", "b")
    assert len(table.x) == 2


def test_sachs():
    table = read_table(SACHS, where={"condition": "cd3_cd28"})
    assert table.names == ("raf", "mek", "plc", "pip2", "pip3", "erk", "akt", "pka", "pkc", "p38", "jnk")
    assert table.x.shape == (853, 11)
    assert table.x[0].tolist() == [26.4, 13.2, 8.82, 18.3, 58.8, 6.61, 17, 414, 17, 44.9, 40]
    assert table.notes == ("kept 853 of 7466 rows with 'condition' = 'cd3_cd28'",)
    (note,) = read_table(SACHS).notes
    assert note.startswith("column 'condition' is read as numbers: 'b2camp' = 0, 'cd3_cd28' = 1, ")
    assert note.endswith(
        "; if another order is meant, write numbers in that order, and where there is none, trust arrows at it less; "
        "leave out what is no variable"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_no_row_is_lost_whatever_ends_the_header(end):
    table = read_table(write(f"a,b{end}1,2\r\n3,4\r\n5,7\r\n"))
    assert table.x.tolist() == [[1, 2], [3, 4], [5, 7]]


def test_a_large_table_agrees_with_numpy():
    x = np.random.default_rng(0).normal(size=(30_000, 3))
    np.savetxt("large.csv", x, delimiter=",", header="a,b,c", comments="", fmt="%.17g")
    np.testing.assert_array_equal(read_table("large.csv").x, x)


def read_or_refuse(content):
    try:
        return read_table(write(content))
    except DataError as refused:
        return str(refused)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(alphabet='ab,"\n\r\t\0;_ 0123.-e\ufeff\u00e9', max_size=40),
    header=st.sampled_from(["", "a,b\n"]),
)
def test_any_file_is_read_or_refused_in_one_line(content, header):
    outcome = read_or_refuse(header + content)
    if isinstance(outcome, str):
        assert len(outcome.splitlines()) == 1
    else:
        rows, variables = outcome.x.shape
        assert rows >= 2
        assert variables == len(outcome.names) >= 2
        assert not np.isinf(outcome.x).any()


@pytest.fixture
def parts(tmp_path):
    """parts(name=columns, ...) is a folder of Parquet files, parts of a table."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def parts(**files):
        folder = tmp_path / "table"
        folder.mkdir(exist_ok=True)
        for name, columns in files.items():
            parquet.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=2)
        return folder

    return parts


def test_a_folder_of_parquet_files_is_one_table_in_the_order_of_their_names(parts):
    folder = parts(b={"x": [4.0, 5.0], "y": [1, 7]}, a={"x": [1.0, 2.0, 3.0], "y": [3, 1, 4]}, c={"x": [0.5], "y": [2]})
    (folder / "_SUCCESS").touch()
    found = read_table(folder)
    assert (found.names, found.source) == (("x", "y"), str(folder))
    assert found.x.tolist() == [[1, 3], [2, 1], [3, 4], [4, 1], [5, 7], [0.5, 2]]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"x": [1.0], "z": [1]}, "b.parquet: its columns are not those of a.parquet: only one of the two has the "
         "column 'y'; parts of a table must be alike"),
        ({"y": [1], "x": [1.0]}, "b.parquet: its columns are not those of a.parquet: their order differs; parts of a "
         "table must be alike"),
        ({"x": [1.0], "y": [1.5]}, "b.parquet, column 'y': holds double, and int64 in a.parquet; write all parts with "
         "the same types"),
    ],
)  # fmt: skip
def test_parts_that_differ_are_refused(parts, second, message):
    folder = parts(a={"x": [1.0, 2.0], "y": [3, 1]}, b=second)
    with pytest.raises(DataError) as refused:
        read_table(folder)
    assert str(refused.value) == f"{folder}/{message}"


def test_a_cell_in_a_part_is_named_with_it(parts):
    folder = parts(a={"x": [1.0, 2.0], "y": [3.0, 1.0]}, b={"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, math.inf]})
    with pytest.raises(DataError) as refused:
        read_table(folder)
    assert str(refused.value).startswith(f"{folder}, row 3 of b.parquet, column 'y': ")


def test_anything_else_among_parts_is_refused(parts):
    folder = parts(a={"x": [1.0, 2.0], "y": [3.0, 1.0]})
    (folder / "year=2024").mkdir()
    with pytest.raises(DataError) as refused:
        read_table(folder)
    assert str(refused.value) == (
        f"{folder}: 'year=2024' in it is a folder; all files of a folder must be Parquet and parts of one table"
    )


def test_an_empty_part_is_no_harm_unless_all_are(parts):
    pa = pytest.importorskip("pyarrow")
    nothing = {"x": pa.array([], pa.float64()), "y": pa.array([], pa.int64())}
    folder = parts(a=nothing)
    with pytest.raises(DataError) as refused:
        read_table(folder)
    assert str(refused.value) == f"{folder}: there is no row; a table needs at least two rows"
    assert len(read_table(parts(b={"x": [1.0, 2.0], "y": [3, 1]})).x) == 2


def test_a_first_row_that_is_no_header_is_noted(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("115.6,-0.3,north\n1,2,north\n3,1,south\n2,5,south\n")
    note = "columns are called '115.6', '-0.3': if the first row is no header, write one above it"
    assert note in read_table(file).notes
    file.write_text("0,1,x\n1,2,3\n3,1,2\n2,5,7\n")
    assert read_table(file).notes == ()
