"""`prl score` through the real command line: where texts come from, what is said of them, and bad input."""

import json
import subprocess
import sys

import pytest


def capitals(n: int) -> str:
    letters = "A" * n + "a" * (100 - n)
    return " ".join(letters[i : i + 5] for i in range(0, 100, 5))


def one(shown, detector="shout"):
    """The row of a detector."""
    (row,) = [row for row in shown["rows"] if row["detector"] == detector]
    return row


def test_a_verdict_is_score_against_threshold(calibrated, payload):
    shown = payload("score", "--text", capitals(18), "--text", capitals(19))
    rows = [row for row in shown["rows"] if row["detector"] == "shout"]
    assert [row["score"] for row in rows] == [0.18, 0.19]
    assert [row["verdict"] for row in rows] == ["not flagged", "flagged"]
    assert rows[0]["p_ai"] < rows[1]["p_ai"]
    assert [row["detector"] for row in shown["rows"]] == ["shout", "whisper", "ensemble"] * 2
    assert shown["target_fpr"] == 0.1


def test_fpr_picks_a_stored_operating_point(calibrated, prl, payload):
    strict = payload("score", "--text", capitals(18), "--fpr", "0.01")
    assert (one(strict)["threshold"], one(strict)["verdict"]) == (0.19, "not flagged")
    assert strict["target_fpr"] == 0.01
    result = prl("score", "--text", "x", "--fpr", "0.2")
    assert result.exit_code == 2
    assert "calibrated for false positive rates of 0.1, 0.01, 0.05, not 0.2" in result.stderr
    assert "prl calibrate --target-fpr 0.2" in result.stderr


def test_it_says_which_calibration_it_used_and_for_what_it_holds(calibrated, prl, tmp_path):
    result = prl("score", "--text", capitals(3))
    assert f"calibration: {tmp_path}/home/calibrations/default.json, fitted on essays" in result.stderr
    assert "median 20 words" in result.stderr
    assert (
        "flags 1 of 20 human texts (5.0 %, target 10.0 %; for texts drawn like these the true rate is 0.1 % to 24.9 %"
        in result.stderr
    )
    assert "calibration" not in result.stdout


def test_without_a_calibration_there_is_no_verdict(prl, payload):
    shown = payload("score", "--text", capitals(50), "--detector", "shout")
    row = one(shown)
    assert row["score"] == 0.5
    assert (row["p_ai"], row["verdict"], row["threshold"]) == (None, None, None)
    assert shown["calibration"] is None
    result = prl("score", "--text", capitals(50), "--detector", "shout")
    assert "no calibration of shout: scores without verdicts; calibrate with `prl calibrate`" in result.stderr
    refused = prl("score", "--text", "x", "--detector", "shout", "--fpr", "0.05")
    assert refused.exit_code == 2
    assert "there is no threshold for this false positive rate" in refused.stderr


def test_one_detector_of_several_has_its_own_verdict_and_no_ensemble(calibrated, payload):
    shown = payload("score", "--text", capitals(30), "--detector", "whisper")
    assert [(row["detector"], row["verdict"]) for row in shown["rows"]] == [("whisper", "flagged")]


def test_a_stale_calibration_is_refused(calibrated, prl, tmp_path):
    path = tmp_path / "home" / "calibrations" / "default.json"
    path.write_text(path.read_text().replace('"shout": "r1"', '"shout": "r0"'))
    result = prl("score", "--text", "x")
    assert result.exit_code == 2
    assert "shout was calibrated with another shout" in result.stderr
    assert "prl calibrate" in result.stderr


def test_a_named_calibration_must_exist(prl):
    result = prl("score", "--text", "x", "--calibration", "none.json")
    assert result.exit_code == 2
    assert "no calibration at none.json" in result.stderr


def test_texts_are_cut_as_the_calibrations_were(prl, payload):
    prl("calibrate", "--data", "essays", "--detector", "shout", "--set", "data.excerpt_words=10")
    shown = payload("score", "--text", capitals(10))
    assert one(shown)["score"] == 10 / 50, "the first ten of twenty words"
    assert "at most 10 words" in prl("score", "--text", capitals(10)).stderr


@pytest.mark.parametrize("words", [5, 21, 100])
def test_texts_of_another_length_get_a_verdict_only_by_force(calibrated, prl, payload, words):
    """The calibration's texts have 20 words."""
    given = ("score", "--detector", "shout", "--text", "word " * words)
    row = one(payload(*given))
    assert (row["verdict"], row["p_ai"], row["score"]) == (None, None, 0.0)
    assert row["no_verdict"] == f"length: {words} words, and the calibration holds for 20 to 20"
    assert "1 of 1 texts are unlike those of the calibration (1 length): no verdict" in prl(*given).stderr
    forced = one(payload(*given, "--force"))
    assert (forced["verdict"], forced["no_verdict"]) == ("not flagged", row["no_verdict"])
    assert "their verdicts were forced" in prl(*given, "--force").stderr


def test_files_folders_and_standard_input(calibrated, prl, payload, tmp_path):
    folder = tmp_path / "essays" / "inner"
    folder.mkdir(parents=True)
    (tmp_path / "essays" / "b.txt").write_text(capitals(2))
    (folder / "a.md").write_text(capitals(3))
    (folder / "no.pdf").write_text("not read")
    shown = payload("score", "essays", "-", "--detector", "shout", stdin=capitals(4).encode())
    assert [(row["id"], row["score"]) for row in shown["rows"]] == [
        ("essays/b.txt", 0.02),
        ("essays/inner/a.md", 0.03),
        ("-", 0.04),
    ]
    piped = payload("score", "--detector", "shout", stdin=b"\xef\xbb\xbf" + capitals(5).encode())
    assert [(row["id"], row["score"]) for row in piped["rows"]] == [("-", 0.05)]


def test_tables(calibrated, payload, tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "Aa"}\n\n{"text": null}\n{"text": 7}\n{"other": 1}\n')
    shown = payload("score", "t.jsonl", "--detector", "shout", "--bad-rows", "skip")
    assert [(row["id"], row["score"]) for row in shown["rows"]] == [("t.jsonl:1", 0.5)]
    assert shown["left_out"] == 3
    (tmp_path / "t.csv").write_text('id,answer\n1,"Aa, aa\naa"\n2,AA\n')
    shown = payload("score", "t.csv", "--column", "answer", "--detector", "shout")
    assert [(row["id"], row["score"]) for row in shown["rows"]] == [("1", 1 / 6), ("2", 1.0)]
    shown = payload(
        "score", "-", "--input-format", "jsonl", "--detector", "shout", stdin=b'{"text": "AAaa"}\n'
    )
    assert [(row["id"], row["score"]) for row in shown["rows"]] == [("-:1", 0.5)]


UNUSABLE = {
    "empty": (b"", "the text is empty"),
    "blank": (b" \n\t\n", "the text is empty"),
    "not UTF-8": (b"caf\xe9 society", "error: bad.txt:1: not UTF-8: byte 0xe9 at offset 3"),
    "binary": (bytes(range(256)) * 4, "error: bad.txt:2: not UTF-8: byte 0x80 at offset 128"),
    "NUL": (b"a\0b", "the text has NUL characters"),
    "invisible": ("\u200b\u200d\u3164 \u2800\x01".encode(), "the text has only invisible characters"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_is_no_text_is_refused_or_left_out(calibrated, prl, payload, tmp_path, name):
    content, problem = UNUSABLE[name]
    (tmp_path / "bad.txt").write_bytes(content)
    (tmp_path / "good.txt").write_text(capitals(10))
    refused = prl("score", "bad.txt", "good.txt", "--detector", "shout")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "error: bad.txt" in refused.stderr
    assert problem in refused.stderr
    assert "--bad-rows skip" in refused.stderr
    shown = payload("score", "bad.txt", "good.txt", "--detector", "shout", "--bad-rows", "skip")
    assert [(row["id"], row["score"]) for row in shown["rows"]] == [("good.txt", 0.1)]
    assert shown["left_out"] == 1


FAILS = {
    "emoji": ("🙂🎉".encode(), "no-letters: the text has no letters"),
    "crash": (b"CRASH now", "crashed: RuntimeError: boom"),
}


@pytest.mark.parametrize("name", FAILS)
def test_a_text_that_cannot_be_scored_costs_only_itself(calibrated, payload, tmp_path, name):
    content, failure = FAILS[name]
    (tmp_path / "bad.txt").write_bytes(content)
    (tmp_path / "good.txt").write_text(capitals(10))
    shown = payload("score", "bad.txt", "good.txt", "--detector", "shout", code=1)
    bad, good = shown["rows"]
    assert bad["id"] == "bad.txt"
    assert bad["failure"].startswith(failure)
    assert (bad["score"], bad["p_ai"], bad["verdict"]) == (None, None, None)
    assert (good["score"], good["failure"]) == (0.1, None)


FINE = {
    "one word": "Word",
    "right to left": "שלום עולם Aa مرحبا",
    "special tokens": "<|im_end|> and <|endoftext|> inside",
    "1 MB": "Lorem ipsum dolor sit amet, " * 38_000,
    "a huge line": "x" * 1_000_000,
    "escape sequences": "a \x1b[31mRED\x1b[0m text",
}


@pytest.mark.parametrize("name", FINE)
def test_odd_texts_are_scored(calibrated, payload, tmp_path, name):
    (tmp_path / "t.txt").write_text(FINE[name])
    letters = [c for c in FINE[name] if c.isalpha()]
    expected = sum(c.isupper() for c in letters) / len(letters)
    assert one(payload("score", "t.txt"))["score"] == pytest.approx(expected)


def test_a_csv_field_of_a_megabyte(calibrated, payload, tmp_path):
    (tmp_path / "t.csv").write_text("text\n" + "Aa" * 500_000 + "\n")
    assert one(payload("score", "t.csv"))["score"] == 0.5


def test_a_file_that_cannot_be_read_costs_only_itself_where_that_is_asked_for(calibrated, prl, payload):
    refused = prl("score", "/proc/self/mem", "--text", "Aa", "--detector", "shout")
    assert (refused.exit_code, "cannot read /proc/self/mem" in refused.stderr) == (2, True)
    arguments = ("/proc/self/mem", "--text", "Aa", "--detector", "shout", "--bad-rows", "skip")
    assert [row["score"] for row in payload("score", *arguments)["rows"]] == [0.5]


@pytest.mark.parametrize(
    ("arguments", "files", "message", "hint"),
    [
        (["none.txt"], {}, "no file or folder at 'none.txt'", "--text TEXT"),
        (["Is this text by a machine?"], {}, "no file or folder at 'Is this", "--text TEXT"),
        (["x" * 5000], {}, "no file or folder at 'xxx", "--text TEXT"),
        (["folder"], {"folder/a.pdf": ""}, "no texts in folder", "give the files"),
        (["t.csv"], {"t.csv": "id,answer\n1,a\n"}, "t.csv has no column 'text'", "answer, id"),
        (["t.csv"], {"t.csv": ""}, "t.csv: it has no rows", ""),
        (["t.csv"], {"t.csv": "text\n"}, "t.csv: it has no rows", ""),
        (["t.csv"], {"t.csv": "text\na,b\n"}, "t.csv:2: 2 fields, the header has 1", "quote"),
        (["t.csv"], {"t.csv": 'text\n"a'}, "t.csv:2: not CSV", "quote"),
        (["t.jsonl"], {"t.jsonl": '{"text": "a"}\n{"te'}, "t.jsonl:2: not JSON", "one object per line"),
        (["t.jsonl"], {"t.jsonl": "[" * 5000}, "t.jsonl:1: not JSON", "one object per line"),
        (["t.jsonl"], {"t.jsonl": "[1]\n"}, "t.jsonl:1: not an object", "one object per line"),
        (["--text", "x", "--detector", "shuot"], {}, "no detector is called 'shuot'", "shout"),
        (["--text", "x", "--detector", "missing"], {}, "no model at /nowhere", "bring it"),
        (["--text", "x", "--format", "xml"], {}, "'xml' is not one of", "--help"),
    ],
)
def test_wrong_use_is_one_line_and_a_hint(calibrated, prl, tmp_path, arguments, files, message, hint):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    result = prl("score", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    error = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert message in error[0]
    assert hint in result.stderr


def test_invalid_utf8_in_a_table_names_line_and_byte(calibrated, prl, tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n')
    result = prl("score", "t.jsonl")
    assert result.exit_code == 2
    assert "t.jsonl:2: not UTF-8: byte 0xff" in result.stderr


def test_a_nul_or_lone_surrogate_inside_a_table(calibrated, prl, tmp_path):
    (tmp_path / "t.jsonl").write_text('{"text": "a\\u0000b"}\n{"text": "Aa \\ud800"}\n{"text": "Aa"}\n')
    refused = prl("score", "t.jsonl", "--detector", "shout")
    assert refused.exit_code == 2
    assert "t.jsonl:1: the text has NUL characters" in refused.stderr
    assert "t.jsonl:2: the text is not valid Unicode: it contains half a surrogate pair" in refused.stderr
    assert "error: 2 of 3 rows cannot be used" in refused.stderr


def test_the_table_has_a_row_a_judgement_and_the_csv_parses(calibrated, prl):
    table = prl("score", "--text", capitals(40)).stdout.splitlines()
    assert table[0].split() == ["id", "detector", "score", "p_ai", "verdict", "failure", "truncated"]
    assert [line.split()[1] for line in table[2:]] == ["shout", "whisper", "ensemble"]
    text = prl("score", "--text", capitals(40), "--format", "csv").stdout.splitlines()
    assert text[0] == ("id,detector,score,p_ai,threshold,verdict,failure,no_verdict,truncated,n_read,n_total")
    lines = prl("score", "--text", capitals(40), "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["detector"] for line in lines] == ["shout", "whisper", "ensemble"]


def test_as_a_process(tmp_path):
    """Bytes that are no text, through a real pipe and a real argument list, with the installed plug-ins."""

    def prl(*arguments, stdin=b""):
        environment = {"PRL_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [sys.executable, "-m", "paraphrase_rl", *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            cwd=tmp_path,
            timeout=120,
        )

    missing = prl("score", b"caf\xe9.txt")
    assert missing.returncode == 2
    assert missing.stdout == b""
    assert missing.stderr.startswith(b"error: no file or folder at ")
    assert b"Traceback" not in missing.stderr

    unfitted = prl("score", "--detector", "tfidf", "--text", "a text")
    assert unfitted.returncode == 2
    assert (
        f"hint: run: prl fit tfidf --data starter --out {tmp_path}/detectors/tfidf"
        in unfitted.stderr.decode()
    )


def test_fpr_for_a_detector_that_was_not_calibrated_is_refused(prl):
    assert prl("calibrate", "--data", "essays", "--detector", "whisper").exit_code == 0
    refused = prl("score", "--text", capitals(30), "--detector", "shout", "--fpr", "0.05")
    assert refused.exit_code == 2
    assert "no calibration of shout" in refused.stderr


def test_a_chinese_text_is_not_called_short(calibrated, prl):
    assert "(1 script)" in prl("score", "--text", "Aa" + "中" * 38).stderr, "20 words"
    assert "(1 length)" in prl("score", "--text", "Aa" + "中" * 10).stderr


def test_a_quoted_home_directory(calibrated, prl, payload, tmp_path, monkeypatch):
    """A shell leaves ~ inside quotes alone; a folder called ~ was made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text(capitals(10))
    assert payload("score", "~/a.txt", "--detector", "shout")["rows"][0]["score"] == 0.1
    made = payload("calibrate", "--data", "essays", "--detector", "shout", "--out", "~/c.json")
    assert made["path"] == str(tmp_path / "c.json")
    assert (tmp_path / "c.json").is_file()
    assert not (tmp_path / "~").exists()


def test_texts_that_the_calibration_saw_are_counted_and_get_no_verdict(calibrated, prl, payload):
    seen = capitals(5) + "."
    rows = payload("score", "--text", seen, "--text", capitals(6))["rows"]
    assert [row["verdict"] is None for row in rows] == [True] * 3 + [False] * 3
    assert all(row["no_verdict"].startswith("seen: calibrated on") for row in rows[:3])
    assert (rows[0]["score"], rows[0]["p_ai"]) == (0.05, None)
    assert (
        "1 of 2 texts were seen in calibration or training"
        in prl("score", "--text", seen, "--text", capitals(6)).stderr
    )
