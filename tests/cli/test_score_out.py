"""`prl score --out`, rows on a pipe that closes, and the bar."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

from tests.cli.conftest import capitals


def test_a_file_that_the_same_command_continues(calibrated, prl, tmp_path):
    lines = "".join(json.dumps({"id": i, "text": capitals(i % 30), "n": i}) + "\n" for i in range(40))
    (tmp_path / "t.jsonl").write_text(lines)
    first = prl("score", "t.jsonl", "--out", "o.csv", "--wide")
    assert first.exit_code == 0, first.stderr
    assert "Scores of 40 texts in o.csv" in first.stderr
    shown = [line.split() for line in first.stdout.splitlines()]
    assert shown[0] == ["detector", "n_texts", "n_flagged", "n_failed", "n_truncated"]
    assert [row[:2] for row in shown[2:]] == [["shout", "40"], ["whisper", "40"], ["ensemble", "40"]]
    written = (tmp_path / "o.csv").read_text()
    assert written.startswith("id,shout_score,shout_p_ai,")
    assert written.splitlines()[0].endswith(",n")
    again = prl("score", "t.jsonl", "--out", "o.csv", "--wide")
    assert "Scores of 40 texts in o.csv, 40 of them from an earlier call" in again.stderr
    assert (tmp_path / "o.csv").read_text() == written
    other = prl("score", "t.jsonl", "--out", "o.csv", "--wide", "--fpr", "0.01")
    assert (other.exit_code, other.stdout) == (2, "")
    assert "error: o.csv was begun with other settings: target_fpr was null and is 0.01" in other.stderr
    as_rows = prl("score", "t.jsonl", "--out", "o.txt", "--format", "jsonl")
    assert as_rows.exit_code == 0
    assert len((tmp_path / "o.txt").read_text().splitlines()) == 120
    refused = prl("score", "t.jsonl", "--out", "o.txt", "--format", "json")
    assert (refused.exit_code, "cannot be written to a file as 'json'" in refused.stderr) == (2, True)


def test_a_failure_is_exit_code_1_with_a_file_too(prl, tmp_path):
    result = prl("score", "--text", "123", "--text", "Aa", "--detector", "shout", "--out", "o.jsonl")
    assert result.exit_code == 1
    assert "1 of 2 texts could not be scored by every detector" in result.stderr
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2


def test_wide_rows_in_every_format(calibrated, prl, payload):
    (row,) = payload("score", "--text", capitals(30), "--wide")["rows"]
    assert (row["id"], row["shout_score"], row["whisper_verdict"]) == ("text-1", 0.3, "flagged")
    assert "ensemble_p_ai" in row
    header = prl("score", "--text", capitals(30), "--wide", "--format", "csv").stdout.splitlines()[0]
    assert header.split(",") == list(row)


SCRIPT = """
from paraphrase_rl.cli.progress import shown_count
from paraphrase_rl.progress import Progress
with shown_count("scoring", rows_on_stdout=False) as show:
    show(Progress("t.csv is read as [bold]CSV[/bold]"))
    for done in range(0, 13):
        show(Progress(f"{done} of 12 texts, 7 a second, 0m03s left", done, 12))
"""


def test_a_terminal_gets_a_bar_with_rate_and_time_left_and_a_pipe_few_lines():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed: all is read
        pass
    text = shown.decode()
    assert (done.returncode, done.stdout) == (0, b"")
    assert "t.csv is read as [bold]CSV[/bold]" in text
    assert "12/12" in text
    assert "7 a second, 0m03s left" in text
    piped = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert piped.stderr == "t.csv is read as [bold]CSV[/bold]\n", (
        "a line of progress is due only every ten seconds"
    )


def test_a_reader_that_goes_away_ends_the_work_quietly(tmp_path):
    """A real pipe that is closed after the first line, from a command that would go on for ever."""
    source = tmp_path / "vowels.py"
    source.write_text("def vowels(texts):\n    return [text.count('e') / len(text) for text in texts]\n")
    texts = tmp_path / "t.csv"
    texts.write_text("text\n" + "the council voted on the bridge\n" * 20_000)
    command = [sys.executable, "-m", "paraphrase_rl", "score", str(texts), "--format", "jsonl"]
    process = subprocess.Popen(
        [*command, "--detector", f"{source}:vowels"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PRL_HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["detector"] == "vowels"
    process.stdout.close()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert b"error" not in said
