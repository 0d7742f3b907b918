"""The judge against a real server on this machine: what it is told, what it answers, and what goes wrong."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from paraphrase_rl_plugins.metrics import _connection
from paraphrase_rl_plugins.metrics import judge as judge_plugin
from paraphrase_rl_plugins.metrics._connection import UNANSWERED, NoAnswer
from paraphrase_rl_plugins.metrics.judge import PROMPT, Judge, JudgeOptions, Marks, parse
from paraphrase_rl_plugins.rewards import output_format

from paraphrase_rl.errors import RecipeError, UsageError
from paraphrase_rl.evaluation.quality import build_quality, choose_metrics, with_metric_options
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Failure, FloatArray, Measurements, RewardBatch, Rewrite
from tests.rewards.samples import make_batch

RECIPE = Recipe.model_validate({"rewards": [{"name": "format"}]})
KEY = "sk-Secret.0123456789+/="
HANG_UP, DRIP = 0, "X-Drip"
TRUNCATED = {"Content-Length": "9999"}
Reply = tuple[int, dict[str, str], str]
"""Status, headers, body."""


def completion(content: object) -> Reply:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


def marks(meaning: int, quality: int) -> Reply:
    return completion(json.dumps({"meaning": meaning, "quality": quality}))


class Server(ThreadingHTTPServer):
    """Answers with ``reply(rewrite, attempt)``; ``attempt`` counts from 0 for each rewrite."""

    daemon_threads = True

    def __init__(self, reply: Callable[[str, int], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.attempts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.now = self.most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rewrite = json.loads(body["messages"][-1]["content"])["rewrite"]
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), body))
            attempt = self.server.attempts[rewrite]
            self.server.attempts[rewrite] += 1
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        status, headers, text = self.server.reply(rewrite, attempt)
        with self.server.lock:
            self.server.now -= 1
        if status == HANG_UP:
            return
        content = text.encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        for byte in content if DRIP in headers else ():
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)
        if DRIP not in headers:
            self.wfile.write(content)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("JUDGE_KEY", f" {KEY}\n")


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, int], Reply]], Server]]:
    servers = []

    def start(reply: Callable[[str, int], Reply]) -> Server:
        server = Server(reply)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Asked(Judge):
    """A judge whose answer comes as a pair."""

    def __call__(self, batch: RewardBatch) -> tuple[Mapping[str, FloatArray], list[Failure]]:  # type: ignore[override]
        found: Measurements = super().__call__(batch)
        return found.values, list(found.failures)


def judge(server: Server, **options: Any) -> Asked:
    return Asked(JudgeOptions(**{"base_url": server.url, "model": "m", "key_env": "JUDGE_KEY"} | options))


def test_marks_come_from_the_judge_and_it_is_told_what_is_published(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: marks(len(rewrite), 5))
    values, failures = judge(server, concurrency=2)(make_batch(["a", "ccc", "bb", "ccc"], 'say "5"'))
    assert failures == []
    assert values["judge-meaning"].tolist() == [1.0, 3.0, 2.0, 3.0]
    assert values["judge-quality"].tolist() == [5.0] * 4
    assert server.attempts == {"a": 1, "bb": 1, "ccc": 1}  # the same pair is asked about once
    for path, headers, body in server.seen:
        assert path == "/v1/chat/completions"
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert body.keys() == {"model", "messages", "temperature"}
        assert (body["model"], body["temperature"]) == ("m", 0.0)
        system, user = body["messages"]
        assert system == {"role": "system", "content": PROMPT}
        assert json.loads(user["content"])["original"] == 'say "5"'


def test_without_key_and_temperature_none_is_sent(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: marks(4, 4))
    judge(server, base_url=f"{server.url}/", key_env=None, temperature=None)(make_batch(["a"]))
    [(path, headers, body)] = server.seen
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert "temperature" not in body


@pytest.mark.parametrize(
    "fault",
    [
        (429, {}, "later"),
        (500, {}, ""),
        (503, {}, "<html>"),
        (408, {}, ""),
        (HANG_UP, {}, ""),
        (200, TRUNCATED, "{"),
    ],
)
def test_a_busy_service_is_asked_again(serve: Any, fault: Reply) -> None:
    server = serve(lambda rewrite, attempt: marks(4, 3) if attempt == 2 else fault)
    values, failures = judge(server, retries=2)(make_batch(["a", "b"]))
    assert failures == []
    assert values["judge-meaning"].tolist() == [4.0, 4.0]
    assert server.attempts == {"a": 3, "b": 3}


def test_a_service_that_stays_busy_is_a_failure(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: marks(4, 3) if rewrite == "a" else (500, {}, "out of order"))
    values, failures = judge(server, retries=1)(make_batch(["a", "b"]))
    np.testing.assert_array_equal(values["judge-quality"], [3.0, np.nan])
    assert [(f.index, f.owner, f.kind, f.message) for f in failures] == [
        (1, "judge-meaning", "busy", "HTTP 500: out of order"),
        (1, "judge-quality", "busy", "HTTP 500: out of order"),
    ]
    assert server.attempts["b"] == 2


def test_the_service_says_how_long_to_wait(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: marks(1, 1) if attempt else (429, {"Retry-After": "1"}, ""))
    start = time.monotonic()
    assert judge(server)(make_batch(["a"]))[1] == []
    assert 1.0 <= time.monotonic() - start < 5.0


def test_a_slow_service_is_not_waited_for(serve: Any) -> None:
    def slowly(rewrite: str, attempt: int) -> Reply:
        if attempt == 0:
            time.sleep(1.0)
        return marks(2, 2)

    values, failures = judge(serve(slowly), timeout=0.3)(make_batch(["a"]))
    assert (values["judge-meaning"].tolist(), failures) == ([2.0], [])
    _, failures = judge(serve(slowly), timeout=0.2, retries=0)(make_batch(["a"]))
    assert {(f.kind, f.message) for f in failures} == {("timeout", "no answer within 0.2 s")}


def test_an_answer_that_drips_is_not_waited_for(serve: Any) -> None:
    server = serve(
        lambda rewrite, attempt: (200, {DRIP: "yes"}, "x" * 500)
    )  # 10 seconds, never silent for long
    start = time.monotonic()
    _, failures = judge(server, timeout=0.3, retries=0)(make_batch(["a"]))
    assert {f.kind for f in failures} == {"timeout"}
    assert time.monotonic() - start < 5.0


UNREADABLE = """
5
[5, 5]
meaning: 5
{"meaning": 5}
{"meaning": 5, "quality": 6}
{"meaning": 0, "quality": 1}
{"meaning": 4.5, "quality": 1}
{"meaning": "5", "quality": "5"}
{"meaning": true, "quality": 1}
{"meaning": 5, "quality": 5, "why": "good"}
Sure! {"meaning": 5, "quality": 5}
"""


@pytest.mark.parametrize("content", ["", None, 5, *UNREADABLE.strip().splitlines()])
def test_anything_but_the_two_marks_is_a_failure(serve: Any, content: object) -> None:
    server = serve(lambda rewrite, attempt: completion(content))
    values, failures = judge(server)(make_batch(["a"]))
    assert np.isnan(values["judge-meaning"]).all()
    assert [f.kind for f in failures] == ["unreadable", "unreadable"]
    assert server.attempts == {"a": 1}


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", "{}", '{"choices": []}', '{"choices": [{"message": 1}]}']
)
def test_a_body_that_is_no_completion_is_a_failure(body: str) -> None:
    assert isinstance(parse(body), NoAnswer)


@pytest.mark.parametrize("fence", ["{}", " \n{}\n", "```json\n{}\n```", "```\n{}```"])
def test_the_object_may_stand_in_a_fence(fence: str) -> None:
    content = fence.format('{"meaning": 2, "quality": 3}')
    assert parse(completion(content)[2]) == Marks(meaning=2, quality=3)


@pytest.mark.parametrize("thought", ["<think>\nA 2, no: {}\n</think>\n\n", "hm</think>", "[THINK]?[/THINK]"])
def test_a_judge_may_think(thought: str) -> None:
    content = thought + '```json\n{"meaning": 2, "quality": 3}\n```'
    assert parse(completion(content)[2]) == Marks(meaning=2, quality=3)
    assert isinstance(parse(completion('<think>{"meaning": 2, "quality": 3}')[2]), NoAnswer)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_that_holds_for_all_is_met_once(serve: Any, status: int) -> None:
    server = serve(lambda rewrite, attempt: (status, {}, f"no entry with {KEY}"))
    _, failures = judge(server, concurrency=1)(make_batch(list("abcdef")))
    assert sum(server.attempts.values()) == 1
    assert {(f.kind, f.message) for f in failures} == {("refused", f"HTTP {status}: no entry with [key]")}
    assert len(failures) == 12


def test_a_refusal_of_one_text_costs_that_text(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: (400, {}, "too long") if rewrite == "a" else marks(5, 5))
    values, failures = judge(server, concurrency=1)(make_batch(["a", "b"]))
    np.testing.assert_array_equal(values["judge-meaning"], [np.nan, 5.0])
    assert {f.kind for f in failures} == {"refused"}
    assert server.attempts["a"] == 1


def test_a_redirect_is_not_followed_with_the_key(serve: Any) -> None:
    elsewhere = serve(lambda rewrite, attempt: marks(5, 5))
    server = serve(lambda rewrite, attempt: (307, {"Location": elsewhere.url}, ""))
    _, failures = judge(server)(make_batch(["a"]))
    assert {(f.kind, f.message) for f in failures} == {("refused", "HTTP 307")}
    assert elsewhere.seen == []


def test_a_dead_service_is_given_up(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: (503, {}, ""))
    texts = [f"text {i}" for i in range(3 * UNANSWERED)]
    _, failures = judge(server, retries=1, concurrency=1)(make_batch(texts))
    assert sum(server.attempts.values()) == 2 * UNANSWERED
    assert len(failures) == 2 * len(texts)
    assert failures[-1].message.startswith(f"given up after {UNANSWERED} questions")


def test_nobody_there() -> None:
    options = JudgeOptions(base_url="http://127.0.0.1:9/v1", model="m", retries=0)
    assert {f.kind for f in Judge(options)(make_batch(["a"])).failures} == {"unreachable"}


def test_an_endless_answer_is_refused(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: (200, {}, "x" * (2**20 + 1)))
    _, failures = judge(server)(make_batch(["a"]))
    assert {f.kind for f in failures} == {"refused"}


def test_no_more_at_once_than_allowed(serve: Any) -> None:
    def slowly(rewrite: str, attempt: int) -> Reply:
        time.sleep(0.02)
        return marks(3, 3)

    server = serve(slowly)
    judge(server, concurrency=3)(make_batch([f"text {i}" for i in range(12)]))
    assert 1 < server.most <= 3


def test_an_interrupt_ends_it_soon(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda rewrite, attempt: (429, {"Retry-After": "50"}, ""))
    asked = judge(server, concurrency=2)

    def interrupted(question: object) -> None:
        raise KeyboardInterrupt

    pool_map = _connection.Connection.post
    calls = Counter[str]()

    def post(self: Any, question: Any) -> Any:
        calls["post"] += 1
        return interrupted(question) if calls["post"] == 1 else pool_map(self, question)

    monkeypatch.setattr(_connection.Connection, "post", post)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asked(make_batch(list("abcd")))
    assert time.monotonic() - start < 5.0


def test_the_key_is_in_no_message_log_or_record(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger)
    replies = {
        "a": (500, {}, f"you sent Bearer {KEY} " * 30),
        "b": (400, {"X-Echo": "1"}, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}})),
        "c": completion(KEY),
    }
    asked = judge(serve(lambda rewrite, attempt: replies[rewrite]), retries=1)
    _, failures = asked(make_batch(list("abc")))
    said = [f.message for f in failures] + [str(vars(record)) for record in caplog.records]
    said += [repr(asked._options), caplog.text]
    assert len(failures) == 6
    assert not [text for text in said if KEY in text or KEY[3:12] in text]


@pytest.mark.parametrize("value", ["", "  ", None])
def test_a_missing_key_is_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("JUDGE_KEY")
    else:
        monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(UsageError, match="JUDGE_KEY") as caught:
        Judge(JudgeOptions(base_url="http://localhost/v1", model="m", key_env="JUDGE_KEY"))
    assert "export JUDGE_KEY" in caught.value.hint


def test_what_is_no_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-one\nsk-two")
    with pytest.raises(UsageError) as caught:
        Judge(JudgeOptions(base_url="http://localhost/v1", model="m", key_env="JUDGE_KEY"))
    assert "sk-" not in caught.value.one_line


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://host/v1", "http://", "", "http://me:pass@host/v1", "http://host/v1?key=pass@"],
)
def test_an_address_that_is_none(url: str, prl_registry: Callable[..., Registry]) -> None:
    recipe = Recipe.model_validate(
        {
            "rewards": [{"name": "format"}],
            "metrics": [{"name": "judge-meaning", "options": {"base_url": url, "model": "m"}}],
        }
    )
    with pytest.raises(RecipeError, match="address") as caught:
        choose_metrics(recipe, prl_registry(judge=judge_plugin, rewards=output_format))
    assert "pass@" not in caught.value.one_line


def test_numbers_that_make_no_sense() -> None:
    for wrong in ({"timeout": 0}, {"retries": -1}, {"concurrency": 0}):
        with pytest.raises(ValueError):
            JudgeOptions(base_url="http://localhost/v1", model="m", **wrong)  # type: ignore[arg-type]


def test_an_empty_rewrite_is_not_judged(serve: Any) -> None:
    server = serve(lambda rewrite, attempt: marks(5, 5))
    _, failures = judge(server)(make_batch(["", "…"]))
    assert {f.kind for f in failures} == {"no-text"}
    assert server.seen == []


def test_one_question_gives_both_marks_where_it_is_wanted(
    serve: Any, prl_registry: Callable[..., Registry]
) -> None:
    registry = prl_registry(judge=judge_plugin, rewards=output_format)
    assert choose_metrics(RECIPE, registry) == []
    server = serve(lambda rewrite, attempt: marks(5, 4))
    recipe = with_metric_options(
        RECIPE, registry, "judge", base_url=server.url, model="m", key_env="JUDGE_KEY"
    )
    chosen = choose_metrics(recipe, registry)
    assert [metric.info().options for metric in chosen] == [
        {"base_url": server.url, "model": "m", "temperature": 0.0}
    ] * 2  # the key's variable, waits and retries change no mark
    measure = build_quality(chosen, registry, Context())
    values, failures = measure([Document(id="a", text="x")], [Rewrite(text="y")], "")
    assert failures == []
    assert {name: column.tolist() for name, column in values.items()} == {
        "judge_meaning": [5.0],
        "judge_quality": [4.0],
    }
    assert len(server.seen) == 1
