"""Arrays that are too large for memory lie in files, and are the same arrays."""

import errno
import os

import numpy as np
import pytest

from tabscm import MachineError
from tabscm.kernel import scratch
from tabscm.kernel.scratch import Pieces, in_file, room


@pytest.fixture
def small(monkeypatch):
    """A machine of 16 kB, of which an array may take one."""
    monkeypatch.setattr(scratch, "installed_memory", lambda: 16 * 1024)


def test_small_arrays_lie_in_memory_and_large_ones_in_a_file(small):
    assert not in_file(room((2, 64), np.float64))
    large = room((2, 65), np.float64)
    assert in_file(large)
    assert in_file(large.T[3:5])
    large[:] = np.arange(130).reshape(2, 65)
    assert large.T[64].tolist() == [64, 129]
    assert large.dtype == np.float64


def test_pieces_come_back_as_they_were(small):
    blocks = [np.random.default_rng(seed).normal(size=(20, 3)) for seed in range(10)]
    pieces = Pieces()
    kept = [pieces.keep(np.asfortranarray(block)) for block in blocks]
    assert [piece.where is pieces for piece in kept] == [False] * 2 + [True] * 8
    for piece, block in zip(reversed(kept), reversed(blocks), strict=True):
        np.testing.assert_array_equal(piece.read(), block)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="files are not given their space beforehand here")
def test_a_full_disk_is_named(small, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MachineError) as refusal:
        room((1 << 27,), np.float64)
    assert str(refusal.value) == (
        f"{tmp_path}: no temporary file of 1.0 GiB can be written there (No space left on device), and a table larger "
        "than memory is read through one. Set TMPDIR to a folder with more space."
    )


def test_a_limit_of_the_process_counts(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (2**30, 2**40) if kind == resource.RLIMIT_DATA else (-1, -1)
    )
    assert scratch.installed_memory() == 2**30


LIMITLESS = 9223372036854771712
"""What version 1 writes where nothing is limited."""


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 2**60),
        # version 2: the group of a service, and one around it that is smaller
        (
            {
                "/proc/self/cgroup": "0::/user.slice/job.scope\n",
                "/sys/fs/cgroup/user.slice/job.scope/memory.max": "8589934592\n",
                "/sys/fs/cgroup/user.slice/memory.max": "4294967296\n",
            },
            2**32,
        ),
        (
            {"/proc/self/cgroup": "0::/job.scope\n", "/sys/fs/cgroup/job.scope/memory.max": "max\n"},
            2**60,
        ),
        # a container of version 2, whose own group is the root
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1073741824\n"}, 2**30),
        # a shell that was moved out of the group that its container sees
        ({"/proc/self/cgroup": "0::/../other\n", "/sys/fs/cgroup/memory.max": "1073741824\n"}, 2**30),
        # version 1, beside an empty version 2
        (
            {
                "/proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/batch/a:b\n0::/\n",
                "/sys/fs/cgroup/memory/batch/a:b/memory.limit_in_bytes": "2147483648\n",
                "/sys/fs/cgroup/memory/batch/memory.limit_in_bytes": f"{LIMITLESS}\n",
            },
            2**31,
        ),
        # a container of version 1, which is told its path on the host and sees its group as the root
        (
            {
                "/proc/self/cgroup": "4:memory:/docker/f00\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
            },
            2**29,
        ),
        (
            {
                "/proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
            },
            2**60,
        ),
    ],
)
def test_the_limit_of_a_container_counts(files, limit):
    assert scratch.cgroup_limit(files.get) == limit


def test_a_container_has_room_for_less(monkeypatch):
    files = {"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": f"{2**24}\n"}
    monkeypatch.setattr(scratch, "_text", files.get)
    assert scratch.installed_memory() == 2**24
    assert scratch.in_file(scratch.room((2**21,), np.int8))
    assert not scratch.in_file(scratch.room((2**19,), np.int8))
