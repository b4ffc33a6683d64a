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
from tabscm.engine.local.wishes import MOST_REPEATS, printable, read_wishes
from tabscm.engine.page.inline import environment, source, style

HOME = Path(__file__).parent
ID = "[0-9a-f]{32}"
TABLE = ("application/octet-stream",)
WISHES = ("application/json",)
LONGEST = 1 << 20
"""Bytes of what a page may wish for a graph, a knowledge file included."""
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
            name = printable(request.args.get("name", "")) or "table.csv"
            return _json(self.desk.drop(body(request, TABLE, self.desk.limits.upload), name))
        if found := re.fullmatch(f"tables/({ID})/graphs", path):
            _expect("POST", request)
            return _json(self.desk.read(found[1], read_wishes(body(request, WISHES, LONGEST))))
        if found := re.fullmatch(f"tables/({ID})/progress", path):
            _expect("GET", request)
            return _json({"line": self.desk.progress(found[1])})
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
    page = (
        environment(HOME)
        .get_template("local.html.j2")
        .render(style=sheet, script=Markup(script), most_repeats=MOST_REPEATS)
    )
    policy = (
        f"default-src 'none'; script-src {source(script)}; style-src {source(sheet)}; connect-src 'self'; "
        "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


def _json(value: Mapping[str, Any]) -> Response:
    return Response(json.dumps(value, allow_nan=False), content_type="application/json")
