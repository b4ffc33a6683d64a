"""The fast reader gives what the careful one gives, or leaves the file to it."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabscm import DataError
from tabscm.engine import plain, tables
from tabscm.engine.plain import read_plain
from tabscm.engine.tables import read_table


@pytest.fixture(params=["pyarrow", "numpy"], scope="module", autouse=True)
def parser(request):
    """What parses the numbers: pyarrow where it is installed."""
    if request.param == "pyarrow":
        pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
        yield
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plain, "_with_arrow", lambda: False)
            yield


def both(path):
    """What `read_table` says of a file with the fast reader, and without it."""

    def told():
        try:
            found = read_table(path)
        except DataError as error:
            return str(error)
        return found.names, repr(found.x.tolist()), found.notes  # NaN equals nothing

    with pytest.MonkeyPatch.context() as patch:
        first = told()
        patch.setattr(tables, "read_plain", lambda *_: None)
        return first, told()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("plain") / "table.csv"


def test_large_files_are_put_together_in_their_order(file, monkeypatch):
    monkeypatch.setattr(plain, "BLOCK", 100)
    x = np.random.default_rng(0).normal(size=(57, 3))
    lines = [",".join(map(repr, row)) for row in x.tolist()]
    for end in ("\n", "\r\n"):
        for last in ("", end):
            file.write_text(end.join(["a,b,c", *lines]) + last, newline="")
            found = read_plain(file, 3, ",")
            assert found.tolist() == x.tolist()
            assert found.flags.f_contiguous


def test_gzip(tmp_path):
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tb\n1\t2\n3\t-4.5e-3\n"))
    assert read_plain(path, 2, "\t").tolist() == [[1, 2], [3, -0.0045]]
    path.write_bytes(path.read_bytes()[:-9])
    assert read_plain(path, 2, "\t") is None


@pytest.mark.parametrize(
    "rows",
    [
        "1,2\n3\n",
        "1,2\n3,4,5\n",
        "1,2\n\n3,4\n",
        "\n1,2\n3,4\n",
        "1,2\n3,4\n\n",
        "1,2\n3,\n",
        "1,2\n3,nan\n",
        "1,2\n3,inf\n",
        "1,2\n3,1e400\n",
        "1,2\n3,1_0\n",
        "1,2\n3,0x1\n",
        "1,2\n3,1d5\n",
        "1,2\n3,#4\n",
        "1,2\n3,1 2\n",
        "1,2\n3, 4\n",
        '1,2\n3,"4"\n',
        "1,2\r3,4\r",
        "1,2\n3,-\n",
        "1,2\n3,1e\n",
        "1,2\n3,x\n",
        "1,2\n3,\u0664\n",
        "",
    ],
)
def test_what_is_unusual_is_left_to_the_careful_reader(file, rows):
    file.write_text("a,b\n" + rows, encoding="utf-8", newline="")
    x = read_plain(file, 2, ",")
    assert x is None or len(x) < 2
    fast, careful = both(file)
    assert fast == careful


@pytest.mark.parametrize("header", ['"a","b"', '\ufeff"a",b', '"a,b", "c ""d"""'])
def test_names_in_quotes_are_no_reason_to_read_slowly(file, header):
    file.write_text(header + "\n1,2\n3,4\n", encoding="utf-8")
    assert read_plain(file, 2, ",").tolist() == [[1, 2], [3, 4]]
    fast, careful = both(file)
    assert fast == careful


@settings(max_examples=300)
@given(st.text('ab", \n\r', max_size=14))
def test_whatever_the_header_both_say_the_same(file, header):
    file.write_text(header + "\n1,2\n3,4\n", newline="")
    fast, careful = both(file)
    assert fast == careful


def test_a_name_in_quotes_may_hold_a_line_end(file):
    file.write_text('"a\nb",c\n1,2\n3,4\n')
    assert read_plain(file, 2, ",") is None


@settings(max_examples=300)
@given(st.lists(st.text("0123456789+-.eE,\n\r", max_size=12), max_size=6))
def test_whatever_is_written_both_say_the_same(file, lines):
    file.write_text("a,b\n" + "\n".join(lines), newline="")
    fast, careful = both(file)
    assert fast == careful


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=2, max_size=20))
def test_numbers_are_those_of_python(file, rows):
    file.write_text("a,b\n" + "".join(f"{one!r},{other!r}\n" for one, other in rows))
    assert read_plain(file, 2, ",").tolist() == [list(row) for row in rows]
