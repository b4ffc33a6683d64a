"""Where trials run; that they do run there is tested with ablations."""

import sys
from types import SimpleNamespace

import pytest

from tabscm import TabSCMError
from tabscm.engine import workers


def test_a_cluster_that_is_not_there(monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra `cluster`")
    monkeypatch.setattr(workers, "ANSWER", 1)
    with pytest.raises(TabSCMError) as refusal:
        workers.on_cluster("tcp://127.0.0.1:1")
    assert str(refusal.value).startswith("--cluster tcp://127.0.0.1:1: no cluster there (")


def test_a_cluster_without_workers_is_left_as_it_was(monkeypatch):
    closed = []

    class Client:
        def __init__(self, address, timeout):
            self.address = address

        def wait_for_workers(self, count, timeout):
            raise TimeoutError("only 0 of 1 workers")

        def close(self):
            closed.append(self.address)

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Client))
    with pytest.raises(TabSCMError) as refusal:
        workers.on_cluster("tcp://host:8786")
    assert str(refusal.value) == ("--cluster tcp://host:8786: no cluster there (TimeoutError: only 0 of 1 workers)")
    assert closed == ["tcp://host:8786"]
