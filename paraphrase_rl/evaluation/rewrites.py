"""Rewrites of an evaluation, made chunk by chunk and saved in the cache; if a rewriter fails, the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paraphrase_rl.errors import PrlError
from paraphrase_rl.evaluation.cache import Cache, Key
from paraphrase_rl.evaluation.plan import run_digest, runs_in
from paraphrase_rl.evaluation.results import RewriterInfo
from paraphrase_rl.files import sha256_text
from paraphrase_rl.plugin.protocols import Rewriter
from paraphrase_rl.plugin.specs import Context
from paraphrase_rl.progress import Pace, Report
from paraphrase_rl.types import Document, Failure, Rewrite, Rewrites

CHUNK = 32
"""Number of texts rewritten between two writes to disk, which is the most that a kill loses."""


@dataclass(frozen=True)
class Rewriting:
    """Inputs that rewriters are run with.

    Attributes:
        context: context that the rewriters are built with.
        depends_on: plain data that identifies everything that rewriters could read in the context.
        seed: seed of the rewriting.
        cache: rewrites made before.
        report: function that shows one line of progress.
    """

    context: Context
    depends_on: object
    seed: int
    cache: Cache
    report: Report

    def rewrite_with(
        self, info: RewriterInfo, *groups: tuple[Sequence[Document], int]
    ) -> tuple[RewriterInfo, list[list[Rewrites]]]:
        """Make all rewrites of one rewriter, which is built only if some are not in the cache.

        Args:
            info: the rewriter.
            groups: documents, and how many rewrites of each are wanted.

        Returns:
            The rewriter, with its ``failure`` if it could rewrite nothing of the first group; and for each group and
            document the rewrites, or the Failure that says why there are none.
        """
        try:
            options = (
                self.context.components()
                .options("rewriters", info.name, info.options)
                .model_dump(mode="json")
            )
        except PrlError as error:
            return _nothing(info, error, groups)
        runs = [run_digest(run) for run in runs_in(options)]
        made: list[list[Rewrites]] = []
        rewriter: Rewriter | None = None
        for documents, n in groups:
            identity: Key = (info.name, options, *runs, self.depends_on, self.seed, n)
            texts = list(dict.fromkeys(document.text for document in documents))
            saved = dict(
                zip(texts, self.cache.get([(*identity, sha256_text(t)) for t in texts]), strict=True)
            )
            found: dict[str, Rewrites] = {
                text: [Rewrite(**rewrite) for rewrite in rewrites]
                for text, rewrites in saved.items()
                if rewrites is not None
            }
            if documents:
                cached = sum(document.text in found for document in documents)
                self.report(f"{info.label}: {len(documents)} texts, {cached} cached")
            missing = [text for text in texts if text not in found]
            if missing:
                try:
                    rewriter = rewriter or self.context.components().build(
                        "rewriters", info.name, info.options, self.context
                    )
                except PrlError as error:
                    return _nothing(info, error, groups)
                found |= self._make(info.label, rewriter, missing, n, identity)
            made.append([found[document.text] for document in documents])
        failed = [found for found in made[0] if isinstance(found, Failure)]
        if failed and len(failed) == len(made[0]):
            info = info.model_copy(update={"failure": failed[0].message})
        return info, made

    def _make(
        self, label: str, rewriter: Rewriter, texts: Sequence[str], n: int, identity: Key
    ) -> dict[str, Rewrites]:
        """Rewrite chunk by chunk, saving what is no failure; returns all by text."""
        found: dict[str, Rewrites] = {}
        pace = Pace(self.report)
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            made = dict(zip(chunk, _rewritten(label, rewriter, chunk, n, self.seed), strict=True))
            found |= made
            self.cache.add(
                (
                    (*identity, sha256_text(text)),
                    [{"text": r.text, "finished": r.finished} for r in answer],
                )
                for text, answer in made.items()
                if not isinstance(answer, Failure)
            )
            done = start + len(chunk)
            pace.at(done, len(texts), f"{label}: {done} of {len(texts)} texts rewritten")
        return found


def _nothing(
    info: RewriterInfo, error: PrlError, groups: Sequence[tuple[Sequence[Document], int]]
) -> tuple[RewriterInfo, list[list[Rewrites]]]:
    failure = Failure(index=0, owner=info.name, kind="failed", message=error.one_line)
    found: list[list[Rewrites]] = [[failure for _ in documents] for documents, _ in groups]
    return info.model_copy(update={"failure": failure.message}), found


def _rewritten(label: str, rewriter: Rewriter, texts: Sequence[str], n: int, seed: int) -> list[Rewrites]:
    """``n`` rewrites of each text; what the rewriter has to say about the whole call fails all of its texts."""
    try:
        answers = rewriter.rewrite(texts, n, seed)
    except PrlError as error:
        failure = Failure(index=0, owner=label, kind="failed", message=error.one_line)
        return [replace(failure, index=i) for i in range(len(texts))]
    return [_unicode(label, i, answer) for i, answer in enumerate(answers)]


def _unicode(label: str, index: int, answer: Rewrites) -> Rewrites:
    if isinstance(answer, list) and any("\ud800" <= c <= "\udfff" for r in answer for c in r.text):
        message = "the rewrite holds half a surrogate pair"
        return Failure(index=index, owner=label, kind="not-text", message=message)
    return answer
