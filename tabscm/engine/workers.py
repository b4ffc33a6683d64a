"""Where work runs: in processes on this machine, or on a Dask cluster."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import torch

from tabscm.kernel.errors import TabSCMError

T = TypeVar("T")

ANSWER = 20
"""Seconds that a cluster has to answer."""


def on_this_machine(jobs: int) -> tuple[Executor, int]:
    """Where up to `jobs` trials run at once, and the threads of each."""
    return ThreadPoolExecutor(jobs), max(1, torch.get_num_threads() // jobs)


def on_cluster(address: str) -> tuple[Executor, int]:
    """A Dask cluster as the place where trials run, and the threads of each, as `connected`."""
    client, threads = connected(address)
    return _Cluster(client), threads


def connected(address: str) -> tuple[Any, int]:
    """The client of a Dask cluster, and the threads that each work on it may take.

    A worker of T threads does T works at once. They share the cores of the machine with those of its other workers.

    Raises:
        TabSCMError: nothing answers at `address`, no worker comes, or distributed is not installed.
    """
    try:
        from distributed import Client
    except ImportError:
        raise TabSCMError("--cluster needs Dask: pip install 'tabscm[cluster]'") from None
    with ExitStack() as unless_all_is_well:
        try:
            client = Client(address, timeout=ANSWER)
            unless_all_is_well.callback(client.close)
            client.wait_for_workers(1, timeout=ANSWER)
        except (OSError, ValueError, TimeoutError) as error:
            raise TabSCMError(f"--cluster {address}: no cluster there ({type(error).__name__}: {error})") from None
        workers = client.scheduler_info(n_workers=-1)["workers"]
        cores = client.run(os.cpu_count)
        busy: Counter[str] = Counter()
        for worker in workers.values():
            busy[worker["host"]] += worker["nthreads"]
        threads = min(cores[name] // busy[worker["host"]] for name, worker in workers.items())
        unless_all_is_well.pop_all()
    return client, max(1, threads)


class _Cluster(Executor):
    """The executor of a Dask client, which is closed with it."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - the extra need not be installed
        self.client = client
        self.executor = client.get_executor(pure=False)

    def submit(self, work: Callable[..., T], /, *args: Any, **options: Any) -> "Future[T]":  # noqa: ANN401 - as the base
        future: Future[T] = self.executor.submit(work, *args, **options)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.executor.shutdown(wait=wait)
        self.client.close()
