"""A proxy before a service that does to requests what networks and busy services do, by chance from a seed."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("429", "500", "503", "reset before", "reset after", "slow", "truncated")
SLOW_SECONDS = 0.3


class Handler(BaseHTTPRequestHandler):
    """Forwards one request, or spoils it."""

    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._forward("GET")

    def do_POST(self) -> None:
        self._forward("POST")

    def _forward(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.next_fault()
        if fault == "reset before":
            self._hang_up()
            return
        if fault.isdigit():
            self._reply(int(fault), "application/json", b'{"detail": "injected"}')
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        upstream.request(method, self.path, body, kept)
        answer = upstream.getresponse()
        content, kind = answer.read(), answer.getheader("Content-Type", "application/json")
        upstream.close()
        if fault == "reset after":
            self._hang_up()
            return
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        self._reply(answer.status, kind, content, cut=fault == "truncated")

    def _reply(self, status: int, kind: str, content: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True


class FaultProxy(ThreadingHTTPServer):
    """Stands before a service.

    Args:
        rate: share of requests that are spoiled.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, upstream: str, rate: float, seed: int = 0) -> None:
        self.upstream, self.rate = urlsplit(upstream).netloc, rate
        self.done: Counter[str] = Counter()
        self._random, self._lock = random.Random(seed), threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def next_fault(self) -> str:
        """What happens to the next request; empty = nothing."""
        with self._lock:
            fault = self._random.choice(FAULTS) if self._random.random() < self.rate else ""
            self.done[fault] += 1
        return fault

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is not worth a traceback."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"
