"""Download of the adapter of a checkpoint from the service to a folder."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

from paraphrase_rl.plugin import RunError
from paraphrase_rl_plugins.backends._tinker_service import Service

KEPT_SECONDS = 3600
"""Seconds for which the service saves the copy made for the download; an hour is the least that it accepts."""


def download(service: Service, state: str, folder: Path) -> None:
    """Write all files of the exported adapter into a new folder.

    Raises:
        RunError: the service no longer has the checkpoint, or a file cannot be fetched.
    """
    training = service.ask(service.connected.create_training_client_from_state(state), f"checkpoint {state}")
    exported = service.ask(
        training.save_weights_external("prl-export", ttl_seconds=KEPT_SECONDS), "the export"
    )
    rest = service.rest()
    files = service.ask(rest.get_external_weights_urls(exported.path), "the export's addresses").urls
    folder.mkdir(parents=True)
    for name, url in files.items():
        try:
            with (
                urllib.request.urlopen(url, timeout=service.timeout) as answer,
                (folder / Path(name).name).open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise RunError(f"cannot fetch {name} of the adapter: {error}", service.remedy) from error
