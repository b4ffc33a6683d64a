"""The web app of this machine: a table in, a graph out, and everybody else refused with a status and one line."""

import gzip
import io
import json
import os
import re
import socket
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from tabscm import TabSCMError
from tabscm.engine import released
from tabscm.engine.local.desk import Desk, Dropped, Limits
from tabscm.engine.local.job import Said
from tabscm.engine.local.server import Server, opened
from tabscm.engine.progress import Counting

TABLE = "dose,pulse,town\n" + "".join(f"{i % 7},{i * i % 11},{'ab'[i % 2]}\n" for i in range(60))
WISHES = {
    "variables": ["dose", "pulse"],
    "categories": [],
    "tiers": [],
    "required": [],
    "forbidden": [],
    "exogenous": [],
    "sinks": [],
    "knowledge": None,
    "labels": None,
    "bootstrap": 0,
    "threshold": 0.1,
    "acyclic": False,
}
NOBODY = "0" * 32
"""An id that belongs to nothing."""


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """serving(**limits) starts a server: itself, as the tests meet it."""
    started = []

    def serving(patience=60.0, **limits):
        server = Server(
            released.released(), tmp_path_factory.mktemp("local"), limits=Limits(**limits), patience=patience
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return server

    yield serving
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server(serving):
    """With little room; its children have four seconds."""
    return serving(upload=1 << 20, seconds=4)


@pytest.fixture(scope="module")
def impatient(serving):
    """For requests that never arrive as a whole: on a slow machine others may not in so little time."""
    return serving(patience=1.0)


def answer(server, sent, then=None):
    """What comes back for bytes that are sent as they are: status, headers, text."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(sent)
        if then == "close":
            connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    head, _, text = b"".join(parts).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return int(status.split()[1]), headers, text.decode()


def request(
    path="{token}/", *, method="GET", host="127.0.0.1:{port}", origin=None, length=None, body=b"", kind=None, extra=()
):
    """The bytes of a request, with {token} and {port} still to be put in."""
    lines = [f"{method} /{path} HTTP/1.1"]
    lines += [f"Host: {host}"] if host else []
    lines += [f"Origin: {origin}"] if origin else []
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != "" and (body or length) else []
    return "\r\n".join([*lines, *extra, "", ""]).encode() + body


OWN = "http://127.0.0.1:{port}"
BINARY, PLAIN = "application/octet-stream", "application/json"


def post(path, body=b"", *, kind=BINARY, origin=OWN, **more):
    return request(path, method="POST", body=body, kind=kind, origin=origin, **more)


UPLOAD, READ = "{token}/tables?name=x.csv", f"{{token}}/tables/{NOBODY}/graphs"
BOMB = gzip.compress(b"a,b\n" + b"1,2\n3,5\n" * 8_000_000, 1)
DEEP = b"[" * 100_000
PART = b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\na,b\r\n--x--\r\n"
ATTACKS = {
    "a host of another name": (request(host="evil.example"), 421),
    "a name that was made to point here": (request(host="evil.example:{port}"), 421),
    "another port": (request(host="127.0.0.1:1"), 421),
    "no host": (request(host=None), 421),
    "two hosts": (request(extra=["Host: evil.example"]), 421),
    "a host in the address": (b"GET http://evil.example/{token}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n", 421),
    "another origin": (post(UPLOAD, b"a", origin="http://evil.example"), 403),
    "the origin of no page": (post(UPLOAD, b"a", origin="null"), 403),
    "the same origin by another scheme": (post(UPLOAD, b"a", origin="https://127.0.0.1:{port}"), 403),
    "no origin": (post(UPLOAD, b"a", origin=None), 403),
    "a frame or an image on another site": (request(extra=["Sec-Fetch-Site: cross-site"]), 403),
    "a form on another site": (
        post(UPLOAD, b"a=b", kind="application/x-www-form-urlencoded", origin="http://evil"),
        403,
    ),
    "asking beforehand": (request(UPLOAD, method="OPTIONS", origin="http://evil.example"), 403),
    "no token": (request(""), 403),
    "a wrong token": (request(f"{'x' * 43}/"), 403),
    "a token that is no text": (request("%ff%fe/"), 403),
    "a path upwards": (request("{token}/../../../../etc/passwd"), 404),
    "an encoded path upwards": (request("{token}/graphs/%2e%2e%2f%2e%2e%2fetc%2fpasswd/html"), 404),
    "a path upwards as an id": (post("{token}/tables/..%2f..%2f..%2fetc%2fpasswd/graphs", b"{}", kind=PLAIN), 404),
    "a path upwards behind an id": (request(f"{{token}}/graphs/{NOBODY}/..%5C..%5Cx"), 404),
    "a path that ends in nothing": (request(f"{{token}}/graphs/{NOBODY}/html%00.gml"), 404),
    "an id that is guessed": (request(f"{{token}}/graphs/{NOBODY}/html"), 404),
    "a header in a path": (request(f"{{token}}/graphs/{NOBODY}/html%0d%0aSet-Cookie:%20a=b"), 404),
    "a header in the name of a file": (post("{token}/tables?name=%0d%0aSet-Cookie:%20a=b", b"a,a"), 422),
    "a path as the name of a file": (post("{token}/tables?name=..%2f..%2fstolen.csv", b"a,a"), 422),
    "a method that writes": (request(UPLOAD, method="PUT", origin=OWN), 405),
    "a method that removes": (request("{token}/", method="DELETE", origin=OWN), 405),
    "a method that nobody has": (request("{token}/", method="HACK", origin=OWN), 405),
    "a form as a table": (post(UPLOAD, PART, kind="multipart/form-data; boundary=x"), 415),
    "text as a table, as forms may send it": (post(UPLOAD, b"a,b", kind="text/plain"), 415),
    "a table as a wish": (post(READ, b"a,b", kind="text/csv"), 415),
    "too much": (post(UPLOAD, length=1 << 40), 413),
    "a little too much": (post(UPLOAD, b"1" * ((1 << 20) + 1)), 413),
    "a length of many digits": (post(UPLOAD, length="9" * 5000), 413),
    "a length below nothing": (post(UPLOAD, length="-1"), 400),
    "no length": (post(UPLOAD, length=""), 411),
    "pieces of no length": (
        post(UPLOAD, length="", extra=["Transfer-Encoding: chunked"]) + b"5\r\na,b,c\r\n0\r\n\r\n",
        411,
    ),
    "a body that is compressed": (post(UPLOAD, BOMB[:99], extra=["Content-Encoding: gzip"]), 411),
    "a table that unpacks to a thousand times": (post(UPLOAD, BOMB), 422),
    "wishes within wishes": (post(READ, DEEP, kind=PLAIN), 400),
    "wishes of other types": (post(READ, json.dumps({**WISHES, "variables": {"a": 1}}).encode(), kind=PLAIN), 400),
    "a wish too many": (post(READ, json.dumps({**WISHES, "run": "/tmp/evil"}).encode(), kind=PLAIN), 400),
    "a drawing without end": (post(READ, json.dumps({**WISHES, "bootstrap": 10**9}).encode(), kind=PLAIN), 400),
    "a knowledge file by its path": (
        post(READ, json.dumps({**WISHES, "knowledge": "/etc/passwd"}).encode(), kind=PLAIN),
        400,
    ),
    "more knowledge than anybody has": (
        post(READ, json.dumps({**WISHES, "knowledge": {"name": "k", "text": " " * (1 << 20)}}).encode(), kind=PLAIN),
        413,
    ),
    "Parquet that is none": (post("{token}/tables?name=x.parquet", b"PAR1" + bytes(99) + b"PAR1"), 422),
    "Parquet that says it is longer": (
        post("{token}/tables?name=x.parquet", b"PAR1" + b"\xff" * 4 + b"\xff\xff\xff\x7fPAR1"),
        422,
    ),
    "how far a table is that is not there": (request("{token}/tables/..%2f..%2fetc/progress"), 404),
    "a table that is not there": (post(READ, json.dumps(WISHES).encode(), kind=PLAIN), 404),
    "a long address": (request("a" * 70_000), 414),
    "a long header": (request(extra=[f"X-Long: {'a' * 70_000}"]), 431),
    "many headers": (request(extra=[f"X-{index}: a" for index in range(200)]), 431),
    "no HTTP": (b"\x16\x03\x01 not at all HTTP/x\r\n\r\n", 400),
    "a request that stops in its head": (b"GET /{token}/ HTTP/1.1\r\nHost: 127", 408),
    "a table that stops halfway": (post(UPLOAD, b"a,b\n", length=1000), 408),
}


@pytest.mark.parametrize(("sent", "status"), ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_refused_with_a_status_and_a_line(server, impatient, sent, status):
    server = impatient if status == 408 else server
    before = {path for path in server.desk.folder.parent.rglob("*") if path.is_file()}
    sent = sent.replace(b"{token}", server.token.encode()).replace(b"{port}", str(server.port).encode())
    found, headers, text = answer(server, sent)
    assert found == status
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1 < len(text)
    assert [
        header for header in headers if header.lower().startswith(("set-cookie", "access-control", "location"))
    ] == []
    assert server.token not in text
    assert {path for path in server.desk.folder.parent.rglob("*") if path.is_file()} == before
    assert server.desk.tables == {}


def test_there_are_as_many_attacks_as_the_readme_says():
    assert len(ATTACKS) == 55


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", "the address lacks the token of the app; open the one that it printed"),
        ("tables?name=x.csv", "the address lacks the token of the app; open the one that it printed"),
        (f"{'x' * 43}/", "the token in the address is not that of the app; open the address that it printed last"),
        ("{token}x/", "the token in the address is not that of the app; open the address that it printed last"),
        ("{short}/", "the token in the address is not that of the app; open the address that it printed last"),
    ],
)
def test_a_token_that_is_wrong_and_one_that_is_missing_are_told_apart(server, path, line):
    path = path.replace("{token}", server.token).replace("{short}", server.token[:-1])
    sent = request(path).replace(b"{port}", str(server.port).encode())
    assert answer(server, sent)[::2] == (403, f"{line}\n")


def test_a_client_that_closes_halfway_is_told(server):
    sent = post(UPLOAD, b"a,b\n", length=1000)
    sent = sent.replace(b"{token}", server.token.encode()).replace(b"{port}", str(server.port).encode())
    assert answer(server, sent, then="close")[::2] == (400, "the request ended before its Content-Length\n")


def test_a_client_that_trickles_gets_no_more_time(impatient):
    """Every byte comes in time, the whole does not."""
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=60) as connection:
        connection.settimeout(0.2)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        found = b""
        for _ in range(100):
            try:
                connection.sendall(b"X")
                found = connection.recv(4096)
                break
            except TimeoutError:
                continue
    assert found.startswith(b"HTTP/1.1 408 ")


def ask(server, path, body=None, kind=BINARY):
    """(status, text) of a request as the page of the app makes it."""
    address = f"{server.address}{path}"
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Content-Type": kind}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, own if body is not None else {})) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def drop(server, text, name="heart.csv"):
    status, found = ask(server, f"tables?name={name}", text.encode())
    assert status == 200, found
    return json.loads(found)


def read(server, dropped, wishes):
    """The id of a graph of a table that was dropped."""
    status, found = ask(server, f"tables/{dropped['table']}/graphs", json.dumps(wishes).encode(), PLAIN)
    assert status == 200, found
    return json.loads(found)["graph"]


def refused(server, dropped, **wishes):
    """The line that says why there is no graph."""
    status, found = ask(server, f"tables/{dropped['table']}/graphs", json.dumps({**WISHES, **wishes}).encode(), PLAIN)
    assert (status, found.count("\n")) == (422, 1)
    return found.removesuffix("\n")


def test_the_page_runs_its_own_script_alone_and_is_framed_by_nobody(server):
    with urllib.request.urlopen(server.address) as found:
        policy, page = found.headers["Content-Security-Policy"], found.read().decode()
        assert found.headers["Cache-Control"] == "no-store"
        assert found.headers["Referrer-Policy"] == "no-referrer"
        assert found.headers["Server"] == "tabscm"
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[^']{44}'; style-src 'sha256-[^']{44}'; connect-src 'self'; "
        r"frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        policy,
    )
    assert "innerHTML" not in page
    assert server.token not in page


def test_from_a_table_to_every_form_of_its_graph(serving):
    server = serving()
    dropped = drop(server, TABLE)
    assert dropped["columns"] == ["dose", "pulse", "town"]
    assert dropped["variables"] == ["dose", "pulse", "town"]
    assert (dropped["name"], dropped["rows"], dropped["trouble"]) == ("heart.csv", 60, None)
    assert dropped["notes"][0].startswith("column 'town' is read as numbers: ")

    wishes = {**WISHES, "variables": ["dose", "town"], "categories": ["town"], "tiers": [["town"], ["dose"]]}
    graph = read(server, dropped, wishes)
    whole = json.loads(ask(server, f"graphs/{graph}/json")[1])
    assert whole["variables"] == ["dose", "town"]
    assert whole["knowledge"]["forbidden"] == [{"from": "dose", "to": "town"}]
    assert whole["threshold"] == 0.1
    assert "<title>heart.csv · TabSCM</title>" in ask(server, f"graphs/{graph}/html")[1]
    assert ask(server, f"graphs/{graph}/csv")[1].startswith('"from","to","probability"\n')
    assert ask(server, f"graphs/{graph}/gml")[1].startswith("graph [")
    assert ask(server, f"graphs/{graph}/dot")[1].startswith("digraph {")
    with urllib.request.urlopen(f"{server.address}graphs/{graph}/html?save") as saved:
        assert saved.headers["Content-Disposition"] == 'attachment; filename="graph.html"'
        assert saved.headers["Content-Security-Policy"].startswith("sandbox allow-scripts;")

    wishes = {**WISHES, "variables": ["dose", "height"]}
    found = ask(server, f"tables/{dropped['table']}/graphs", json.dumps(wishes).encode(), PLAIN)
    assert found == (422, "heart.csv: there is no column 'height'\n")


@pytest.mark.parametrize(
    ("wish", "value", "expected"),
    [
        ("variables", "dose", "a list of names"),
        ("categories", [1], "a list of names"),
        ("tiers", ["dose"], "a list of tiers, each a list of names"),
        ("required", [["dose", "pulse", "town"]], "a list of edges, each a list of a cause and an effect"),
        ("forbidden", [["dose", 1]], "a list of edges, each a list of a cause and an effect"),
        ("exogenous", "dose", "a list of names"),
        ("sinks", [None], "a list of names"),
        ("knowledge", "/etc/passwd", "null, or the name and the text of a file"),
        ("knowledge", {"name": "k.toml", "path": "/etc/passwd"}, "null, or the name and the text of a file"),
        (
            "labels",
            {"column": "town", "targets": "/etc/passwd"},
            "null, or a column, and its targets: null, or the name and the text of a file",
        ),
        ("bootstrap", 501, "a whole number from 0 to 500"),
        ("bootstrap", 1e2, "a whole number from 0 to 500"),
        ("bootstrap", True, "a whole number from 0 to 500"),
        ("threshold", None, "a number from 0 to 1"),
        ("threshold", 1.5, "a number from 0 to 1"),
        ("acyclic", 1, "true or false"),
    ],
)
def test_wishes_that_cannot_be_are_told_what_is_expected(server, wish, value, expected):
    found = ask(server, f"tables/{NOBODY}/graphs", json.dumps({**WISHES, wish: value}).encode(), PLAIN)
    assert found == (400, f"{wish}: expected {expected}\n")


@pytest.mark.parametrize("variables", [[], ["dose"]])
def test_a_graph_of_fewer_than_two_variables_is_refused(server, variables):
    wishes = json.dumps({**WISHES, "variables": variables}).encode()
    found = ask(server, f"tables/{NOBODY}/graphs", wishes, PLAIN)
    assert found == (422, "a graph needs 2 variables; tick at least 2 columns\n")


def test_rows_are_drawn_again_as_often_as_is_wished(serving):
    server = serving()
    graph = read(server, drop(server, TABLE), {**WISHES, "bootstrap": 7, "threshold": 0.2, "acyclic": True})
    whole = json.loads(ask(server, f"graphs/{graph}/json")[1])
    assert [whole["bootstrap"][key] for key in ("repeats", "threshold", "acyclic")] == [7, 0.2, True]
    page = ask(server, f"graphs/{graph}/html")[1]
    assert "Out of 7 tables of rows drawn again" in page
    assert '"repeats":7' in page


def test_what_takes_long_says_how_far_it_is(tmp_path, monkeypatch):
    """The process says it in its folder, as to a terminal; the app tells it of the table that is being read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tabscm.engine.progress.SOON", 0.0)
    counting = Counting(Said(), "rows drawn again", 10)
    counting.show(4)
    desk = Desk(tmp_path, tmp_path)
    assert desk.progress(NOBODY) == ""
    desk._reading[tmp_path] = NOBODY
    assert desk.progress(NOBODY) == "rows drawn again: 4/10  0:00 left"
    counting.end()
    assert desk.progress(NOBODY) == ""


def test_knowledge_is_set_in_the_page_and_in_a_file_and_obeyed(serving):
    server = serving()
    dropped = drop(server, TABLE)
    three = {"variables": ["dose", "pulse", "town"], "categories": ["town"]}
    toml = {"name": "..\\known.toml", "text": 'tiers = [["town"], ["dose"]]'}
    tetrad = {"name": "k.txt", "text": "/knowledge\nforbiddirect\n\ndose pulse\n"}
    for wishes, source, required, forbidden in (
        (
            {"knowledge": toml, "required": [["dose", "pulse"]]},
            "known.toml and what was set in the page",
            ["dose pulse"],
            ["dose town", "pulse dose", "pulse town"],
        ),
        (
            {"knowledge": tetrad, "tiers": [["dose"], [], ["pulse"]], "exogenous": ["town"], "sinks": ["pulse"]},
            "k.txt and what was set in the page",
            [],
            ["dose pulse", "dose town", "pulse dose", "pulse town"],
        ),
        ({"forbidden": [["pulse", "*"]]}, "what was set in the page", [], ["pulse dose", "pulse town"]),
    ):
        graph = read(server, dropped, {**WISHES, **three, **wishes})
        known = json.loads(ask(server, f"graphs/{graph}/json")[1])["knowledge"]
        assert known["source"] == source
        assert [f"{edge['from']} {edge['to']}" for edge in known["required"]] == required
        assert sorted(f"{edge['from']} {edge['to']}" for edge in known["forbidden"]) == forbidden


def test_knowledge_that_cannot_be_is_refused_in_one_line(serving):
    server = serving()
    dropped = drop(server, TABLE)
    for wishes, line in (
        (
            {"required": [["dose", "puls"]]},
            "what was set in the page: the required edges: no variable is called 'puls'; did you mean 'pulse'?",
        ),
        (
            {"required": [["dose", "pulse"]], "exogenous": ["pulse"]},
            "what was set in the page: the required edges: 'dose' -> 'pulse' is required, and forbidden by the tick "
            "that nothing causes it; remove one of the two",
        ),
        (
            {"required": [["dose", "pulse"]], "tiers": [["pulse"], [], ["dose"]]},
            "what was set in the page: the required edges: 'dose' -> 'pulse' is required, but 'dose' is in tier 3, "
            "later than 'pulse' in tier 1; move one of them, or remove the edge",
        ),
        (
            {"knowledge": {"name": "k.toml", "text": 'tiers = [["dose"]]'}, "tiers": [["pulse"]]},
            "k.toml: tiers: tiers are in this file and set in the page, too; leave out one of the two",
        ),
        (
            {"knowledge": {"name": "k\n.toml", "text": "tiers = ["}},
            "k.toml: line 1, column 10: not TOML: Invalid value",
        ),
        (
            {"knowledge": {"name": "/", "text": '"a\\nb" = 1\nsinks = 1\nrequired = 1\nforbidden = 1'}},
            "the text: a b: unknown key.; allowed: tiers, forbidden, required, exogenous, sinks; forbidden: expected a "
            "list, found 1; required: expected a list, found 1; and 1 more",
        ),
        (
            {"knowledge": {"name": "k.toml", "text": "\ud800"}},
            "k.toml: line 1: byte 0xed is not UTF-8; save the file as UTF-8",
        ),
    ):
        assert refused(server, dropped, **wishes) == line


ARMS = "dose,pulse,arm\n" + "".join(f"{i % 7},{i * i % 11},{('', 'dose', 'dose;pulse')[i % 3]}\n" for i in range(60))
"""A table whose last column says what was set."""


def test_a_column_says_what_was_set_in_each_row(serving):
    server = serving()
    targets = {"column": "arm", "targets": None}
    graph = read(server, drop(server, ARMS), {**WISHES, "labels": targets})
    notes = json.loads(ask(server, f"graphs/{graph}/json")[1])["notes"]
    assert notes[0] == "40 of 60 rows are interventional: set 'dose' in 40, 'pulse' in 20"

    conditions = {"name": "t.toml", "text": 'a = []\nb = ["pulse"]'}
    dropped = drop(server, TABLE)
    graph = read(server, dropped, {**WISHES, "labels": {"column": "town", "targets": conditions}})
    notes = json.loads(ask(server, f"graphs/{graph}/json")[1])["notes"]
    assert notes[0] == "30 of 60 rows are interventional: set 'pulse' in 30"

    for labels, line in (
        (targets, "heart.csv: there is no column 'arm'"),
        (
            {"column": "dose", "targets": None},
            "heart.csv: column 'dose' says how each row came about, and is no variable; untick it",
        ),
        (
            {"column": "town", "targets": None},
            "heart.csv, row 2, column 'town': no variable is called 'a'; there are 'dose', 'pulse'.",
        ),
        (
            {"column": "town", "targets": {"name": "t.toml", "text": 'a = "dose"'}},
            "heart.csv, row 3, column 'town': the targets say nothing of 'b'; there are 'a'. Give it [] as targets "
            "when it sets nothing.",
        ),
        (
            {"column": "town", "targets": {"name": "t.toml", "text": "a = 1"}},
            "t.toml: a: expected the name of a variable, or a list of names, found 1",
        ),
    ):
        assert refused(server, dropped, labels=labels) == line


HOSTILE = "<img src=x onerror=document.title='CANARY'>"
CLICKS = """(() => {
  const at = (id) => document.getElementById(id);
  const put = (place, value, event) => { place.value = value; place.dispatchEvent(new Event(event)); };
  put(document.querySelector('[aria-label="tier of dose"]'), "1", "input");
  put(document.querySelector('[aria-label="tier of pulse"]'), "3", "input");
  document.querySelector('[aria-label="dose causes nothing"]').click();
  const edges = [["pulse", HOSTILE, "required"], ["pulse", "dose", "required"], ["dose", "no", "forbidden"]];
  for (const [cause, effect, sort] of edges) {
    at("cause").value = cause; at("effect").value = effect; at("sort").value = sort; at("edge").requestSubmit();
  }
  document.querySelector('[aria-label="remove dose to no"]').click();
  put(at("labels"), "3", "change");
  put(at("means"), "conditions", "change");
  at("go").click();
})()""".replace("HOSTILE", json.dumps(HOSTILE))
SEEN = """(() => {
  const all = (where) => [...document.querySelectorAll(where)].map((one) => one.textContent);
  return [document.getElementById("said").textContent, all("#edges li"), all(".tier")];
})()"""


def test_the_page_is_clicked_through(serving, browser, tmp_path):
    """In a browser: a table whose name and columns are hostile, knowledge and conditions, a file of them, the graph."""
    server = serving()
    table = tmp_path / "<b>heart.csv"
    table.write_text(
        TABLE.replace("dose,pulse,town", f'dose,pulse,"{HOSTILE}",town')
        .replace(",a\n", ",1,a\n")
        .replace(",b\n", ",2,b\n")
    )
    targets = tmp_path / "targets.toml"
    targets.write_text('a = []\nb = "dose"\n')
    knowledge = tmp_path / "known.toml"
    knowledge.write_bytes(b"sinks = ['dose']\xff")

    browser.open(server.address)
    browser.choose("#file", table)
    browser.until("!document.getElementById('wishes').hidden")
    assert browser.run("document.getElementById('state').textContent") == "<b>heart.csv: 4 columns, 60 rows"
    browser.run(CLICKS)
    said, edges, tiers = browser.run(SEEN)
    assert said == "What each condition sets is to be typed, or dropped, under the variables."
    assert edges == [f"pulse → {HOSTILE} is required Remove", "pulse → dose is required Remove"]
    assert tiers == [f"anywhere{HOSTILE}", "tier 1dose", "tier 2", "tier 3pulse", "tier 4"]

    browser.choose("#knowledge-file", knowledge)
    told = "document.getElementById('knowledge-said').textContent"
    assert browser.until(told) == "known.toml: this is not UTF-8 text; save it as UTF-8"
    browser.choose("#targets-file", targets)
    browser.until("document.getElementById('targets').value")
    browser.run("document.getElementById('go').click()")
    assert browser.until("document.querySelector('#said.wrong')?.textContent").startswith(
        "what was set in the page: the required edges: 'pulse' -> 'dose' is required, but 'pulse' is in tier 3, later"
    )
    browser.run("document.querySelector('[aria-label=\"remove pulse to dose\"]').click()")
    browser.run("document.getElementById('bootstrap').value = 3; document.getElementById('go').click()")
    browser.until("!document.getElementById('graph').hidden")
    (folder,) = server.desk.graphs.values()
    whole = json.loads((folder / "graph.json").read_text())
    assert whole["variables"] == ["dose", "pulse", HOSTILE]
    assert whole["knowledge"]["required"] == [{"from": "pulse", "to": HOSTILE}]
    assert {"from": "dose", "to": HOSTILE} in whole["knowledge"]["forbidden"]
    assert whole["notes"][0] == "30 of 60 rows are interventional: set 'dose' in 30"
    assert whole["bootstrap"]["repeats"] == 3
    assert browser.run("document.title") == "TabSCM"
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for width in (360, 500, 1200):
        browser.resize(width)
        assert browser.overhang() == 0


HELD = """(() => {
  const real = window.fetch, held = new Promise((resolve) => { window.release = resolve; });
  window.asked = [];
  window.fetch = async (address, options) => {
    if (address.endsWith("/progress")) asked.push(address.split("/").at(-2));
    const answer = await real(address, options);
    if (address.endsWith("/graphs")) await held;
    return answer;
  };
})()"""
"""No graph comes before window.release(), and window.asked is whose progress was asked for."""


def test_a_graph_that_comes_after_another_table_was_dropped_is_not_shown_as_its_own(serving, browser, tmp_path):
    server = serving()
    for name in ("first", "second"):
        (tmp_path / f"{name}.csv").write_text(TABLE)
    browser.open(server.address)
    browser.run(HELD)
    browser.choose("#file", tmp_path / "first.csv")
    browser.until("!document.getElementById('wishes').hidden")
    browser.run("document.getElementById('go').click()")
    browser.choose("#file", tmp_path / "second.csv")
    browser.until("document.getElementById('state').textContent.startsWith('second.csv: 3 columns')")
    browser.run("asked.length = 0")
    first, _ = server.desk.tables
    assert browser.until("asked[0]") == first
    browser.run("release()")
    browser.until("!document.getElementById('go').disabled")
    assert browser.run("document.getElementById('graph').hidden")
    assert browser.run("document.getElementById('said').textContent") == ""
    browser.run("document.getElementById('go').click()")
    browser.until("!document.getElementById('graph').hidden")


TYPED = """(() => {
  const at = (id) => document.getElementById(id);
  at("knowledge").value = "sinks = ['dose']";
  at("targets").value = "a = []";
  at("means").value = "conditions";
  at("means").dispatchEvent(new Event("change"));
})()"""


def test_what_was_said_of_one_table_is_not_said_of_the_next(serving, browser, tmp_path):
    server = serving()
    for name in ("first", "second"):
        (tmp_path / f"{name}.csv").write_text(TABLE)
    (tmp_path / "known.toml").write_text("sinks = ['pulse']")
    fields = "['knowledge', 'knowledge-file', 'targets', 'means'].map((id) => document.getElementById(id).value)"
    browser.open(server.address)
    browser.choose("#file", tmp_path / "first.csv")
    browser.until("!document.getElementById('wishes').hidden")
    browser.choose("#knowledge-file", tmp_path / "known.toml")
    told = "document.getElementById('knowledge-said').textContent"
    assert browser.until(told) == "known.toml"
    browser.run(TYPED)
    browser.choose("#file", tmp_path / "second.csv")
    browser.until("document.getElementById('state').textContent.startsWith('second.csv: 3 columns')")
    assert browser.run(fields) == ["", "", "", "targets"]
    assert browser.run(told) == ""
    assert browser.run("document.getElementById('of-conditions').hidden")
    browser.run("document.getElementById('go').click()")
    browser.until("!document.getElementById('graph').hidden")
    (folder,) = server.desk.graphs.values()
    assert json.loads((folder / "graph.json").read_text())["knowledge"] is None


def parquet_of(columns, *, groups=1):
    """The bytes of a Parquet file that holds the columns so many times."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = io.BytesIO()
    table = pa.table(columns)
    with parquet.ParquetWriter(made, table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table)
    return made.getvalue()


COLUMNS = {
    "dose": [i % 7 for i in range(60)],
    "pulse": [float(i * i % 11) for i in range(60)],
    "town": ["ab"[i % 2] for i in range(60)],
}
"""TABLE, column by column."""


def test_all_kinds_of_file_give_the_same_graph(serving):
    server = serving()
    wishes = {**WISHES, "variables": ["town", "dose"], "categories": ["town"]}
    probabilities = []
    for name, data, whole in (
        ("heart.csv", TABLE.encode(), True),
        ("heart.tsv.gz", gzip.compress(TABLE.replace(",", "\t").encode()), True),
        ("heart.parquet", parquet_of(COLUMNS), True),
        ("heart.data", parquet_of(COLUMNS), False),
    ):
        status, found = ask(server, f"tables?name={name}", data)
        dropped = json.loads(found)
        assert status == 200
        assert (dropped["columns"], dropped["rows"], dropped["name"]) == (["dose", "pulse", "town"], 60, name)
        if whole:
            graph = json.loads(ask(server, f"graphs/{read(server, dropped, wishes)}/json")[1])
            assert graph["variables"] == ["town", "dose"]
            probabilities.append(graph["edge_prob"])
    assert probabilities[0] == probabilities[1] == probabilities[2]


def test_parquet_that_cannot_be_read_says_why(serving, tmp_path, monkeypatch):
    server = serving(memory=4 << 30)
    whole = parquet_of(COLUMNS)
    for name, data, line in (
        ("x.parquet", whole[:-4], "this is not a whole Parquet file, its end is missing; copy it again"),
        ("x.pq", TABLE.encode(), "this is not a Parquet file; if it is text, rename it to end in .csv"),
        (
            "x.parquet",
            parquet_of({"a": np.ones(1_000_000), "b": np.ones(1_000_000)}, groups=70),
            "unpacks to 70,000,000 rows of 2 columns, for which this app has no room; use python -m tabscm predict",
        ),
    ):
        status, found = ask(server, f"tables?name={name}", data)
        assert status == 422
        assert found.removeprefix(name).lstrip(":, ") == f"{line}\n"
    without = tmp_path / "pyarrow.py"
    without.write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert ask(server, "tables?name=x.parquet", whole) == (
        422,
        "x.parquet: reading Parquet needs pyarrow; pip install 'tabscm[parquet]', or save the table as CSV in UTF-8\n",
    )
    assert server.desk.tables == {}
    assert list(server.desk.folder.iterdir()) == []


@pytest.mark.parametrize("odd", [[1, 2], {"a": 1}, b"\xff"], ids=["lists", "structs", "bytes"])
def test_columns_of_parquet_that_cannot_be_read_can_be_left_out(serving, odd):
    server = serving()
    status, found = ask(server, "tables?name=x.parquet", parquet_of({"odd": [odd] * 60, **COLUMNS}))
    dropped = json.loads(found)
    assert (status, dropped["columns"]) == (200, ["odd", "dose", "pulse", "town"])
    trouble = dropped["trouble"]
    assert re.fullmatch(r"x\.parquet, column 'odd': holds .*, and only numbers, .* or leave it out", trouble)
    assert refused(server, dropped, variables=["odd", "dose"]) == trouble
    whole = json.loads(ask(server, f"graphs/{read(server, dropped, WISHES)}/json")[1])
    assert whole["variables"] == ["dose", "pulse"]


def test_a_table_that_cannot_be_read_says_why_and_which_columns_there_are(serving):
    server = serving()
    found = drop(server, "a,b,c\n1,2,5\n1,3,4\n", name="..%2Fflat.csv")
    assert (found["name"], found["columns"], found["rows"]) == ("flat.csv", ["a", "b", "c"], None)
    assert found["trouble"] == "flat.csv: column 'a' has the same value in all 2 rows used; remove it"
    assert ask(server, "tables?name=x.csv", b"a,a\n1,2\n") == (
        422,
        "x.csv, row 1: columns 1 and 2 are both called 'a'; rename one\n",
    )


def test_work_that_takes_too_much_is_ended_and_the_app_lives_on(serving):
    server = serving(seconds=1)
    status, text = ask(server, "tables?name=bomb.csv", BOMB)
    assert (status, text) == (422, "bomb.csv: this took longer than 1 seconds, and was stopped\n")
    server = serving(memory=100 << 20)
    status, text = ask(server, "tables?name=x.csv", TABLE.encode())
    assert status == 422
    assert "memory" in text
    assert ask(server, "")[0] == 200


def test_a_bootstrap_that_takes_too_long_is_to_be_shortened(serving):
    server = serving()
    dropped = drop(server, TABLE)
    server.desk.limits = Limits(seconds=1)
    stopped = "heart.csv: this took longer than 1 seconds, and was stopped"
    assert refused(server, dropped, bootstrap=500) == f"{stopped}; draw fewer tables again"
    assert refused(server, dropped) == stopped


def test_when_too_many_wait_the_next_is_sent_away(serving):
    server = serving(waiting=0)
    assert server.desk._places.acquire(blocking=False)
    found = ask(server, "tables?name=x.csv", b"a,b\n1,2\n")
    assert found == (503, "several tables are waiting already; try again in a minute\n")
    server.desk._places.release()
    assert list(server.desk.folder.iterdir()) == []


def test_only_the_newest_tables_are_kept(serving, monkeypatch):
    server = serving()
    monkeypatch.setattr("tabscm.engine.local.desk.KEPT", 1)
    first = drop(server, TABLE)
    assert len(list(server.desk.folder.iterdir())) == 1
    drop(server, TABLE)
    assert len(list(server.desk.folder.iterdir())) == 1
    found = ask(server, f"tables/{first['table']}/graphs", json.dumps(WISHES).encode(), PLAIN)
    assert found == (404, "there is no such table any more; drop it again\n")


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_of_two_reads_of_a_table_the_first_to_end_leaves_the_other_its_progress(tmp_path, monkeypatch, order):
    desk = Desk(tmp_path / "desk", tmp_path)
    desk.folder.mkdir()
    (tmp_path / "table.csv").write_text(TABLE)
    desk.tables[NOBODY] = Dropped(tmp_path, "table.csv", "heart.csv")
    started, ended = ({name: threading.Event() for name in order} for _ in range(2))

    def work(_, folder, order):
        (folder / "said.txt").write_text(order["who"])
        started[order["who"]].set()
        assert ended[order["who"]].wait(60)
        return {}

    monkeypatch.setattr(Desk, "_work", work)
    reads = {name: threading.Thread(target=desk.read, args=(NOBODY, {"who": name})) for name in ("first", "second")}
    for name, one in reads.items():
        one.start()
        assert started[name].wait(60)
    for name, said in zip(order, (order[1], ""), strict=True):
        ended[name].set()
        reads[name].join()
        assert desk.progress(NOBODY) == said


def test_nothing_is_left_of_what_failed_for_want_of_a_process(serving, monkeypatch):
    server = serving()
    dropped = drop(server, TABLE)
    folders = set(server.desk.folder.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Desk, "_ended", full)
    for work in (lambda: server.desk.drop(b"a,b\n", "x.csv"), lambda: server.desk.read(dropped["table"], WISHES)):
        with pytest.raises(OSError, match="No space left"):
            work()
    assert set(server.desk.folder.iterdir()) == folders
    assert server.desk.progress(dropped["table"]) == ""


def test_what_goes_while_it_is_asked_for_is_gone(serving, tmp_path):
    server = serving()
    server.desk.tables[NOBODY] = Dropped(tmp_path / "no", "table.csv", "x.csv")
    server.desk.graphs[NOBODY] = tmp_path / "no"
    found = ask(server, f"tables/{NOBODY}/graphs", json.dumps(WISHES).encode(), PLAIN)
    assert found == (404, "there is no such table any more; drop it again\n")
    assert ask(server, f"graphs/{NOBODY}/html") == (404, "there is no such graph any more; read it again\n")
    assert list(server.desk.folder.iterdir()) == []


def test_it_listens_on_this_machine_alone_and_leaves_nothing(tmp_path):
    with opened(tmp_path, 0) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert len(server.token) == 43
        folder = server.desk.folder
        with pytest.raises(TabSCMError) as refusal, opened(tmp_path, server.port):
            pass
        assert str(refusal.value) == (
            f"--port {server.port}: cannot be had (Address already in use). Leave it out to take any that is free."
        )
    assert not folder.exists()
