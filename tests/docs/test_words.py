"""One thing has one name: the words of messages, docstrings and docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "paraphrase_rl").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
TEXTS = sorted(
    [
        *(ROOT / "paraphrase_rl").rglob("*.j2"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "configs").glob("*.yaml"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
)
NOT_FIRST = {
    "what",
    "whether",
    "how",
    "of",
    "where",
    "which",
    "why",
    "who",
    "whom",
    "when",
    "from",
    "for",
    "with",
    "as",
    "at",
    "to",
    "by",
    "in",
    "on",
    "if",
    "not",
}
"""A public docstring begins with a verb or a noun."""
BANNED = {
    r"\blets?\b[^.;:\n]{0,40} through\b|\bgets? through\b": "flagged, or not flagged",
    r"\buntouched\b": "original, unchanged",
    r"\banew\b": "again",
    r"\bpassages?\b": "excerpt",
    r"\baccus\w+": "false positive",
    r"\bjudg(es|ed|ing|ements?)\b": "a judge marks; a detector scores or flags, a reward rates",
    r"\bhears? of\b": "say what happens",
    r"\blets? go of\b": "release, delete",
    r"\b(bring|brings|brought|bringing)\b": "say what happens: download, install, give, measure, restore",
    r"\bbeside\b": "with, next to, in addition to",
    r"\bglued\b": "missing spaces",
    r"\bheeded\b": "respected",
    r"\bmend(s|ed)?\b": "fix",
}
EXEMPT = {
    "plugins/paraphrase_rl_plugins/rewards/_format_patterns.py": "patterns of what language models write",
    "plugins/paraphrase_rl_plugins/rewards/_reasoning_patterns.py": "patterns of what language models write",
    "plugins/paraphrase_rl_plugins/metrics/judge.py": "the prompt of the judge, whose digest is recorded",
    "docs/evaluation.md": "the prompt of the judge",
    "paraphrase_rl/testing/detectors.py": "texts that detectors are tested with",
    "paraphrase_rl/testing/backends.py": "texts that backends are tested with",
}
TERMS = [
    "false positive rate",
    "true positive rate",
    "flagged",
    "attack success rate",
    "held-out",
    "calibration texts",
    "original",
    "excerpt",
    "checkpoint",
    "step",
    "rollout",
    "sampler",
    "judge",
    "detector",
    "reward",
    "metric",
    "role",
    "P(AI)",
    "operating point",
    "ensemble",
    "gate",
    "policy",
    "threshold",
    "rewriter",
    "recipe",
    "run",
    "backend",
    "plug-in",
    "adapter",
    "advantage",
    "KL penalty",
    "transfer",
    "hardening",
    "AUROC",
    "verdict",
]


def strings(file: Path) -> Iterator[tuple[int, str]]:
    """Lines of the string literals of a module, or all lines of another file but what a page shows as printed.

    What is printed has its words from sources, which are read here too, and from texts, which have their own.
    """
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        source = re.sub(r"^```text\n.*?^```$", lambda m: "\n" * m[0].count("\n"), source, flags=re.M | re.S)
    if file.suffix != ".py":
        yield from enumerate(source.split("\n"), start=1)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from enumerate(node.value.split("\n"), start=node.lineno)


def test_words_that_are_not_used() -> None:
    checked = [file for file in (*SOURCES, *TEXTS) if file.relative_to(ROOT).as_posix() not in EXEMPT]
    assert len(checked) == len(SOURCES) + len(TEXTS) - len(EXEMPT), "an exempt file is gone"
    assert [
        f"{file.relative_to(ROOT)}:{number}: {match[0]!r}: {instead}"
        for file in checked
        for number, line in strings(file)
        for banned, instead in BANNED.items()
        if (match := re.search(banned, line))
    ] == []


def public_docstrings(file: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes: list[ast.Module | ast.ClassDef | ast.FunctionDef] = [tree]
    for node in nodes:
        if text := ast.get_docstring(node):
            yield getattr(node, "name", "the module"), text
        if not isinstance(node, ast.FunctionDef):
            nodes += [
                inner
                for inner in node.body
                if isinstance(inner, (ast.ClassDef, ast.FunctionDef)) and not inner.name.startswith("_")
            ]


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert [
        f"{file.relative_to(ROOT)}: {name}: {text.splitlines()[0]}"
        for file in SOURCES
        for name, text in public_docstrings(file)
        if text.split()[0].strip("`:,.").lower() in NOT_FIRST
    ] == []


def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text('"""Whether it is."""\nMESSAGE = "the threshold lets 8 of 179 human texts through"\n')
    assert [re.search(word, line) is not None for _, line in strings(wrong) for word in list(BANNED)[:1]] == [
        False,
        True,
    ]
    assert [text for _, text in public_docstrings(wrong)] == ["Whether it is."]


def test_the_glossary_has_the_terms() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    defined = re.findall(r"^\| (?!term |---)([^|]+?) \| [^|]+ \|$", glossary, re.MULTILINE)
    known = {re.sub(r" \([^)]*\)$", "", term) if term != "P(AI)" else term for term in defined}
    assert [term for term in TERMS if term not in known] == []
    assert len(defined) == len(set(defined)), "a term is defined twice"
