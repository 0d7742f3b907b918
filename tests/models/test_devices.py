"""Devices: what torch has here is taken, everything else refused before any work is done."""

from __future__ import annotations

import pytest
import torch

from paraphrase_rl.errors import UsageError
from paraphrase_rl.models.devices import check_device, default_device
from paraphrase_rl.models.references import scoring_dtype


def having(monkeypatch: pytest.MonkeyPatch, *, gpus: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("device", "gpus", "mps", "there"),
    [
        ("cpu", 0, False, True),
        ("cpu:0", 0, False, True),
        ("cuda", 0, False, False),
        ("cuda", 1, False, True),
        ("cuda:1", 1, False, False),
        ("cuda:1", 2, False, True),
        ("mps", 0, True, True),
        ("mps:0", 0, True, True),
        ("mps:1", 0, True, False),
        ("mps", 0, False, False),
        ("mps", 2, False, False),
        ("meta", 0, False, False),
        ("xpu", 0, False, False),
        ("gpu", 0, False, False),
        ("", 0, False, False),
        ("cuda:x", 1, False, False),
    ],
)
def test_a_device_is_there_or_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, mps: bool, there: bool
) -> None:
    having(monkeypatch, gpus=gpus, mps=mps)
    if there:
        check_device(device)
    else:
        with pytest.raises(UsageError, match="torch has no device") as caught:
            check_device(device)
        assert "cuda" in caught.value.hint
        assert "mps" in caught.value.hint


def test_a_mac_is_used_only_if_asked_and_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, gpus=0, mps=True)
    assert default_device() == "cpu"
    assert scoring_dtype("mps") == scoring_dtype("mps:0") == scoring_dtype("cpu") == torch.float32
