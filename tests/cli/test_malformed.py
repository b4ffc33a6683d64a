"""What is no table, or could not be read rightly: one line that names the place and the remedy, exit code 2."""

import datetime
import gzip
import io
import os
import pickle
import sys
import time
import zipfile
from decimal import Decimal

import numpy as np
import pytest

from tabscm.engine.parquet import CHUNK
from tabscm.engine.tables import read_table

GOOD = "a,b\n3,2\n1,5\n4,4\n6,1\n"
"""A table with nothing odd about it."""


def zipped():
    """A table inside a ZIP file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("t.csv", GOOD)
    return content.getvalue()


TEXT = {
    "an empty file": ("t.csv", "", ": this file is empty; the first row must name the columns"),
    "nothing but a byte order mark": (
        "t.csv",
        b"\xef\xbb\xbf",
        ": this file is empty; the first row must name the columns",
    ),
    "nothing but blank lines": ("t.csv", "\n\n\n", ": this file is empty; the first row must name the columns"),
    "a header alone": ("t.csv", "a,b\n", ": there is a header and no row; a table needs at least two rows"),
    "one row": ("t.csv", "a,b\n1,2\n", ": there is one row; a table needs at least two rows"),
    "UTF-16": ("t.csv", GOOD.encode("utf-16"), ": this is UTF-16 text; save the table as CSV in UTF-8"),
    "UTF-16 without a mark": (
        "t.csv",
        GOOD.encode("utf-16-le"),
        ", row 1: this is not text (a NUL byte); save the table as CSV in UTF-8",
    ),
    "UTF-32": ("t.csv", GOOD.encode("utf-32"), ": this is UTF-32 text; save the table as CSV in UTF-8"),
    "Latin-1 in a name": (
        "t.csv",
        "a,größe\n1,2\n".encode("latin-1"),
        ", row 1, column 2: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "Latin-1 in a cell": (
        "t.csv",
        "a,b,who\n1,2,x\n3,5,é\n".encode("latin-1"),
        ", row 3, column 3: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "Latin-1 whose lines end in carriage returns alone": (
        "t.csv",
        "a,b\r1,2\r3,é\r".encode("latin-1"),
        ", row 3, column 2: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "Latin-1 behind a very long field": (
        "t.csv",
        b"a,b\n" + b"x" * 200_000 + b"\xe9,3\n",
        ", row 2: this is not UTF-8 text; save the table as CSV in UTF-8",
    ),
    "a very long quoted remark behind a space": (
        "t.csv",
        'a,b,c\n1,2, "' + "word, " * 40_000 + '"\n3,5,x\n',
        ", row 2, column 3: a field of 240,000 characters, and at most 131,072 are read; shorten it, or remove the "
        "column",
    ),
    "a very long run of digits": (
        "t.csv",
        "a,b\n1,2\n3," + "7" * 100_000 + "#\n",
        ", row 3, column 'b': found '7777777777777777777777777777777777777...' in a column of numbers; correct it, or "
        "remove the row or the column",
    ),
    "a NUL byte": (
        "t.csv",
        b"a,b\n1,2\n3,\x005\n",
        ", row 3: this is not text (a NUL byte); save the table as CSV in UTF-8",
    ),
    "a line without an end": (
        "t.csv",
        "a,b\n1," + "7" * (1 << 24),
        ", row 2: this line is longer than 16,777,216 characters, which no table is; give every row a line of its own",
    ),
    "Excel": ("t.csv", zipped(), ": this is an Excel or ZIP file; save the table as CSV in UTF-8"),
    "old Excel": (
        "t.csv",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99,
        ": this is an old Excel file (.xls); save the table as CSV in UTF-8",
    ),
    "Parquet by another name": (
        "t.csv",
        b"PAR1\x15\x04" + b"\0" * 50 + b"PAR1",
        ": this is a Parquet file; rename it to end in .parquet",
    ),
    "gzip by another name": (
        "t.csv",
        gzip.compress(GOOD.encode()),
        ": this is a gzip file; rename it to end in .csv.gz, or .tsv.gz",
    ),
    "a pickle": (
        "t.csv",
        pickle.dumps({"a": [1, 2]}),
        ": this is a pickle; save the table as CSV in UTF-8; pickles are never opened",
    ),
    "HTML": (
        "t.csv",
        "<!DOCTYPE html>\n<html><body><table><tr><td>1</td></tr></table></body></html>\n",
        ": this is an HTML page; save the table as CSV in UTF-8",
    ),
    "JSON": ("t.csv", '[\n  {"a": 1, "b": 2}\n]\n', ": this is a JSON file; save the table as CSV in UTF-8"),
    "XML": ("t.csv", '<?xml version="1.0"?>\n<rows/>\n', ": this is an XML file; save the table as CSV in UTF-8"),
    "SQLite": (
        "t.csv",
        b"SQLite format 3\0" + b"\x10" * 50,
        ": this is an SQLite database; save the table as CSV in UTF-8",
    ),
    "HDF5": ("t.csv", b"\x89HDF\r\n\x1a\n" + b"\0" * 50, ": this is an HDF5 file; save the table as CSV in UTF-8"),
    "a gzip file cut short": (
        "t.csv.gz",
        gzip.compress(GOOD.encode())[:-9],
        ": this is not a whole gzip file; copy it again, or unpack it first",
    ),
    "text that says it is gzip": (
        "t.csv.gz",
        GOOD,
        ": this is not a whole gzip file; copy it again, or unpack it first",
    ),
    "a gzip bomb": (
        "t.csv.gz",
        gzip.compress(b"a,b\n" + b"0,0\n" * (25 << 20), 1),
        ": unpacks to more than 200 times its size, as no table of measurements does; unpack it yourself, if it is one",
    ),
    "Excel in gzip": (
        "t.csv.gz",
        gzip.compress(zipped()),
        ": this is an Excel or ZIP file; save the table as CSV in UTF-8",
    ),
    "too few fields": (
        "t.csv",
        "a,b,c\n1,2,3\n4,5\n",
        ", row 3: 2 fields where the header has 3; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "too many fields": (
        "t.csv",
        "a,b\n1,2\n3,4,5\n",
        ", row 3: 3 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator; if commas are decimal points here, write points",
    ),
    "decimal commas without quotes": (
        "t.csv",
        "a,b\n1,5,-2,25\n3,1,0,5\n",
        ", row 2: 4 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator; if commas are decimal points here, write points",
    ),
    "one whole number too many between tabs": (
        "t.tsv",
        "a\tb\n1\t5\t2\n",
        ", row 2: 3 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "more whole numbers than decimal commas would make": (
        "t.csv",
        "a,b\n1,5,2,2,5\n",
        ", row 2: 5 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "text with a comma without quotes": (
        "t.csv",
        "a,b\n1,Bonn, Rhein\n",
        ", row 2: 3 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "one separator too many in a row": (
        "t.csv",
        "a,b\n1,2\n3,4,\n",
        ", row 3: 3 fields where the header has 2; give every row one field per column, and quote a field that "
        "contains a separator",
    ),
    "a separator after every row": (
        "t.csv",
        "a,b,\n1,2,\n3,5,\n",
        ", row 1: column 3 has no name; give it one; if every row ends with a separator, remove these",
    ),
    "a blank row": (
        "t.csv",
        "a,b\n1,2\n\n3,5\n",
        ", row 3: this row is empty; remove it, or, if another table follows, give that a file of its own",
    ),
    "two tables in one file": (
        "t.csv",
        "a,b\n1,2\n3,5\n\nc,d,e\n1,2,3\n",
        ", row 4: this row is empty; remove it, or, if another table follows, give that a file of its own",
    ),
    "a quote that is not closed": (
        "t.csv",
        'a,b\n1,2\n"3,4\n5,6\n',
        ', row 3: a quote that opens here is not closed; write a quote inside a quoted field twice: ""',
    ),
    "text after a quote": (
        "t.csv",
        'a,b\n1,2\n"3"x,4\n',
        ', row 3: text follows a closing quote; write a quote inside a quoted field twice: ""',
    ),
    "semicolons, as R writes them with decimal commas": (
        "t.csv",
        '"a";"b"\n1,5;2\n3;4,5\n',
        ", row 1: the header is separated by ';'; separate columns by commas (by tabs in a .tsv file)",
    ),
    "a title above the header": (
        "t.csv",
        "Results of 2024\na,b\n1,2\n3,5\n",
        ", row 1: the header is a single field, 'Results of 2024'; separate columns by commas (by tabs in a .tsv "
        "file); if it is a title, remove it",
    ),
    "semicolons": (
        "t.csv",
        "a;b\n1,5;2,5\n3,1;4,4\n",
        ", row 1: the header is a single field, 'a;b'; separate columns by commas (by tabs in a .tsv file)",
    ),
    "tabs in a .csv": (
        "t.csv",
        "a\tb\n1\t2\n3\t5\n",
        ", row 1: columns are separated by tabs; rename the file to end in .tsv",
    ),
    "commas in a .tsv": (
        "t.tsv",
        GOOD,
        ", row 1: the header is a single field, 'a,b'; separate columns by commas (by tabs in a .tsv file)",
    ),
    "bars": (
        "t.csv",
        "a|b\n1|2\n3|5\n",
        ", row 1: the header is a single field, 'a|b'; separate columns by commas (by tabs in a .tsv file)",
    ),
    "columns of fixed width": (
        "t.csv",
        "a    b\n1    2\n3    5\n",
        ", row 1: the header is a single field, 'a    b'; separate columns by commas (by tabs in a .tsv file); if it "
        "is a title, remove it",
    ),
    "no header": ("t.csv", "1,2\n3,4\n5,7\n", ", row 1: holds only numbers; the first row must name the columns"),
    "two columns of one name": (
        "t.csv",
        "a,b,a\n1,2,3\n4,5,7\n",
        ", row 1: columns 1 and 3 are both called 'a'; rename one",
    ),
    "names that differ by spaces": (
        "t.csv",
        "a,b, a \n1,2,3\n4,5,7\n",
        ", row 1: columns 1 and 3 are both called 'a'; rename one",
    ),
    "a name that is blank": ("t.csv", "a, ,c\n1,2,3\n4,5,7\n", ", row 1: column 2 has no name; give it one"),
    "the index of a data frame": (
        "t.csv",
        ",a,b\n0,1,2\n1,3,5\n",
        ", row 1: column 1 has no name; give it one; if it numbers the rows, remove it (pandas: "
        "index=False, R: row.names=FALSE)",
    ),
    "merged cells in the header": (
        "t.csv",
        "before,,after,\na,b,a,b\n1,2,3,4\n",
        ", row 1: column 2 has no name; give it one",
    ),
    "a second header row": (
        "t.csv",
        "a,b\nmg,kg\n1,2\n3,5\n",
        ", row 2, column 'a': found 'mg' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a control character in a name": (
        "t.csv",
        "a,\x1b[31mb\n1,2\n3,5\n",
        ", row 1: the name of column 2, '\\x1b[31mb', holds a control character; rename it",
    ),
    "a line end in a name": (
        "t.csv",
        'a,"b\nc"\n1,2\n3,5\n',
        ", row 1: the name of column 2, 'b\\nc', holds a control character; rename it",
    ),
    "too many columns": (
        "t.csv",
        ",".join(f"x{i}" for i in range(10_001)) + "\n",
        ", row 1: there are 10,001 columns, and at most 10,000 are read; choose some",
    ),
    "a decimal comma": (
        "t.csv",
        'a,b\n1,"2,5"\n3,"4,5"\n',
        ", row 2, column 'b': found '2,5'; write numbers with a decimal point and nothing between thousands, such as "
        "1234.5",
    ),
    "separators of thousands": (
        "t.csv",
        'a,b\n1,"2"\n3,"1,234.5"\n',
        ", row 3, column 'b': found '1,234.5'; write numbers with a decimal point and nothing between thousands, "
        "such as 1234.5",
    ),
    "thousands by apostrophe": (
        "t.csv",
        "a,b\n1,2\n3,1'234\n",
        ", row 3, column 'b': found \"1'234\"; write numbers with a decimal point and nothing between thousands, "
        "such as 1234.5",
    ),
    "thousands by underscore": (
        "t.csv",
        "a,b\n1,2\n3,1_234\n",
        ", row 3, column 'b': found '1_234'; write numbers with a decimal point and nothing between thousands, such "
        "as 1234.5",
    ),
    "text among numbers": (
        "t.csv",
        "a,b\n1,2\n3,high\n5,7\n",
        ", row 3, column 'b': found 'high' in a column of numbers; correct it, or remove the row or the column",
    ),
    "numbers among text": (
        "t.csv",
        "a,b,c\n1,2,low\n3,5,high\n5,7,3\n",
        ", row 2, column 'c': found 'low' in a column of numbers; correct it, or remove the row or the column",
    ),
    "below the limit of detection": (
        "t.csv",
        "a,b\n1,2\n3,<0.1\n5,7\n",
        ", row 3, column 'b': found '<0.1' in a column of numbers; correct it, or remove the row or the column",
    ),
    "infinity": (
        "t.csv",
        "a,b\n1,2\n3,inf\n5,7\n",
        ", row 3, column 'b': found 'inf' in a column of numbers; correct it, or remove the row or the column",
    ),
    "beyond 64 bits": (
        "t.csv",
        "a,b\n1,2\n3,1e400\n5,7\n",
        ", row 3, column 'b': found '1e400', which is beyond the largest 64-bit number, 1.8e308; rescale the column",
    ),
    "per cent": (
        "t.csv",
        "a,b\n1,20%\n3,50%\n4,30%\n",
        ", row 2, column 'b': found '20%'; write the number alone, and its unit in the name of the column",
    ),
    "currency": (
        "t.csv",
        "a,b\n1,$20\n3,$50\n4,$30\n",
        ", row 2, column 'b': found '$20'; write the number alone, and its unit in the name of the column",
    ),
    "currency behind": (
        "t.csv",
        "a,b\n1,20 €\n3,50 €\n4,30 €\n",
        ", row 2, column 'b': found '20 €'; write the number alone, and its unit in the name of the column",
    ),
    "a unit in a cell": (
        "t.csv",
        "a,b\n1,2\n3,5 mg\n4,3\n",
        ", row 3, column 'b': found '5 mg' in a column of numbers; write the number alone, and its unit in the name "
        "of the column",
    ),
    "units in all cells": (
        "t.csv",
        "a,b\n" + "".join(f"{i},{i * i % 37}.{i} mg\n" for i in range(30)),
        ", row 2, column 'b': found '0.0 mg', a number with its unit; write the number alone, and its unit in the "
        "name of the column",
    ),
    "negative numbers in brackets": (
        "t.csv",
        "a,b\n1,2\n3,(5.1)\n4,3\n",
        ", row 3, column 'b': found '(5.1)'; write negative numbers with a minus sign in front",
    ),
    "a typographic minus": (
        "t.csv",
        "a,b\n1,2\n3,\u22125\n4,3\n",
        ", row 3, column 'b': found '\u22125'; write a minus sign as -, the hyphen of the keyboard",
    ),
    "an error of a spreadsheet": (
        "t.csv",
        "a,b\n1,2\n3,#DIV/0!\n4,3\n",
        ", row 3, column 'b': found '#DIV/0!'; this is an error of the spreadsheet; correct it there, or leave the "
        "cell empty",
    ),
    "a date among numbers": (
        "t.csv",
        "a,b\n1,2\n3,2024-05-01\n4,3\n",
        ", row 3, column 'b': found '2024-05-01' in a column of numbers; correct it, or remove the row or the column",
    ),
    "digits of another script": (
        "t.csv",
        "a,b\n1,2\n3,\u0663\n4,3\n",
        ", row 3, column 'b': found '٣' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a number in hexadecimal": (
        "t.csv",
        "a,b\n1,2\n3,0x1F\n4,3\n",
        ", row 3, column 'b': found '0x1F' in a column of numbers; correct it, or remove the row or the column",
    ),
    "the header again": (
        "t.csv",
        "a,b\n1,2\n3,5\na,b\n4,3\n",
        ", row 4, column 'a': found 'a', the name of the column; if tables were joined, keep the first header only",
    ),
    "a mark in the middle of joined files": (
        "t.csv",
        "a,b\n1,2\n\ufeff3,5\n",
        ", row 3, column 'a': found '\\ufeff3' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a foot note": (
        "t.csv",
        "a,b\n1,2\n3,5\n* p < 0.05,\n",
        ", row 4, column 'a': found '* p < 0.05' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a column without a value": (
        "t.csv",
        "a,b,c\n1,2,\n3,5,NA\n",
        ": column 'c' holds no value in all 2 rows used; remove it, or leave it out by --without c",
    ),
    "a constant column": (
        "t.csv",
        "a,b,c\n1,2,3\n4,2.0,6\n",
        ": column 'b' has the same value in all 2 rows used; remove it, or leave it out by --without b",
    ),
    "text alone": (
        "t.csv",
        "a,b\nx,y\nx,z\n",
        ": no column holds numbers or categories; a graph needs at least two such columns; column 'a' is text and left "
        "aside: 'x' is its only value; column 'b' is text and left aside: no value occurs twice, as in names of rows",
    ),
    "one column of numbers": (
        "t.csv",
        "a,b\n1,x\n2,y\n3,z\n",
        ": only column 'a' holds numbers or categories; a graph needs at least two such columns; column 'b' is text "
        "and left aside: no value occurs twice, as in names of rows",
    ),
    "one column": (
        "t.csv",
        "a\n1\n2\n3\n",
        ": only column 'a' holds numbers or categories; a graph needs at least two such columns",
    ),
    "a damaged number, tabs": (
        "t.tsv",
        "a\tb\n1\t2\n3\t5..2\n4\t3\n",
        ", row 3, column 'b': found '5..2' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a damaged number, packed": (
        "t.tsv.gz",
        gzip.compress(b"a\tb\n1\t2\n3\t5..2\n4\t3\n"),
        ", row 3, column 'b': found '5..2' in a column of numbers; correct it, or remove the row or the column",
    ),
    "a damaged date": (
        "t.csv",
        "a,b,day\n1,2,2024-05-01\n3,5,2024-O5-02\n4,3,2024-05-03\n",
        ", row 3, column 'day': found '2024-O5-02' in a column of dates or times; correct it, or leave the cell or the "
        "column out",
    ),
    "a damaged date, packed": (
        "t.tsv.gz",
        gzip.compress(b"a\tb\tday\n1\t2\t2024-05-01\n3\t5\t2024-05-02\n4\t3\t-\n"),
        ", row 4, column 'day': found '-' in a column of dates or times; correct it, or leave the cell or the column "
        "out",
    ),
}
"""What is wrong: (name of the file, its content, what is said after the name)."""
READ = {
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), []),
    "line ends of Windows": (GOOD.replace("\n", "\r\n").encode(), []),
    "line ends of the old Macintosh": (GOOD.replace("\n", "\r").encode(), []),
    "no line end at the end": (GOOD.rstrip().encode(), []),
    "blank lines at the end": (GOOD.encode() + b"\n\n", []),
    "spaces around cells": (GOOD.replace(",", " , ").encode(), []),
    "leading zeros": (
        b"a,b,zip\n3,2,01234\n1,5,00501\n4,4,94105\n6,1,00501\n9,3,10115\n2,2,80331\n",
        [
            "column 'zip' has numbers with leading zeros, such as '01234', as codes have; if it is no measurement, "
            "remove it"
        ],
    ),
    "an index of pandas": (
        b"Unnamed: 0,a,b\n7,3,2\n3,1,5\n5,4,4\n9,6,1\n1,9,3\n4,2,2\n",
        ["column 'Unnamed: 0' is an index of pandas by its name; kept. If it is no measurement, remove it"],
    ),
    "numbers of rows": (
        b"id,a,b\n1,3,2\n2,1,5\n3,4,4\n4,6,1\n5,9,3\n6,2,2\n",
        ["column 'id' counts the rows; kept. If it is no measurement, remove it"],
    ),
    "a column twice": (
        b"a,b,c\n3,2,2\n1,5,5\n4,4,4\n6,1,1\n9,3,3\n2,2,2\n",
        ["columns 'b' and 'c' are identical: which of them causes what is undecidable; both are kept"],
    ),
    "dates": (
        b"a,b,day\n3,2,2024-05-01\n1,5,2024-05-02\n4,4,2024-05-04\n6,1,2024-05-07\n",
        [
            "column 'day' holds dates or times, such as '2024-05-01', and is left aside; if it is a variable, make "
            "numbers of them, such as days since the first"
        ],
    ),
    "words": (
        b"a,b,kind\n3,2,x\n1,5,y\n4,4,x\n6,1,x\n9,3,y\n2,7,y\n",
        [
            "column 'kind' is read as numbers: 'x' = 0, 'y' = 1; leave out what is no variable",
            "text that is no variable is left out by --without COLUMN, chooses rows by --where, or says what was set "
            "by --interventions or --conditions",
        ],
    ),
    "names of rows": (
        b"name,a,b\np1,3,2\np2,1,5\np3,4,4\np4,6,1\n",
        ["column 'name' is text and left aside: no value occurs twice, as in names of rows"],
    ),
    "missing cells": (
        GOOD.encode() + b"7,NA\n,3\n" + b"5,3\n2,6\n",
        ["2 of 16 cells are missing and read as unknown: of 'a' 12 %, 'b' 12 %"],
    ),
}
"""What is read, and the notes on it."""


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    """Work where the files are, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


@pytest.mark.parametrize(("name", "content", "said"), TEXT.values(), ids=TEXT)
def test_what_is_no_table_is_refused_in_one_line(call, inside, name, content, said):
    begun = time.process_time()
    assert call("predict", written(inside, name, content)) == (2, "", f"{name}{said}\n")
    # of this process alone, and far from what reading the bomb or splitting the digits in all ways would take
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(("content", "notes"), READ.values(), ids=READ)
def test_what_can_be_read_rightly_is_read_with_a_note(call, trained, inside, content, notes):
    code, out, err = call("predict", written(inside, "t.csv", content), "--run", trained, "--device", "cpu")
    found = [line.removeprefix("note: ") for line in err.splitlines() if "trained on" not in line]
    assert (code, found) == (0, notes)
    assert "of 2 variables" in out or "of 3 variables" in out


def test_what_is_no_file_is_refused_in_one_line(call, inside):
    (inside / "folder.csv").mkdir()
    (inside / "folder.parquet").mkdir()
    assert call("predict", "none.csv") == (2, "", "none.csv: there is no such file\n")
    assert call("predict", "none.parquet") == (2, "", "none.parquet: there is no such file\n")
    assert call("predict", "folder.csv") == (2, "", "folder.csv: this is a folder; name a CSV file in it\n")
    message = "folder.parquet: this is a folder; name a Parquet file in it\n"
    assert call("predict", "folder.parquet") == (2, "", message)
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.csv")
        message = "pipe.csv: this is a pipe or a device; save the table as a file first\n"
        assert call("predict", "pipe.csv") == (2, "", message)


class TestParquet:
    """Parquet needs an extra: what is refused, and that it gives the table that the same text gives."""

    @pytest.fixture
    def write(self, inside):
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        def write(name="t.parquet", **columns):
            table = pa.table(list(columns.values()), names=list(columns))
            parquet.write_table(table, inside / name)
            return name

        return write

    def test_the_same_table_as_text_gives(self, write, inside):
        import pyarrow as pa

        n = CHUNK + 2000  # more than one chunk
        numbers = np.random.default_rng(0).normal(size=n).round(3)
        kinds = [None if i % 7 == 0 else "xyz"[i % 3] for i in range(n)]
        days = [datetime.date(2024, 1, 1) + datetime.timedelta(i % 400) for i in range(n)]
        write(
            a=numbers,
            whole=pa.array([None if i % 11 == 0 else i * i % 97 for i in range(n)], pa.int32()),
            price=pa.array([Decimal(i % 89) / 4 for i in range(n)], pa.decimal128(9, 2)),
            kind=pa.array(kinds).dictionary_encode(),
            on=pa.array([i % 2 == 0 for i in range(n)]),
            day=pa.array(days, pa.date32()),
        )
        with (inside / "t.csv").open("w") as file:
            file.write("a,whole,price,kind,on,day\n")
            for i, row in enumerate(zip(numbers, kinds, days, strict=True)):
                whole = "" if i % 11 == 0 else i * i % 97
                file.write(f"{row[0]},{whole},{i % 89 / 4},{row[1] or ''},{str(i % 2 == 0).lower()},{row[2]}\n")
        chosen = {"where": {"kind": "x", "whole": "4"}}
        for options in ({}, chosen | {"categories": ["on"]}, chosen | {"without": ["kind"]}):
            text, parquet = read_table("t.csv", **options), read_table("t.parquet", **options)
            assert (text.names, text.notes) == (parquet.names, parquet.notes)
            np.testing.assert_array_equal(text.x, parquet.x)

    def test_nested_columns(self, call, write):
        message = (
            "t.parquet, column 'b': holds list<element: int64>, and only numbers, text, truth values, dates and times "
            "are read; make such columns of it, or leave it out\n"
        )
        assert call("predict", write(a=[1.0, 2.0], b=[[1, 2], [3]])) == (2, "", message)

    def test_infinity(self, call, write):
        message = (
            "t.parquet, row 2, column 'b': found 'inf' in a column of numbers; correct it, or remove the row or the "
            "column\n"
        )
        assert call("predict", write(a=[1.0, 2.0], b=[1.0, float("inf")])) == (2, "", message)

    def test_numbers_stored_as_text(self, write):
        table = read_table(write(a=[1.0, 2.0, 4.0], b=["3", "1", "1"]))
        assert table.x[:, 1].tolist() == [3, 1, 1]
        assert table.notes == ("column 'b' is stored as text and read as numbers",)

    def test_two_columns_of_one_name(self, call, inside):
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pa.table([[1, 2], [2, 1]], names=["a", "a"]), "t.parquet")
        message = "t.parquet: columns 1 and 2 are both called 'a'; rename one\n"
        assert call("predict", "t.parquet") == (2, "", message)

    def test_no_row(self, call, write):
        message = "t.parquet: there is no row; a table needs at least two rows\n"
        assert call("predict", write(a=[], b=[])) == (2, "", message)

    def test_a_file_cut_short(self, call, write, inside):
        whole = (inside / write(a=[1.0, 2.0], b=[2.0, 1.0])).read_bytes()
        message = "t.parquet: this is not a whole Parquet file, its end is missing; copy it again\n"
        assert call("predict", written(inside, "t.parquet", whole[:-9])) == (2, "", message)

    def test_a_damaged_file(self, call, write, inside):
        whole = (inside / write(a=[1.0, 2.0], b=[2.0, 1.0])).read_bytes()
        code, out, err = call("predict", written(inside, "t.parquet", whole[:-60] + b"\xff" * 30 + whole[-30:]))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("t.parquet: this Parquet file is damaged (")
        assert err.endswith("); copy it again, or write it anew\n")

    def test_text_that_says_it_is_parquet(self, call, inside):
        pytest.importorskip("pyarrow")
        message = "t.parquet: this is not a Parquet file; if it is text, rename it to end in .csv\n"
        assert call("predict", written(inside, "t.parquet", GOOD)) == (2, "", message)

    def test_an_encrypted_file(self, call, inside):
        pytest.importorskip("pyarrow")
        message = "t.parquet: this Parquet file is encrypted; save the table without a key\n"
        assert call("predict", written(inside, "t.parquet", b"PARE" + b"x" * 50 + b"PARE")) == (2, "", message)

    def test_where_pyarrow_is_not_installed(self, call, inside, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        message = (
            "t.parquet: reading Parquet needs pyarrow; pip install 'tabscm[parquet]', or save the table as CSV in "
            "UTF-8\n"
        )
        assert call("predict", written(inside, "t.parquet", b"PAR1")) == (2, "", message)
