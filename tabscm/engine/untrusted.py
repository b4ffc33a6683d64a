"""Files of a run that anybody may have written: JSON and tensors, whose worst is one line that says what is wrong.

Nothing in them is code, and nothing is unpickled: a file is looked at before it is read, and the sizes it promises are
compared with its own before memory is taken for them.
"""

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tabscm.kernel.errors import CheckpointError

MOST_JSON = 1 << 26
"""Bytes of a JSON file; the largest that a run writes are the results of many cells, a few megabytes."""
MOST_HEADER = 1 << 26
"""Bytes of the header of a safetensors file: room for half a million tensors."""

FOREIGN = {
    b"\x80": "a pickle",
    b"PK": "a ZIP file, such as torch.save writes,",
    b"\x1f\x8b": "a gzip file",
    b"\x93NUMPY": "a numpy file",
    b"\x89HDF": "an HDF5 file",
}
"""How files begin that people take for safetensors."""

BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64"), 64),
}
"""Bits of a number, by the name of its type."""


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    """What a JSON text says.

    Raises:
        ValueError: it is none, in one line; too deep a nesting and too long a number count as that.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, no JSON or no object, in one line.
    """
    size = file.stat().st_size
    if size > MOST_JSON:
        raise ValueError(f"{size:,} bytes, more than the {MOST_JSON:,} that are read")
    found = parse_json(file.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"holds {type(found).__name__}, expected an object")
    return found


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file, on the host.

    Raises:
        CheckpointError: it is no such file, or its header promises what the file does not hold.
    """
    fault = _fault(file)
    if fault is not None:
        raise CheckpointError(f"{file}: {fault}")
    try:
        return load_file(file)
    except (SafetensorError, RuntimeError, KeyError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{file}: not readable as safetensors ({one_line(error)})") from error


def one_line(error: Exception) -> str:
    """What an error of a library says, not too long."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def _fault(file: Path) -> str | None:
    """What keeps a file from being read as safetensors; None when nothing does."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        start = handle.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{":
            kind = next((kind for magic, kind in FOREIGN.items() if start.startswith(magic)), None)
            known = "" if kind is None else f"it is {kind} and was not opened, for loading such files can run code; "
            return f"not safetensors: {known}save the tensors with safetensors.torch.save_file"
        if length > min(size - 8, MOST_HEADER):
            return f"not safetensors: a header of {length:,} bytes in a file of {size:,}"
        handle.seek(8)
        text = handle.read(length)
    try:
        header = parse_json(text)
        header.pop("__metadata__", None)
        promised = sum(_bytes(name, entry) for name, entry in header.items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its header is not that of safetensors ({type(error).__name__}: {one_line(error)})"
    if promised != size - 8 - length:
        return f"its header promises {promised:,} bytes of tensors, the file holds {size - 8 - length:,}"
    return None


def _bytes(name: str, entry: dict[str, Any]) -> int:
    """The size of a tensor by its shape, which has to be that by its place."""
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if entry["dtype"] not in BITS:
        raise ValueError(f"{name[:40]!r} is of an unknown type, {str(entry['dtype'])[:40]!r}")
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in (*shape, begin, end)):
        raise ValueError(f"{name[:40]!r} has no shape and place of whole numbers")
    size = math.prod(shape) * BITS[entry["dtype"]] // 8
    if size != end - begin:
        raise ValueError(f"{name[:40]!r} is {size:,} bytes by its shape and {end - begin:,} by its place")
    return size
