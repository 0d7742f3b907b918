"""Rules: each has its own code, a meaning, and a remedy where something can be done."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import UsageError
from paraphrase_rl.preflight.checks import RULES, SUBJECTS, preflight, rule_of, rules_of
from paraphrase_rl.preflight.findings import Finding, Findings, Rule


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["check", *args])


def test_codes_are_never_given_twice() -> None:
    listed = [rule.code for subject in SUBJECTS for rule in rules_of(subject)]
    assert len(listed) > 30
    assert sorted(set(listed)) == sorted(listed)
    assert list(RULES) == sorted(RULES)
    assert all(re.fullmatch(r"PRL\d{3}", code) for code in listed)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_a_rule_explains_itself(rule: Rule) -> None:
    assert rule.severity in ("ok", "note", "warning", "error")
    assert rule.name
    assert rule.meaning.endswith(".")
    assert rule.remedy or rule.severity in ("ok", "note"), "a mistake needs a way out"
    assert not rule.remedy.endswith("."), "a remedy is a clause, as the hint of an error is"


def test_every_subject_is_checked() -> None:
    """A module of the package that holds rules takes part, and no rule is declared that nothing finds."""
    folder = Path(preflight.__code__.co_filename).parent
    holding = {
        file.stem for file in folder.glob("*.py") if re.search(r"^\w+ = Rule\($", file.read_text(), re.M)
    }
    assert holding == {subject.__name__.rpartition(".")[2] for subject in SUBJECTS}
    sources = "\n".join(file.read_text() for file in folder.glob("*.py"))
    for subject in SUBJECTS:
        for name, rule in vars(subject).items():
            if isinstance(rule, Rule):
                assert len(re.findall(rf"\b{name}\b", sources)) > 1, f"{rule.code} {name} is found nowhere"


def test_a_finding_takes_from_its_rule_what_is_not_said() -> None:
    rule = Rule("PRL999", "warning", "thing", "It is wrong.", "change it")
    assert rule.found("3 of 4", key="a.b") == Finding(
        "PRL999", "warning", "thing", "a.b", "3 of 4", "It is wrong.", "change it"
    )
    other = rule.found("3 of 4", severity="note", remedy="")
    assert (other.severity, other.one_line) == ("note", "3 of 4")
    assert rule.found("3 of 4").one_line == "3 of 4; change it"
    assert Findings((other,)).ok
    assert not Findings((other, rule.found("x", severity="error"))).ok


@pytest.mark.parametrize("code", ["PRL022", "prl022"])
def test_explain(code: str) -> None:
    told = run("--explain", code)
    assert told.exit_code == 0, told.output
    rule = rule_of(code)
    for part in (rule.code, rule.meaning, rule.remedy):
        assert part in told.stdout
    as_json = json.loads(run("--explain", code, "--format", "json").stdout)["rows"]
    assert as_json == [
        {
            "code": "PRL022",
            "severity": "warning",
            "name": "learning rate",
            "meaning": rule.meaning,
            "remedy": rule.remedy,
        }
    ]


def test_explain_a_code_that_is_none() -> None:
    told = run("--explain", "PRL22")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "there is no finding PRL22" in told.stderr
    assert "PRL022" in told.stderr.split("known:")[0]
    with pytest.raises(UsageError, match="there is no finding x"):
        rule_of("x")


def test_a_result_is_typed_and_goes_into_json() -> None:
    found = prl.check("quickstart", set={"training.learning_rate": 0.5})
    [high] = [row for row in found if row.code == "PRL022"]
    assert isinstance(high, prl.Finding)
    assert (high.severity, high.key) == ("warning", "training.learning_rate")
    assert high.evidence.startswith("0.5 is above ")
    assert (high.meaning, high.remedy) == (RULES["PRL022"].meaning, "lower training.learning_rate")
    ended = run("--set", "training.learning_rate=0.5", "--format", "json")
    rows = json.loads(ended.stdout)["rows"]
    assert [set(row) for row in rows] == [
        {"code", "severity", "name", "key", "evidence", "meaning", "remedy"}
    ] * len(rows)
    shown = run("--set", "training.learning_rate=0.5").stdout
    assert "warning   PRL022  learning rate   0.5 is above" in " ".join(shown.split("\n"))
    assert "-> lower training.learning_rate" in shown
