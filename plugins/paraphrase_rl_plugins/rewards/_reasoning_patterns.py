"""Patterns of reasoning that leaked into an answer: marks, channels, headings, prefaces, closed or not.

A word such as "think" is no evidence, and neither is a user who wants something: a preface counts where it opens the
text and speaks of the task. See :mod:`paraphrase_rl_plugins.rewards._format_patterns` for how patterns are matched.
"""

from __future__ import annotations

import re

from paraphrase_rl.plugin import THOUGHT_MARK

_THINK = (
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflect(?:ion)?|scratch_?pad|monologue)"
    r"(?:content|process|block)?(?![^\W_])"
)
_PART = r"[\w:▁-]{0,30}"
_NAME = (
    rf"(?:{_PART}{_THINK}{_PART}|(?:\w{{1,20}}[:_-])?(?:analysis|cot|internal(?:_\w{{1,20}})?(?! )|plan(?:ning)?"
    r"|(?:final_?)?(?:answer|response|output)|rewrit(?:e|ten)|paraphrase)\b)"
)
_ATTRIBUTE = rf"\w{{1,20}} [^<>\n]{{0,60}}=\s{{0,2}}[\"']?{_PART}{_THINK}"
_TAG = rf"[\s/|｜]{{0,4}}(?:{_NAME}|{_ATTRIBUTE})[^<>\n]{{0,60}}"

MARKS = [
    THOUGHT_MARK,
    # tags and special tokens that are named after thinking, or have an attribute that is
    re.compile(rf"[<＜⟨]{_TAG}[>＞⟩]|&lt;{_TAG}&gt;|‹[|｜]/?{_NAME}[|｜][>›]|◁/?{_NAME}▷", re.IGNORECASE),
    re.compile(r"<\|?(?:channel|message|turn)\|>|<\|(?:channel|message|turn|think)>"),
    re.compile(r"\[/?(?:THINK(?:ING)?|THOUGHTS?|REASONING|ANALYSIS|BEGIN FINAL RESPONSE|FINAL ANSWER)\]"),
    re.compile(r"\[/(?:think(?:ing)?|thoughts?|reasoning)\]", re.IGNORECASE),
    # what is left of channels whose marks, special tokens, were removed
    re.compile(
        r"\bassistant(?:final|analysis|commentary)|\A\s{0,4}(?:analysis|commentary|final)(?=[A-Z\"“'])"
    ),
    re.compile(
        r"\A\s{0,4}(?:(?:thought|think|thinking|reasoning|analysis)[ \t]{0,4}\n|\[(?:thinking|thoughts?|reasoning)\])",
        re.IGNORECASE,
    ),
    # headings: ### Thinking   **Reasoning:**
    re.compile(
        r"^[ \t]{0,4}(?:#{1,6}[ \t]{0,3}|\*{2,3}|__)[*_]{0,3}(?:(?:my|internal|inner|step-by-step) )?"
        r"(?:(?:thinking|thought|reasoning)(?: process| steps?| trace)?|thoughts|chain of thought|monologue|scratchpad)"
        r"[ \t*_:]{0,6}$",
        re.IGNORECASE | re.MULTILINE,
    ),
    # what programs print around a thought: Thinking...   ...done thinking.   Thought for 3 seconds
    re.compile(
        r"\A[\s*_>(]{0,8}thinking\s{0,2}(?:\.{2,3}|…)[ \t*_)]{0,6}\n"
        r"|^[ \t]{0,4}(?:\.{2,3}|…)[ \t]{0,2}done thinking\b"
        r"|\A[\s*_>(]{0,8}(?:thought|reasoned) for (?:(?:(?:about )?\d[\d.]{0,5} ?|a |a few |a couple of |several )"
        r"(?:s|secs?|seconds?|m|min|minutes?)\b[,. ]{0,2}(?:and )?){1,2}[ \t*_).…:]{0,6}\n",
        re.IGNORECASE | re.MULTILINE,
    ),
    # *thinks*   *ponders for a moment*
    re.compile(
        r"\*(?:thinks|ponders|muses|contemplates|thinking (?=aloud|hard|for|to ))"
        r"(?: ?(?:aloud|hard|carefully|for|to)\b[^*\n]{0,20})?(?:\.{3}|…)?\*",
        re.IGNORECASE,
    ),
]
"""Searched in the text as it is."""

_MAKE = r"(?:paraphras\w{0,4}|rephras\w{0,4}|reword\w{0,4})"
_TASK = (
    rf"(?:{_MAKE}|rewrit\w{{0,4}} (?:of |it |the |this |that |a |an |given |following |provided |above ){{0,4}}"
    r"(?:text|passage|paragraph|sentences?|version)|(?:given|provided|input) (?:text|passage)"
    r"|original (?:meaning|wording)|in (?:my|their|his|her) own words)"
)
_WANTS = (
    r"(?:wants?|asked|asks|is asking|has asked|would like|needs|requests|requested|has requested|is requesting"
    r"|provided|has provided|gave|has given|sent|said|says|instructs|instructed|told|expects)"
)
_USER = rf"(?:the|this|our) user (?:{_WANTS}|is|has|just)\b|the user's (?:request|query|instructions?|message|prompt)\b"
_HM = r"(?:okay|ok|alright|all right|hmm+|hm|got it|let's see|let me see|sure|great)\b[\s,.!:;…-]{1,4}"
_SO = r"(?:(?:so|now|well|right|first|next|wait|yes)\b[\s,.!:;…-]{1,4}){0,2}"
_I_WILL = (
    r"(?:let me|let's|let us|my (?:task|job|goal) is|(?:the|our|this) (?:task|goal|job|instruction|request) (?:is|asks)"
    r"|(?:task|goal)\s*:|(?:i|we) (?:need|have|want|am going|are going|am asked|are asked|am supposed) to"
    r"|(?:i|we)(?:'ll|'re|'m| will| should| must| can| could) |need to|must )"
)
_GIVEN = r"(?:text|request|task|sentences?|passage|paragraph|input|prompt|original|source|instructions?)"
_POINTS = (
    r"(?:(?:key|main|core|central|essential|important) (?:\w+ )?(?:facts?|points?|ideas?|information|details?)"
    r"|(?:core |original |overall |intended )?meaning|(?:given |source |original |input )?(?:text|passage|paragraph))"
)
_KEEP = (
    r"(?:(?:keep|preserve|retain|maintain|convey|change|alter|lose) (?:the |its |all |all the )?"
    r"(?:original |same |exact |full |core )?meaning"
    rf"(?:\s{{0,2}}(?:[.,;:!…\n]|$)"
    rf"| (?:and|but|while|without|the same|intact|unchanged|of (?:the|this|each) {_GIVEN})\b)"
    r"|(?:change|vary|alter|replace|avoid|use) (?:the |its |some |different )?"
    r"(?:wording|phrasing|sentence structures?|word choices?|synonyms)\b"
    r"|(?:say|put|phrase|express|write|restate) (?:it|this|that) (?:differently|(?:in )?another way|more naturally"
    r"|in (?:other|different|new|fresh) words)\b)"
)
_NEED = r"(?:need to|have to|should|must|can|could|will|want to|am going to|are going to)"
_PROCESS = r"(?:(?:thinking|thought|reasoning) (?:process|steps?|trace)|(?:chain|train) of thought|reasoning)"

PREFACES = [
    re.compile(pattern)
    for pattern in (
        # Okay, the user wants ...   Alright, so I need to paraphrase ...   Hmm, let me ...
        rf"{_HM}{_SO}(?:{_USER})",
        rf"{_HM}{_SO}(?:i|we) (?:need|have|should|must|want|am|are|will)\b[^\n]{{0,200}}\b{_TASK}",
        r"(?:hmm+|hm)\b[\s,.…-]{1,4}(?:let me|let's|i |we |the (?:text|user|original))",
        # I need to keep the meaning.   Let me see. I should change the wording
        rf"(?:{_HM})?{_SO}(?:(?:i|we) {_NEED}|i'll|we'll|let me|let's|need to|must) "
        rf"(?:also |just |only |still |try to |make sure (?:to |that i |i )?)?{_KEEP}",
        # Let me see. I should keep the number
        rf"(?:hmm+|hm|let's see|let me see)\b[\s,.!:;…-]{{1,4}}{_SO}(?:i|we) {_NEED} (?:also )?"
        r"(?:keep|mention|include|preserve|retain|restate|start with|begin with) (?:the |its |all |all the )?"
        r"(?:numbers?|names?|facts?|figures?|details?|dates?|(?:first )?sentences?)\b",
        # The text says that the boats came. So I can say:
        r"the (?:text|passage|paragraph|original|source|(?:first |original )?sentence) (?:says|states|reads|is about"
        rf"|mentions|describes|talks about|means)\b[^\n]{{0,300}}\b(?:so|thus|therefore|now|then),? (?:i|we) {_NEED} "
        rf"(?:say|write|put|restate|express|phrase|rewrite|{_MAKE})\b[^.\n]{{0,20}}:",
        # The user wants me to ...   The user provided a text to be rephrased
        rf"{_SO}(?:{_USER})[^\n]{{0,40}}\bme to\b",
        rf"{_SO}(?:{_USER})[^\n]{{0,160}}\b{_TASK}",
        rf"{_SO}user (?:{_WANTS}|prompt|request)\b[^\n]{{0,160}}\b{_TASK}",
        # We need to paraphrase ...   Let me start by rephrasing ...   Task: rewrite the text
        rf"(?:{_HM})?{_SO}{_I_WILL}[^\n]{{0,200}}\b{_TASK}",
        # Let me think.   Let me think step by step   Let's think about how to phrase this
        rf"(?:{_HM})?{_SO}let (?:me|us) think(?: for a (?:moment|second|minute))?(?:\s{{0,2}}(?:\.|:|…|—|\n)|$)",
        # Let me think, how can I say this?
        rf"(?:{_HM})?{_SO}let (?:me|us) think,? (?:about )?how (?:to|can|could|do|should|would|might|best|i|we)\b"
        rf"[^.\n]{{0,40}}\b(?:say|put|phrase|express|word|rewrite|restate|render|convey|{_MAKE})\b",
        rf"(?:{_HM})?{_SO}(?:let me|let's|let us|i(?:'ll| will| need to| should)) (?:carefully )?think "
        r"(?:step by step|(?:this|it) (?:through|over)|through (?:this|it|the)|carefully|about (?:this|it|how to "
        rf"(?:phrase|express|put|say|word|approach|restate|render|write|{_MAKE}))\b)",
        rf"(?:{_HM})?{_SO}(?:let me|let's|i(?:'ll| will| need to)) (?:start|begin)(?: by| with)? "
        r"(?:(?:reading|understanding|analy[sz]ing|breaking|looking at|identifying)\b[^.\n]{0,30}\b"
        rf"{_GIVEN}|{_MAKE})",
        rf"(?:{_HM})?{_SO}(?:let me|let's|i(?:'ll| will)) (?:break (?:this|it) down|tackle this"
        rf"|work through (?:this|it)|analy[sz]e (?:this|the) {_GIVEN})\b",
        r"(?:thinking|reasoning) (?:step by step|out loud|aloud)\b\s{0,2}[:.,]",
        # Thinking Process:   Reasoning:   Here's my thought process:   1. **Analyze the Request:**
        rf"(?:(?:my|the|internal|inner) ){{0,2}}(?:{_PROCESS}|thinking|thoughts?|monologue|scratchpad)"
        r"[*_\"]{0,3}\s{0,2}:",
        rf"here(?:'s| is| are) (?:(?:a|an|my|the|some|detailed|brief|short|step-by-step|internal) ){{0,3}}{_PROCESS}"
        r"\b[^.\n]{0,80}[:\n]",
        r"(?:\d[.)]\s{0,4})?[*_]{0,3}(?:analy[sz]e|analy[sz]ing|understand(?:ing)?|deconstruct(?:ing)?"
        r"|interpret(?:ing)?|identify|parse|break(?:ing)? down) (?:the |this )?(?:user's |user )?"
        r"(?:request|input|prompt|instructions?|task|(?:source|original|given) text)\b",
        # Step 1: Identify the key points
        r"step (?:1|one)\s{0,2}[:.)–—-][\s*_]{0,4}(?:identify|understand|analy[sz]e|read|break down|determine|extract"
        rf"|list|find|summari[sz]e|note) (?:and \w+ )?(?:the |its |all |all the |any )?{_POINTS}\b",
        rf"step (?:1|one)\s{{0,2}}[:.)–—-][\s*_]{{0,4}}{_MAKE}",
        # other languages
        r"(?:好的|好|嗯|首先)[，,。、 ]{1,2}(?:用户|我需要|我要|我来|让我|我们)|用户(?:希望|要求|想要|让|请求|需要)我"
        r"|让我(?:想想|思考|来改写)|(?:我需要|我要|任务是)(?:改写|重写|释义|转述)",
        r"(?:okay|ok|gut|also|alles klar|hmm?|mal sehen|schauen wir mal)[,.…:]{0,3} "
        r"(?:der|die) (?:nutzer|benutzer|user)(?:in)?\b",
        r"der (?:nutzer|benutzer|user) (?:möchte|will|bittet)[^\n]{0,80}\b(?:ich|mich|umformul|paraphras|umschreib)",
        r"(?:d'accord|bon|ok|okay|hmm?|voyons(?: voir)?|très bien)[,.…:]{0,3} l'utilisat(?:eur|rice)\b",
        r"l'utilisateur (?:veut|souhaite|me demande|demande)[^\n]{0,80}\b(?:que je|reformul|paraphras|réécri)",
        r"(?:bien|muy bien|vale|de acuerdo|ok|okay|hmm?|veamos|a ver)[,.…:]{0,3} el usuario\b",
        r"el usuario (?:quiere|me pide|pide|solicita)[^\n]{0,80}\b(?:que yo|reformul|parafras|reescrib)",
        r"(?:va bene|ok|okay|hmm?|vediamo|allora)[,.…:]{0,3} l'utente\b",
        r"l'utente (?:vuole|chiede|mi chiede|desidera)[^\n]{0,80}\b(?:che io|riformul|parafras|riscriv)",
        r"(?:certo|ok|okay|hmm?|vejamos|vamos ver)[,.…:]{0,3} o (?:usuário|utilizador)\b",
        r"o (?:usuário|utilizador) (?:quer|pede|pediu|deseja)[^\n]{0,80}\b(?:que eu|reformul|parafras|reescrev)",
        r"(?:хорошо|итак|ладно|хм|посмотрим|давайте посмотрим)[,.…:]{0,3} пользователь\b",
        r"пользователь (?:хочет|просит|попросил)[^\n]{0,80}(?:перефраз|перепис|переформулир)",
        r"ユーザー[はが][^\n]{0,60}(?:言い換え|書き換え|パラフレーズ)",
        r"사용자[가는][^\n]{0,60}(?:바꿔|다시 쓰|패러프레이즈)",
    )
]
"""Matched at the beginning of the plain text, after decoration."""

ASIDES = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        rf"\b(?:{_USER})[^.\n]{{0,40}}\bme to\b[^.\n]{{0,60}}(?:{_TASK}|\b(?:rewrite|answer|respond|reply)\b)",
        rf"\b(?:{_USER})[^.\n]{{0,60}}\b{_MAKE}",
        r"(?:^|[.!?]\s{1,3})(?:wait|hmm+|hold on|actually)\b[\s,.…—-]{1,3}"
        r"(?:let me (?:re-?(?:read|check|phrase|write|word)|check|try again|revise|refine)"
        r"|i (?:should|need to|must) (?:keep|avoid|make sure|preserve|not|check|also)"
        r"|the (?:user|instructions?|original text) (?:says?|said|wants?|asks?|asked))",
        r"^[\s*_#>\"-]{0,6}(?:(?:final|revised|polished|improved|refined|first|second|third|rough|initial) "
        r"(?:answer|version|draft|output|rewrite|paraphrase|attempt|response)|(?:draft|attempt|version) \d{1,2})"
        r"[*_\"]{0,3}\s{0,2}:",
        r"^[\s*_#>\"-]{0,6}(?:thinking|thought|reasoning) process[*_\"]{0,3}\s{0,2}:",
    )
]
"""Searched in the whole plain text."""
