"""The verbs about texts: what they take, what they return, and how they say no."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

import paraphrase_rl as prl
from paraphrase_rl.errors import CalibrationError, DataError, PrlError, RecipeError, UsageError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.progress import Progress
from paraphrase_rl.tables import record
from paraphrase_rl.types import Document
from tests.cli.conftest import Essays, capitals

DOCUMENTS = Essays(None, None).documents()  # type: ignore[arg-type]


@pytest.fixture
def calibration(registry: Registry) -> prl.CalibrationResult:
    return prl.calibrate(["shout", "whisper"], data="essays", target_fpr=0.1, registry=registry)


def ids(texts: Any, registry: Registry, **more: Any) -> list[str]:
    found = prl.score(texts, detectors="shout", registry=registry, **more)
    return [row.id for row in found]


def test_texts_come_in_many_forms_and_score_the_same(registry: Registry, tmp_path: Path) -> None:
    import datasets

    a, b = capitals(10), capitals(30)
    frame = pd.DataFrame({"essay": [a, b]}, index=["x", "y"])
    (tmp_path / "a.txt").write_text(a)
    (tmp_path / "b.md").write_text(b)
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"essay": text}) + "\n" for text in (a, b)))
    forms: dict[str, tuple[Any, list[str]]] = {
        "list": ([a, b], ["text-1", "text-2"]),
        "tuple": ((a, b), ["text-1", "text-2"]),
        "generator": ((text for text in (a, b)), ["text-1", "text-2"]),
        "array": (np.array([a, b]), ["text-1", "text-2"]),
        "series": (frame["essay"], ["text-1", "text-2"]),
        "documents": ([Document(id="p", text=a), Document(id="q", text=b)], ["p", "q"]),
        "frame": (frame, ["x", "y"]),
        "dataset": (datasets.Dataset.from_dict({"essay": [a, b]}), ["0", "1"]),
        "folder": (tmp_path, [str(tmp_path / "a.txt"), str(tmp_path / "b.md")]),
        "table": (tmp_path / "t.jsonl", [f"{tmp_path}/t.jsonl:1", f"{tmp_path}/t.jsonl:2"]),
        "mixed": ([a, tmp_path / "b.md"], ["text-1", str(tmp_path / "b.md")]),
    }
    for form, (texts, expected) in forms.items():
        column = "essay" if form in ("frame", "dataset", "table") else None
        found = prl.score(texts, detectors="shout", column=column, registry=registry)
        assert [row.id for row in found] == expected, form
        assert [row.score for row in found] == [0.1, 0.3], form
    (one,) = prl.score(a, detectors="shout", registry=registry)
    assert (one.id, one.score) == ("text-1", 0.1)


def test_a_string_is_a_text_and_its_being_a_file_is_noted(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "Essay.txt").write_text(capitals(10))
    found = prl.score("Essay.txt", detectors="shout", registry=registry)
    assert found.rows[0].score == 1 / 8
    assert "the text 'Essay.txt' is the name of a file" in found.notes[0]


def test_rows_without_a_text_are_refused_all_at_once_or_left_out(registry: Registry) -> None:
    texts = ["", None, 3, pd.NA, float("nan"), "a\0b", "fine", "123"]
    with pytest.raises(DataError) as raised:
        prl.score(texts, detectors="shout", registry=registry)  # type: ignore[arg-type]
    assert raised.value.message == "6 of 8 rows cannot be used, the first: text-1: the text is empty"
    assert raised.value.__notes__ == [
        "text-1: the text is empty",
        "text-2: the text is missing",
        "text-3: the text is 3, not a string",
        "text-4: the text is missing",
        "text-5: the text is missing",
        "text-6: the text has NUL characters",
    ]
    found = prl.score(texts, detectors="shout", bad_rows="skip", registry=registry)  # type: ignore[arg-type]
    assert [(row.id, row.failure) for row in found] == [
        ("text-7", None),
        ("text-8", "no-letters: the text has no letters"),
    ]
    assert (found.n_texts, found.left_out, found.failed) == (2, 6, ("text-8",))
    assert "6 of 8 rows are left out" in found.notes[0]


def test_a_calibration_gives_verdicts_and_says_what_it_does(calibration: prl.CalibrationResult) -> None:
    assert [row.detector for row in calibration] == ["shout", "whisper", "ensemble"]
    # humans 0.00 to 0.19: floor(0.1 * 21) - 1 = 1 of twenty may lie above 0.18; AI 0.15 to 0.34: sixteen do
    assert calibration.rows[0].threshold == pytest.approx(0.18)
    assert (calibration.rows[0].n_human, calibration.rows[0].achieved_fpr) == (20, 0.05)
    assert calibration.rows[0].tpr_in_sample == 16 / 20
    shown = repr(calibration)
    assert shown.startswith("Calibration on essays (calibration split, median 20 words)")
    assert max(map(len, shown.splitlines())) <= 80
    # Clopper and Pearson 1934 for 16 of 20
    assert (calibration.rows[0].tpr_low, calibration.rows[0].tpr_high) == pytest.approx((0.563386, 0.942666))
    assert "[0.56, 0.94]" in shown
    assert "[0.001, 0.249]" in shown, "of 1 of 20 humans"


def test_verdicts(calibration: prl.CalibrationResult, registry: Registry) -> None:
    found = prl.score([capitals(3), capitals(25)], calibration=calibration, registry=registry)
    assert [row.verdict for row in found] == ["not flagged"] * 3 + ["flagged"] * 3
    assert "shout: threshold 0.18 flags 1 of 20 human texts (5.0 %, target 10.0 %; " in repr(found)
    assert found.target_fpr == 0.1
    at_five = prl.score(capitals(19), calibration=calibration, fpr=0.05, registry=registry)
    assert [row.verdict for row in at_five] == ["not flagged"] * 3
    at_ten = prl.score(capitals(19), calibration=calibration, detectors="shout", registry=registry)
    assert [(row.detector, row.verdict) for row in at_ten] == [("shout", "flagged")]


def test_a_saved_calibration_is_the_same(
    calibration: prl.CalibrationResult, registry: Registry, tmp_path: Path
) -> None:
    path = calibration.save(tmp_path / "sub" / "c.json")
    again = prl.load_calibration(path)
    assert again.records == calibration.records
    measured = ("tpr_in_sample", "tpr_low", "tpr_high", "auroc_test", "auroc_low", "auroc_high")
    assert [replace(row, **dict.fromkeys(measured, None)) for row in calibration] == [
        replace(row, n_ai=known.n_ai) for row, known in zip(again, calibration, strict=True)
    ]
    for given in (path, str(path), again, pickle.loads(pickle.dumps(again))):
        found = prl.score([capitals(25), capitals(50)], calibration=given, registry=registry)
        assert [row.verdict for row in found] == ["flagged"] * 3 + [None] * 3
        assert {row.no_verdict for row in found.rows[3:]} == {
            "outside: capitals unlike that of the calibration's texts"
        }


def test_the_default_file_of_the_command_is_used(
    calibration: prl.CalibrationResult, registry: Registry, tmp_path: Path
) -> None:
    assert prl.score("x", detectors="shout", registry=registry).target_fpr is None
    calibration.save(tmp_path / "home" / "calibrations" / "default.json")
    assert prl.score("x", registry=registry).target_fpr == 0.1
    assert prl.load_calibration().rows[0].detector == "shout"


def test_options_of_a_detector(registry: Registry, calibration: prl.CalibrationResult) -> None:
    (row,) = prl.score(capitals(10), detectors={"shout": {"sign": -1.0}}, registry=registry)
    assert row.score == -0.1
    with pytest.raises(CalibrationError, match="shout was calibrated with other options"):
        prl.score("x", detectors={"shout": {"sign": -1.0}}, calibration=calibration, registry=registry)


def test_weights_and_worst_case(registry: Registry) -> None:
    one = prl.calibrate(["shout", "whisper"], data="essays", weights={"whisper": 0.0}, registry=registry)
    assert one.records.weights == (1.0, 0.0)
    worst = prl.calibrate(["shout", "whisper"], data="essays", combine="worst-case", registry=registry)
    assert worst.records.combine == "worst-case"


def test_data_come_in_many_forms_with_one_digest(registry: Registry, tmp_path: Path) -> None:
    import datasets

    frame = pd.DataFrame([record(d) for d in DOCUMENTS])
    frame.to_json(tmp_path / "d.jsonl", orient="records", lines=True)
    frame.to_csv(tmp_path / "d.csv", index=False)
    table = datasets.Dataset.from_pandas(frame)
    forms: list[Any] = ["essays", DOCUMENTS, frame, table, tmp_path / "d.jsonl", [tmp_path / "d.csv"]]
    corpora = [prl.load_data(form, registry=registry) for form in forms]
    assert {corpus.digest for corpus in corpora} == {corpora[0].digest}
    assert {tuple(d.id for d in corpus) for corpus in corpora} == {tuple(d.id for d in DOCUMENTS)}
    assert [corpus.source for corpus in corpora] == [
        "essays", "documents", "data frame", "dataset", "d.jsonl", "d.csv",
    ]  # fmt: skip
    assert prl.load_data(corpora[0]) is corpora[0]


def test_columns_and_labels_of_a_table(registry: Registry) -> None:
    frame = pd.DataFrame({"essay": ["One day.", "Two days."], "by": [0, 1]})
    options = {"columns": {"text": "essay", "label": "by"}, "label_values": {"0": "human", "1": "ai"}}
    corpus = prl.load_data(frame, options=options, registry=registry)
    assert [(d.id, d.text, d.label) for d in corpus] == [("0", "One day.", "human"), ("1", "Two days.", "ai")]


def test_data_are_split_and_cut_as_asked(registry: Registry) -> None:
    loose = [replace(d, split=None) for d in DOCUMENTS if d.split == "train"]
    by_seed = [prl.load_data(loose, split_seed=seed, registry=registry).digest for seed in (1, 1, 2)]
    assert by_seed[0] == by_seed[1] != by_seed[2]
    corpus = prl.load_data("essays", excerpt_words=10, registry=registry)
    assert {len(d.text.split()) for d in corpus} == {10}
    cut = prl.calibrate("shout", data=corpus, registry=registry)
    assert "texts are cut to their first sentences, at most 10 words" in " ".join(
        prl.score(capitals(3), calibration=cut, registry=registry).notes
    )


def test_fit_says_where_it_wrote(registry: Registry, tmp_path: Path) -> None:
    found = prl.fit("shout", data="essays", registry=registry)
    assert found.folder == tmp_path / "home" / "detectors" / "shout"
    assert (found.rows[0].n_human, found.rows[0].n_ai) == (20, 20)
    assert prl.fit("shout", data=DOCUMENTS, out="here", registry=registry).folder == Path("here")
    mine = prl.fit("shout", data="essays", options={"folder": str(tmp_path / "f")}, registry=registry)
    assert mine.folder == tmp_path / "f"


def test_rewrites(registry: Registry, calibration: prl.CalibrationResult) -> None:
    found = prl.rewrite("echo", ["a", "FAIL", "LONG"], n=2, seed=7, registry=registry)
    assert [(row.id, row.sample, row.rewrite, row.finished) for row in found] == [
        ("text-1", 0, "a!70", True),
        ("text-1", 1, "a!71", True),
        ("text-2", None, None, None),
        ("text-3", 0, "LONG!70", False),
        ("text-3", 1, "LONG!71", False),
    ]
    assert found.texts == ["a!70", "a!71", "LONG!70", "LONG!71"]
    assert found.failed == ("text-2",)
    assert [row.failure for row in found if row.failure] == ["refused: no"]
    assert found.notes == ("2 of 5 rewrites were cut at the token limit: see the column `finished`",)
    chosen = prl.rewrite("echo", "a", options={"mark": "?"}, calibration=calibration, registry=registry)
    assert chosen.texts == ["a?00shout,whisper"]


def test_progress_is_told_to_the_callback(registry: Registry) -> None:
    told: list[Progress] = []
    prl.rewrite("echo", ["a"] * 40, progress=told.append, registry=registry)
    assert [(p.done, p.total) for p in told] == [(16, 40), (32, 40), (40, 40)]
    told.clear()
    prl.calibrate("shout", data="essays", progress=told.append, registry=registry)
    assert told == [Progress("scoring 40 calibration texts of essays with shout")]


def test_recipes_take_python_values() -> None:
    loaded = prl.load_recipe(
        set={
            "training.max_steps": np.int64(3),
            "data.source.options": {"path": Path("*.jsonl"), "columns": {"text": "yes"}},
            "detectors": [{"name": "tfidf", "options": {"folder": "2024"}}],
            "lora.target_modules": ("q_proj",),
        }
    )
    recipe = loaded.recipe
    assert recipe.training.max_steps == 3
    assert recipe.data.source.options == {"path": "*.jsonl", "columns": {"text": "yes"}}
    assert recipe.detectors[0].options == {"folder": "2024"}
    assert recipe.lora.target_modules == ["q_proj"]
    assert loaded.origins["training.max_steps"] == "set"
    again = prl.load_recipe(loaded, set={"training.epochs": 1})
    assert (again.recipe.training.max_steps, again.recipe.training.epochs) == (3, 1)
    assert again.origins["training.max_steps"] == "set"
    assert "max_steps: 3  # set" in repr(again)
    assert prl.load_recipe(recipe).origins["training.max_steps"] == "given"
    typed = prl.load_recipe(set=["training.max_steps=4", ("training.epochs", 2)])
    assert (typed.recipe.training.max_steps, typed.origins["training.max_steps"]) == (4, "--set")


SPLITS = DatasetDict({name: Dataset.from_dict({"text": ["a"]}) for name in ("train", "test")})
FRAME = pd.DataFrame({"essay": ["a"], "n": [1]})
BAD: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any], type[PrlError], str]] = [
    (prl.score, (3,), {}, UsageError, "cannot read texts from int"),
    (prl.score, ({"text": "a"},), {}, UsageError, "cannot read texts from dict"),
    (prl.score, (b"a",), {}, UsageError, "cannot read texts from bytes"),
    (prl.score, (None,), {}, UsageError, "cannot read texts from NoneType"),
    (prl.score, (SPLITS,), {}, UsageError, "the data set has several splits: train, test"),
    (prl.score, (FRAME,), {}, DataError, "the data frame has no column 'text'"),
    (prl.score, (FRAME,), {"column": "esay"}, DataError, "the data frame has no column 'esay'"),
    (prl.score, (Path("nowhere"),), {}, UsageError, "no file or folder at 'nowhere'"),
    (prl.score, ("a",), {"detectors": "shuot"}, PrlError, "no detector is called 'shuot'"),
    (prl.score, ("a",), {"detectors": []}, UsageError, "no detectors given"),
    (prl.score, ("a",), {"detectors": 3}, UsageError, "cannot read components from int"),
    (prl.score, ("a",), {"detectors": [3]}, RecipeError, "component 3"),
    (prl.score, ("a",), {"detectors": {"shout": 3}}, RecipeError, "component 'shout'"),
    (prl.score, ("a",), {"detectors": {"shout": {"x": 3}}}, RecipeError, "unknown option 'x'"),
    (prl.score, ("a",), {"calibration": "nowhere.json"}, CalibrationError, "no calibration at nowhere.json"),
    (prl.score, ("a",), {"calibration": 3}, UsageError, "cannot read a calibration from int"),
    (prl.score, ("a",), {"detectors": "shout", "fpr": 0.05}, CalibrationError, "no calibration of shout"),
    (prl.score, ("a",), {"detectors": "shout", "fpr": "5%"}, CalibrationError, "fpr is '5%'"),
    (prl.score, ("a",), {"detectors": "shout", "device": "gpu"}, UsageError, "torch has no device 'gpu'"),
    (prl.calibrate, ("shout",), {"data": "esays"}, PrlError, "no data set is called 'esays'"),
    (prl.calibrate, ("shout",), {"data": 3}, UsageError, "cannot read documents from int"),
    (prl.calibrate, ("shout",), {"data": ["a text"]}, PrlError, "no data set is called 'a text'"),
    (prl.calibrate, ("shout",), {"data": []}, DataError, "no documents"),
    (prl.calibrate, ("shout",), {"data": "essays", "target_fpr": 5}, CalibrationError, "target_fpr is 5"),
    (prl.calibrate, ("shout",), {"data": "essays", "weights": {"x": 1}}, UsageError, "a weight of x"),
    (prl.calibrate, ("shout",), {"data": "essays", "weights": {"shout": -1}}, UsageError, "is -1"),
    (prl.calibrate, ("shout",), {"data": "essays", "weights": [1]}, UsageError, "weights is [1]"),
    (prl.calibrate, (["shout", "shout"],), {"data": "essays"}, UsageError, "listed twice"),
    (prl.calibrate, ("shout",), {"data": "essays", "combine": "max"}, UsageError, "'max'"),
    (prl.calibrate, ("shout",), {"data": "essays", "out": "/dev/null/c"}, PrlError, "cannot write"),
    (prl.fit, ("whisper",), {"data": "essays"}, UsageError, "needs no training"),
    (prl.fit, ("shout",), {"data": "essays", "options": {"x": 1}}, RecipeError, "unknown option 'x'"),
    (prl.fit, ("shout",), {"data": "essays", "options": "x"}, UsageError, "options is 'x'"),
    (prl.rewrite, ("ecko", "a"), {}, PrlError, "no rewriter is called 'ecko'"),
    (prl.rewrite, ("echo", "a"), {"n": 0}, UsageError, "n is 0"),
    (prl.rewrite, ("echo", "a"), {"n": 1.5}, UsageError, "n is 1.5"),
    (prl.rewrite, ("echo", "a"), {"seed": -1}, UsageError, "seed is -1"),
    (prl.rewrite, ("echo", "a"), {"options": {"x": 1}}, RecipeError, "unknown option 'x'"),
    (prl.rewrite, ("echo", "a"), {"run": "nowhere"}, PrlError, "nowhere"),
    (prl.load_data, (DOCUMENTS,), {"options": {"columns": {}}}, UsageError, "cannot be given together with Documents"),
    (prl.load_data, (FRAME,), {"options": {"colums": {}}}, UsageError, "option colums of the table"),
    (prl.load_data, (FRAME,), {}, DataError, "there is no column 'text'"),
    (prl.load_data, ("essays",), {"test_fraction": 2}, RecipeError, "test_fraction"),
    (prl.load_data, ("essays",), {"excerpt_words": 1}, RecipeError, "excerpt_words"),
    (prl.load_data, (DOCUMENTS[:1] * 2,), {}, DataError, "the id is already used"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "given", "more", "error", "message"), BAD)
def test_bad_input_is_one_kind_of_error_that_says_what_is_wrong(
    verb: Callable[..., object],
    given: tuple[Any, ...],
    more: dict[str, Any],
    error: type[PrlError],
    message: str,
    registry: Registry,
) -> None:
    with pytest.raises(error) as raised:
        verb(*given, **more, registry=registry)
    assert message in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        (3, {}, "cannot read a recipe from int"),
        ("nowhere", {}, "no recipe at nowhere"),
        (None, "training.epochs=1", "not a mapping"),
        (None, 3, "not a mapping"),
        (None, {"training.epochs": "1"}, "training.epochs: input should be a valid integer"),
        (None, {"trainig.epochs": 1}, "unknown key trainig"),
        (None, {"training": {"epoch": 1}}, "unknown key training.epoch"),
        (None, {"training..epochs": 1}, "a part of the key"),
        (None, {"training.epochs": print}, "is not allowed in a recipe"),
        (None, {"model.name": "x"}, "model: input should be a valid string"),
    ],
)
def test_bad_recipes(recipe: Any, changes: Any, message: str) -> None:
    with pytest.raises(PrlError) as raised:
        prl.load_recipe(recipe, set=changes)
    assert message in raised.value.message


def test_a_data_set_named_by_its_file_is_told_how(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(UsageError) as raised:
        prl.load_data("d.jsonl", registry=registry)
    assert raised.value.hint == "give the file as pathlib.Path('d.jsonl')"


def test_to_pandas_equals_the_rows(registry: Registry, calibration: prl.CalibrationResult) -> None:
    results = [
        calibration,
        prl.score(["a", "1", capitals(20)], calibration=calibration, registry=registry),
        prl.rewrite("echo", ["a", "FAIL"], registry=registry),
        prl.fit("shout", data="essays", registry=registry),
    ]
    for result in results:
        frame = result.to_pandas()
        assert len(frame) == len(result) > 0
        for row, line in zip(result, frame.to_dict("records"), strict=True):
            fields = record(row)
            assert list(line) == list(fields)
            assert {k: None if pd.isna(v) else v for k, v in line.items()} == fields
    corpus = prl.load_data("essays", registry=registry)
    assert list(corpus.to_pandas()["id"]) == [d.id for d in corpus]


def test_nothing_is_printed(
    registry: Registry, calibration: prl.CalibrationResult, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    corpus = prl.load_data("essays", registry=registry)
    results = [
        prl.calibrate(["shout"], data=corpus, registry=registry),
        prl.score(["a", "CRASH"], calibration=calibration, registry=registry),
        prl.rewrite("echo", ["a"] * 40, registry=registry),
        prl.fit("shout", data=corpus, registry=registry),
        prl.load_recipe("quickstart"),
        corpus,
    ]
    for result in results:
        assert repr(result)
        assert getattr(result, "_repr_html_", lambda: "x")()
    assert capfd.readouterr() == ("", "")


def test_reprs_fit_a_terminal(registry: Registry, calibration: prl.CalibrationResult) -> None:
    long = [Document(id="a-very-long-identifier/" * 6, text=capitals(3))]
    for result in (
        calibration,
        prl.score(long, calibration=calibration, registry=registry),
        prl.load_data("essays", registry=registry),
        prl.rewrite("echo", [capitals(3) * 9], registry=registry),
    ):
        assert max(map(len, repr(result).splitlines())) <= 80


def test_ids_of_files_are_their_paths(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A word")
    assert ids(Path("a.txt"), registry) == ["a.txt"]


def test_no_home_directory_is_needed_where_prl_home_is_set(
    calibration: prl.CalibrationResult, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(path: str) -> str:
        return path  # as for a user without HOME who is not in the table of users

    monkeypatch.setattr("os.path.expanduser", nobody)
    assert prl.score(capitals(30), calibration=calibration, registry=registry).rows[0].verdict == "flagged"
    assert prl.score(capitals(30), detectors="shout", registry=registry).rows[0].score == 0.3
    monkeypatch.delenv("PRL_HOME")
    with pytest.raises(UsageError, match="no home directory") as raised:
        prl.score("a", registry=registry)
    assert "PRL_HOME" in raised.value.hint


def test_the_format_of_files_is_found_or_said(registry: Registry, tmp_path: Path) -> None:
    labelled = "text,label\n" + "".join(f"Aa {i},{'human' if i % 2 else 'ai'}\n" for i in range(12))
    (tmp_path / "t.data").write_text(labelled)
    (tmp_path / "t.txt").write_text(labelled)
    for name in ("t.data", "t.txt"):
        path = tmp_path / name
        assert len(prl.score(path, detectors="shout", input_format="csv", registry=registry)) == 12
        assert len(prl.rewrite("echo", path, input_format="csv", registry=registry)) == 12
        assert len(prl.load_data(path, input_format="csv", registry=registry)) == 12
    assert len(prl.score(tmp_path / "t.txt", detectors="shout", input_format="text", registry=registry)) == 1
    with pytest.raises(DataError, match="holds CSV"):
        prl.score(tmp_path / "t.txt", detectors="shout", registry=registry)
    with pytest.raises(UsageError, match="input_format is that of files"):
        prl.load_data("essays", input_format="csv", registry=registry)
