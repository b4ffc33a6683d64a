"""Room for arrays that may be larger than memory: what is small beside it lies in memory, the rest in temporary files.

Such a file has no name and is gone when nobody uses it any more, however the process ends. What lies in it is read and
written like any array; the machine keeps in memory as much of it as there is room for.
"""

import math
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs
import numpy as np
from numpy.typing import DTypeLike, NDArray

from tabscm.kernel.errors import MachineError

SHARE = 16
"""What takes more than one part in so many of the memory lies in a file."""


def installed_memory() -> int:
    """Bytes of memory that this process may take; where the machine does not say, as many as no machine has."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**60
    return min(memory, *_limits(), cgroup_limit(_text))


def cgroup_limit(read: Callable[[str], str | None]) -> int:
    """Bytes that the control groups of this process, or of its container, allow to it; 2^60 where they set no limit.

    The limit of a group counts for all groups inside it, so that the least of them is the one that holds. Inside a
    container the groups above it are not seen, and its own is the root.

    Args:
        read: the text of a file of the system by its path; None where it cannot be read.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (memory.max) and cgroup-v1/memory.rst
    (memory.limit_in_bytes).
    """
    files = []
    for line in (read("/proc/self/cgroup") or "").splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0" and not controllers:
            files += [f"/sys/fs/cgroup{above}/memory.max" for above in _upwards(group)]
        elif "memory" in controllers.split(","):
            files += [f"/sys/fs/cgroup/memory{above}/memory.limit_in_bytes" for above in _upwards(group)]
    texts = [(read(file) or "").strip() for file in files]
    return min([2**60, *(int(text) for text in texts if text.isdecimal() and int(text))])


def room(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array to be filled, in memory or in a temporary file; the last axis is contiguous.

    Raises:
        MachineError: there is no space for the file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= installed_memory() // SHARE:
        return np.empty(shape, dtype)
    with _temporary_file() as file:  # the array keeps it open
        try:  # a file without its space would end the process without a word when the disk is full
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise _no_space(size, error) from None
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def in_file(array: NDArray[Any]) -> bool:
    """Whether what `room` gave, or a view of it, lies in a file."""
    return isinstance(array, np.memmap)


class Pieces:
    """Blocks of numbers that come before anybody knows how many: in memory, from some size on in a temporary file."""

    def __init__(self) -> None:
        self._left = installed_memory() // SHARE
        self._file: BinaryIO | None = None

    def keep(self, values: NDArray[np.float64]) -> "Piece":
        """Keep a block; its type is float64.

        Raises:
            MachineError: there is no space for the file.
        """
        self._left -= values.nbytes
        if self._left >= 0:
            return Piece(values)
        if self._file is None:
            self._file = _temporary_file()
            weakref.finalize(self, self._file.close)
        start = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(np.ascontiguousarray(values).data)
            self._file.flush()
        except OSError as error:
            raise _no_space(start + values.nbytes, error) from None
        return Piece(self, start, values.shape)

    def read(self, start: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """A block that lies in the file from `start` on."""
        assert self._file is not None
        self._file.seek(start)
        return np.frombuffer(self._file.read(8 * math.prod(shape)), dtype=np.float64).reshape(shape)


@attrs.frozen(eq=False)
class Piece:
    """A block that was kept."""

    where: "NDArray[np.float64] | Pieces"
    """The block itself, or those in whose file it lies."""
    start: int = 0
    shape: tuple[int, ...] = ()

    def read(self) -> NDArray[np.float64]:
        """The block as it was."""
        return self.where.read(self.start, self.shape) if isinstance(self.where, Pieces) else self.where


def _limits() -> list[int]:
    """Bytes that the system lets this process take, where it is limited."""
    try:
        import resource
    except ImportError:  # Windows
        return [2**60]
    soft = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [2**60, *(limit for limit in soft if limit != resource.RLIM_INFINITY)]


def _upwards(group: str) -> Iterator[str]:
    """The path of a group and of those around it; the root is empty."""
    parts = [part for part in group.split("/") if part and part != ".."]  # what lies outside a container's namespace
    for depth in range(len(parts), -1, -1):
        yield "".join(f"/{part}" for part in parts[:depth])


def _text(file: str) -> str | None:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _temporary_file() -> BinaryIO:
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(prefix="tabscm-"))
    except OSError as error:
        raise _no_space(0, error) from None


def _no_space(size: int, error: OSError) -> MachineError:
    return MachineError(
        f"{tempfile.gettempdir()}: no temporary file of {size / 2**30:.1f} GiB can be written there "
        f"({error.strerror}), and a table larger than memory is read through one. Set TMPDIR to a folder with more "
        "space."
    )
