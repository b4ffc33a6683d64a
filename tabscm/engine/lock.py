"""One process at a time in the folder of a run.

The system holds the lock and drops it with the process, however that ends, so that no lock is ever stale; what lies in
the file is for people alone. On NFS the lock reaches other machines where the server runs a lock service (NFS 4 always
does); where a file system knows no locks at all, the run goes on without one, and a note says so.
"""

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tabscm.kernel.errors import CheckpointError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "lock"
"""The file, in the folder of the run; it goes when the lock does, unless its process is killed."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that knows no locks."""
FAR = 1 << 30
"""The byte that Windows locks, beyond the text, which others may then read."""
LOOK = 0.2
"""Seconds between two attempts."""


@contextmanager
def locked(run: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Have the folder of a run, made where there is none, for this process alone; one that stays empty goes again.

    Args:
        run: the folder.
        patience: seconds to wait for a process that is about to end.

    Raises:
        CheckpointError: another process has it, or it cannot be written.
    """
    if run.exists() and not run.is_dir():
        raise CheckpointError(f"{run}: is a file, not a folder. Use --out for another place.")
    file, until, made = run / LOCK, time.monotonic() + patience, not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        while (handle := _take(file)) is None:
            if time.monotonic() >= until:
                raise CheckpointError(
                    f"{run}: another process trains here ({_who(file)}). Wait until it has ended, or use --out for "
                    "another folder."
                )
            time.sleep(LOOK)
    except OSError as error:
        raise CheckpointError(f"{run}: cannot be written: {error.strerror}. Use --out for another place.") from None
    try:
        yield
    finally:
        _drop(file, handle)
        if made:
            with suppress(OSError):  # it holds something
                run.rmdir()


def _take(file: Path) -> int | None:
    """Open and lock a file: its descriptor; None while another process has it."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
            # whoever had it may have removed it between the two calls: then this is a lock on nothing
            if _is(file, handle):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return handle
            os.close(handle)
        except OSError as error:
            if error.errno in NO_LOCKS:
                print(f"note: {file}: this file system knows no locks ({error.strerror})", file=sys.stderr)
                return handle
            os.close(handle)
            if isinstance(error, BlockingIOError | PermissionError):
                return None
            raise


def _lock(handle: int) -> None:
    """Lock an open file without waiting.

    Raises:
        BlockingIOError: another process has it; on Windows PermissionError.
    """
    if sys.platform == "win32":
        os.lseek(handle, FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is(file: Path, handle: int) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _drop(file: Path, handle: int) -> None:
    """Give a lock back. That nothing is left of it is a courtesy, which a vanished folder does not need."""
    try:
        if sys.platform == "win32":  # which removes no open file
            os.close(handle)
            file.unlink(missing_ok=True)
        else:
            if _is(file, handle):
                file.unlink(missing_ok=True)
            os.close(handle)
    except OSError as error:
        print(f"note: {file}: could not be removed ({error.strerror}); it locks nothing any more", file=sys.stderr)


def _who(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace") or "which has only begun"
    except OSError:
        return "which cannot be asked"
