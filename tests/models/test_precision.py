"""Precision of products: decided by a measurement, recorded, followed; scores in bf16 against those in fp32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import paraphrase_rl as prl
from paraphrase_rl.detection.calibration import CalibrationSet
from paraphrase_rl.detection.scorer import Scorer, ScorerSettings
from paraphrase_rl.errors import UsageError
from paraphrase_rl.models import precision
from paraphrase_rl.models.language_model import LanguageModel, shared_language_model
from paraphrase_rl.models.precision import decide, speedup_in_bf16
from paraphrase_rl.models.references import shared_causal_lm
from paraphrase_rl.plugin.registry import default_registry
from tests.tiny_model import save_tiny_model
from tests.training.runs import documents

TEXTS = [d.text * 4 for d in documents(24)]
SCORES = ("log-likelihood", "log-rank", "entropy", "fast-detectgpt")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(save_tiny_model(tmp_path / "model"))


@pytest.mark.parametrize(("speedup", "expected"), [(0.2, "fp32"), (1.2, "fp32"), (4.0, "bf16")])
def test_auto_takes_what_was_measured(monkeypatch: pytest.MonkeyPatch, speedup: float, expected: str) -> None:
    monkeypatch.setattr(precision, "speedup_in_bf16", lambda: speedup)
    assert decide("auto", "cpu") == expected
    assert (decide("fp32", "cpu"), decide("bf16", "cpu")) == ("fp32", "bf16")


def test_nothing_is_measured_where_nothing_runs_on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "speedup_in_bf16", lambda: 9.0)
    assert decide("auto", "cpu", runs_on_torch=False) == "fp32"
    monkeypatch.setattr(precision, "find_spec", lambda name: None)
    assert decide("auto", "cpu") == "fp32"


def test_the_measurement_is_of_this_processor() -> None:
    """Without instructions for bf16 every number is widened first, which can only be slower."""
    found = speedup_in_bf16()
    assert found > 0
    if not torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported():
        assert found < precision.FASTER
        assert decide("auto", "cpu") == "fp32"


def test_a_card_has_its_own_and_a_mac_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    assert decide("auto", "cuda:1") == "bf16"
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: False)
    assert decide("auto", "cuda") == "fp16"
    assert decide("auto", "mps") == "fp32"
    with pytest.raises(UsageError, match="not tested on mps"):
        decide("bf16", "mps")
    with pytest.raises(UsageError, match="unknown precision 'int8'"):
        decide("int8", "cpu")


def test_only_products_are_rounded_and_the_shared_model_stays(folder: str) -> None:
    exact, rounded = shared_language_model(folder), shared_language_model(folder, precision="bf16")
    layers = [m for m in rounded._model.modules() if isinstance(m, torch.nn.Linear)]
    kept = rounded._model.get_output_embeddings()
    assert {layer.weight.dtype for layer in layers if layer is not kept} == {torch.bfloat16}
    others = {n: p.dtype for n, p in rounded._model.named_parameters() if "proj" not in n}
    assert set(others.values()) == {torch.float32}
    assert {p.dtype for p in exact._model.parameters()} == {torch.float32}
    ids = torch.arange(5)[None]
    assert rounded._model(input_ids=ids).logits.dtype == torch.float32


def test_a_precision_that_is_not_said_is_the_same_model_as_the_usual_one_said(folder: str) -> None:
    """Else a comparison after a score loads the model twice and reads every text twice."""
    assert shared_language_model(folder) is shared_language_model(folder, precision="fp32")
    assert shared_causal_lm(folder) is shared_causal_lm(folder, precision="fp32")


def test_a_tokens_own_probability_is_not_that_of_a_rounded_logit(folder: str) -> None:
    """Ranks are counted against the exact logit, so the likeliest tokens do not tie with it."""
    exact, rounded = LanguageModel(folder), LanguageModel(folder, precision="bf16")
    found, wanted = (
        np.concatenate([item.logprob for item in model.statistics(TEXTS)]) for model in (rounded, exact)
    )
    assert not np.array_equal(found, wanted)
    assert np.abs(found - wanted).mean() < 0.05
    assert abs((found - wanted).mean()) < 0.005


def test_a_calibration_is_followed_in_its_precision(folder: str, tmp_path: Path) -> None:
    """Scores in another precision than the thresholds would be compared with what they are not."""
    data = [
        replace(document, id=f"{label}-{document.id}", label=label, split="calibration")
        for label, shift in (("human", 0), ("ai", 1))
        for document in documents(60)[shift::2]
    ]
    detector = {"log-likelihood": {"model": folder}}
    scored = {}
    for chosen in ("fp32", "bf16"):
        saved = prl.calibrate(detector, data=data, precision=chosen).save(tmp_path / f"{chosen}.json")
        recorded = CalibrationSet.read(saved)
        assert recorded.precision == chosen
        scorer = Scorer(ScorerSettings(calibrated=("log-likelihood",), saved=recorded), default_registry())
        scored[chosen] = scorer.detectors["log-likelihood"].score(TEXTS).values
        direct = LanguageModel(folder, precision=chosen).statistics(TEXTS)
        np.testing.assert_allclose(scored[chosen], [s.logprob.mean() for s in direct], atol=1e-4)
    assert not np.array_equal(scored["fp32"], scored["bf16"])
