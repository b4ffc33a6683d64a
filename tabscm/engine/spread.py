"""Work on what lies on a Dask cluster: its workers do it where that lies, and only what it all comes to returns."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import reduce
from typing import Any, Generic, TextIO, TypeVar

import attrs
import torch

from tabscm.engine.progress import Counting
from tabscm.engine.workers import connected
from tabscm.kernel.errors import TabSCMError

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

JOINED = 8
"""Findings that are joined at one time."""


@attrs.frozen(eq=False)
class Cluster:
    """The workers of a Dask cluster."""

    address: str
    client: Any
    threads: int
    """Of each work."""
    out: TextIO | None = None
    """Where the progress is shown."""


@contextmanager
def opened(address: str, out: TextIO | None = None) -> Iterator[Cluster]:
    """A cluster to work on.

    Raises:
        TabSCMError: as `workers.connected`; or the cluster goes away, or its workers cannot do the work.
    """
    client, threads = connected(address)
    from distributed import KilledWorker

    try:
        yield Cluster(address, client, threads, out)
    except KilledWorker as error:
        raise TabSCMError(
            f"--cluster {address}: workers died again and again, for want of memory perhaps ({error}). Give them more, "
            "or write the table in smaller row groups."
        ) from None
    except ImportError as error:
        raise TabSCMError(f"--cluster {address}: its workers need what is installed here ({error}).") from None
    except (CancelledError, OSError, TimeoutError) as error:
        raise TabSCMError(
            f"--cluster {address}: the cluster went away ({type(error).__name__}: {error}). Try again."
        ) from None
    finally:
        client.close()


@attrs.frozen(eq=False)
class Spread(Generic[T]):
    """Items on a cluster."""

    cluster: Cluster
    items: Sequence[Any]
    """What is sent with the work, or futures of what the workers hold; these move to disk what memory has no room for.
    """
    what: str
    """They are, for people."""

    def map(self, make: Callable[[T], U]) -> "Spread[U]":
        """What is made of each item, which stays where it is made."""
        return Spread(self.cluster, self._done(make), self.what)

    def fold(self, find: Callable[[T], U], join: Callable[[U, U], U], then: Callable[[U], R]) -> R:
        """See `Rows.fold`; findings are joined in the order of the items."""
        found = self._done(find)
        submit = self.cluster.client.submit
        while len(found) > 1:
            groups = [found[first : first + JOINED] for first in range(0, len(found), JOINED)]
            found = [submit(_join, join, *group, pure=False) for group in groups]
        result: R = submit(_apply, then, self.cluster.threads, found[0], pure=False).result()
        return result

    def _done(self, work: Callable[[T], U]) -> list[Any]:
        """Futures of what the work makes of each item, once all are there."""
        from distributed import as_completed

        client, threads = self.cluster.client, self.cluster.threads
        sent = client.scatter(work, broadcast=True, hash=False)  # once, with all that it knows, to each worker
        futures = [client.submit(_apply, sent, threads, item, pure=False) for item in self.items]
        counting = Counting(self.cluster.out, self.what, len(futures))
        for done, future in enumerate(as_completed(futures), 1):
            if future.status != "finished":
                future.result()  # raises what went wrong
            counting.show(done)
        counting.end()
        return futures


def _apply(work: Callable[[T], U], threads: int, item: T) -> U:
    torch.set_num_threads(threads)
    with torch.inference_mode():
        return work(item)


def _join(join: Callable[[U, U], U], *found: U) -> U:
    with torch.inference_mode():
        return reduce(join, found)
