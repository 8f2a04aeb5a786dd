"""The server: what it answers, and everything that it refuses."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Thread
from typing import Any

import pytest

from ballproof.errors import InputError, SoundnessError
from ballproof.serve import serving
from ballproof.serve.server import LONGEST, PAGE, Server

JSON = {"Content-Type": "application/json"}


def double(number: float) -> dict[str, Any]:
    if number < 0:
        raise InputError("`number` is below 0")
    if number == 7:
        raise SoundnessError("two proofs disagree")
    return {"double": 2 * number}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving({"double": double}) as found:
        thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def asked(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {**(JSON if method == "POST" else {}), **named})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


@pytest.mark.parametrize("path", PAGE)
def test_every_file_of_the_page_is_served_with_its_kind_and_asks_for_nothing_else(server: Server, path: str) -> None:
    status, headers, content = asked(server, "GET", path)
    assert status == 200 and headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert {"/": "html", ".css": "css", ".js": "javascript"}[path[path.rfind(".") :] if "." in path else "/"] in headers[
        "Content-Type"
    ]
    assert b"http://" not in content and b"https://" not in content


def test_questions_are_answered_and_bad_ones_have_one_line(server: Server) -> None:
    def told(body: bytes, path: str = "/double") -> tuple[int, Any]:
        status, _, content = asked(server, "POST", path, body)
        return status, json.loads(content)

    assert told(b'{"number": 4}') == (200, {"double": 8})
    assert told(b'{"number": -1}') == (400, {"error": "`number` is below 0"})
    assert told(b'{"number": 7}') == (500, {"error": "SoundnessError: two proofs disagree"})
    assert told(b'{"size": 4}')[0] == 400 and "other members" in told(b'{"size": 4}')[1]["error"]
    assert told(b"[4]") == (400, {"error": "the question is no JSON object"})
    assert told(b"[" * 100_000) == (400, {"error": "the question is no JSON"})
    assert told(b"{", "/double") == (400, {"error": "the question is no JSON"})
    assert told(b"{}", "/nothing") == (404, {"error": "no question 'nothing'"})
    assert asked(server, "GET", "/../../errors.py")[0] == 404 == asked(server, "GET", "/nothing")[0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Length": str(LONGEST + 1)}, 413),
        ({"Content_Length": "9" * 5000}, 413),
        ({"Content_Length": "-1"}, 411),
        ({"Transfer_Encoding": "chunked"}, 411),
    ],
)
def test_foreign_and_unreadable_requests_are_refused_unread(server: Server, headers: dict[str, str], status: int) -> None:
    found, told, content = asked(server, "POST", "/double", b'{"number": 4}', **headers)
    assert found == status and "error" in json.loads(content) and told["Connection"] == "close"


def test_the_pages_own_origin_is_served_and_pages_ask_for_it_by_either_name(server: Server) -> None:
    for name in ("127.0.0.1", "localhost"):
        own = f"{name}:{server.server_port}"
        assert asked(server, "POST", "/double", b'{"number": 4}', Host=own, Origin=f"http://{own}")[0] == 200
    assert asked(server, "GET", "/", Origin="http://evil.example")[0] == 403


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 403 " in line.recv(100)
