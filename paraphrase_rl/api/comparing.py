"""The verb compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paraphrase_rl.api.common import check_rate, check_whole, device_for, named_detectors, registry_or_default
from paraphrase_rl.api.data import corpus_of
from paraphrase_rl.comparison.records import Comparison
from paraphrase_rl.errors import DataError, PluginError
from paraphrase_rl.progress import OnProgress, reporter

if TYPE_CHECKING:
    from paraphrase_rl.api.common import Detectors
    from paraphrase_rl.api.data import DataSource
    from paraphrase_rl.plugin.registry import Registry


class ComparisonResult(Comparison):
    """Detectors on the same labelled texts, the best first: by TPR at the asked false positive rate."""

    def html(self) -> str:
        """Write the comparison as one HTML page that needs no network."""
        from paraphrase_rl.reporting.comparison import comparison_page

        return comparison_page(self)


def compare(
    data: DataSource | None,
    *,
    detectors: Detectors | None = None,
    target_fpr: float = 0.05,
    folds: int = 5,
    resamples: int = 1000,
    seed: int = 0,
    device: str | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> ComparisonResult:
    """Compare detectors on labelled texts: which flags most AI texts at a false positive rate, and for whom it errs.

    All texts are used and none twice: they are dealt to folds by pair, evenly over labels, groups and domains; the
    thresholds of a fold are set on human texts of other folds. A detector that needs training is trained inside the
    folds, on texts that are neither tested nor calibrated on. Splits of the data are ignored.

    Args:
        data: the name of a data set, or anything that :func:`load_data` takes or returns; ``None`` = the default
            recipe's.
        detectors: names, names with options, or what :func:`detector` returned; ``None`` = every one that is installed
            and ready. A trained one with the option ``folder`` is used as it is, without the texts it was trained on.
        target_fpr: false positive rate of the ranking, in (0, 1). Rates of .1, 1 and 5 % are computed too.
        folds: number of folds, at least 3.
        resamples: resamples of the bootstrap intervals, by pair or document.
        seed: of folds and resamples.
        device: torch device.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        The detectors, the best first, and the ensemble of all (mean of their P(AI)); false positives by group, domain
        and length; what cannot be told apart is said in ``notes``. ``to_pandas()`` has a line a detector.

    Raises:
        UsageError, DataError: the data cannot be read, or have too few texts of a label.
        PluginError, RecipeError, MissingDependencyError, ModelError: a detector that was named cannot be built.

    Example:
        >>> length = prl.detector(lambda texts: [len(t) for t in texts], name="length")
        >>> found = prl.compare("starter", detectors=["tfidf", length], folds=3, resamples=100)
        >>> found.best.detector, found.human, found.ai
        ('tfidf', 729, 315)
    """
    from paraphrase_rl.comparison import compare as comparison
    from paraphrase_rl.comparison.folds import deal
    from paraphrase_rl.comparison.scoring import cross_fitted, ready_detectors
    from paraphrase_rl.plugin.specs import Context

    registry, report = registry_or_default(registry), reporter(progress)
    check_rate(target_fpr, "target_fpr")
    check_whole(folds, "folds", 3)
    check_whole(resamples, "resamples", 1)
    check_whole(seed, "seed", 0)
    chosen = ready_detectors(registry)
    if detectors is not None:
        chosen, registry = named_detectors(detectors, registry)
    if not chosen:
        raise PluginError(
            "no detectors to compare", "name some, or install their packages: prl plugins detectors"
        )
    corpus = corpus_of(data, registry)
    corpus.require_labels()
    documents = [document for document in corpus.documents if document.label is not None]
    if len({document.label for document in documents}) < 2:
        raise DataError(
            f"{corpus.source} has texts of one label only", "a comparison needs human and AI texts"
        )
    dealt = deal(documents, folds, seed)
    context = Context(device=device_for(device, registry, [component.name for component in chosen]))
    scored = cross_fitted(
        registry, context, chosen, documents, dealt, report, asked_for=detectors is not None
    )
    if all(one.reason for one in scored):
        raise PluginError(
            f"no detector could be built, the first: {scored[0].reason}", "name one: --detector"
        )
    report("intervals")
    found = comparison.compare(
        scored,
        documents,
        dealt,
        source=corpus.source,
        target_fpr=target_fpr,
        resamples=resamples,
        seed=seed,
    )
    return ComparisonResult(**dict(found) | {"notes": (*found.notes, *corpus.notes)})
