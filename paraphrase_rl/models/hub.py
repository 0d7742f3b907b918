"""Upload of a folder to the Hugging Face hub. Nothing else in the product writes there."""

from __future__ import annotations

import re
from pathlib import Path

from paraphrase_rl.errors import MissingDependencyError, RunError, UsageError
from paraphrase_rl.models.folders import first_line
from paraphrase_rl.models.references import hub_is_off

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{4,}")


def check_push(repository: str) -> None:
    """Check, before anything is written, that a folder could be uploaded to a repository; nothing is sent.

    Raises:
        UsageError: the name is not ORG/NAME, the hub is switched off, or there is no token.
        MissingDependencyError: the hub's client is not installed.
    """
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise UsageError(
            f"{repository} is not the name of a repository", "give ORG/NAME, such as my-lab/rewriter"
        )
    if hub_is_off():
        raise UsageError(
            "cannot push: the hub is switched off (HF_HUB_OFFLINE)",
            "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
        )
    if _token() is None:
        raise UsageError(
            "cannot push: there is no token of the hub",
            "run `hf auth login`, or set HF_TOKEN; a write token is needed",
        )


def push(folder: Path, repository: str) -> str:
    """Upload a folder to a repository, in one commit; a new repository is made private.

    The token is that of ``HF_TOKEN`` or of ``hf auth login``; no message contains it.

    Returns:
        The address of the repository.

    Raises:
        RunError: the hub refused it or could not be reached.
    """
    import huggingface_hub

    client = huggingface_hub.HfApi(library_name="paraphrase-rl")
    try:
        address = client.create_repo(repository, private=True, exist_ok=True)
        client.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Export of a run of paraphrase-rl"
        )
    except (
        Exception
    ) as error:  # the client raises errors of several libraries; a traceback could show the token
        raise RunError(
            f"could not push {folder} to {repository}: {without_token(first_line(error))}",
            f"the folder is complete: check the token's right to write, then run `hf upload {repository} {folder}`",
        ) from None
    return str(address)


def without_token(text: str) -> str:
    """Mask the token of the hub, and whatever looks like one, in a text."""
    token = _token()
    return _TOKEN.sub("hf_***", text.replace(token, "hf_***") if token else text)


def _token() -> str | None:
    try:
        from huggingface_hub import get_token
    except ImportError as error:
        raise MissingDependencyError(
            "pushing needs huggingface_hub, which is not installed", "pip install 'paraphrase-rl[models]'"
        ) from error
    return get_token()
