"""Who may ask for what: every request is looked at here before anything is done for it."""

import hmac
from collections.abc import Iterable, Mapping

import attrs
from werkzeug.wrappers import Request

SAME = ("same-origin", "none")
"""What a browser says of requests of the app itself, and of an address that was typed or opened from outside."""
NO_TOKEN = ("", "tables", "graphs", "favicon.ico")
"""What an address begins with that has no token in it."""


@attrs.frozen
class Refusal(Exception):
    """Why a request is not served."""

    status: int
    line: str
    """For people."""
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Gate:
    """What a request has to show."""

    token: str
    port: int

    def admit(self, request: Request) -> str:
        """The path behind the token.

        A page elsewhere on the web can make a browser ask here. It cannot know the token, nor pass another Host (which
        stops names that are made to point here) or Origin than its own.

        Raises:
            Refusal: the request is none of this app's.
        """
        hosts = (f"127.0.0.1:{self.port}", f"localhost:{self.port}")
        if request.environ.get("HTTP_HOST") not in hosts:
            raise Refusal(421, "this app is at 127.0.0.1 alone; open the address that it printed")
        origin = request.headers.get("Origin")
        own = f"http://{request.environ['HTTP_HOST']}"
        if origin is not None and origin != own:
            raise Refusal(403, "this request comes from another page than the app's")
        if request.headers.get("Sec-Fetch-Site", "none") not in SAME:
            raise Refusal(403, "this request comes from another site than the app's")
        _, token, *rest = [*request.path.split("/", 2), ""]
        if token in NO_TOKEN:
            raise Refusal(403, "the address lacks the token of the app; open the one that it printed")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            raise Refusal(403, "the token in the address is not that of the app; open the address that it printed last")
        if request.method == "POST" and origin is None:
            raise Refusal(403, "a request that changes something has to come from the app's own page")
        return rest[0]


def body(request: Request, types: Iterable[str], most: int) -> bytes:
    """What a request carries.

    Args:
        request: admitted already.
        types: of content that are taken, none of which a form of another page can send.
        most: bytes.

    Raises:
        Refusal: it carries something else, or too much, or does not say how much.
    """
    if request.mimetype not in types:
        raise Refusal(415, f"expected the content type {' or '.join(types)}")
    if "Transfer-Encoding" in request.headers or "Content-Encoding" in request.headers:
        raise Refusal(411, "a request has to be sent as it is, with its Content-Length")
    length = request.environ.get("CONTENT_LENGTH") or ""
    if not length:
        raise Refusal(411, "a request has to say its Content-Length")
    if not (length.isascii() and length.isdigit()):
        raise Refusal(400, "the Content-Length is no number")
    if len(length) > 18 or int(length) > most:
        raise Refusal(413, f"at most {most >> 20} MiB are taken; for what is larger use python -m tabscm predict")
    data: bytes = request.environ["wsgi.input"].read(int(length))
    if len(data) < int(length):
        raise Refusal(400, "the request ended before its Content-Length")
    return data
