"""Models that the service trains now, asked from it: free, without a session, within seconds.

Imported by the backend only when it asks the service; see ``_sampler``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies

from paraphrase_rl.plugin import RunError
from paraphrase_rl_plugins.backends._tinker_service import Service

ASK_SECONDS = 10.0
"""Limit of the question; the SDK would go on trying for minutes."""
CONNECT_SECONDS = 3.0


def ask(address: str | None) -> Mapping[str, int | None]:
    """Return the context length in tokens of each model that can be trained; ``None`` = not told.

    Args:
        address: of a service of one's own; ``None`` = the hosted one.

    Raises:
        RunError: the service does not answer.
    """
    _reach(address or _hosted())
    return contexts(Service(address, ASK_SECONDS, "try again"))


def contexts(service: Service) -> Mapping[str, int | None]:
    """Return what :func:`ask` does, of a service that there is a connection to.

    Raises:
        RunError: the service does not answer, or cannot tell.
    """
    told = service.wait(service.rest().get_server_capabilities(), "models that are served")
    return {
        model.model_name: model.max_context_length
        for model in told.supported_models
        if model.model_name and model.trainable is not False
    }


def _hosted() -> str:
    try:
        from tinker.lib.base_url import DEFAULT_BASE_URL
    except ImportError:  # no part of the SDK's declared surface
        return ""
    return str(DEFAULT_BASE_URL)


def _reach(address: str) -> None:
    """See that somebody listens at an address: the SDK would take all of its time to find out."""
    url = urlsplit(address)
    if getproxies() or not url.hostname:
        return  # how far the service is then, is the proxy's to say
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(
            f"the service cannot be reached: {error.strerror or error}", "check the network"
        ) from error
