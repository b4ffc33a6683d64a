"""What a file is that by its name is a table of text, by its first bytes: those that no column name begins with."""

import codecs

LOOKED_AT = 64
"""Bytes from the start of a file that tell what it is."""

SAVE = "save the table as CSV in UTF-8"
UNPACK = "unpack it first"
PARQUET = b"PAR1"
"""How a Parquet file begins and ends."""

# UTF-32 begins like UTF-16 and goes on
_BYTES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "an Excel or ZIP file", SAVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel file (.xls)", SAVE),
    (PARQUET + b"\x15", "a Parquet file", "rename it to end in .parquet"),
    (b"ARROW1\x00", "an Arrow or Feather file", f"{SAVE} or as Parquet"),
    (b"\x1f\x8b", "a gzip file", "rename it to end in .csv.gz, or .tsv.gz"),
    (b"BZh91AY&SY", "a bzip2 file", UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", UNPACK),
    (b"Rar!\x1a\x07", "a RAR file", UNPACK),
    (b"\x93NUMPY", "an array of numpy (.npy)", SAVE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", SAVE),
    (b"SQLite format 3\x00", "an SQLite database", SAVE),
    (b"%PDF", "a PDF file", SAVE),
    (b"{\\rtf", "an RTF document", SAVE),
    (b"$FL2@(#)", "an SPSS file (.sav)", SAVE),
    (b"<stata_dta>", "a Stata file (.dta)", SAVE),
    (b"RDX2\n", "a file of R (.rda)", SAVE),
    (b"RDX3\n", "a file of R (.rda)", SAVE),
    (b"\x89PNG", "a picture", SAVE),
    (codecs.BOM_UTF32_LE, "UTF-32 text", SAVE),
    (codecs.BOM_UTF32_BE, "UTF-32 text", SAVE),
    (codecs.BOM_UTF16_LE, "UTF-16 text", SAVE),
    (codecs.BOM_UTF16_BE, "UTF-16 text", SAVE),
    *((b"\x80" + bytes([protocol]), "a pickle", f"{SAVE}; pickles are never opened") for protocol in (2, 3, 4, 5)),
)
_WORDS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<table", "an HTML page"),
    (b"<?xml", "an XML file"),
    (b'{"', "a JSON file"),
    (b"[{", "a JSON file"),
    (b"[[", "a JSON file"),
    (b"@relation", "an ARFF file"),
)


def disguised(head: bytes) -> str | None:
    """What a file is and what to do, where it is no delimited text; None where it may be.

    Args:
        head: its first LOOKED_AT bytes.
    """
    for signature, what, remedy in _BYTES:
        if head.startswith(signature):
            return f"this is {what}; {remedy}"
    text = b"".join(head.removeprefix(codecs.BOM_UTF8).split(b"\n")).lstrip().lower()
    compact = text[:1] + text[1:].lstrip()  # `{ "a"` is JSON as `{"a"` is
    for word, what in _WORDS:
        if text.startswith(word) or compact.startswith(word):
            return f"this is {what}; {SAVE}"
    return None
