"""docs/evidence.md and its picture are made of the recorded results, docs/evidence.json."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.evidence.__main__ import RECORD
from tests.evidence.page import PICTURE, picture, render

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_the_experiment_is_made_of_its_record() -> None:
    record = json.loads((DOCS / RECORD).read_text(encoding="utf-8"))
    made = {DOCS / "evidence.md": render(record), DOCS / PICTURE: picture(record)}
    for path, text in made.items():
        if os.environ.get("PRL_WRITE_DOCS"):
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, "PRL_WRITE_DOCS=1 writes it again"
