"""Published sets in their own formats: what their columns mean, and the traps in them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from paraphrase_rl_plugins.datasets import detectrl, fast_detect_gpt, hc3, liang, mage, raid

from paraphrase_rl.data.build.missing_spaces import missing_spaces
from paraphrase_rl.data.splits import opening, units
from paraphrase_rl.errors import DataError
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.testing import DatasetContract
from paraphrase_rl.types import Document
from tests.data import published_sets as made

REGISTRY = Registry(
    Plugins.of(mage=mage, raid=raid, detectrl=detectrl, hc3=hc3, liang=liang, fdg=fast_detect_gpt)
)
FORMATS: dict[str, Callable[[Path, int], Path]] = {
    "mage": made.mage,
    "raid": made.raid,
    "detectrl": made.detectrl,
    "hc3": made.hc3,
    "liang": made.liang,
    "fast-detect-gpt": made.fast_detect_gpt,
}


def source(name: str, path: Path | None) -> Any:
    return REGISTRY.build("datasets", name, {"path": str(path)} if path else {})


def documents(name: str, path: Path) -> list[Document]:
    return list(source(name, path).documents())


def labels(found: Iterable[Document]) -> Counter[str | None]:
    return Counter(d.label for d in found)


@pytest.mark.parametrize("name", FORMATS)
class TestFormats(DatasetContract):
    @pytest.fixture(autouse=True)
    def _written(self, name: str, tmp_path: Path) -> None:
        self.path = FORMATS[name](tmp_path, 4)
        self.name = name

    def component(self) -> Any:
        return source(self.name, self.path)

    make = component

    def test_every_file_read_has_its_digest(self) -> None:
        files = source(self.name, self.path).provenance()
        assert files
        assert all(Path(file).is_file() and len(digest) == 64 for file, digest in files.items())


def test_in_mage_0_is_the_machine(tmp_path: Path) -> None:
    found = documents("mage", made.mage(tmp_path, 3))
    assert labels(found) == {"human": 3, "ai": 3}  # valid.csv is not read beside train.csv
    assert all(("machine" in d.text) == (d.label == "ai") for d in found)
    assert {d.domain for d in found} == {"cmv", "sci_gen"}
    assert {d.pair for d in found} == {None}


def test_a_relabelled_mage_is_refused(tmp_path: Path) -> None:
    file = made.write_csv(tmp_path / "m.csv", ("text", "label", "src"), [("a b", 0, "cmv_human")])
    with pytest.raises(DataError, match="label 0 and src 'cmv_human' do not agree") as raised:
        documents("mage", file)
    assert "0 is machine" in raised.value.hint


def test_raid_humans_are_the_model_human_without_attack(tmp_path: Path) -> None:
    found = documents("raid", made.raid(tmp_path, 3))
    assert labels(found) == {"human": 3, "ai": 6}
    assert not [d for d in found if "homoglyph" in d.text or d.domain == "german"]
    pairs = {d.pair: d for d in found if d.label == "human"}
    assert all(d.pair in pairs for d in found)


def test_the_test_set_of_raid_has_no_labels(tmp_path: Path) -> None:
    file = made.write_csv(tmp_path / "test.csv", made.RAID, [made.raid_row(0, "")])
    with pytest.raises(DataError) as raised:
        documents("raid", file)
    assert "train.csv" in raised.value.hint


def test_detectrl_says_llm_and_its_files_name_the_domain(tmp_path: Path) -> None:
    found = documents("detectrl", made.detectrl(tmp_path, 3))
    assert labels(found) == {"human": 6, "ai": 6}
    assert {d.domain for d in found} == {"arxiv", "writing_prompt"}
    made.write_json(tmp_path / "x" / "multi_domains_arxiv_test.json", [{"text": "a", "label": "machine"}])
    with pytest.raises(DataError, match="unknown label 'machine'"):
        documents("detectrl", tmp_path / "x")


def test_missing_spaces_are_found_where_a_newline_was_deleted(tmp_path: Path) -> None:
    found = documents("detectrl", made.detectrl(tmp_path, 20))
    hits = missing_spaces([d.text for d in found])
    assert [hit for hit, d in zip(hits, found, strict=True)] == [
        d.label == "human" and d.domain == "arxiv" for d in found
    ]


def test_missing_spaces_between_sentences_are_found_and_ordinary_prose_is_not() -> None:
    assert missing_spaces(
        ["We saw the end.Then it rained.", "We saw the end. Then it rained.", "At 3.5 GHz. U.S. law."]
    ) == [
        True,
        False,
        False,
    ]


def test_answers_to_one_question_are_a_pair(tmp_path: Path) -> None:
    found = documents("hc3", made.hc3(tmp_path, 3))
    assert labels(found) == {
        "human": 6,
        "ai": 2,
    }  # all.jsonl holds the others' rows; one question has no answer
    assert len({d.pair for d in found}) == 3
    assert all(d.text == d.text.strip() and d.domain == "finance" for d in found)


def test_groups_of_liang_are_the_writers(tmp_path: Path) -> None:
    found = documents("liang", made.liang(tmp_path, 2))
    assert Counter(d.group for d in found) == {"non-native": 4, "native": 4, None: 6}
    toefl = [d for d in found if d.domain == "toefl"]
    assert [{toefl[i].label for i in unit} for unit in units(toefl)] == [{"human", "ai"}] * 2
    college = [d for d in found if d.domain == "college"]
    assert [d.pair is None for d in college] == [d.label == "human" for d in college]
    assert {len(unit) for unit in units(college)} == {1, 2}  # a text and its edit, and human texts alone


def test_human_documents_of_fast_detect_gpt_recur_and_pairs_share_their_opening(tmp_path: Path) -> None:
    found = documents("fast-detect-gpt", made.fast_detect_gpt(tmp_path, 3))
    assert len({d.text for d in found if d.label == "human"}) == 6
    assert sorted(len(unit) for unit in units(found)) == [
        4,
        4,
        4,
    ]  # 3 documents, each twice, cut to other lengths
    assert all(opening(a.text) == opening(b.text) for a in found for b in found if a.pair == b.pair)


@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        (
            "raid",
            "train.csv",
            "id,text\n1,a\n",
            "column 'source_id' is missing: this is not the format of raid",
        ),
        ("mage", "train.csv", b"text,label,src\n\xff,1,x_human\n", "not UTF-8"),
        ("detectrl", "multi_domains_arxiv_test.json", "7", "not an array of objects"),
        ("detectrl", "multi_domains_arxiv_test.json", '[{"te', "not JSON"),
        (
            "hc3",
            "all.jsonl",
            '{"question": "a", "human_answers": "b", "chatgpt_answers": []}\n',
            "is not a list",
        ),
        (
            "fast-detect-gpt",
            "a_b.raw_data.json",
            '{"original": ["a"], "sampled": []}',
            "lists of equal length",
        ),
        ("liang", "Essays/data.json", "[]", "none of the folders of this data set"),
    ],
)
def test_other_files_are_told_on_one_line(
    tmp_path: Path, name: str, file: str, content: str | bytes, said: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as raised:
        documents(name, tmp_path)
    assert said in raised.value.message
    assert "\n" not in raised.value.one_line


@pytest.mark.parametrize("name", FORMATS)
def test_a_set_that_is_not_there_says_how_to_bring_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        documents(name, tmp_path / "nowhere")
    with pytest.raises(DataError, match="below"):
        documents(name, tmp_path)
    with pytest.raises(DataError, match=r"not on the hub|the hub is switched off") as raised:
        list(source(name, None).documents())
    assert "path" in raised.value.hint


def test_a_file_of_the_hub_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    commit = "0123456789abcdef0123456789abcdef01234567"
    made.mage(tmp_path / "snapshots" / commit, 2)
    asked: list[Any] = []

    def download(*args: Any, **options: Any) -> str:
        asked.append((*args, options["repo_type"], options["revision"]))
        return str(tmp_path / "snapshots" / commit / args[1])

    monkeypatch.setattr(hub, "hf_hub_download", download)
    dataset = REGISTRY.build("datasets", "mage", {"revision": "v1"})
    assert labels(dataset.documents()) == {"human": 2, "ai": 2}
    assert list(dataset.provenance()) == [f"yaful/MAGE@{commit}/train.csv"]
    assert asked == [("yaful/MAGE", "train.csv", "dataset", "v1")]


def test_a_large_table_is_passed_through_and_not_held(tmp_path: Path) -> None:
    lines = [json.dumps({"question": str(i), "human_answers": [], "chatgpt_answers": []}) for i in range(3)]
    (tmp_path / "all.jsonl").write_text("\n".join([*lines, "not json"]), encoding="utf-8")
    rows = source("hc3", tmp_path).component._files.rows("question")
    assert [next(rows)[1]["question"] for _ in range(3)] == ["0", "1", "2"]  # the bad line was not yet met
    with pytest.raises(DataError, match=r"all\.jsonl:4: not JSON"):
        next(rows)


# ---- the real files, where they stand beside the checkout


def test_the_real_essays(shared_data: Path) -> None:
    found = documents("liang", shared_data / "liang")
    assert labels(found) == {"human": 394, "ai": 531}
    assert Counter((d.group, d.label) for d in found if d.group) == {
        ("non-native", "human"): 91,
        ("non-native", "ai"): 91,
        ("native", "human"): 88,
        ("native", "ai"): 88,
    }


def test_files_of_fast_detect_gpt_are_chosen_and_shared_openings_cut(tmp_path: Path) -> None:
    texts = {
        "original": ["It began one day. It was a fine day. The sun rose.", "Nothing is left. "],
        "sampled": ["It began one day. It was a dark day! Rain fell.", "Nothing is left. Again."],
    }
    for model in ("gpt-4", "davinci"):
        (tmp_path / f"xsum_{model}.raw_data.json").write_text(json.dumps(texts), encoding="utf-8")
    options = {"path": str(tmp_path), "files": ["*gpt-4*"], "openings": "cut"}
    source = REGISTRY.build("datasets", "fast-detect-gpt", options)
    found = [(d.id.rpartition(":")[2], d.text) for d in source.documents()]
    assert found == [("0-human", "The sun rose."), ("0-ai", "Rain fell.")]


def test_the_real_data_of_fast_detect_gpt(shared_data: Path) -> None:
    found = documents("fast-detect-gpt", shared_data / "fast-detect-gpt")
    assert labels(found) == {"human": 2650, "ai": 2650}
    xsum = {d.pair for d in found if d.domain == "xsum"}
    assert len(xsum) == 500  # 150 documents in three files are among the 500 of the fourth
