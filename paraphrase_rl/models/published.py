"""Names of models that hold on every machine, and their licences. Nothing here uses the network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from paraphrase_rl.files import expanded
from paraphrase_rl.models.defaults import UPSTREAM
from paraphrase_rl.models.references import is_hub_id

_SNAPSHOT = re.compile(r"models--(?P<owner>[^/\\]+?)--(?P<name>[^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?$")


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model, as somebody on another machine calls it.

    Attributes:
        name: hub id; for a packaged model the hub id of the same weights, or the reference where that is not known;
            for a folder its last part alone.
        licence: the identifier its publisher gives, such as ``apache-2.0``; ``None`` if it is not known here.
        on_hub: whether ``name`` is a hub id.
    """

    name: str
    licence: str | None
    on_hub: bool


def published(reference: str | Path) -> PublishedModel:
    """Return the name of a model on other machines, given its reference: never a path of this one."""
    text = str(reference)
    if text in UPSTREAM:
        hub_id, licence = UPSTREAM[text]
        return PublishedModel(hub_id, licence, True)
    if text.startswith("package:"):
        return PublishedModel(text, None, False)
    if is_hub_id(text) and "/" in text:
        return PublishedModel(text, _licence(text), True)
    folder = expanded(text).absolute()
    if found := _SNAPSHOT.search(str(folder)):
        hub_id = f"{found['owner']}/{found['name']}"
        return PublishedModel(hub_id, _licence(hub_id), True)
    return PublishedModel(folder.name, None, False)


def _licence(hub_id: str) -> str | None:
    """Licence in the model card of an earlier download, if that download had one."""
    try:
        from huggingface_hub import ModelCard, try_to_load_from_cache

        card = try_to_load_from_cache(hub_id, "README.md")
        licence = ModelCard.load(card).data.license if isinstance(card, str) else None
    except Exception:  # the card is somebody else's text
        return None
    return licence if isinstance(licence, str) and re.fullmatch(r"[\w.+-]{1,60}", licence) else None
