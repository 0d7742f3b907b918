"""The table of criteria in the docs is that of the code, with the recipe's default bounds."""

from __future__ import annotations

import re
from pathlib import Path

from paraphrase_rl.acceptance.verdict import CRITERIA
from paraphrase_rl.recipe.schema import Acceptance
from tests.acceptance.accepted import write_run
from tests.acceptance.test_verdict import lines

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def documented() -> dict[str, str]:
    section = PAGE.read_text(encoding="utf-8").partition("## Acceptance")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))


def test_criteria_and_bounds(tmp_path: Path) -> None:
    found = lines(write_run(tmp_path / "run"))
    assert list(documented()) == list(CRITERIA)
    for criterion, bound in documented().items():
        if criterion == "checkpoints":
            continue
        assert bound == found[criterion].bound
        assert bound.split()[1] == f"{getattr(Acceptance(), criterion):g}"
