"""The rewrites of an evaluation: made chunk by chunk, remembered, and where a rewriter fails, why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paraphrase_rl.errors import PrlError
from paraphrase_rl.evaluation.cache import Cache, key_of
from paraphrase_rl.evaluation.contain import Rewritten as Rewrites
from paraphrase_rl.evaluation.contain import rewrite_contained
from paraphrase_rl.evaluation.plan import Plan, label_of
from paraphrase_rl.evaluation.records import RewriterInfo
from paraphrase_rl.files import sha256_text
from paraphrase_rl.protocols import Rewriter
from paraphrase_rl.recipe.schema import Attack
from paraphrase_rl.registry import Registry
from paraphrase_rl.specs import Context
from paraphrase_rl.types import Document, Failure, Rewrite

CHUNK = 32
"""Texts rewritten between two writes to disk: what a kill costs at most."""
QUIET_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What a rewriter made.

    Attributes:
        info: the rewriter; its ``failure`` where it made nothing at all.
        ai: for each AI text its rewrites, or why there are none.
        human: likewise for each human text that is rewritten.
    """

    info: RewriterInfo
    ai: list[Rewrites]
    human: list[Rewrites]


def rewrite_with(
    plan: Plan,
    attack: Attack,
    registry: Registry,
    context: Context,
    context_key: str,
    cache: Cache,
    report: Callable[[str], None],
) -> Rewritten:
    """All rewrites of one rewriter. It is built only where some are missing.

    Args:
        plan: the texts, the number of rewrites and the seed.
        attack: the rewriter.
        registry: where it comes from.
        context: what it is built with.
        context_key: digest of what it could read there.
        cache: rewrites made before.
        report: shows a line.
    """
    label = label_of(attack)
    ai, human = plan.ai, plan.rewritten_humans
    info = RewriterInfo(label=label, name=attack.name, options=attack.options)
    try:
        options = registry.options("rewriters", attack.name, attack.options).model_dump(mode="json")
    except PrlError as error:
        return _nothing(info, attack.name, error.one_line, ai, human)
    identity = (attack.name, options, context_key, plan.seed)
    made: list[list[Rewrites]] = []
    rewriter: Rewriter | None = None
    for documents, n in ((ai, plan.samples), (human, 1)):
        keys = [key_of(*identity, n, sha256_text(d.text)) for d in documents]
        missing = {k: d.text for k, d in zip(keys, documents, strict=True) if k not in cache}
        if documents:
            report(
                f"{label}: {len(documents)} texts, {len(documents) - sum(k in missing for k in keys)} cached"
            )
        failures: dict[str, Failure] = {}
        if missing:
            try:
                rewriter = rewriter or registry.build("rewriters", attack.name, attack.options, context)
            except PrlError as error:
                return _nothing(info, attack.name, error.one_line, ai, human)
            failures = _make(label, rewriter, missing, n, plan.seed, cache, report)
        made.append([failures.get(key) or [Rewrite(**r) for r in cache[key]] for key in keys])
    found = Rewritten(info=info, ai=made[0], human=made[1])
    first = next((r for r in found.ai if isinstance(r, Failure)), None)
    if first is not None and all(isinstance(r, Failure) for r in found.ai):
        return Rewritten(
            info=info.model_copy(update={"failure": first.message}), ai=found.ai, human=found.human
        )
    return found


def _nothing(
    info: RewriterInfo, name: str, why: str, ai: Sequence[Document], human: Sequence[Document]
) -> Rewritten:
    failure = Failure(index=0, owner=name, kind="failed", message=why)
    return Rewritten(
        info=info.model_copy(update={"failure": why}),
        ai=[failure for _ in ai],
        human=[failure for _ in human],
    )


def _make(
    label: str,
    rewriter: Rewriter,
    missing: dict[str, str],
    n: int,
    seed: int,
    cache: Cache,
    report: Callable[[str], None],
) -> dict[str, Failure]:
    """Rewrite chunk by chunk into the cache; returns the failures by key."""
    keys = list(missing)
    failures: dict[str, Failure] = {}
    said = time.monotonic()
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        answers = _rewritten(label, rewriter, [missing[key] for key in chunk], n, seed)
        made = dict(zip(chunk, answers, strict=True))
        failures |= {key: answer for key, answer in made.items() if isinstance(answer, Failure)}
        cache.add(
            {
                key: [{"text": r.text, "finished": r.finished} for r in answer]
                for key, answer in made.items()
                if not isinstance(answer, Failure)
            }
        )
        if time.monotonic() - said > QUIET_SECONDS and start + CHUNK < len(keys):
            report(f"{label}: {start + CHUNK} of {len(keys)} texts rewritten")
            said = time.monotonic()
    return failures


def _rewritten(label: str, rewriter: Rewriter, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
    """``n`` rewrites of each text; what the rewriter has to say about the whole call fails all of its texts."""
    try:
        answers = rewrite_contained(label, rewriter.rewrite, texts, n, seed)
    except PrlError as error:
        return [
            Failure(index=i, owner=label, kind="failed", message=error.one_line) for i in range(len(texts))
        ]
    return [_unicode(label, i, answer) for i, answer in enumerate(answers)]


def _unicode(label: str, index: int, answer: Rewrites) -> Rewrites:
    if isinstance(answer, list) and any("\ud800" <= c <= "\udfff" for r in answer for c in r.text):
        message = "the rewrite holds half a surrogate pair"
        return Failure(index=index, owner=label, kind="not-text", message=message)
    return answer
