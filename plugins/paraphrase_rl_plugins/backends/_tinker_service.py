"""Connection to the service: API key, time limits, errors on one line, and the time for which the service is idle.

Imported by the backend only when it talks to the service; see ``_sampler``.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import tinker

from paraphrase_rl.plugin import PrlError, RunError
from paraphrase_rl_plugins.backends._tinker_key import require_key, without_key

CLOSING_SECONDS = 3.0
"""Seconds to wait while telling the service that the session has ended, which is not essential."""

RESCUE_SECONDS = 60.0
"""Most seconds to wait for a rescue checkpoint: the service may be what failed."""
RETRY_SECONDS = (1.0, 5.0)
"""Pauses before a request that failed is sent again."""
_FINAL = (
    tinker.AuthenticationError,
    tinker.BadRequestError,
    tinker.BillingError,
    tinker.NotFoundError,
    tinker.PermissionDeniedError,
    tinker.UnprocessableEntityError,
)
"""Errors that the same request would meet again."""


class Service:
    """A session at the service. As a context manager it ends the session, and tells the service whether it failed.

    Args:
        base_url: ``None`` = ``TINKER_BASE_URL``, else the hosted service.
        timeout: seconds that any single wait may take.
        remedy: what to do if the service fails, one line.

    Raises:
        RecipeError: the API key is not set.
    """

    def __init__(self, base_url: str | None, timeout: float, remedy: str) -> None:
        require_key()
        os.environ.setdefault("TINKER_TELEMETRY", "0")
        if "TINKER_LOG" not in os.environ:  # else every poll that finds a request unfinished is a warning
            logging.getLogger("tinker").setLevel(logging.ERROR)
        self.timeout, self.remedy, self.base_url = timeout, remedy, base_url
        self._client: Any = tinker.ServiceClient(base_url=base_url)
        self._idle = _Idle()
        self._open = False
        self.on_retry: Callable[[str, str], None] = lambda *_: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return  # the SDK would wait for a connection, to close it
        interrupted = isinstance(error, KeyboardInterrupt)
        status = "success" if error is None else "interrupted" if interrupted else "errored"
        try:
            self._client.close(status).result(CLOSING_SECONDS)
        except Exception as closing:  # the work is done, or another error is on its way
            del closing

    @property
    def connected(self) -> Any:
        """The SDK's ``ServiceClient``, with an open session.

        Raises:
            RunError: the service cannot be reached.
        """
        if not self._open:
            self.within(lambda: self._client.holder, "connecting")
            self._open = True
        return self._client

    def rest(self) -> Any:
        """The SDK's ``RestClient``."""
        return self.within(lambda: tinker.RestClient(base_url=self.base_url), "connecting")

    def within(self, call: Callable[[], Any], what: str) -> Any:
        """Return the result of a call of the SDK that blocks, under the same time limit as every wait."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return self.wait(future, what)

    def submit(self, future: Any) -> Any:
        """Count a request that was just sent as in flight, and return it."""
        self._idle.add(future.future())
        return future

    def wait(self, future: Any, what: str, again: Callable[[], Any] | None = None) -> Any:
        """Wait for a request and return its result.

        Args:
            again: sends the request again and returns its future; only for a request that changes nothing at the
                service. It is called a few times if the request fails, and the service did not refuse it; once if it
                is not answered within the time limit.

        Raises:
            RunError: the request failed, or took longer than the time limit.
        """
        hung = False
        for pause in (*RETRY_SECONDS, None):
            try:
                return future.result(self.timeout)
            except (PrlError, KeyboardInterrupt):
                raise
            except Exception as error:
                explained, hangs = self._explained(error, what), isinstance(error, TimeoutError)
                if again is None or pause is None or (hangs and hung) or not _may_pass(error):
                    raise explained from error
                hung = hung or hangs
            self.on_retry(what, explained.message)
            time.sleep(pause)
            future = again()
        raise AssertionError("the last try returns or raises")

    def carried_out(self, future: Any) -> bool | None:
        """Wait for a request that changes something; ``False`` = the service did not do it, ``None`` = unknown."""
        try:
            future.result(self.timeout)
        except (tinker.RequestFailedError, *_FINAL):
            return False
        except Exception:  # no answer, or one that got lost: it may have been carried out
            return None
        return True

    def hurry(self) -> None:
        """Limit all later waits to what a rescue checkpoint is worth: :data:`RESCUE_SECONDS`."""
        self.timeout = min(self.timeout, RESCUE_SECONDS)

    def ask(self, future: Any, what: str) -> Any:
        """Count a request as in flight, wait for it, and return its result."""
        return self.wait(self.submit(future), what)

    def first_of(self, futures: Iterable[Any], what: str) -> list[Any]:
        """Wait until at least one of some requests is done; return all that are done, in the order given.

        Raises:
            RunError: no request was done within the time limit.
        """
        waiting = {future.future(): future for future in futures}
        done, _ = concurrent.futures.wait(
            waiting, self.timeout, return_when=concurrent.futures.FIRST_COMPLETED
        )
        if not done:
            raise self._explained(TimeoutError(), what)
        return [future for inner, future in waiting.items() if inner in done]

    def take_idle(self) -> float:
        """Return the wall seconds since the last call in which the service was idle: no request was in flight."""
        return self._idle.take()

    def _explained(self, error: Exception, what: str) -> RunError:
        if isinstance(error, TimeoutError):
            return RunError(f"{what}: no answer from the service within {self.timeout:g} s", self.remedy)
        if isinstance(error, tinker.AuthenticationError):
            return RunError("the service refuses the API key", "check the value of TINKER_API_KEY")
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said = without_key(lines[0])[:300]
        if isinstance(error, (tinker.BadRequestError, tinker.UnprocessableEntityError)):
            return RunError(
                f"{what}: the service refuses the request: {said}",
                "a resumed run would send the same request: change what is refused (a checkpoint that is "
                "gone, too long a prompt, a setting that the service does not take), and begin a new run with "
                "prl train, or from the weights so far with prl train --from RUN",
            )
        return RunError(f"{what}: the service failed: {said}", self.remedy)


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed if it is sent again."""
    refused = (
        isinstance(error, tinker.RequestFailedError)
        and error.category == tinker.types.RequestErrorCategory.User
    )
    return not refused and not isinstance(error, _FINAL)


class _Idle:
    """Adds up the time in which nothing is in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying, self._since, self._seconds = 0, time.perf_counter(), 0.0

    def add(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            if not self._flying:
                self._seconds += time.perf_counter() - self._since
            self._flying += 1
        future.add_done_callback(self._landed)

    def _landed(self, _: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._flying -= 1
            if not self._flying:
                self._since = time.perf_counter()

    def take(self) -> float:
        with self._lock:
            now = time.perf_counter()
            if not self._flying:
                self._seconds += now - self._since
                self._since = now
            seconds, self._seconds = self._seconds, 0.0
        return seconds
