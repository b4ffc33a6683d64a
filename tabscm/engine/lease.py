"""Whose work in a folder is wanted: processes look at a file there, on other machines too, which no signal reaches."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tabscm.kernel.errors import CheckpointError

LEASE = "lease"
"""The file."""
LOOK = 0.5
"""Seconds between two looks at it."""


@contextmanager
def taken(out: Path) -> Iterator[tuple[Path, str]]:
    """Take a folder over, from whoever was killed there or still runs.

    Args:
        out: the folder, made where there is none.

    Yields:
        The file, and the token in it: while it `holds` the token, work for it is wanted. In the end it goes, and with
        it whatever still runs, unless somebody else has taken the folder over.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    lease, token = (out / LEASE).absolute(), uuid.uuid4().hex
    try:
        out.mkdir(parents=True, exist_ok=True)
        before = lease.exists()
        lease.write_text(token, "utf-8")
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written: {error.strerror}. Use --out for another place.") from None
    try:
        if before:
            time.sleep(2 * LOOK)  # until the processes of the one before have seen it
        yield lease, token
    finally:
        if holds(lease, token):
            lease.unlink(missing_ok=True)


def holds(lease: Path, token: str) -> bool:
    """Whether whoever wrote `token` still has the folder, and has not ended."""
    try:
        return lease.read_text("utf-8") == token
    except OSError:
        return False
