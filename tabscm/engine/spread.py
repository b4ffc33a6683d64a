"""Work on what lies on a Dask cluster: its workers do it where that lies, and only what it all comes to returns."""

from asyncio import run_coroutine_threadsafe
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from functools import reduce
from logging import CRITICAL, getLogger
from queue import Empty, SimpleQueue
from typing import Any, Generic, TextIO, TypeVar

import attrs
import torch

from tabscm.engine.progress import Counting
from tabscm.engine.untrusted import one_line
from tabscm.engine.workers import ANSWER, connected
from tabscm.kernel.errors import TabSCMError

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

LOOKS = 2.0
"""Seconds between two looks whether there is a worker, where nothing comes to an end."""
ALONE = 30.0
"""Seconds that workers have to start again when all of them died."""
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

    def finished(self, futures: Sequence[Any]) -> Iterator[Any]:
        """The futures one by one, as they come to an end, good or bad.

        Raises:
            TabSCMError: there is no worker any more, nor comes one for ALONE seconds.
            TimeoutError: the scheduler does not answer.
        """
        ended: SimpleQueue[Any] = SimpleQueue()
        for future in futures:
            future.add_done_callback(ended.put)
        alone = 0.0  # seconds without a worker
        for _ in futures:
            while True:
                try:
                    yield ended.get(timeout=LOOKS)
                    break
                except Empty:
                    alone = 0.0 if self._has_workers() else alone + LOOKS
                if alone >= ALONE:
                    raise TabSCMError(
                        f"--cluster {self.address}: all its workers are gone, and none came back in {ALONE:g} seconds. "
                        "Start some, with more memory perhaps, and try again."
                    )

    def result(self, future: Any) -> Any:  # noqa: ANN401 - of any work
        """What came of a future, brought here from the worker that holds it, or made again where that one died.

        Raises:
            Exception: what went wrong in the work, or as `finished`.
        """
        gathering = self.client.gather(future, asynchronous=True)
        (gathered,) = self.finished([run_coroutine_threadsafe(gathering, self.client.loop.asyncio_loop)])
        return gathered.result()

    def _has_workers(self) -> bool:
        if self.client.status != "running":
            return True  # the scheduler is gone, which ends all futures
        found = self.client.sync(self.client.scheduler.identity, n_workers=1, callback_timeout=ANSWER)
        return bool(found["workers"])


@contextmanager
def opened(address: str, out: TextIO | None = None) -> Iterator[Cluster]:
    """A cluster to work on.

    Raises:
        TabSCMError: as `workers.connected`; or the cluster goes away, or its workers cannot do the work.
    """
    client, threads = connected(address)
    from distributed import KilledWorker

    # what goes wrong is said once, below
    with _quiet("distributed", "distributed.client"), closing(client):
        try:
            yield Cluster(address, client, threads, out)
        except KilledWorker as error:
            raise TabSCMError(
                f"--cluster {address}: workers died again and again, for want of memory perhaps ({one_line(error)}). "
                "Give them more, or write the table in smaller row groups."
            ) from None
        except ImportError as error:
            raise TabSCMError(f"--cluster {address}: its workers need what is installed here ({error}).") from None
        except (CancelledError, OSError, TimeoutError) as error:
            if isinstance(error, CancelledError) and client.status == "running":
                raise TabSCMError(
                    f"--cluster {address}: workers died with what nobody else held, for want of memory perhaps. Give "
                    "them more, or write the table in smaller row groups, and try again."
                ) from None
            raise TabSCMError(
                f"--cluster {address}: the cluster went away ({type(error).__name__}: {one_line(error)}). Try again."
            ) from None


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Without what these loggers have to say."""
    levels = {getLogger(name): getLogger(name).level for name in names}
    for log in levels:
        log.setLevel(CRITICAL)
    try:
        yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)


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
        (last,) = self.cluster.finished([submit(_apply, then, self.cluster.threads, found[0], pure=False)])
        result: R = self.cluster.result(last)
        return result

    def _done(self, work: Callable[[T], U]) -> list[Any]:
        """Futures of what the work makes of each item, once all are there."""
        client, threads = self.cluster.client, self.cluster.threads
        sent = client.scatter(work, broadcast=True, hash=False)  # once, with all that it knows, to each worker
        futures = [client.submit(_apply, sent, threads, item, pure=False) for item in self.items]
        counting = Counting(self.cluster.out, self.what, len(futures))
        for done, future in enumerate(self.cluster.finished(futures), 1):
            if future.status != "finished":
                self.cluster.result(future)  # raises what went wrong
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
