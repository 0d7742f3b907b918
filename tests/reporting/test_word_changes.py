"""Changed words: both texts come back exactly, and nothing in a text can act on the page."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from paraphrase_rl.reporting.word_changes import (
    WordChange,
    changed_share,
    changes_as_html,
    printable,
    visible,
    word_changes,
)

texts = st.text(alphabet=st.one_of(st.sampled_from("ab .,\n\t"), st.characters()), max_size=80)


@given(texts, texts)
@example("the cat sat", "the dog sat down")
@example("", "new")
@example("a\u200bb \u0430", "ab a")
def test_marks_hold_both_texts_to_the_character(source: str, rewrite: str) -> None:
    found = word_changes(source, rewrite)
    assert "".join(m.text for m in found if m.kind != "added") == source
    assert "".join(m.text for m in found if m.kind != "removed") == rewrite


@given(texts)
def test_the_same_text_has_no_marks(text: str) -> None:
    assert all(mark.kind == "same" for mark in word_changes(text, text))
    assert changed_share(word_changes(text, text)) == 0.0


def test_a_replaced_word_is_removed_and_added() -> None:
    assert word_changes("The cat sat.", "The dog sat.") == [
        WordChange("same", "The "),
        WordChange("removed", "cat "),
        WordChange("added", "dog "),
        WordChange("same", "sat."),
    ]


def test_markup_of_a_replaced_word() -> None:
    assert changes_as_html(word_changes("a <b> c", "a <i> c")) == "a &lt;<del>b</del><ins>i</ins>&gt; c"
    assert changes_as_html(word_changes("cat sat", "dog sat")) == "<del>cat</del> <ins>dog</ins> sat"


def test_half_the_characters_changed() -> None:
    assert changed_share(word_changes("aa bb", "aa cc")) == 4 / 7


def test_a_long_text_is_compared_in_time() -> None:
    source = "one two three four five " * 3000
    found = word_changes(source, source.replace("three", "3"))
    assert "".join(m.text for m in found if m.kind != "added") == source


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(texts)
@example("<script>alert(1)</script>")
@example("\x00\u202e\u200d\ud800")
def test_a_text_brings_no_tags_and_no_invisible_characters(text: str) -> None:
    reader = _Reader()
    reader.feed(visible(text))
    reader.close()
    assert set(reader.tags) <= {"span"}
    assert not set(reader.text) & {*map(chr, range(9)), "\x0b", "\x7f", "\u200b", "\u202e", "\ud800"}
    visible(text).encode("utf-8")
    printable(text).encode("utf-8")


def test_invisible_characters_are_named() -> None:
    assert visible("a\u200bb") == 'a<span class="code-point">U+200B</span>b'
    assert printable("a\u202eb") == "a[U+202E]b"
    assert printable("line\nnext\tend") == "line\nnext\tend"


def test_letters_of_another_script_stand_out() -> None:
    source, rewrite = "the west is a cafe", "the w\u0435st is a caf\u00e9"
    text = changes_as_html(word_changes(source, rewrite))
    assert '<ins>w<span class="foreign">\u0435</span>st</ins>' in text
    assert text.count("foreign") == 1


def test_a_source_in_that_script_has_nothing_foreign() -> None:
    assert "foreign" not in changes_as_html(word_changes("\u043d\u0435\u0442", "\u0434\u0430"))
    assert "foreign" not in changes_as_html(word_changes("12 34", "\u0434\u0430 5"))
