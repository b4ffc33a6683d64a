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
