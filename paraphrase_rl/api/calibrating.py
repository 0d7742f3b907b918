"""The verbs that fit something to labelled texts: calibrate, load_calibration, fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Literal

from paraphrase_rl.api.common import (
    check_name,
    check_rate,
    device_for,
    mapping_of,
    named_detectors,
    path_of,
    registry_or_default,
)
from paraphrase_rl.api.data import corpus_of
from paraphrase_rl.api.saved_calibration import read_calibration
from paraphrase_rl.api.text_results import CalibrationResult, FitResult, FitRow
from paraphrase_rl.errors import CalibrationError, UsageError
from paraphrase_rl.progress import OnProgress, reporter
from paraphrase_rl.recipe.schema import Component, Recipe, Weighted
from paraphrase_rl.types import Document, Split

if TYPE_CHECKING:
    from paraphrase_rl.api.common import AnyPath, Detectors
    from paraphrase_rl.api.data import DataSource
    from paraphrase_rl.data.documents import Corpus
    from paraphrase_rl.plugin.registry import Registry


def calibrate(
    detectors: Detectors | None = None,
    *,
    data: DataSource | Sequence[DataSource] | None = None,
    target_fpr: float = 0.05,
    weights: Mapping[str, float] | None = None,
    combine: Literal["mean", "worst-case"] = "mean",
    out: AnyPath | None = None,
    device: str | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> CalibrationResult:
    """Fit thresholds and P(AI) of detectors on the calibration split of labelled texts.

    Thresholds for 1 % and 5 % are fitted in addition to the target rate.
    Human texts alone give thresholds and no P(AI). Texts that a detector was trained on are left out, with their near
    duplicates.

    Args:
        detectors: names, names with options, or what :func:`detector` returned; ``None`` = those of the default recipe.
        data: the name of a data set, or anything that :func:`load_data` takes or returns; ``None`` = the default
            recipe's. A list of these is several human populations: each has thresholds of its own, and the highest of
            them is deployed, so that none is flagged more often than asked for.
        target_fpr: target false positive rate, in (0, 1).
        weights: weight of each detector's P(AI) in the mean, by detector name, at least 0; by default 1.
        combine: ``mean`` of the detectors' P(AI), or ``worst-case``: the largest.
        out: file to save the calibration in; ``None`` = save nothing, see :meth:`CalibrationResult.save`.
        device: torch device.
        precision: precision of the scoring models' products: ``fp32``, ``bf16``, or ``auto``: bf16 where a short
            measurement finds this processor faster with it, or on a GPU. :func:`score` takes that of the calibration.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        One row for each detector, and one for their ensemble if two or more have a P(AI); of several populations,
        also one for each.

    Raises:
        CalibrationError: too few human texts, also because a detector was trained on them; or a rate outside (0, 1).
        UsageError, DataError: ``data`` cannot be read, its labels look swapped, or a weight is for an unknown detector.
        PluginError, RecipeError, MissingDependencyError, ModelError: a detector cannot be built.
        RunError: the file cannot be written.

    Example:
        >>> calibration = prl.calibrate("tfidf", data="starter", target_fpr=0.02)
        >>> calibration.rows[0].n_human, calibration.rows[0].achieved_fpr <= 0.02
        (243, True)
        >>> prl.score("The council voted.", calibration=calibration).rows[0].no_verdict
        'length: 3 words, and the calibration holds for 100 to 616'
        >>> prl.score("The council voted.", calibration=calibration, force=True).rows[0].verdict
        'not flagged'
    """
    from paraphrase_rl.detection import fitting
    from paraphrase_rl.detection.calibration_rows import measured_rows
    from paraphrase_rl.detection.known_signal import keep_signal, signal_key
    from paraphrase_rl.detection.threshold import usual_rates
    from paraphrase_rl.detection.unseen import leave_out_seen
    from paraphrase_rl.models.precision import decide
    from paraphrase_rl.plugin.specs import Context

    registry = registry_or_default(registry)
    check_rate(target_fpr, "target_fpr")
    if not isinstance(combine, str) or combine not in ("mean", "worst-case"):
        raise UsageError(f"unknown way to combine detectors: {combine!r:.60}", "use mean or worst-case")
    chosen, registry = named_detectors(Recipe().detectors if detectors is None else detectors, registry)
    weight_of = _weights(chosen, weights)
    on = device_for(device, registry, weight_of)
    runs_on_torch = any("torch" in registry.spec("detectors", name).modules for name in weight_of)
    context = Context(device=on, precision=decide(precision, on, runs_on_torch))
    corpora = _populations(data, registry)
    source = " + ".join(corpora)
    excerpt_words = _one_length(corpora)
    held_out, names = _split(corpora, "calibration")
    report = reporter(progress)
    report(f"scoring {len(held_out)} calibration texts of {source} with {', '.join(weight_of)}")
    fitted = fitting.calibrate(
        [fitting.build_detector(registry, context, d.name, d.options, weight_of[d.name]) for d in chosen],
        held_out,
        usual_rates(target_fpr),
        source=source,
        excerpt_words=excerpt_words,
        combine=combine,
        needs_probability=False,
        precision=context.precision,
        populations=names,
    )
    if len(corpora) == 1:
        listed = [(d.name, d.options, weight_of[d.name]) for d in chosen]
        keep_signal(signal_key(registry, listed, corpora[source].digest, target_fpr), fitted)
    path = path_of(out, "out") if out is not None else None
    if path is not None:
        fitted.to_file(path)
    trainings = [member.training for member in fitted.members]
    rows = measured_rows(
        fitted,
        leave_out_seen(held_out, trainings)[0],
        leave_out_seen(_split(corpora, "test")[0], trainings)[0],
    )
    notes = (*fitted.warnings(), *(note for corpus in corpora.values() for note in corpus.notes))
    return CalibrationResult(tuple(rows), notes, records=fitted.calibrations, path=path)


def load_calibration(path: AnyPath | None = None) -> CalibrationResult:
    """Read a calibration from its file. Builds no detector and scores nothing.

    Args:
        path: file that :meth:`CalibrationResult.save` or `prl calibrate` wrote; ``None`` = the calibration that
            :func:`score` uses by default: the command's default file, or that of the package.

    Returns:
        The rows of :func:`calibrate`; ``tpr_in_sample`` and ``auroc_test``, which need scores, are ``None``.

    Raises:
        CalibrationError: there is no such file, or it is not a calibration.

    Example:
        >>> path = prl.calibrate("tfidf", data="starter").save("tfidf.json")
        >>> prl.load_calibration(path).rows[0].detector
        'tfidf'
    """
    from paraphrase_rl.detection.calibration_rows import saved_rows

    saved, found = read_calibration(path_of(path, "path") if path is not None else None)
    if saved is None:
        raise CalibrationError(f"no calibration at {found}", "run `prl calibrate` to make one")
    notes = tuple(line for record in saved.records for line in record.warnings())
    rows = (row for record in saved.records for row in saved_rows(record))
    return CalibrationResult(tuple(rows), notes, records=saved, path=found)


def fit(
    detector: str,
    *,
    data: DataSource | None = None,
    options: Mapping[str, object] | None = None,
    out: AnyPath | None = None,
    progress: OnProgress | None = None,
    registry: Registry | None = None,
) -> FitResult:
    """Train a trainable detector on the train split of labelled texts, and save it.

    A detector trained into the same folder before is replaced; its calibrations are refused from then on.

    Args:
        detector: its name.
        data: the name of a data set, or anything that :func:`load_data` takes or returns; ``None`` = the default
            recipe's.
        options: options of the detector.
        out: folder to save the detector in; ``None`` = the detector's own option ``folder``, else a folder in the
            cache.
        progress: called with each progress report.
        registry: components to choose from.

    Returns:
        One row: the folder of the detector, and the number of texts of each label that it was trained on.

    Raises:
        UsageError: the detector is not trainable.
        DataError: the train split lacks texts of a label, or its labels look swapped to the detector that is in the
            folder; nothing is written then.
        PluginError, RecipeError, MissingDependencyError: the detector or the data set is missing.

    Example:
        >>> fitted = prl.fit("tfidf", data="starter", options={"word_features": 500}, out="models/tfidf")
        >>> fitted.rows[0].n_human, fitted.rows[0].n_ai, str(fitted.folder)
        (242, 105, 'models/tfidf')
    """
    from paraphrase_rl.detection.labels import check_against_earlier
    from paraphrase_rl.detection.trainable import train_detector, trainer_of
    from paraphrase_rl.files import fitted_folder

    registry = registry_or_default(registry)
    check_name(detector, "detector")
    trainer_of(registry, detector)
    chosen = registry.options("detectors", detector, mapping_of(options, "options"))
    folder = (
        path_of(out, "out") if out is not None else fitted_folder(detector, getattr(chosen, "folder", None))
    )
    corpus = corpus_of(data, registry)
    corpus.require_labels()
    human, ai = (len(corpus.select(split="train", label=label)) for label in ("human", "ai"))
    reporter(progress)(
        f"training {detector} on the train split of {corpus.source}: {human} human and {ai} AI texts"
    )
    train = corpus.select(split="train")
    check_against_earlier(registry, detector, train, folder)
    train_detector(registry, detector, chosen, train, folder)
    row = FitRow(detector=detector, folder=str(folder), n_human=human, n_ai=ai)
    return FitResult((row,), corpus.notes, source=corpus.source, digest=corpus.digest)


def _populations(data: DataSource | Sequence[DataSource] | None, registry: Registry) -> dict[str, Corpus]:
    """The data sets by name; those of one name are numbered."""
    several = isinstance(data, (list, tuple)) and not all(isinstance(one, Document) for one in data)
    corpora = [corpus_of(one, registry) for one in (data if several else [data])]  # type: ignore[union-attr, arg-type]
    digests = [corpus.digest for corpus in corpora]
    if len(set(digests)) < len(digests):
        raise UsageError("a data set is given twice", "give each population once")
    names: dict[str, Corpus] = {}
    for corpus in corpora:
        corpus.require_labels()
        same = sum(name == corpus.source or name.startswith(f"{corpus.source} (") for name in names)
        names[f"{corpus.source} ({same + 1})" if same else corpus.source] = corpus
    return names


def _split(corpora: Mapping[str, Corpus], split: Split) -> tuple[Sequence[Document], list[str] | None]:
    """Texts of a split of all data sets, and the data set of each where there are several."""
    parts = {name: corpus.select(split=split) for name, corpus in corpora.items()}
    if len(parts) == 1:
        return next(iter(parts.values())), None
    return [d for part in parts.values() for d in part], [name for name, part in parts.items() for _ in part]


def _one_length(corpora: Mapping[str, Corpus]) -> int | None:
    lengths = {corpus.excerpt_words for corpus in corpora.values()}
    if len(lengths) > 1:
        raise UsageError(
            f"the data sets are cut to excerpts of different lengths: {', '.join(map(str, lengths))} words",
            "give all of them the same excerpt_words: a threshold depends on the length",
        )
    return lengths.pop()


def _weights(chosen: Sequence[Component], weights: Mapping[str, float] | None) -> dict[str, float | None]:
    """The weight of each detector, in order; ``None`` where none is given."""
    if not chosen:
        raise UsageError(
            "no detectors given",
            "give at least one detector, or leave out the argument to use the default detectors",
        )
    found = {d.name: d.weight if isinstance(d, Weighted) else None for d in chosen}
    if len(found) < len(chosen):
        raise UsageError("a detector is listed twice", "list each detector once")
    for name, weight in mapping_of(weights, "weights").items():
        if name not in found:
            raise UsageError(
                f"a weight of {name}, which is not among the detectors", f"detectors: {', '.join(found)}"
            )
        if not isinstance(weight, Real) or not 0 <= float(weight) < math.inf:
            raise UsageError(f"the weight of {name} is {weight!r:.60}", "give a number that is at least 0")
        found[name] = float(weight)
    return found
