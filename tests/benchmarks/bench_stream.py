"""What it costs to score very many texts into a file, to fit on them, and what kills do to the file.

    OMP_NUM_THREADS=1 .venv/bin/python tests/benchmarks/bench_stream.py

A table of texts of 30 words is scored by `prl score --detector tfidf --out`, with a calibration, in its own process.

(a) texts a CPU second, end to end: start, both passes over the file, detector, verdicts, rows (at least 5,000).
(b) peak resident memory of the process (under 700 MB for a million texts).
(c) the same with `--kill N`: the command is killed by SIGKILL N times at random moments, then continued to its end.
    The file must be the one of (a), byte for byte: no row lost, none twice.

(d) with `--fit`: CPU seconds and peak resident memory of `prl data`, `prl fit tfidf` and `prl calibrate` on a table of
    as many labelled texts (60 % train, 20 % calibration, 20 % test), each in its own process. The memory that maps the
    features of `fit` on disk (`mapped`) is given back where another process needs it.

`--texts 50000` for a quick look; the rows of (a) are compared with the table: each id once, in its order.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = 30


def prl(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "paraphrase_rl", *map(str, arguments)]


def table(path: Path, n: int, seed: int = 0) -> None:
    """Words drawn from the starter texts, in a CSV: as frequent as there, and no text that the calibration has seen."""
    import paraphrase_rl

    rng = random.Random(seed)
    words = " ".join(d.text for d in paraphrase_rl.load_data("starter").documents).split()
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text"])
        for i in range(n):
            writer.writerow([f"r{i}", " ".join(rng.choices(words, k=WORDS))])


def labelled_table(path: Path, n: int, seed: int = 0) -> None:
    """Words drawn from the human and the AI starter texts, so that the labels can be learnt; no two texts the same."""
    import paraphrase_rl

    rng = random.Random(seed)
    corpus = paraphrase_rl.load_data("starter")
    words = {label: " ".join(d.text for d in corpus.select(label=label)).split() for label in ("human", "ai")}
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "label", "group"])
        for i in range(n):
            label = ("human", "ai")[i % 2]
            writer.writerow([f"r{i}", " ".join(rng.choices(words[label], k=WORDS)), label, f"g{i % 7}"])


def measured(*command: str) -> tuple[float, float, float]:
    """CPU seconds of a command, peak MB that are its own, and peak MB of files that it maps."""
    process = subprocess.Popen(prl(*command), stdout=subprocess.DEVNULL)
    status = Path(f"/proc/{process.pid}/status")
    own = mapped = 0.0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = dict(line.split(":", 1) for line in status.read_text().splitlines())
        own = max(own, *(float(now[key].split()[0]) / 1024 for key in ("RssAnon",) if key in now), 0.0)
        mapped = max(mapped, *(float(now[key].split()[0]) / 1024 for key in ("RssFile",) if key in now), 0.0)
        time.sleep(0.02)
    _, code, used = os.wait4(process.pid, 0)
    assert code == 0, code
    return used.ru_utime + used.ru_stime, own, mapped


def scored(given: Path, out: Path) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak MB of one call."""
    begun = time.monotonic()
    process = subprocess.Popen(prl("score", given, "--detector", "tfidf", "--out", out))
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, status
    return used.ru_utime + used.ru_stime, time.monotonic() - begun, used.ru_maxrss / 1024


def killed(given: Path, out: Path, kills: int, size: int, seed: int = 1) -> int:
    """Kill the command N times, each at a random moment of what is left, then continue it to its end.

    Returns:
        How many of the kills met the command before its end.
    """
    rng = random.Random(seed)
    met = 0
    for left in range(kills, 0, -1):
        there = out.stat().st_size if out.exists() else 0
        until = there + rng.random() * 2 * (size - there) / (left + 1)
        command = prl("score", given, "--detector", "tfidf", "--out", out)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not out.exists() or out.stat().st_size < until):
            time.sleep(0.01)
        time.sleep(rng.random() * 0.2)
        met += process.poll() is None
        process.kill()
        process.wait()
        print(f"    killed with {out.stat().st_size if out.exists() else 0:,} of {size:,} bytes written")
    subprocess.run(prl("score", given, "--detector", "tfidf", "--out", out), check=True)
    return met


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--kill", type=int, default=0, metavar="N")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-stream-") as name:
        folder = Path(name)
        os.environ["PRL_HOME"] = str(folder / "home")
        given, out = folder / "texts.csv", folder / "scores.jsonl"
        table(given, chosen.texts)
        subprocess.run(prl("fit", "tfidf", "--data", "starter"), check=True, stdout=subprocess.DEVNULL)
        calibrate = prl("calibrate", "--data", "starter", "--detector", "tfidf")
        subprocess.run(calibrate, check=True, stdout=subprocess.DEVNULL)
        cpu, wall, peak = scored(given, out)
        with out.open() as rows:
            ids = [json.loads(row)["id"] for row in rows]
        assert ids == [f"r{i}" for i in range(chosen.texts)], "rows are missing, twice, or in another order"
        print(f"{chosen.texts:,} texts of {WORDS} words with tfidf, calibrated")
        print(
            f"(a) {chosen.texts / cpu:,.0f} texts a CPU second   (at least 5,000; {cpu:.0f} CPU s, {wall:.0f} s)"
        )
        print(f"(b) {peak:,.0f} MB at the peak   (under 700)")
        if chosen.fit:
            labelled = folder / "labelled.csv"
            labelled_table(labelled, chosen.texts)
            data = ("--data", str(labelled))
            for command in (
                ("data", *data[1:]),
                ("fit", "tfidf", *data),
                ("calibrate", "--detector", "tfidf", *data),
            ):
                cpu, own, mapped = measured(*command)
                print(
                    f"(d) {command[0]:<9}  {cpu:,.0f} CPU s, {own:,.0f} MB at the peak, {mapped:,.0f} MB mapped"
                )
        if chosen.kill:
            again = folder / "again.jsonl"
            met = killed(given, again, chosen.kill, out.stat().st_size)
            same = again.read_bytes() == out.read_bytes()
            print(f"(c) after {met} kills the file is {'the same, byte for byte' if same else 'ANOTHER'}")


if __name__ == "__main__":
    main()
