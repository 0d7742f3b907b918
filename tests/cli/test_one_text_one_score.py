"""One text, one score, to the bit: by file with any line end, standard input, argument, table or Python."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas
import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from paraphrase_rl_plugins import detectors as bundled
from pyarrow import ipc, parquet

import paraphrase_rl as prl
from paraphrase_rl.cli.texts import read_items
from paraphrase_rl.data.reading import Item, items_of
from tests.tiny_model import save_tiny_model

BUNDLED = sorted(p.stem.replace("_", "-") for p in Path(bundled.__path__[0]).glob("[a-z]*.py"))
"""Every bundled detector, a file each."""
BOM = "\ufeff"
HUMAN = [f"I reckon the {w} was lost in the first {w} minutes, mate; it's gone." for w in "abcdefghij"]
AI = [f"Moreover, the {w} underscores a broader commitment to the {w} landscape." for w in "abcdefghij"]
TEXT = "The council voted.\n\nIt was “late”;  the  river rose\u2028again\u0085 — caf\u00e9\u200b, p\u0430y.\n Rain."


def _file(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    return str(path)


def _csv(text: str, delimiter: str = ",", end: str = "\r\n") -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end)
    writer.writerows([["id", "text"], ["1", text], ["2", "and another one"]])
    return stream.getvalue()


def _packed(path: Path, text: str) -> str:
    path.write_bytes(gzip.compress(text.encode()))
    return str(path)


def _columns(path: Path, text: str) -> str:
    table = pyarrow.table({"text": [text, "and another one"]})
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return str(path)


def roads(folder: Path, text: str) -> Iterable[tuple[str, Callable[[], list[Item]]]]:
    """Every way a text comes in, named."""

    def paths(*names: str) -> list[Item]:
        return read_items(names, (), None, None)

    def stdin(content: str) -> list[Item]:
        class Piped:
            buffer = io.BytesIO(content.encode())

            @staticmethod
            def isatty() -> bool:
                return False

        before, sys.stdin = sys.stdin, Piped()  # type: ignore[assignment]
        try:
            return read_items((), (), None, None)
        finally:
            sys.stdin = before

    for name, end in {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}.items():
        ended = text.replace("\n", end)
        for last in ("", end, end * 3):
            for mark in ("", BOM):
                path = folder / f"{name}{len(last)}{len(mark)}.txt"
                whole = mark + ended + last
                yield path.name, lambda path=path, whole=whole: paths(_file(path, whole))
        yield f"stdin {name}", lambda ended=ended: stdin(ended)
        yield f"--text {name}", lambda ended=ended: read_items((), (ended,), None, None)
        table = _csv(ended, end=end)
        yield f"CSV {name}", lambda table=table: paths(_file(folder / "t.csv", table))
        yield f"CSV BOM {name}", lambda table=table: paths(_file(folder / "t.csv", BOM + table))
        line = json.dumps({"text": ended}) + end + json.dumps({"text": "and another one"})
        yield f"JSONL {name}", lambda line=line: paths(_file(folder / "t.jsonl", line))
        raw = json.dumps({"text": ended}, ensure_ascii=False) + end
        yield f"JSONL raw {name}", lambda raw=raw: paths(_file(folder / "t.jsonl", BOM + raw))
        tsv = _csv(ended, "\t", end).replace("text", "words", 1)
        yield (
            f"TSV gz {name}",
            lambda tsv=tsv: read_items([_packed(folder / "t.tsv.gz", tsv)], (), None, "words"),
        )
        array = json.dumps([{"text": ended}, {"text": "and another one"}])
        yield f"JSON {name}", lambda array=array: paths(_file(folder / "t.json", array))
        yield f"Parquet {name}", lambda ended=ended: paths(_columns(folder / "t.parquet", ended))
        yield f"Arrow {name}", lambda ended=ended: paths(_columns(folder / "t.arrow", ended))
        frame = pandas.DataFrame({"text": [ended, "and another one"]})
        yield f"data frame {name}", lambda frame=frame: items_of(frame)
        yield f"Python {name}", lambda ended=ended: items_of(ended)
        document = prl.Document(id="1", text=ended + "\n")
        yield f"Document {name}", lambda document=document: items_of([document])
        yield f"Path {name}", lambda ended=ended: items_of(Path(_file(folder / "p.md", ended)))


CONTENT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=60).filter(
    lambda text: bool(text.strip().strip(BOM).strip())
)


@settings(max_examples=12)
@given(CONTENT)
@example(TEXT)
def test_every_road_brings_the_same_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("roads")
    (expected,) = {item.text for item in items_of("x" + text + "x")}
    found = {name: road()[0].text for name, road in roads(folder, "x" + text + "x")}
    assert found == dict.fromkeys(found, expected)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> prl.CalibrationResult:
    """Every bundled detector, on a tiny model or a small training, calibrated."""
    folder = tmp_path_factory.mktemp("detectors")
    model = str(save_tiny_model(folder / "model"))
    documents = [
        prl.Document(id=f"{split}-{label}-{i}", text=text, label=label, split=split)
        for split in ("train", "calibration")
        for label, texts in (("human", HUMAN), ("ai", AI))
        for i, text in enumerate(f"{t} {split}" for t in texts)
    ]
    data = prl.load_data(documents)
    prl.fit("tfidf", data=data, out=folder / "tfidf")
    options = {
        name: {"folder": str(folder / "tfidf")} if name == "tfidf" else {"model": model} for name in BUNDLED
    }
    return prl.calibrate(options, data=data)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONTENT)
@example(TEXT)
@example(
    "We missed the ferry, so the two of us walked home.\n\nFurthermore, it rained; a broader dialogue ensued."
)
@example("Furthermore, the programme fosters a dialogue about what the region could become by 2030.")
def test_one_text_one_score_one_verdict(
    calibration: prl.CalibrationResult, tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Of every bundled detector, and of their ensemble; a text that one cannot score fails alike on every road."""

    def judged(items: list[Item]) -> list[tuple[object, ...]]:
        found = prl.score(items[:1], calibration=calibration, force=True)
        return [(row.detector, row.score, row.p_ai, row.verdict, row.failure) for row in found]

    text = "x" + text + " x"
    expected = judged(items_of(text))
    assert [row[0] for row in expected] == [*BUNDLED, "ensemble"]
    assert expected[-1][1] is not None
    for name, road in roads(tmp_path_factory.mktemp("roads"), text):
        assert judged(road()) == expected, name


def test_a_detector_gets_the_canonical_text_by_whatever_hand(calibration: prl.CalibrationResult) -> None:
    """A rewrite never passes a reader; the detector sees it as it would see the file it is saved to."""
    from paraphrase_rl.plugin.registry import default_registry
    from paraphrase_rl.plugin.specs import Context

    options = next(c.options for c in calibration.records.calibrations if c.detector == "log-likelihood")
    detector = default_registry().build("detectors", "log-likelihood", options, Context())
    values = [
        detector.score([text]).values[0] for text in (TEXT, f"{BOM}{TEXT}\n", TEXT.replace("\n", "\r\n"))
    ]
    assert values[0] == values[1] == values[2]
