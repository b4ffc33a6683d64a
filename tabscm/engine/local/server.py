"""The server of the app: HTTP on 127.0.0.1, a thread for each connection, none of which may dawdle."""

import contextlib
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from tabscm.engine.local.app import App
from tabscm.engine.local.desk import Desk, Limits
from tabscm.engine.local.gate import Gate
from tabscm.kernel.errors import TabSCMError

HOST = "127.0.0.1"
CONNECTIONS = 32
"""Most at one time."""
PATIENCE = 20.0
"""Seconds in which a request has to arrive as a whole, a table of the largest size included."""


class _Handler(WSGIRequestHandler):
    """One connection, for one request."""

    server: "Server"
    error_message_format = "%(message)s\n"
    error_content_type = "text/plain; charset=utf-8"
    default_request_version = "HTTP/1.1"  # of 0.9 there is no status

    def setup(self) -> None:
        super().setup()
        self._answered = False
        # longer than the clock, who says what is wrong and ends what waits
        self.connection.settimeout(2 * self.server.patience)
        self._clock = threading.Timer(self.server.patience, self._cut)
        self._clock.daemon = True
        self._clock.start()

    def finish(self) -> None:
        self._clock.cancel()
        with contextlib.suppress(OSError):  # the client may have gone
            super().finish()

    def make_environ(self) -> dict[str, Any]:
        """What the app gets, with a body that stops the clock when it has been read."""
        environ = super().make_environ()
        if environ.get("CONTENT_LENGTH", "0") in ("", "0"):
            self._clock.cancel()
        environ["wsgi.input"] = _Body(environ["wsgi.input"], self._clock)
        return environ

    def send_response(self, code: int, message: str | None = None) -> None:
        """From here on, nothing else is sent, and what is left of the request is read only as far as it is there."""
        self._answered = True
        self.rfile = _Rest(self.rfile)  # type: ignore[assignment]
        super().send_response(code, message)

    def _cut(self) -> None:
        """End a connection whose request does not arrive."""
        with contextlib.suppress(OSError):
            text = b"the request took too long to arrive\n"
            head = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
            if not self._answered:
                self.connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(text) + text)
                self._answered = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def version_string(self) -> str:
        """Nothing that helps to choose an attack."""
        return "tabscm"

    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing: addresses hold the token."""


class _Body:
    """What a request carries, read whole or not at all."""

    def __init__(self, stream: Any, clock: threading.Timer) -> None:  # noqa: ANN401 - as WSGI has it
        self.stream = stream
        self.clock = clock

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or fewer if there are no more."""
        try:
            found: bytes = self.stream.read(size)
        except OSError:  # cut
            found = b""
        self.clock.cancel()
        return found


class _Rest:
    """What a client still sends that has its answer already: werkzeug would wait for ten million bytes of it."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - a buffered reader
        self.stream = stream

    def read(self, size: int) -> bytes:
        """So many bytes at most, those that have arrived."""
        found: bytes = self.stream.read1(size)
        return found

    def close(self) -> None:
        self.stream.close()


class Server(ThreadedWSGIServer):
    """The app on a port of this machine.

    Args:
        run: folder of the network.
        folder: for what is dropped; whoever starts the server removes it.
        port: 0 takes a free one.
        limits: of the work for one request.
        patience: seconds in which a request has to arrive.
    """

    daemon_threads = True

    def __init__(
        self,
        run: Path,
        folder: Path,
        *,
        port: int = 0,
        limits: Limits | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.patience = patience
        self.room = threading.BoundedSemaphore(CONNECTIONS)
        self.token = secrets.token_urlsafe(32)
        self.desk = Desk(folder, run, limits or Limits())
        # a socket of our own: on a port that is taken, werkzeug prints advice and ends the process
        with socket.create_server((HOST, port)) as listening:
            app = App(Gate(self.token, listening.getsockname()[1]), self.desk)
            super().__init__(HOST, port, app, _Handler, fd=listening.fileno())

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Take a connection, if there is room for one more."""
        if not self.room.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\ntoo many connections\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Serve a connection, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()


@contextlib.contextmanager
def opened(run: Path, port: int) -> Iterator[Server]:
    """A server that has its port, and a folder that goes when it does.

    Raises:
        TabSCMError: the port cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="tabscm-", ignore_cleanup_errors=True) as folder:
        try:
            server = Server(run, Path(folder), port=port)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise TabSCMError(
                f"--port {port}: cannot be had ({reason}). Leave it out to take any that is free."
            ) from None
        with server:
            try:
                yield server
            finally:
                server.desk.close()
