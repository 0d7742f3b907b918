"""The defence gives back what character rewriters hid, and leaves other scripts and emoji alone."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters.sanitise import sanitised

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.types import Failure
from tests.rewriters.sentences import clean_texts, once, rewritten

RATES = st.one_of(st.sampled_from([0.1, 0.2, 1.0]), st.floats(0, 1))


@settings(max_examples=60)
@pytest.mark.parametrize("name", ["homoglyph", "zero-width", "whitespace"])
@given(text=clean_texts(), rate=RATES, seed=st.integers(0, 999))
def test_it_gives_back_what_was_hidden(name: str, text: str, rate: float, seed: int) -> None:
    assert sanitised(text) == text
    assert sanitised(once(name, text, seed, rate=rate)) == text


@settings(max_examples=30)
@given(text=clean_texts(), seed=st.integers(0, 999))
def test_it_gives_back_what_was_hidden_three_ways(text: str, seed: int) -> None:
    hidden = text
    for name in ("whitespace", "homoglyph", "zero-width"):
        hidden = once(name, hidden, seed, rate=0.3)
    assert sanitised(hidden) == text


def test_letters_that_raid_used() -> None:
    raid = "аАΑВΒеЕΕсрКΚОΟРΡМΜНΗТΤХΧСуохІΙіΝΖ"
    assert sanitised(f"d{raid}b") == "daAABBeEEcpKKOOPPMMHHTTXXCyoxIIiNZb"


TROUBLE = st.sampled_from(
    [
        *"aceAHо аеГБЯαοΩΑ\u0301\u0308\u0307éёй",
        *"\u200b\u200c\u200d\u00ad\ufeff\u2060\u200e\u202e\ufe0f\ufe0e\u20e3\U000e0101\u034f",
        *" \t\n\r\u00a0\u2009\u3000\u2028",
        *"🙂❤👩👍🏽🏴🇫",
        "\U000e0067\U000e007f",
        *"1#²½ﬁＡ𝐚Ⅳ™",
        *"בمکไขमक्षम한ᅠㅤ漢",
        "\u0e48",
        "\ud800",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.lists(TROUBLE, max_size=14).map("".join), st.text()))
def test_twice_is_once(text: str) -> None:
    assert sanitised(sanitised(text)) == sanitised(text)


RUSSIAN = (
    "Вот пример обычного русского текста, а в нём есть слова, похожие на латинские: сор, оса, рахат.",
    "Я и он, а также Нина Осокина, ехали в ВУЗ на АТС; СССР и НАТО.",
    "Компания IT-сервиса купила iPhone, а USB и HTML-код остались у неё.",
    "Україна має їжака, і це єдине, що він їсть.",
)
GREEK = ("Ο ήλιος και η θάλασσα. ΑΝΤΕ ΤΩΡΑ, ΟΧΙ ΜΟΝΟ.", "Η τιμή του ΦΠΑ είναι 24 %, λέει το TV.")


@pytest.mark.parametrize("text", [*RUSSIAN, *GREEK])
def test_text_in_another_script_stays(text: str) -> None:
    assert sanitised(text) == unicodedata.normalize("NFC", text)


@given(st.text(st.characters(min_codepoint=0x0410, max_codepoint=0x044F), min_size=1))
def test_cyrillic_words_without_latin_letters_stay(text: str) -> None:
    assert sanitised(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The wоrd мир means peace.", "The word мир means peace."),
        ("Яndex and лiтера mix real letters.", "Яndex and лiтера mix real letters."),
        ("The hоuse of а Russian, Юрий.", "The house of а Russian, Юрий."),
        ("The house of а Roman.", "The house of a Roman."),
        ("TNFα at 5 µm and 3 kΩ, ΔT", "TNFα at 5 µm and 3 kΩ, ΔT"),
    ],
)
def test_words_of_mixed_script(text: str, expected: str) -> None:
    assert sanitised(text) == expected


@pytest.mark.parametrize(
    "kept",
    [
        "👩\u200d👩\u200d👧 and ❤\ufe0f\u200d🔥, 1\ufe0f\u20e3 and #\ufe0f\u20e3, 👍🏽, ☎\ufe0e",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "می\u200cخواهم و نامه\u200cای",
        "क्\u200dष और श्री\u200cमान्",
        "ภาษา\u200bไทย",
        "\u200fשלום \u202bעולם\u202c 123",
        "辻\U000e0101と葛\U000e0100",
        "x² + ½ = 10 °C, №5, ª, ©, …, “quoted” – dash",
        "第一　第二",
    ],
)
def test_what_means_something_is_kept(kept: str) -> None:
    assert sanitised(kept) == kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so\u00adft hy\u2060phen\ufeff", "soft hyphen"),
        ("zero\u200c joi\u200dners \u202ehere\u202c", "zero joiners here"),
        ("a\ufe0fb\U000e0101 1\ufe0f tag\U000e0041ged", "ab 1 tagged"),
        ("ﬁne 𝐛𝐨𝐥𝐝 Ｗｉｄｅ Ⅳ ７", "fine bold Wide IV 7"),
        ("cafe\u0301", "café"),
        ("  a\u00a0b\u2009 c\t \r\n d \n\n\n\n e\u2028f ", "a b c\nd\n\ne\nf"),
    ],
)
def test_what_is_undone(text: str, expected: str) -> None:
    assert sanitised(text) == expected


def test_of_a_text_there_is_one_answer() -> None:
    assert rewritten("sanitise", "a\u200bb", 3) == ["ab"] * 3


def test_after_another_rewriter_it_sanitises_what_that_one_wrote() -> None:
    after = {"name": "article-deletion", "options": {"rate": 0.5}}
    text = "The cat saw a dog, the owl and an ant in the barn."
    defended = rewritten("sanitise", text, 3, after=after)
    assert defended == rewritten("article-deletion", text, 3, rate=0.5)
    assert rewritten("sanitise", text, 2, after={"name": "homoglyph"}) == [text, text]


def test_after_another_rewriter_its_failures_stay() -> None:
    rewriter = default_registry().build("rewriters", "sanitise", {"after": {"name": "homoglyph"}})
    found = rewriter.rewrite(["", "an apple", "\u200b"], 1, 0)
    assert [getattr(one, "kind", "") for one in found] == ["empty", "", "empty-rewrite"]
    assert [one.index for one in (found[0], found[2])] == [0, 2]


def test_nothing_left_is_a_failure() -> None:
    (found,) = default_registry().build("rewriters", "sanitise").rewrite(["\u200b\u00ad"], 1, 0)
    assert isinstance(found, Failure)
    assert (found.kind, found.message) == ("empty-rewrite", "the rewrite is empty")
