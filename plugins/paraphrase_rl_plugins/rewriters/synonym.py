"""Rewriter: words replaced by synonyms in the same inflected form.

RAID (Dugan et al. 2024, arXiv 2405.07940), attack ``synonym``: 50 % of all words, or every word that has a synonym
where those are fewer. Deviations: RAID asks BERT for words that fit and keeps those of the same part of speech with a
similar fastText vector; here synonyms come from WordNet 3.0, inflected by lemminflect, with no model and no download.
Some 7 % of the words of news have one, always fewer than half, so the default is all of them: far weaker than RAID's
attack.

A word is eligible only where three things are fairly sure without reading the sentence:

- its part of speech: one accounts for at least three quarters of its tagged occurrences in WordNet's corpus;
- its sense: WordNet's first sense accounts for at least half of those, and is the synonym's first sense too;
- the form: the synonym has exactly one form for whatever the word can be (a past tense that is also a participle
  needs a synonym of which both are one form), and goes with "a" or "an" where it stands before.

Never replaced: capitalised words (names), number words, negations, function words, verbs before a particle; none of
them is used as a synonym either.

Weak: there is no disambiguation, so a word in a rarer sense gets a wrong synonym ("night" of a hotel, a "minister" of
a government); government, collocation and register are not looked at ("rely on" would become "trust on").
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterable, Mapping, Sequence

from paraphrase_rl.plugin import Context, RewriterSpec, hookimpl
from paraphrase_rl_plugins.rewriters import _wordnet
from paraphrase_rl_plugins.rewriters._edits import (
    LOWER_WORD,
    Edits,
    RateOptions,
    Span,
    editor_spec,
    rate_field,
)
from paraphrase_rl_plugins.rewriters._wordnet import Pos, WordNet

SAME_POS, SAME_SENSE = 0.75, 0.5
"""Least shares of tagged occurrences for which a part of speech and a sense are certain enough."""
TAGS: Mapping[Pos, tuple[str, ...]] = {
    "NOUN": ("NN", "NNS"),
    "VERB": ("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"),
    "ADJ": ("JJ", "JJR", "JJS"),
    "ADV": ("RB", "RBR", "RBS"),
}
"""Penn tags of the inflected forms of a part of speech."""
_NEGATIONS = """
no not nor never none nothing nobody nowhere neither cannot without hardly scarcely barely non
"""
_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
billion trillion hundreds thousands millions billions dozen dozens first second third fourth fifth sixth
seventh eighth ninth tenth once twice thrice half halves quarter double triple pair couple single few several
"""
_FUNCTION_WORDS = """
a about above across after again against ago all almost along already also although always am among an and
another any anyone anything are around as at away back be became because become becomes becoming been before
behind being below between both but by can could did do does doing done down during each either else enough
even ever every far for from further get gets getting give given go goes going gone got had has have having he
her here hers him his how however i if in indeed instead into is it its just keep least less let like likely
made make makes making many may maybe me might mine more most much must my near need next now of off often on
only onto or other others our out over own per perhaps quite rather really said same say says she should since
so some somebody someone something sometimes soon still such take taken takes than that the their them then
there therefore these they thing things this those though through thus till to together too took toward
towards under until up upon us use used very was way we well went were what when where whether which while who
whom whose why will with within would yes yet you your
"""
PROTECTED = frozenset(f"{_NEGATIONS} {_NUMBERS} {_FUNCTION_WORDS}".split())
PARTICLE = re.compile(r"\s+(?:up|down|out|off|in|on|over|away|back|through|around|along|apart|forward)\b")
ARTICLE = re.compile(r"\b(?:a|an)\s+\Z", re.IGNORECASE)
ARTICLE_LENGTH = 4
VOWEL_SOUND = re.compile(r"(?!eu|uni[^nm]|us[aeu]|ut[ei]|one|once)[aeiou]|hour|honest|honou?r|heir")


class SynonymOptions(RateOptions):
    rate: float = rate_field(1.0)


@hookimpl
def register_rewriters() -> Iterable[RewriterSpec]:
    return [
        editor_spec(
            Synonym,
            SynonymOptions,
            "words become WordNet synonyms in the same inflected form",
            factory=build,
            extra="rewriters",
            modules=("lemminflect", _wordnet.MODULE),
            licence="WordNet 3.0: WordNet licence; lemminflect: MIT",
            cost="negligible, after a second of loading",
        )
    ]


def build(options: SynonymOptions, context: Context) -> Synonym:  # noqa: ARG001 - the factory's signature
    """Build the rewriter."""
    return Synonym(options, _wordnet.load())


class Synonym(Edits):
    """Places: words in lower case with a synonym that fits; the module's docstring says when it does."""

    name = "synonym"
    random_changes = True

    def __init__(self, options: SynonymOptions, wordnet: WordNet) -> None:
        super().__init__(options)
        self.wordnet = wordnet
        self.synonyms = functools.lru_cache(maxsize=100_000)(self._synonyms)

    def places(self, text: str) -> Sequence[Span]:
        spans = (Span(*found.span()) for found in LOWER_WORD.finditer(text))
        return [span for span in spans if self._fitting(text, span)]

    def change(self, text: str, place: Span, rng: random.Random) -> str:
        return rng.choice(self._fitting(text, place))

    def _fitting(self, text: str, place: Span) -> Sequence[str]:
        word = text[place.start : place.end]
        pos, synonyms = self.synonyms(word)
        if pos == "VERB" and PARTICLE.match(text, place.end):
            return ()
        if ARTICLE.search(text[max(0, place.start - ARTICLE_LENGTH) : place.start]):
            sound = bool(VOWEL_SOUND.match(word))
            return [synonym for synonym in synonyms if bool(VOWEL_SOUND.match(synonym)) == sound]
        return synonyms

    def _synonyms(self, word: str) -> tuple[Pos | None, Sequence[str]]:
        """Part of speech of a word in lower case, and its synonyms in the same form, in alphabetical order."""
        if word in PROTECTED:
            return None, ()
        reading = self._reading(word)
        if reading is None:
            return None, ()
        lemma, pos = reading
        sense = self.wordnet.first_sense(lemma, pos)
        if sense is None or sense.tagged < SAME_SENSE * self.wordnet.tagged(lemma, pos):
            return pos, ()
        tags = [tag for tag, form in _forms(lemma, pos).items() if form == word]
        found = set()
        for synonym, tagged in self.wordnet.synonyms(sense).items():
            forms = {_forms(synonym, pos).get(tag, "") for tag in tags}
            first = self.wordnet.first_sense(synonym, pos)
            if tagged and first and first.synset == sense.synset and len(forms) == 1:
                found |= forms
        return pos, sorted(
            form for form in found if form.isalpha() and form != word and form not in PROTECTED
        )

    def _reading(self, word: str) -> tuple[str, Pos] | None:
        """Lemma and part of speech, where one reading has most of the tagged occurrences."""
        from lemminflect import getAllLemmas

        tagged = {
            (lemma, pos): self.wordnet.tagged(lemma, pos)
            for pos, lemmas in getAllLemmas(word).items()
            if pos in TAGS
            for lemma in lemmas
        }
        best = max(tagged, key=lambda reading: tagged[reading], default=None)
        return best if best and 0 < SAME_POS * sum(tagged.values()) <= tagged[best] else None


@functools.lru_cache(maxsize=100_000)
def _forms(lemma: str, pos: Pos) -> Mapping[str, str]:
    """Penn tag -> the lemma's usual form, for those that lemminflect's table has; its model for others is not asked."""
    from lemminflect import getInflection

    found = {tag: getInflection(lemma, tag, inflect_oov=False) for tag in TAGS[pos]}
    return {tag: forms[0] for tag, forms in found.items() if forms}
