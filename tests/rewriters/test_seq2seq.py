"""`back-translation` and `dipper`: what the models read is known by hand; tiny random models run for real."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters import back_translation, dipper
from paraphrase_rl_plugins.rewriters._seq2seq import Seq2Seq
from transformers import MarianConfig, MarianMTModel, T5Config, T5ForConditionalGeneration

from paraphrase_rl.errors import ModelError, RecipeError
from paraphrase_rl.models.references import load_tokenizer_alone
from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.testing import RewriterContract
from paraphrase_rl.types import Rewrite
from tests.tiny_model import tokenizer

TEXT = "One ends here. Two is short!\n\nA new paragraph? Yes."


class Writes:
    """A model by a function; remembers what it read."""

    max_input = 10_000

    def __init__(self, function, finished=lambda text: True, max_input=10_000):
        self.function, self.finished, self.max_input, self.read = function, finished, max_input, []

    def length(self, text):
        return len(text)

    def generate(self, texts):
        self.read += texts
        return [Rewrite(text=self.function(text), finished=self.finished(text)) for text in texts]


# ---- back-translation, by hand


def test_every_sentence_goes_forth_and_back_and_the_paragraphs_stay():
    forth, back = Writes(str.upper), Writes(lambda text: f"<{text.lower()}>")
    made = back_translation.BackTranslation(forth, back)
    (one, two) = made.rewrite(TEXT, 2, 0)
    assert forth.read == ["One ends here.", "Two is short!", "A new paragraph?", "Yes."]
    assert one.text == "<one ends here.> <two is short!>\n\n<a new paragraph?> <yes.>"
    assert one == two
    assert one.finished


def test_a_sentence_cut_at_the_limit_shows():
    cut = Writes(str.upper, finished=lambda text: "short" not in text)
    (one,) = back_translation.BackTranslation(cut, Writes(str)).rewrite(TEXT, 1, 0)
    assert not one.finished


def test_long_texts_are_translated_whole():
    """Ten words of nine letters and a reader of twenty: nothing is left out."""
    text = " ".join(["wordwordw"] * 10)
    forth = Writes(str, max_input=20)
    (one,) = back_translation.BackTranslation(forth, Writes(str)).rewrite(text, 1, 0)
    assert one.text == text
    assert len(forth.read) > 1
    assert max(map(len, forth.read)) <= 20


@given(st.text(alphabet="ab .!\n", max_size=60))
def test_sentences_joined_are_the_text(text):
    assert "".join(back_translation.sentences(text)) == text


@given(st.text(alphabet="ab  c", max_size=80), st.integers(1, 12))
def test_pieces_fit_and_joined_are_the_sentence(text, limit):
    pieces = list(back_translation.cut(text, lambda piece: len(piece) <= limit))
    assert "".join(pieces) == text
    assert all(len(piece) <= limit for piece in pieces)


# ---- dipper, by hand


def options(**changes):
    return dipper.DipperOptions(**changes)


@pytest.mark.parametrize(
    ("lexical", "order", "code"),
    [
        (60, 0, "lexical = 40, order = 100"),
        (0, 0, "lexical = 100, order = 100"),
        (100, 80, "lexical = 0, order = 20"),
    ],
)
def test_codes_are_a_hundred_less_the_diversity(lexical, order, code):
    chosen = options(lexical_diversity=lexical, order_diversity=order)
    assert dipper.control(chosen, "", "A b.") == f"{code} <sent> A b. </sent>"
    assert dipper.control(chosen, "Before.", "A b.") == f"{code} Before. <sent> A b. </sent>"


def test_a_diversity_that_was_not_trained_is_refused():
    with pytest.raises(RecipeError, match="option lexical_diversity"):
        default_registry().options("rewriters", "dipper", {"lexical_diversity": 50})


def test_windows_are_whole_sentences_on_one_line():
    assert dipper.windows(TEXT, 3) == ["One ends here. Two is short! A new paragraph?", "Yes."]
    assert dipper.windows(TEXT, 1) == ["One ends here.", "Two is short!", "A new paragraph?", "Yes."]
    assert dipper.windows(TEXT, 9) == ["One ends here. Two is short! A new paragraph? Yes."]


def test_each_window_is_read_behind_what_was_written_before_it():
    model = Writes(lambda text: text.split("<sent>")[1].split("</sent>")[0].strip().upper())
    made = dipper.Dipper(model, options(sent_interval=2, prefix="A  question?\n"))
    (one,) = made.rewrite(TEXT, 1, 0)
    assert model.read == [
        "lexical = 40, order = 100 A question? <sent> One ends here. Two is short! </sent>",
        "lexical = 40, order = 100 A question? ONE ENDS HERE. TWO IS SHORT! <sent> A new paragraph? Yes. </sent>",
    ]
    assert one == Rewrite(text="ONE ENDS HERE. TWO IS SHORT! A NEW PARAGRAPH? YES.")


# ---- real, tiny and random models


def save(model, folder: Path) -> str:
    model.save_pretrained(folder)
    tokens = tokenizer()
    tokens.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def marian(tmp_path_factory) -> str:
    tokens = tokenizer()
    torch.manual_seed(0)
    model = MarianMTModel(
        MarianConfig(
            vocab_size=len(tokens),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_position_embeddings=64,
            init_std=0.5,
            pad_token_id=tokens.pad_token_id,
            eos_token_id=tokens.eos_token_id,
            decoder_start_token_id=tokens.pad_token_id,
            forced_eos_token_id=tokens.eos_token_id,
        )
    )
    return save(model, tmp_path_factory.mktemp("marian"))


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> str:
    tokens = tokenizer()
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokens),
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=2,
            pad_token_id=tokens.pad_token_id,
            eos_token_id=tokens.eos_token_id,
            decoder_start_token_id=tokens.pad_token_id,
            initializer_factor=1.0,
        )
    )
    return save(model, tmp_path_factory.mktemp("t5"))


def test_back_translation_runs_and_a_text_does_not_depend_on_the_others(marian):
    made = default_registry().build(
        "rewriters", "back-translation", {"forth": marian, "back": marian, "beams": 2, "max_tokens": 6}
    )
    texts = ["A first text. With two sentences.", "", "Another.", "x" * 200]
    together = made.rewrite(texts, 1, 0)
    assert together[1].kind == "empty"
    assert [made.rewrite([text], 1, 5)[0] for text in (texts[0], texts[2], texts[3])] == [
        together[0],
        together[2],
        together[3],
    ]
    assert not together[0][0].finished, "a random model does not end its sentences"


def test_greedy_output_is_transformers_own(marian):
    ours = Seq2Seq(marian, "cpu", num_beams=1, do_sample=False, max_new_tokens=5)
    inputs = ours.tokenizer(["Some words."], return_tensors="pt")
    rows = MarianMTModel.from_pretrained(marian).generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        num_beams=1,
        max_new_tokens=5,
        forced_eos_token_id=None,
    )
    (found, _) = ours.generate(["Some words.", "Other, longer words beside it."])
    assert found.text == ours.tokenizer.decode(rows[0], skip_special_tokens=True)


def test_dipper_samples_with_the_texts_own_noise(t5):
    made = default_registry().build(
        "rewriters", "dipper", {"model": t5, "tokenizer": t5, "max_tokens": 6, "sent_interval": 1}
    )
    before = torch.random.get_rng_state()
    (first, second) = made.rewrite([TEXT, "Another text."], 2, 3)
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's generator is left alone"
    assert first[0] != first[1]
    assert made.rewrite(["Another text."], 1, 3)[0] == second[:1]
    assert made.rewrite([TEXT], 2, 3)[0] == first
    assert made.rewrite([TEXT], 2, 4)[0] != first


class TestBackTranslationKeepsTheContract(RewriterContract):
    texts = ("One short text.", "Another. It has two sentences, and a few words more.")

    @pytest.fixture(autouse=True)
    def _on(self, marian):
        self.options = {"forth": marian, "back": marian, "beams": 1, "max_tokens": 4}

    def component(self):
        return default_registry().build("rewriters", "back-translation", self.options)


# ---- models that are not here


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("back-translation", "Helsinki-NLP/opus-mt-en-de"),
        ("dipper", "kalpeshk2011/dipper-paraphraser-xxl"),
    ],
)
def test_a_missing_model_is_named_with_the_way_to_bring_it(name, wanted):
    with pytest.raises(ModelError, match=f"'{wanted}' is not on this machine") as error:
        default_registry().build("rewriters", name)
    assert f"hf download {wanted}" in error.value.hint


def test_a_missing_tokenizer_is_named(t5, tmp_path):
    with pytest.raises(ModelError, match="tokenizer of 'google/t5-v1_1-xxl' is not on this machine") as error:
        default_registry().build("rewriters", "dipper", {"model": t5})
    assert "hf download google/t5-v1_1-xxl" in error.value.hint
    with pytest.raises(ModelError, match="cannot load a tokenizer"):
        load_tokenizer_alone(tmp_path)


def test_a_tokenizer_needs_no_weights(tmp_path):
    tokenizer().save_pretrained(tmp_path)
    assert load_tokenizer_alone(tmp_path)("ab")["input_ids"] == tokenizer()("ab")["input_ids"]


def test_a_language_model_is_no_translator(tmp_path):
    from tests.tiny_model import save_tiny_model

    with pytest.raises(ModelError, match="cannot load"):
        Seq2Seq(str(save_tiny_model(tmp_path)), "cpu")
