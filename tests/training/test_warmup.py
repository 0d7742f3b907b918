"""The warm-up: which texts and pairs it uses, in which order, and that a kill changes nothing of its numbers."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraphrase_rl.data.documents import Corpus, make_corpus
from paraphrase_rl.data.human_excerpts import excerpts
from paraphrase_rl.errors import DataError, RunError
from paraphrase_rl.files import read_jsonl
from paraphrase_rl.models.chat import Chat
from paraphrase_rl.progress import reporter
from paraphrase_rl.recipe.arithmetic import warmup_steps
from paraphrase_rl.recipe.schema import Data, Recipe
from paraphrase_rl.runs.directory import RunDirectory
from paraphrase_rl.text.length import count_words
from paraphrase_rl.training.changes import inherited
from paraphrase_rl.training.reward import ComposedReward, WeightedReward
from paraphrase_rl.training.warmup import encoded, warmup_order
from paraphrase_rl.training.warmup_pairs import PairMaker
from paraphrase_rl.training.warmup_texts import given_pairs, own_texts, unseen_excerpts
from paraphrase_rl.types import Document, RewardBatch, Rollout, Terms
from tests.tiny_model import tokenizer
from tests.training.cases import Case, Prl, numbers, write_recipe, write_texts
from tests.training.runs import ENDED_VOWELS, OWN_BEST, backend, check_own_best, warm_run
from tests.training.test_distributed import free_port

TEXT = (
    "One two three. Four five six seven. Eight nine. Ten eleven twelve thirteen fourteen fifteen. Last one."
)


# ---- texts


def test_passages_are_whole_sentences_in_order() -> None:
    assert list(excerpts(TEXT, 2, 7)) == [
        "One two three. Four five six seven.",
        "Eight nine.",
        "Ten eleven twelve thirteen fourteen fifteen.",
        "Last one.",
    ]
    assert list(excerpts(TEXT, 3, 5)) == ["One two three.", "Four five six seven."]
    assert list(excerpts(TEXT, 3, None)) == [TEXT]
    assert list(excerpts(TEXT, 30, None)) == []


@given(st.lists(st.integers(1, 12), max_size=12), st.integers(1, 6), st.integers(6, 15))
def test_passages_lose_and_repeat_nothing_that_fits(lengths: list[int], low: int, high: int) -> None:
    text = " ".join(" ".join(["Word", *["word"] * (n - 1)]) + "." for n in lengths)
    found = list(excerpts(text, low, high))
    assert all(low <= count_words(part) <= high for part in found)
    at = 0
    for part in found:
        at = text.index(part, at) + len(part)
    assert list(excerpts(text, 1, max(sum(lengths), 1))) == ([text] if text else [])


def corpus(*rows: tuple[str, str, str], words: int | None = None) -> Corpus:
    documents = [
        Document(id=str(i), text=text, label=label, split=split)  # type: ignore[arg-type]
        for i, (split, label, text) in enumerate(rows)
    ]
    return make_corpus(documents, Data(excerpt_words=words), source="here", description=lambda: "")


def settings(**warmup: Any) -> Recipe:
    recipe = {"warmup": {"method": "inverse-paraphrase", "min_words": 1, **warmup}}
    return Recipe.model_validate(recipe | {"data": {"excerpt_words": 10}})


ROWS = [
    ("train", "human", "First sentence of a human. " + "Second sentence goes on from there. " * 2),
    ("train", "ai", "An assistant wrote this one."),
    ("calibration", "human", "A calibration text by a human. The same sentence in both."),
    ("calibration", "ai", "A calibration text by a model."),
    ("test", "human", "A test text by a human being."),
    ("test", "ai", "A test text by a model."),
]


def test_only_human_texts_of_the_train_split_are_used_beyond_their_excerpt_too() -> None:
    found = unseen_excerpts(corpus(*ROWS, words=10), settings(max_words=12))
    assert {d.text for d in found} == {
        "First sentence of a human. Second sentence goes on from there.",
        "Second sentence goes on from there.",
    }
    assert {d.split for d in found} == {"train"}


@given(st.lists(st.sampled_from([text for _, _, text in ROWS]), max_size=6))
def test_nothing_of_calibration_or_test_is_used_even_where_the_data_repeats_it(texts: list[str]) -> None:
    rows = [*ROWS, *[("train", "human", f"{text} ") for text in texts]]
    held_out = {text for split, _, text in ROWS if split != "train"}
    for document in unseen_excerpts(corpus(*rows), settings()):
        assert not any(document.text in text for text in held_out)


def test_a_passage_that_is_also_held_out_is_left_out() -> None:
    repeated = ("train", "human", "This begins in its own way. A test text by a human being.")
    found = unseen_excerpts(corpus(*ROWS, repeated, words=10), settings(max_words=10))
    assert "This begins in its own way." in [d.text for d in found]
    assert not any("A test text" in d.text for d in found)


def test_best_of_n_rewrites_texts_of_every_kind() -> None:
    rows = [("train", "ai", f"A {kind} of number {i}.") for kind in ("story", "speech") for i in range(6)]
    data = corpus(*ROWS[2:], *rows, ("train", "human", "A story by a human being."))
    found = own_texts(data, settings(method="best-of-n", texts=4))
    assert [d.text.split()[1] for d in found] == ["story", "story", "speech", "speech"]
    assert [d.text for d in own_texts(data, settings(method="best-of-n"))] == [text for *_, text in rows]


def test_given_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(
        "source,target\na paraphrase,A text.\nanother,A test text by a human being.\n", encoding="utf-8"
    )
    assert given_pairs(path, corpus(*ROWS), None) == [("a paraphrase", "A text.")]
    path.write_text("source,target,why\na,b,format 0\nc,d,\n", encoding="utf-8")
    assert given_pairs(path, corpus(*ROWS), None) == [("c", "d")]
    path.write_text(
        "source,target\n" + "".join(f"{kind} {i},t\n" for kind in ("story", "news") for i in range(5)),
        encoding="utf-8",
    )
    chosen = given_pairs(path, corpus(*ROWS), 4)
    assert [source.split()[0] for source, _ in chosen] == ["story"] * 2 + ["news"] * 2
    path.write_text("source,text\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns source and target"):
        given_pairs(path, corpus(*ROWS), None)


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_given_pairs_of_what_a_held_out_text_has_beyond_its_excerpt(tmp_path: Path, split: str) -> None:
    """Such as another run made them of a text that was in its train split."""
    beyond = "Here it goes on for as long as it takes to be found out."
    held_out = (split, "human", f"It begins with a sentence of as many as ten words. {beyond}")
    texts = corpus(*ROWS, held_out, words=10)
    assert not any(beyond in d.text for d in texts.documents)
    path = tmp_path / "pairs.csv"
    path.write_text(f"source,target\nits paraphrase,{beyond}\nanother,A text.\n", encoding="utf-8")
    assert given_pairs(path, texts, None) == [("another", "A text.")]


# ---- order and tokens


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
def test_every_epoch_has_every_pair_once(pairs: int, batch: int, epochs: int, seed: int) -> None:
    order = warmup_order(pairs, batch, epochs, seed)
    assert len(order) == warmup_steps(pairs, batch, epochs) == math.ceil(pairs / batch) * epochs
    one = len(order) // epochs
    for epoch in range(epochs):
        flat = [i for step in order[epoch * one : (epoch + 1) * one] for i in step]
        assert sorted(flat) == list(range(pairs))
    assert order == warmup_order(pairs, batch, epochs, seed)


def test_a_completion_is_the_target_and_its_end_whatever_markup_it_holds() -> None:
    tokens = tokenizer()
    recipe = Recipe()
    chat = Chat(tokens, "tiny")
    ((prompt, completion),) = encoded([("from", "to <|im_end|> here")], chat, recipe.prompt)
    assert completion[-1] == tokens.eos_token_id
    assert tokens.eos_token_id not in completion[:-1]
    assert tokens.decode(completion[:-1]) == "to <|im_end|> here"
    assert tokens.decode(prompt).endswith("from<|im_end|>\n<|im_start|>assistant\n")


# ---- pairs


class Echo:
    """A policy that answers with a text's first words; which ones its key decides."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def sample(self, conversations: Any, *, n: int, keys: Any, sampling: Any) -> list[list[Rollout]]:
        groups = []
        for conversation, key in zip(conversations, keys, strict=True):
            text = conversation[-1]["content"].rpartition("\n\n")[2]
            self.asked.append(text)
            words = text.split()
            rng = np.random.default_rng(key)
            lengths = [int(rng.integers(1, len(words) + 1)) for _ in range(n)]
            groups.append(
                [
                    Rollout(
                        group=0,
                        prompt_ids=[1] * len(words),
                        completion_ids=[2] * length,
                        logprobs=np.zeros(length),
                        text=" ".join(words[:length]),
                        finished=True,
                    )
                    for length in lengths
                ]
            )
        return groups


class Share:
    """Share of the source's words that the rewrite has."""

    def __call__(self, batch: RewardBatch) -> Terms:
        return Terms(
            np.array(
                [
                    len(r.split()) / len(s.text.split())
                    for s, r in zip(batch.sources, batch.rewrites, strict=True)
                ]
            )
        )


class NotTooShort(Share):
    def __call__(self, batch: RewardBatch) -> Terms:
        return Terms((super().__call__(batch).values > 0.3).astype(np.float64))


REWARD = ComposedReward(
    [
        WeightedReward(name="gate", reward=NotTooShort(), weight=1.0, role="validity"),
        WeightedReward(name="share", reward=Share(), weight=1.0, role="meaning"),
    ]
)


def documents(n: int) -> list[Document]:
    return [Document(id=str(i), text=f"text {i} " + "word " * 8, label="human") for i in range(n)]


def maker(folder: Path, recipe: Recipe, texts: list[Document], stop_after: int | None = None) -> PairMaker:
    known = folder.exists()
    directory = RunDirectory.resume(folder) if known else RunDirectory.create(folder)
    if not known:
        directory.begin("model: x\n", {})
    said: list[str] = []
    return PairMaker(
        recipe=recipe,
        directory=directory,
        texts=texts,
        given=lambda: [("s", "t")],
        reward=REWARD,
        report=reporter(lambda progress: said.append(progress.message)),
        stop_requested=lambda: stop_after is not None and len(said) >= stop_after,
    )


def test_inverse_paraphrases_lead_from_the_paraphrase_back_to_the_text(tmp_path: Path) -> None:
    texts = documents(40)
    making = maker(tmp_path / "run", settings(min_meaning=0.6, candidates=1), texts)
    pairs = making.make(Echo())
    making.directory.close()
    rows = read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")
    assert [row["target"] for row in rows] == [d.text for d in texts]
    for row in rows:
        share = len(row["source"].split()) / 10
        expected = "" if share >= 0.6 else "gate" if share <= 0.3 else "share"
        assert row["why"].split(" ")[0] == expected
        assert row["values"]["share"] == share
    assert pairs == [(row["source"], row["target"]) for row in rows if not row["why"]]
    assert 5 < len(pairs) < 35


def test_of_several_paraphrases_the_one_that_means_most_the_same_is_taken(tmp_path: Path) -> None:
    texts = documents(20)
    making = maker(tmp_path / "run", settings(min_meaning=0.6, candidates=5), texts)
    making.make(Echo())
    making.directory.close()
    rows = read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")
    keys = [(0, 0, 2, i + 1) for i in range(20)]
    drawn = Echo().sample([[{"content": d.text}] for d in texts], n=5, keys=keys, sampling=None)
    best = [max((r.text for r in group), key=lambda t: len(t.split())) for group in drawn]
    assert [row["source"] for row in rows] == best
    assert [row["prompt_tokens"] for row in rows] == [5 * 10] * 20, "the prompt of each candidate is paid for"
    words = [sum(len(r.text.split()) for r in group) for group in drawn]
    assert [row["completion_tokens"] for row in rows] == words, "and so are those that are not taken"
    alone = maker(tmp_path / "alone", settings(min_meaning=0.6, candidates=1), texts)
    assert len(alone.make(Echo()) or []) < sum(not row["why"] for row in rows)
    alone.directory.close()


def test_best_of_n_leads_from_the_text_to_its_best_rewrite(tmp_path: Path) -> None:
    texts = documents(10)
    making = maker(tmp_path / "run", settings(method="best-of-n", candidates=8), texts)
    pairs = making.make(Echo())
    making.directory.close()
    assert pairs is not None
    assert {source for source, _ in pairs} <= {d.text for d in texts}
    drawn = Echo().sample(
        [[{"content": d.text}] for d in texts], n=8, keys=[(0, 0, 2, i + 1) for i in range(10)], sampling=None
    )
    best = [max((r.text for r in group), key=lambda t: len(t.split())) for group in drawn]
    assert [target for _, target in pairs] == [b for b in best if len(b.split()) >= 6]
    rows = read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")
    words = [sum(len(r.text.split()) for r in group) for group in drawn]
    assert [(row["prompt_tokens"], row["completion_tokens"]) for row in rows] == [(80, n) for n in words]


def test_a_run_warms_up_on_the_policys_own_best_rewrites(tiny_model: Path, tmp_path: Path) -> None:
    session = warm_run(tmp_path / "run", tiny_model, warmup=OWN_BEST, reward=ENDED_VOWELS)
    assert backend().train(session).status == "completed"
    check_own_best(session, backend().policy(str(tiny_model), None))
    session.directory.close()


def test_nothing_is_sampled_for_given_pairs(tmp_path: Path) -> None:
    making = maker(tmp_path / "run", settings(method="pairs", path="given"), [])
    policy = Echo()
    assert making.make(policy) == [("s", "t")]
    making.directory.close()
    [row] = read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")
    assert (row["prompt_tokens"], row["completion_tokens"], policy.asked) == (0, 0, [])


def test_given_pairs_that_are_all_left_out_are_told(tmp_path: Path) -> None:
    making = replace(maker(tmp_path / "run", settings(method="pairs", path="mine.csv"), []), given=list)
    with pytest.raises(RunError, match=r"no pair: mine\.csv has none without a held-out text") as caught:
        making.make(Echo())
    assert "min_meaning" not in caught.value.hint, "which given pairs do not go through"
    making.directory.close()


@pytest.mark.parametrize("stopped_after", [1, 2])
def test_pairs_go_on_where_they_were_stopped_and_a_torn_chunk_is_made_again(
    tmp_path: Path, stopped_after: int
) -> None:
    texts, recipe = documents(100), settings(candidates=1)
    whole = maker(tmp_path / "whole", recipe, texts)
    expected = whole.make(Echo())
    whole.directory.close()
    first = maker(tmp_path / "run", recipe, texts, stop_after=stopped_after)
    assert first.make(Echo()) is None
    first.directory.close()
    path = tmp_path / "run" / "warmup_pairs.jsonl"
    lines = (tmp_path / "whole" / "warmup_pairs.jsonl").read_text().splitlines(keepends=True)
    assert path.read_text() == "".join(lines[: 32 * stopped_after])
    path.write_text("".join(lines[: 32 * stopped_after + 7]) + lines[40][:30])  # a kill in the next chunk
    rest, policy = maker(tmp_path / "run", recipe, texts), Echo()
    assert rest.make(policy) == expected
    rest.directory.close()
    assert policy.asked == [d.text for d in texts[32 * stopped_after :]]
    assert path.read_text() == "".join(lines)


def test_texts_that_changed_since_and_pairs_that_all_fail_are_told(tmp_path: Path) -> None:
    making = maker(tmp_path / "run", settings(), documents(40))
    making.make(Echo())
    making.directory.close()
    other = maker(tmp_path / "run", settings(), documents(40)[::-1])
    with pytest.raises(RunError, match="have changed"):
        other.make(Echo())
    other.directory.close()
    none = maker(tmp_path / "none", settings(min_meaning=1.0, max_length_ratio=0.5), documents(20))
    with pytest.raises(RunError, match="the warm-up has no pair: of 20 texts") as caught:
        none.make(Echo())
    assert "warmup.min_meaning" in caught.value.hint
    none.directory.close()


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [((1.5, 2.0), False), ((0.001, 2.0), True)],
)
def test_a_pair_of_unlike_lengths_is_left_out(
    tmp_path: Path, bounds: tuple[float, float], kept: bool
) -> None:
    least, most = bounds  # of a paraphrase's words to its text's, which are at least as many here
    lengths = {"min_length_ratio": least, "max_length_ratio": most}
    making = maker(tmp_path / "run", settings(min_meaning=0.0, **lengths), documents(8))
    with nullcontext() if kept else pytest.raises(RunError, match="the warm-up has no pair: of 8 texts"):
        making.make(Echo())
    making.directory.close()
    whys = [row.get("why") or "" for row in read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")]
    assert len(whys) == 8
    assert {why.startswith("length ") for why in whys} == {not kept}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"warmup": {"method": "pairs"}}, "path and method: pairs go together"),
        ({"warmup": {"path": "x"}}, "path and method: pairs go together"),
        ({"warmup": {"method": "best-of-n"}, "prompt": {"thinking": True}}, "its pairs have no thoughts"),
        ({"kl": {"reference": "warmup"}}, "kl.reference: warmup needs a warm-up"),
        (
            {"warmup": {"method": "best-of-n", "min_rewards": {"no": 1}}},
            "warmup.min_rewards: no is not among",
        ),
        ({"warmup": {"min_length_ratio": 3}}, "must not be above max_length_ratio"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe.model_validate(wrong)


def test_a_new_run_from_weights_that_were_warmed_up_on_given_pairs_has_no_warmup(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "warmup: {method: pairs, path: pairs.csv}\nkl: {reference: warmup}\n"
    )
    recipe = inherited(tmp_path).recipe
    assert (recipe.warmup.method, recipe.warmup.path, recipe.kl.reference) == (None, None, "base")


def test_the_published_recipe_has_no_warmup() -> None:
    assert Recipe().warmup.method is None
    assert Recipe().kl.reference == "base"


# ---- whole runs

WARMUP = {
    "method": "inverse-paraphrase",
    "min_words": 1,
    "min_length_ratio": 0.001,
    "max_length_ratio": 1000,
    "min_rewards": {"consonants": 0.02},
    "candidates": 1,
    "batch_size": 6,
    "epochs": 2,
    "checkpoint_every": 3,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Case:
    folder = tmp_path_factory.mktemp("warm")
    data = write_texts(folder / "texts.jsonl", train=40)
    recipe = write_recipe(
        folder,
        tiny_model,
        data,
        warmup=WARMUP,
        kl={"penalty_coef": 0.1, "reference": "warmup"},
        sampling={"max_tokens": 48},
        training={"batch_size": 2, "group_size": 3, "epochs": 1, "max_steps": 4, "learning_rate": 0.01},
    )
    return Case(folder, recipe, data)


def all_numbers(run: Path) -> dict[str, Any]:
    timed = ("seconds_total", "tokens_per_second")
    rows = read_jsonl(run / "warmup.jsonl")
    for row in rows:
        row["metrics"] = {k: v for k, v in row.get("metrics", {}).items() if k not in timed}
    return {**numbers(run), "warmup": rows, "pairs": (run / "warmup_pairs.jsonl").read_text()}


@pytest.fixture(scope="module")
def warmed(launch: Prl, warm: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warmed")
    launch("train", "--config", warm.recipe, "--out", "run", cwd=folder)
    return folder / "run"


def test_a_warmed_up_run(warmed: Path) -> None:
    rows = read_jsonl(warmed / "warmup.jsonl")
    steps, (after,) = [r for r in rows if "metrics" in r], [r for r in rows if "evaluation" in r]
    losses = [row["metrics"]["warmup_loss"] for row in steps]
    assert [row["warmup_step"] for row in steps] == list(range(1, len(steps) + 1))
    assert losses[-1] < losses[0] - 0.3
    base = read_jsonl(warmed / "evaluations.jsonl")[0]
    assert base["step"] == 0
    assert after["evaluation"] != base["metrics"], "the warm-up changed what is written"
    metrics = [row["metrics"] for row in read_jsonl(warmed / "metrics.jsonl")]
    assert abs(metrics[0]["kl_warmup"]) < 1e-4, "the first step samples the warmed-up policy"
    assert abs(metrics[0]["kl_reference"]) > 0.05, "which is not the base model"
    assert abs(metrics[-1]["kl_warmup"]) > 1e-3
    alarms = [row["rule"] for row in read_jsonl(warmed / "events.jsonl") if row["event"] == "monitor"]
    assert "far-from-base" not in alarms
    ledger = read_jsonl(warmed / "checkpoints.jsonl")
    (kept,) = [row for row in ledger if row["kind"] == "warmup"]
    assert kept["warmup_step"] == kept["warmup_steps"] == str(len(steps))
    assert [row["step"] for row in ledger if row["kind"] == "final"] == [4]
    adapters = sorted(warmed.rglob("adapter_config.json"))
    assert any("warmup" in path.parent.name for path in adapters)
    for path in adapters:
        assert "/" not in json.loads(path.read_text())["base_model_name_or_path"], "no path of this machine"


def test_the_first_of_two_processes_warms_up_and_the_other_takes_its_weights(
    launch: Prl, warm: Case, warmed: Path, tmp_path: Path
) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = ["train", "--config", warm.recipe, "--device", "cpu", "--out", tmp_path / "run"]

    def process(rank: int) -> None:
        (tmp_path / str(rank)).mkdir()
        # whoever records a step of the warm-up there dies of it
        faults = {"ACME_WARMUP_SIGNAL": "SIGKILL:1"} if rank else {}
        environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), **faults}
        launch(*command, cwd=tmp_path / str(rank), environment=environment)

    with ThreadPoolExecutor() as pool:
        list(pool.map(process, range(2)))
    found, expected = all_numbers(tmp_path / "run"), all_numbers(warmed)
    assert found["pairs"] == expected["pairs"]
    assert found["warmup"] == expected["warmup"], "the same warm-up, to the bit"
    for name in ("kl_warmup", "kl_reference", "kl_post_train", "reward_mean"):
        values = [[row[name] for row in run["metrics"]] for run in (found, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        pytest.param({"ACME_SIGNAL": "SIGKILL:3"}, "from its warm-up", id="while pairs are made"),
        pytest.param({"ACME_WARMUP_SIGNAL": "SIGKILL:5"}, "from its warm-up", id="after a checkpoint of it"),
        pytest.param({"ACME_SIGNAL": "SIGKILL:5"}, "from its warm-up", id="in the first step after it"),
        pytest.param({"ACME_SIGNAL": "SIGKILL:7"}, "after step 2", id="after a checkpoint of the training"),
    ],
)
def test_a_kill_changes_nothing(
    launch: Prl, warm: Case, warmed: Path, tmp_path: Path, faults: dict[str, str], said: str
) -> None:
    launch("train", "--config", warm.recipe, "--out", "run", cwd=tmp_path, environment=faults, code=-9)
    ended = launch("train", "--resume", "run", cwd=tmp_path)
    assert f"resuming run {said}" in ended.stderr
    assert all_numbers(tmp_path / "run") == all_numbers(warmed)


@pytest.mark.parametrize(
    ("faults", "code", "kept"),
    [
        pytest.param({"ACME_WARMUP_SIGNAL": "SIGINT:4"}, 130, 4, id="after the step"),
        pytest.param({"ACME_WARMUP_SIGNAL": "SIGTERM,SIGHUP:5"}, 143, 5, id="at once"),
        pytest.param({"ACME_SIGNAL": "SIGHUP:2"}, 143, None, id="after the first pairs"),
        pytest.param({"ACME_SIGNAL": "SIGTERM,SIGINT:3"}, 130, None, id="at once, after the first pairs"),
    ],
)
def test_signals_stop_with_all_that_was_done(
    launch: Prl, warm: Case, warmed: Path, tmp_path: Path, faults: dict[str, str], code: int, kept: int | None
) -> None:
    run = tmp_path / "run"
    ended = launch(
        "train", "--config", warm.recipe, "--out", "run", cwd=tmp_path, environment=faults, code=code
    )
    assert "interrupted; continue with: prl train --resume run" in ended.stderr
    listed = read_jsonl(run / "checkpoints.jsonl") if kept else []
    assert [(row["kind"], row["warmup_step"]) for row in listed] == ([("warmup", str(kept))] if kept else [])
    assert ("rescue checkpoint of warm-up step 5 written" in ended.stderr) == (kept == 5)
    assert len(read_jsonl(run / "warmup_pairs.jsonl")) == (40 if kept else 32), "of two chunks"
    launch("train", "--resume", "run", cwd=tmp_path)
    assert all_numbers(run) == all_numbers(warmed)


def test_a_full_disk_costs_no_pair_and_is_one_line(
    launch: Prl, warm: Case, warmed: Path, tmp_path: Path
) -> None:
    """The optimizer's state is larger than any file may be, the adapter is not."""
    command = ["train", "--config", warm.recipe, "--out", "run"]
    ended = launch(*command, cwd=tmp_path, largest_file=30_000, code=2)
    *_, lost, resume, error, hint = ended.stderr.splitlines()
    assert lost.startswith("could not save a rescue checkpoint of warm-up step 3: ")
    assert resume == "failed; continue with: prl train --resume run"
    assert error.startswith("error: cannot write")
    assert hint.startswith("hint: free some disk space")
    assert len(read_jsonl(tmp_path / "run" / "warmup_pairs.jsonl")) == 40
    launch("train", "--resume", "run", cwd=tmp_path)
    assert all_numbers(tmp_path / "run") == all_numbers(warmed)
