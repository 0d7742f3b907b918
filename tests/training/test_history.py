"""What is read back from a run's directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from paraphrase_rl.errors import RunError
from paraphrase_rl.runs.reader import checkpoint_row


def test_a_ledger_that_no_run_wrote_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoints.jsonl").write_text(
        '{"step": 2, "kind": "final", "path": "adapter"}\n{"at": 4}\n'
    )
    with pytest.raises(RunError, match=r"checkpoints\.jsonl, row 2: not a row that a run writes"):
        checkpoint_row(tmp_path)
