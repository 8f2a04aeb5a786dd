"""The page's server: loopback only, files of the package and answers in JSON, nothing from or for anybody else."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar

from ballproof.errors import BallproofError, InputError

HOST = "127.0.0.1"
LONGEST = 2_000_000
"""Bytes of a question: an input of 100,000 numbers."""

SECONDS = 20
"""A connection that says nothing for so long is closed."""

PAGE = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/plane.js": "plane.js", "/draw.js": "draw.js"}
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Question = Callable[..., dict[str, Any]]
Answer = tuple[int, dict[str, Any]]


class Server(ThreadingHTTPServer):
    """Answers questions by name, one at a time."""

    daemon_threads = True

    def __init__(self, questions: Mapping[str, Question], port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.questions, self.lock = questions, threading.Lock()
        self.own = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error; anything else is told as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def answer(self, name: str, body: bytes) -> Answer:
        """The status and the object that answer a question."""
        if name not in self.questions:
            return 404, {"error": f"no question {name!r}"}
        try:
            asked = _asked(self.questions[name], body)
            with self.lock:
                return 200, self.questions[name](*asked.args, **asked.kwargs)
        except InputError as error:
            return 400, {"error": str(error)}
        except BallproofError as error:
            return 500, {"error": f"{type(error).__name__}: {error}"}


def serving(questions: Mapping[str, Question], port: int = 0) -> Server:
    """A server on 127.0.0.1 that is ready; `serve_forever` runs it. port: 0 takes a free one.

    questions: by name; `POST /NAME` with a JSON object calls one with the object's members. Refused: requests under another
    host's name or from another origin's page (403), questions that are no JSON (415), without a length (411), longer than
    `LONGEST` (413), or unknown (404). An `InputError` is 400 with its line, a contradiction of proofs 500 with its own.
    """
    return Server(questions, port)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    server_version, sys_version = "ballproof", ""
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = SECONDS

    def do_GET(self) -> None:
        if (refused := self._foreign()) is not None:
            self._refuse(*refused)
        elif (name := PAGE.get(self.path)) is None:
            self._tell(404, {"error": f"no page {self.path!r}"})
        else:
            content = (resources.files("ballproof.serve") / "page" / name).read_bytes()
            self._send(200, content, KINDS[name.rsplit(".", 1)[1]])

    def do_POST(self) -> None:
        if (refused := self._foreign() or self._unreadable()) is not None:
            self._refuse(*refused)
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._tell(*self.server.answer(self.path.removeprefix("/"), body))

    def _foreign(self) -> tuple[int, str] | None:
        """Why a request is not this page's own: another host's name (a rebound address), or another origin's page."""
        origin = self.headers.get("Origin")
        pages = {None, *(f"http://{name}" for name in self.server.own)}
        if self.headers.get("Host") in self.server.own and origin in pages:
            return None
        return 403, "this page serves its own machine alone"

    def _unreadable(self) -> tuple[int, str] | None:
        """Why a question is not even read."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            return 415, "questions are application/json"
        if not (length.isascii() and length.isdecimal()) or "Transfer-Encoding" in self.headers:
            return 411, "a question says its length"
        if len(length) > len(str(LONGEST)) or int(length) > LONGEST:
            return 413, f"a question has at most {LONGEST} bytes"
        return None

    def _refuse(self, status: int, why: str) -> None:
        """What is refused unread ends the connection."""
        self.close_connection = True
        self._tell(status, {"error": why})

    def _tell(self, status: int, told: dict[str, Any]) -> None:
        self._send(status, json.dumps(told, allow_nan=False).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for what was asked there."""


def _asked(question: Question, body: bytes) -> inspect.BoundArguments:
    """The members of a JSON object as the arguments of a question."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("the question is no JSON") from error
    if not isinstance(members, dict):
        raise InputError("the question is no JSON object")
    try:
        return inspect.signature(question).bind(**members)
    except TypeError as error:
        raise InputError(f"the question has other members than it needs: {error}") from error
