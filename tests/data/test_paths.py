"""A file wherever a data set is: its columns, labels, splits, ids and bad rows, in every command alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import paraphrase_rl as prl
from paraphrase_rl.cli.main import cli
from paraphrase_rl.data.columns import TableOptions
from paraphrase_rl.errors import DataError
from paraphrase_rl.plugin.registry import default_registry

HUMAN = [
    f"I reckon the {w} match was lost in the first {i} minutes, mate."
    for i, w in enumerate("abcdefghijklmnop")
]
AI = [
    f"Moreover, the {w} initiative underscores {i} broader commitments."
    for i, w in enumerate("abcdefghijklmnop")
]


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert "internal error" not in result.output
    return result


def payload(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def essays(
    path: Path, header: str = "essay,generated,author_group", labels: tuple[str, str] = ("0", "1")
) -> Path:
    rows = [
        f'"{text}",{label},{"native" if i % 2 else "second-language"}'
        for label, texts in zip(labels, (HUMAN, AI), strict=True)
        for i, text in enumerate(texts)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


MINE = ("--text-column", "essay", "--label-column", "generated", "--group-column", "author_group")
MEANING = ("-o", "label_values={0: human, 1: ai}")


def test_one_file_through_data_fit_calibrate_and_score(tmp_path: Path) -> None:
    essays(tmp_path / "mine.csv")
    shown = payload("data", "mine.csv", *MINE, *MEANING)
    assert (shown["source"], sum(row["documents"] for row in shown["rows"])) == ("mine.csv", 32)
    assert set(shown["shares"]) == {"native", "second-language"}
    assert payload("fit", "tfidf", "--data", "mine.csv", *MINE, *MEANING)["source"] == "mine.csv"
    made = payload("calibrate", "--data", "mine.csv", *MINE, *MEANING, "--detector", "tfidf")
    assert made["texts"]["source"] == "mine.csv"
    rows = payload("score", "mine.csv", "--column", "essay")["rows"]
    assert [row["author_group"] for row in rows[:2]] == ["second-language", "native"]
    assert {row["verdict"] for row in rows if row["no_verdict"] is None} <= {"flagged", "not flagged"}


def test_a_path_in_python(tmp_path: Path) -> None:
    essays(tmp_path / "mine.csv", "text,label,group", ("human", "ai"))
    prl.fit("tfidf", data=tmp_path / "mine.csv")
    found = prl.calibrate("tfidf", data=tmp_path / "mine.csv")
    assert found.texts.source == "mine.csv"


@pytest.mark.parametrize(
    "name", ["*.csv", "[draft].jsonl", "#1.jsonl", "2024.csv", "essays: final.jsonl", "yes.csv"]
)
@pytest.mark.parametrize("road", ["path", "option"])
def test_a_file_name_is_a_file_name(tmp_path: Path, name: str, road: str) -> None:
    line = '{"text": "a text"}\n' if name.endswith("jsonl") else "text\na text\n"
    (tmp_path / name.replace("*", "star")).write_text(line)
    arguments = [name] if road == "path" else ["files", "-o", f"path={name}"]
    assert payload("data", *arguments)["rows"][0]["documents"] == 1


def test_several_files_are_still_a_list(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text\n{name}\n")
    assert payload("data", "files", "-o", "path=[a.csv, b.csv]")["rows"][0]["documents"] == 2


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("1,yes", ["-o", "columns={text: 1, label: yes}"]),
        ("1,yes", ["--text-column", "1", "--label-column", "yes"]),
        ("no,null", ["-o", "columns.text=no", "--label-column", "null"]),
    ],
)
def test_a_column_name_is_a_column_name(tmp_path: Path, header: str, options: list[str]) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\nSome text.,human\n")
    assert payload("data", "a.csv", *options)["rows"][0]["label"] == "human"


@pytest.mark.parametrize("values", ["{0: human, 1: ai}", "{'0': human, '1': ai}", "{0.0: human, 1.0: ai}"])
@pytest.mark.parametrize("labels", [("0", "1"), ("0.0", "1.0"), (" 0", "1 ")])
def test_labels_that_are_numbers(tmp_path: Path, labels: tuple[str, str], values: str) -> None:
    essays(tmp_path / "a.csv", "text,label,group", labels)
    shown = payload("data", "a.csv", "-o", f"label_values={values}")
    assert {row["label"] for row in shown["rows"]} == {"human", "ai"}


def test_the_hint_about_labels_guesses_nothing(tmp_path: Path) -> None:
    """Many sets call AI 1, some 0; a proposal that is followed unread turns every verdict round."""
    essays(tmp_path / "a.csv", "text,label,group", ("1", "0"))
    result = run("data", "a.csv")
    assert result.exit_code == 2
    assert "unknown labels '1', '0', in 32 rows" in result.stderr
    assert "label_values: {0: ..., 1: ...}" in result.stderr
    assert "human}" not in result.stderr


@pytest.mark.parametrize("called", ["Label", " label", "is_ai", "generated"])
def test_the_likely_label_column_is_named(tmp_path: Path, called: str) -> None:
    essays(tmp_path / "a.csv", f"text,{called},group", ("human", "ai"))
    for arguments in (("calibrate", "--detector", "tfidf"), ("fit", "tfidf")):
        result = run(*arguments, "--data", "a.csv")
        assert result.exit_code == 2
        if "tfidf is not trained" not in result.stderr and "prl fit" not in result.stderr:
            assert "no text of a.csv has a label" in result.stderr
            assert f"if {called!r} holds the labels, say so" in result.stderr
    assert f"if {called!r} holds the labels, say so" in run("data", "a.csv").stderr


def test_the_likely_text_column_is_named_and_unused_columns_too(tmp_path: Path) -> None:
    essays(tmp_path / "a.csv", "essay,label,model", ("human", "ai"))
    result = run("data", "a.csv")
    assert (result.exit_code, "did you mean 'essay'?" in result.stderr) == (2, True)
    assert (
        "columns of a.csv that are not used: 'model'" in run("data", "a.csv", "--text-column", "essay").stderr
    )


@pytest.mark.parametrize("given", ["val", "Train", "validation", "TEST"])
def test_splits_by_their_usual_names(tmp_path: Path, given: str) -> None:
    (tmp_path / "a.csv").write_text(f"text,split\nSome text.,{given}\n")
    expected = {"val": "calibration", "validation": "calibration"}.get(given, given.lower())
    assert payload("data", "a.csv")["rows"][0]["split"] == expected


def test_a_reserved_column_is_switched_off(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,split,id\nOne text.,3,x\nTwo texts.,4,x\n")
    refused = run("data", "a.csv")
    assert "unknown splits '3', '4', in 2 rows" in refused.stderr
    assert "columns: {split: null}" in refused.stderr
    again = run("data", "a.csv", "-o", "columns={split: null}")
    assert "columns: {id: null}" in again.stderr
    shown = payload("data", "a.csv", "-o", "columns={split: null, id: null}")
    assert sum(row["documents"] for row in shown["rows"]) == 2


def test_ids_of_two_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n0,One.\n1,Two.\n")
    (tmp_path / "b.csv").write_text("id,text\n0,Three.\n2,Four.\n")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.csv").write_text("id,text\n0,Five.\n")
    corpus = prl.load_data([tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c" / "a.csv"])
    assert [d.id for d in corpus] == [f"{tmp_path}/a.csv:0", "1", "b.csv:0", "2", f"{tmp_path}/c/a.csv:0"]


BAD = [
    '{"text": ""}',
    '{"text": null}',
    '{"text": 7}',
    '{"text": "a\\u0000b"}',
    '{"text": "half \\ud800"}',
    '{"txt": "misnamed"}',
    "not json",
    "[1]",
    '{"text": " \\n\\ufeff"}',
    '{"text": "\\ufeff"}',
    '{"text": []}',
]


COMMANDS = [
    ("data",),
    ("fit", "tfidf", "--data"),
    ("calibrate", "--detector", "tfidf", "--data"),
    ("score", "--detector", "tfidf"),
    ("rewrite", "none"),
    ("compare", "--detector", "tfidf", "--folds", "3"),
    ("explain", "--detector", "tfidf", "--id", "a.jsonl:1"),
]
LONG_COMMANDS = [
    ("evaluate", "--set", "detectors=[{name: tfidf}]", "--out", "evaluation", "--data"),
    ("harden", "tfidf", "--on", "homoglyph", "--out", "hardened", "--data"),
]


def refuses_all_bad_rows(*command: str) -> None:
    refused = run(*command, "a.jsonl")
    assert (refused.exit_code, refused.stdout) == (2, "")
    for row in range(33, 43):
        assert f"a.jsonl:{row}: " in refused.stderr
    assert "a.jsonl:43" not in refused.stderr
    assert "… and 1 more" in refused.stderr
    assert "error: 11 of 43 rows cannot be used" in refused.stderr
    assert "--bad-rows skip" in refused.stderr


@pytest.mark.parametrize("command", LONG_COMMANDS, ids=lambda command: command[0])
def test_bad_rows_are_refused_before_long_work(tmp_path: Path, command: tuple[str, ...]) -> None:
    good = [json.dumps({"text": t, "label": "human"}) for t in (*HUMAN, *AI)]
    (tmp_path / "a.jsonl").write_text("\n".join([*good, *BAD]))
    refuses_all_bad_rows(*command)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["a.jsonl"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_bad_rows_are_treated_alike_by_every_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    good = [
        json.dumps({"text": t, "label": label}) for label, ts in (("human", HUMAN), ("ai", AI)) for t in ts
    ]
    (tmp_path / "good.jsonl").write_text("\n".join(good))
    assert run("fit", "tfidf", "--data", "good.jsonl").exit_code == 0
    (tmp_path / "a.jsonl").write_text("\n".join([*good, *BAD]))
    refuses_all_bad_rows(*command)
    skipped = run(*command, "a.jsonl", "--bad-rows", "skip")
    assert skipped.exit_code == 0, skipped.stderr
    assert "11 of 43 rows are left out: a.jsonl:33: the text is empty" in skipped.stderr


@pytest.mark.parametrize("last", ["   ", "\t", "\n\n  \n"])
def test_a_line_of_blanks_is_no_row(tmp_path: Path, last: str) -> None:
    (tmp_path / "a.csv").write_text(f"text,label\nOne.,human\n{last}\n")
    assert payload("data", "a.csv")["rows"][0]["documents"] == 1


def test_a_row_of_nothing_but_delimiters_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nOne.,human\n,\n")
    assert "a.csv:3: the text is empty" in run("data", "a.csv").stderr
    assert payload("data", "a.csv", "--bad-rows", "skip")["rows"][0]["documents"] == 1


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,text\nOne.,human,Two.\n")
    result = run("data", "a.csv")
    assert (result.exit_code, "two columns are called 'text'" in result.stderr) == (2, True)


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\nOne.\n")
    assert len(prl.load_data([tmp_path / "a.csv", tmp_path / "a.csv"])) == 1


def test_a_recipe_may_name_columns_by_number_but_not_by_yes(tmp_path: Path) -> None:
    assert TableOptions.model_validate({"columns": {"text": 1}}).column("text") == "1"
    with pytest.raises(Exception, match="quotes"):
        default_registry().options("datasets", "files", {"path": "a", "columns": {"label": True}})


def test_text_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("An essay.")
    with pytest.raises(DataError, match="one text, not a table"):
        prl.load_data(tmp_path / "a.txt")


def test_a_file_whose_name_says_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.txt").write_text('{"text": "One."}\n')
    refused = run("data", "a.jsonl.txt")
    assert (refused.exit_code, "--input-format jsonl" in refused.stderr) == (2, True)
    assert payload("data", "a.jsonl.txt", "--input-format", "jsonl")["rows"][0]["documents"] == 1


def test_tables_in_python_have_the_same_rule(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": ["One.", None, "", "Two."], "source": list("abcd")})
    with pytest.raises(DataError, match="2 of 4 rows cannot be used, the first: the data frame, row 1"):
        prl.load_data(frame)
    corpus = prl.load_data(frame, options={"bad_rows": "skip"})
    assert len(corpus) == 2
    assert any("2 of 4 rows are left out" in note for note in corpus.notes)
    assert any("not used: 'source'" in note for note in corpus.notes)
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": ["One.", None]})
    assert any(
        "1 of 2 rows is left out" in n for n in prl.load_data(table, options={"bad_rows": "skip"}).notes
    )
