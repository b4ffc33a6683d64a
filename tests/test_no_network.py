"""The suite itself is the proof that nothing needs a network, if this holds."""

import socket

import pytest


def test_a_connection_to_elsewhere_is_refused():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one,
        pytest.raises(AssertionError, match=r"a test reaches for the network: connect to \('192\.0\.2\.1', 80\)"),
    ):
        one.connect(("192.0.2.1", 80))


def test_a_connection_to_this_machine_is_not():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=5) as one:
            assert one.getpeername() == server.getsockname()
