"""The web app as WSGI: what is at which address, and what every answer says to the browser."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from markupsafe import Markup
from werkzeug.wrappers import Request, Response

from tabscm.engine.local.desk import FORMS, Desk
from tabscm.engine.local.gate import Gate, Refusal, body
from tabscm.engine.page.inline import environment, source, style

HOME = Path(__file__).parent
ID = "[0-9a-f]{32}"
TABLE = ("application/octet-stream",)
WISHES = ("application/json",)
LONGEST = 1 << 20
"""Bytes of what a page may wish for a graph."""
NAME = 120
"""Letters of a file's name that are kept; it is shown and is no path."""
ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SANDBOX = "sandbox allow-scripts; frame-ancestors 'self'"
"""For the page of a graph, on top of its own policy: it may run its script and has no part in this app."""


@attrs.frozen
class App:
    """The app. Everything that goes wrong in a foreseen way is one line of text with its status."""

    gate: Gate
    desk: Desk

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Callable[[bytes], object]]
    ) -> Iterable[bytes]:
        """As WSGI has it."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except Refusal as refusal:
            response = Response(f"{refusal.line}\n", refusal.status, refusal.headers, "text/plain")
        for name, value in ALWAYS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        path = self.gate.admit(request)
        if path == "":
            _expect("GET", request)
            return _page()
        if path == "tables":
            _expect("POST", request)
            name = _name(request.args.get("name", ""))
            return _json(self.desk.drop(body(request, TABLE, self.desk.limits.upload), name))
        if found := re.fullmatch(f"tables/({ID})/graphs", path):
            _expect("POST", request)
            return _json(self.desk.read(found[1], _wishes(body(request, WISHES, LONGEST))))
        if found := re.fullmatch(f"graphs/({ID})/({'|'.join(FORMS)})", path):
            _expect("GET", request)
            return self._graph(found[1], found[2], save="save" in request.args)
        raise Refusal(404, "there is nothing at this address")

    def _graph(self, graph: str, form: str, *, save: bool) -> Response:
        response = Response(self.desk.graph(graph, form), content_type=FORMS[form])
        if save:
            response.headers["Content-Disposition"] = f'attachment; filename="graph.{form}"'
        response.headers["Content-Security-Policy"] = SANDBOX
        return response


def _expect(method: str, request: Request) -> None:
    if request.method != method:
        raise Refusal(405, f"this address takes {method} alone", {"Allow": method})


def _page() -> Response:
    sheet, script = style(HOME / "local.css"), (HOME / "local.js").read_text("utf-8")
    page = environment(HOME).get_template("local.html.j2").render(style=sheet, script=Markup(script))
    policy = (
        f"default-src 'none'; script-src {source(script)}; style-src {source(sheet)}; connect-src 'self'; "
        "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


def _json(value: Mapping[str, Any]) -> Response:
    return Response(json.dumps(value, allow_nan=False), content_type="application/json")


def _name(text: str) -> str:
    """What a table is called: the last part of what its file is called, as far as it can be printed."""
    last = re.split(r"[\\/]", text)[-1][:NAME]
    return "".join(letter for letter in last if letter.isprintable()).strip() or "table.csv"


def _wishes(data: bytes) -> dict[str, Any]:
    """What a page wishes for a graph: {variables, categories, tiers, threshold, acyclic}.

    Raises:
        Refusal: it is something else.
    """
    try:
        wishes = json.loads(data)
    except (ValueError, RecursionError):
        raise Refusal(400, "this is no JSON") from None
    if not isinstance(wishes, dict) or set(wishes) != set(EXPECTED):
        raise Refusal(400, f"expected an object of {', '.join(EXPECTED)}")
    for key, (fits, what) in EXPECTED.items():
        if not fits(wishes[key]):
            raise Refusal(400, f"{key}: expected {what}")
    return wishes


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _tiers(value: object) -> bool:
    return isinstance(value, list) and all(_names(tier) and tier for tier in value)


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _truth(value: object) -> bool:
    return isinstance(value, bool)


EXPECTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "variables": (_names, "a list of names"),
    "categories": (_names, "a list of names"),
    "tiers": (_tiers, "a list of tiers, each a list of at least one name"),
    "threshold": (_share, "a number from 0 to 1"),
    "acyclic": (_truth, "true or false"),
}
"""What a page wishes for a graph: how each entry is told from others, and what it is."""
