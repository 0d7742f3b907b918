"""Requests to a service over HTTP: time limits, retries if they can help, and no API key in messages."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds between attempts: doubled each time, shortened at random by up to half, lengthened by ``Retry-After``."""
PASSING = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 after which another attempt may succeed."""
HOPELESS = frozenset({401, 403, 404})
"""HTTP statuses that every further request would get too."""
UNANSWERED = 5
"""Number of requests in a row without an answer, after all attempts, after which no more are sent."""
MOST_BYTES = 2**20
"""Largest size of an answer, in bytes."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Reason why a request has no answer.

    Attributes:
        kind: ``refused``, ``busy``, ``timeout`` or ``unreachable``.
        message: one line; never contains the API key.
    """

    kind: str
    message: str


class Connection:
    """Connection to one service, used by several threads.

    Args:
        url: address that requests are posted to.
        key: API key, sent as a bearer token; an empty string = no key.
        timeout: seconds that the service may send nothing, or take for an answer.
        retries: number of further attempts if the service is busy, slow or unreachable.
    """

    def __init__(self, url: str, key: str, timeout: float, retries: int) -> None:
        import httpx

        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout, follow_redirects=False
        )
        self._url, self._key, self._timeout, self._retries = url, key, timeout, retries
        self._lock = threading.Lock()
        self._unanswered = 0
        self._given_up: NoAnswer | None = None
        self._stopped = threading.Event()

    def post(self, question: Mapping[str, object]) -> str | NoAnswer:
        """Post a JSON object; return the body of the answer, or why there is none after all attempts.

        No more requests are sent once the service has refused the API key or has not answered for long.
        """
        if self._given_up is not None:
            return self._given_up
        wait = FIRST_WAIT
        for attempt in range(self._retries + 1):
            outcome, asked = self._attempt(question)
            if isinstance(outcome, str) or outcome.kind == "refused":
                break
            if attempt < self._retries:
                pause = min(LONGEST_WAIT, max(asked, wait * random.uniform(0.5, 1.0)))
                if self._stopped.wait(pause):
                    break
                wait *= 2
        self._remember(outcome)
        return outcome

    def stop(self) -> None:
        """Stop further attempts, because the user interrupted."""
        self._stopped.set()
        self._given_up = NoAnswer("unreachable", "interrupted")

    def _attempt(self, question: Mapping[str, object]) -> tuple[str | NoAnswer, float]:
        """The answer or why there is none, and how many seconds the service asks to wait."""
        import httpx

        deadline = monotonic() + self._timeout
        body = bytearray()
        try:
            with self._client.stream("POST", self._url, json=question) as answer:
                for piece in answer.iter_bytes():
                    body += piece
                    if monotonic() > deadline:  # the client's own limit is for each read
                        return self._timed_out(), 0.0
                    if len(body) > MOST_BYTES:
                        return self._refused("an answer of over 1 MiB"), 0.0
        except httpx.TimeoutException:
            return self._timed_out(), 0.0
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return NoAnswer("unreachable", self._clean(f"{type(error).__name__}: {error}")), 0.0
        return self._read(answer, body.decode("utf-8", "replace"))

    def _read(self, answer: httpx.Response, body: str) -> tuple[str | NoAnswer, float]:
        status = answer.status_code
        if status == 200:
            return body, 0.0
        said = f"HTTP {status}: {body}" if body.strip() else f"HTTP {status}"
        if status < 500 and status not in PASSING:
            refusal = self._refused(said)
            if status in HOPELESS:
                self._given_up = refusal
            return refusal, 0.0
        after = answer.headers.get("Retry-After", "")
        return NoAnswer("busy", self._clean(said)), float(after) if after.isdecimal() else 0.0

    def _remember(self, outcome: str | NoAnswer) -> None:
        with self._lock:
            answered = isinstance(outcome, str) or outcome.kind == "refused"
            self._unanswered = 0 if answered else self._unanswered + 1
            if self._unanswered >= UNANSWERED and isinstance(outcome, NoAnswer):
                message = (
                    f"given up after {UNANSWERED} questions without an answer; the last: {outcome.message}"
                )
                self._given_up = NoAnswer(outcome.kind, message)

    def _timed_out(self) -> NoAnswer:
        return NoAnswer("timeout", f"no answer within {self._timeout:g} s")

    def _refused(self, said: str) -> NoAnswer:
        return NoAnswer("refused", self._clean(said))

    def _clean(self, message: str) -> str:
        """One short line without the key: services quote it, and clients quote what they sent."""
        if self._key:
            message = message.replace(self._key, "[key]")
        return " ".join(message.split())[:300]
