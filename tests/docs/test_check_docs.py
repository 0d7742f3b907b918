"""docs/checks.md lists every finding of `prl check`.

``PRL_WRITE_DOCS=1 pytest tests/docs/test_check_docs.py`` writes it anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from paraphrase_rl.preflight.checks import SUBJECTS, rules_of
from paraphrase_rl.preflight.published import CONTRADICTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
MARK = "<!-- generated from here on from paraphrase_rl/preflight by tests/docs/test_check_docs.py -->\n"


def generated() -> str:
    parts = []
    for subject in sorted(SUBJECTS, key=lambda subject: rules_of(subject)[0].code):
        title, _, rest = (subject.__doc__ or "").splitlines()[0].partition(": ")
        rows = "".join(
            f"| {rule.code} | {rule.severity} | {rule.name} | {rule.meaning} | {rule.remedy or '-'} |\n"
            for rule in rules_of(subject)
        )
        head = "| code | severity | about | what it means | what to do |\n|---|---|---|---|---|\n"
        parts.append(f"## {title}\n\n{rest[0].upper()}{rest[1:]}\n\n{head}{rows}")
    rows = "".join(f"| {one.says} | {one.holds} | {', '.join(one.codes)} |\n" for one in CONTRADICTIONS)
    head = "| the published recipe says | what holds | findings |\n|---|---|---|\n"
    parts.append(f"## Contradictions of the published recipe\n\n{head}{rows}")
    return "\n".join(parts)


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    intro, mark, _ = text.partition(MARK)
    assert mark, "the mark is gone"
    wanted = f"{intro}{MARK}\n{generated()}"
    if os.environ.get("PRL_WRITE_DOCS"):
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted, "PRL_WRITE_DOCS=1 pytest tests/docs/test_check_docs.py"
