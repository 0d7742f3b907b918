"""The page and the picture of the experiment, made from its record alone."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from paraphrase_rl.detection.ensemble import COMBINED
from paraphrase_rl.reporting import markdown
from paraphrase_rl.reporting.charts import Spot, scatter
from paraphrase_rl.reporting.formatting import NOTHING, minus, number, share
from paraphrase_rl.reporting.html import asset
from paraphrase_rl.statistics.records import Estimate
from tests.evidence.experiment import EVADING
from tests.evidence.figures import FEWEST_FLAGGED, POWER, SUPERVISED, shown_minutes

Plain = Mapping[str, Any]
PICTURE = "images/evidence.svg"
BASE = "base model"
MAIN = "warm-up and GRPO"
EVASIVE = f"{MAIN}, more evasion"
SHORT = {
    f"{MAIN}, best of n": "warm-up, GRPO, best of n",
    EVASIVE: "more evasion",
    f"{EVASIVE}, best of n": "more evasion, best of n",
    "GRPO alone, reward of StealthRL": "reward of StealthRL",
}
"""Names of methods in the picture, which cuts longer ones."""
OURS = tuple(f"{name}{best}" for name in (MAIN, EVASIVE) for best in ("", ", best of n"))
QUALITY = (
    ("semantic_similarity", "similarity"),
    ("numbers_kept", "numbers kept"),
    ("names_kept", "names kept"),
    ("negations_kept", "negations kept"),
    ("perplexity_ratio", "perplexity ratio"),
    ("edit_rate", "edit rate"),
    ("format", "valid"),
)
STRONGEST = "strongest supervised"
FEWEST = 5
"""Documents, or flagged texts, from which a figure of this page has an interval."""
GOALS = (
    ("flagged by the ensemble, at most .25", ("flagged", COMBINED), "value", 0.25, False),
    (
        "flagged by the strongest supervised detector nobody trained against, at most .30",
        ("flagged", STRONGEST),
        "value",
        0.30,
        False,
    ),
    ("success on held-out families, at least .60", ("success_held_out",), "value", 0.60, True),
    ("the lower end of that, above .45", ("success_held_out",), "low", 0.45, True),
    ("similarity, at least .85", ("quality", "semantic_similarity"), "value", 0.85, True),
    ("numbers kept, at least .85", ("quality", "numbers_kept"), "value", 0.85, True),
    ("names kept, at least .85", ("quality", "names_kept"), "value", 0.85, True),
    ("valid outputs, at least .95", ("quality", "format"), "value", 0.95, True),
)
"""What was to be reached: its words, where the figure stands, which part of it counts, the bound, at least or at most.

The strongest is the one that flags most original texts: a mean with weaker ones is low before anything is rewritten.
"""


def render(record: Plain) -> str:
    """Write the page as Markdown."""
    return "\n".join(_lines(record)) + "\n"


def picture(record: Plain) -> str:
    """Draw evasion of the held-out detectors against similarity, as SVG with the report's own style."""
    spots = [
        Spot(
            label=SHORT.get(method["name"], method["name"]),
            x=Estimate(**method["success_held_out"]),
            y=Estimate(**method["quality"]["semantic_similarity"]),
            own=method["rollouts"] > 0,
        )
        for method in record["methods"]
        if "semantic_similarity" in method["quality"] and method["success_held_out"]["value"] is not None
    ]
    told = "; ".join(f"{s.label}: success {share(s.x.value)}, similarity {number(s.y.value)}" for s in spots)
    names = ("attack success, mean of the held-out families →", "similarity ↑")
    drawn = scatter("evidence", "Evasion against meaning", f"Scatter plot. {told}.", spots, names)
    head, rest = str(drawn).split(">", 1)
    namespace = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{namespace}><style>{asset('report.css')}</style>{rest}\n"


def _lines(record: Plain) -> Iterator[str]:
    size = record["size"]
    yield "# Does it evade, and what stops it"
    yield ""
    model = size["model"].removeprefix("package:")
    yield prose(
        f"`make evidence` trains a rewriter ({model}) against the detectors of `configs/evidence.yaml`, and",
        "evaluates it by detectors that nobody trained against, on texts that nothing was fitted on. It",
        "writes this page, from `docs/evidence.json`. An attack is published here together with what catches it.",
    )
    yield ""
    yield from _state(record)
    yield "## Rewriters compared"
    yield ""
    cut = f"at most {size['excerpt_words']} words each" if size["excerpt_words"] else "whole"
    yield prose(
        f"{size['ai']} AI test texts of {size['source']} ({_domains(size)}{size['documents']} documents, {cut});",
        "thresholds at a",
        "false positive rate of 5 %, set on",
        f"{size['calibration']} human calibration texts. Shares in percent, in brackets 95 % intervals: texts and",
        "calibration texts are drawn together, the seeds of a method are pooled. Success: of the texts flagged",
        "before, the share not flagged after; held out, the mean over the families of these detectors of the mean over",
        f"their members that flag at least {POWER:.0%} of the AI calibration texts, and {FEWEST_FLAGGED} of the",
        "original texts. Other warm-ups are on the pairs of both-0. Rollouts: completions sampled to train one policy,",
        "the paraphrases for these pairs included. Best of n: of",
        f"{size['candidates']} rewrites that with the lowest P(AI) by the detectors trained against, among those that",
        f"are valid, have a similarity of at least {size['least_similarity']:g} and keep at least",
        f"{size['least_facts_kept']:.0%} of the numbers, names and negations, where there are any; of a text without",
        "such a rewrite, that which lacks least.",
        "More evasion: the reward for evasion has twice the weight, and rises over one standard deviation of a",
        "detector's scores and not over three."
        if any(m["name"] == EVASIVE for m in record["methods"])
        else "",
    )
    yield ""
    yield from _unseen(size)
    yield from _methods(record)
    yield ""
    yield f"![Attack success on held-out detectors against similarity]({PICTURE})"
    yield ""
    yield from _quality(record)
    yield from _differences(record)
    yield from _goals(record)
    yield from _detectors(record)
    yield from _policies("Each policy by itself:", record["seeds"], _strongest(record))
    yield from _policies(_front_title(record), record["front"], _strongest(record))
    yield from _rewards(record)
    yield from _defences(record)
    yield from _made(record)


def _unseen(size: Plain) -> Iterator[str]:
    """What was decided by figures of test texts, and which of them judge no more."""
    if not size["developed_on"]:
        return
    yield prose(
        f"The experiment was developed on {size['developed_on']} other AI texts of the test split, which are left out:",
        "by their figures it was decided that there are policies with more evasion, and that these are trained for all",
        "steps and seeds. Until then no rewrite of the texts of this page by such a policy had been evaluated;",
        f"{size['documents_of_both']} of their {size['documents']} documents have another text, by another model,",
        "among those left out. Of the other methods that does not hold: versions of this page before those chose",
        "their texts in other ways, and most texts of this one were on them. By one of them it was decided that the",
        "best of n has to keep facts. That there is a warm-up and a conditional reward, and most of their numbers, was",
        "decided by a probe before the experiment, with another split of the same data.",
    )
    yield ""


def _domains(size: Plain) -> str:
    """How many texts there are of each kind, where the data says so."""
    return "".join(f"{n} {domain}, " for domain, n in sorted(size["domains"].items()))


def prose(*parts: str) -> str:
    """One paragraph of whole lines."""
    return textwrap.fill(" ".join(parts), 118, break_on_hyphens=False, break_long_words=False)


def _state(record: Plain) -> Iterator[str]:
    if record["missing"]:
        yield prose(f"**What this page does not have:** {'; '.join(record['missing'])}.")
        yield ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Iterator[str]:
    """A table; a bracket that begins no link needs no backslash."""
    for line in markdown.table(heads, rows, words=words):
        yield line.replace("\\[", "[").replace("\\]", "]")


def _estimate(found: Plain | None, percent: bool) -> str:
    if found is None or found["value"] is None:
        return NOTHING
    scale, style = (100, ".0f") if percent else (1, ".2f")
    text = f"{scale * found['value']:{style}}"
    if found["n"] < FEWEST:
        return minus(f"{text} (n = {found['n']})")
    if found["low"] is not None:
        text += f" [{scale * found['low']:{style}}, {scale * found['high']:{style}}]"
    return minus(text)


def _share(found: Plain | None) -> str:
    return _estimate(found, True)


def _number(found: Plain | None) -> str:
    return _estimate(found, False)


def _before(record: Plain) -> dict[str, Plain]:
    """Share of the original texts that each detector flags."""
    return {d["name"]: d["tpr"] for d in record["detectors"] if d["role"] != "failed"}


def _strongest(record: Plain) -> str | None:
    """The supervised detector nobody trained against that flags most of the original texts; ``None`` without one."""
    before = _before(record)
    return max(record["families"].get(SUPERVISED, ()), key=lambda name: before[name]["value"], default=None)


def _methods(record: Plain) -> Iterator[str]:
    against = [d["name"] for d in record["detectors"] if d["role"] == "trained against"]
    before = _before(record)
    heads = [
        "rewriter",
        "seeds",
        "rollouts",
        *(f"{name}: flagged" for name in against),
        "success, ensemble",
        "success, held out",
    ]
    rows = [["original texts", "", "", *(_share(before[name]) for name in against), "", ""]]
    for m in record["methods"]:
        rows.append(
            [
                m["name"],
                str(m["seeds"] or ""),
                _spent(m),
                *(_share(m["flagged"][name]) for name in against),
                _share(m["success"].get(COMBINED)),
                _share(m["success_held_out"]),
            ]
        )
    yield from _table(heads, rows)


def _spent(method: Plain) -> str:
    """Rollouts of a method: those of its training, and those for each text."""
    each = "" if method["per_text"] == 1 else f"{method['per_text']} a text"
    return ", ".join(part for part in (str(method["rollouts"] or ""), each) if part)


def _quality(record: Plain) -> Iterator[str]:
    yield prose(
        "What it costs: means over the rewrites, numbers, names and negations over the texts that have some. Where",
        f"these come from n < {FEWEST} documents there is no interval.",
    )
    yield ""
    rows = [[m["name"], *(_number(m["quality"].get(name)) for name, _ in QUALITY)] for m in record["methods"]]
    yield from _table(["rewriter", *(head for _, head in QUALITY)], rows)
    yield ""


def _differences(record: Plain) -> Iterator[str]:
    heads = ["less", "flagged by the ensemble", "success, held out", *(head for _, head in QUALITY)]
    for own in dict.fromkeys(d["method"] for d in record["differences"]):
        yield f"Differences, {own} less the other, in the same draws (rates in points):"
        yield ""
        rows = [
            [
                d["less"],
                _share(d.get("flagged")),
                _share(d.get("success_held_out")),
                *(_number(d.get(name)) for name, _ in QUALITY),
            ]
            for d in record["differences"]
            if d["method"] == own
        ]
        yield from _table(heads, rows)
        yield ""


def _goals(record: Plain) -> Iterator[str]:
    ours = [m for m in record["methods"] if m["name"] in (BASE, *OURS)]
    if not any(m["name"] in OURS for m in ours):
        return
    before, strongest, size = _before(record), _strongest(record), record["size"]
    told = f"Of the supervised detectors nobody trained against, {strongest} is the strongest: it flags"
    yield prose(
        "The goals that were set for a 135M policy, and whether they are reached; the base model with them, because",
        "a rewrite that loses the meaning evades too. What was tried for a goal that is not: fewer steps, colder",
        f"samples (the front, below), and the best of {size['candidates']} rewrites.",
        _boxes(record),
        f"{told} {_number(before[strongest])} of the originals." if strongest is not None else "",
    )
    yield ""
    rows = []
    for goal, path, part, bound, at_least in GOALS:
        row = [goal]
        for method in ours:
            found = method
            for key in path:
                found = found and found.get(strongest if key == STRONGEST else key)
            row += [_number(found), _reached(found, part, bound, at_least)]
        rows.append(row)
    yield from _table(["goal", *(head for m in ours for head in (m["name"], "reached"))], rows)
    yield ""
    yield from _rivals(record)


def _white_boxes(record: Plain) -> set[str]:
    """Detectors that score with the policy's own model."""
    return {d["name"] for d in record["detectors"] if d.get("white_box")}


def _boxes(record: Plain) -> str:
    """Say which of the families that count have only detectors that score with the policy's own model."""
    white = _white_boxes(record)
    own = [family for family, names in record["families"].items() if names and white.issuperset(names)]
    if not own:
        return ""
    which = " and ".join(own)
    return (
        f"All {which} detectors that count are white boxes; those with another model have too little power."
    )


def _rivals(record: Plain) -> Iterator[str]:
    """Whether a rewriter without training evades better than the policy and keeps as much of the meaning."""
    for own in (m for m in record["methods"] if m["name"] in OURS):
        similar = own["quality"]["semantic_similarity"]["value"]
        rivals = [
            m
            for m in record["methods"]
            if not m["rollouts"]
            and (found := m["quality"].get("semantic_similarity"))
            and (found["value"] or 0.0) >= similar
        ]
        if not rivals:
            yield prose(f"No rewriter without training has the similarity of {own['name']} ({similar:.2f}).")
        for m in rivals:
            told = [
                f"{_share(one['flagged'].get(COMBINED))} flagged, success {_share(one['success_held_out'])}"
                for one in (m, own)
            ]
            yield prose(
                f"Without training and of at least the similarity of {own['name']} ({similar:.2f}): {m['name']}",
                f"({m['quality']['semantic_similarity']['value']:.2f}), {told[0]}, against {told[1]}.",
            )
        yield ""


def _reached(found: Plain | None, part: str, bound: float, at_least: bool) -> str:
    if found is None or found[part] is None or found["n"] < FEWEST:
        return "n too small"
    return "yes" if (found[part] >= bound) == at_least or found[part] == bound else "no"


def _detectors(record: Plain) -> Iterator[str]:
    yield "## Detectors"
    yield ""
    yield prose(
        "White box: the detector scores with the policy's own model, and finds the policy's own samples likely; one",
        "with another model, or without a model, does not. Figures are of the original texts.",
    )
    yield ""
    rows = []
    for d in record["detectors"]:
        if d["role"] == "failed":
            rows.append([d["name"], f"failed: {d['failure']}", "", "", "", ""])
            continue
        box = "" if d["name"] == COMBINED else "white box" if d["white_box"] else "no"
        rows.append(
            [
                d["name"],
                f"{d['role']}, {d['family']}",
                box,
                _number(d["auroc"]),
                _share(d["tpr"]),
                _share(d["fpr"]),
            ]
        )
    yield from _table(
        ["detector", "role", "white box", "AUROC", "flagged AI", "flagged human"], rows, words=3
    )
    yield ""
    held_out = [d["name"] for d in record["detectors"] if d["role"] == "held out"]
    white = _white_boxes(record)
    if not held_out:
        return
    yield from _families(record, white)
    yield "Success of each rewriter against each held-out detector:"
    yield ""
    rows = [[m["name"], *(_share(m["success"].get(name)) for name in held_out)] for m in record["methods"]]
    yield from _table(["rewriter", *held_out], rows)
    yield ""
    yield "What each held-out detector flags, before and after:"
    yield ""
    before = _before(record)
    rows = [["original texts", *(_share(before[name]) for name in held_out)]]
    rows += [[m["name"], *(_share(m["flagged"].get(name)) for name in held_out)] for m in record["methods"]]
    yield from _table(["rewriter", *held_out], rows)
    yield ""


def _families(record: Plain, white: Collection[str]) -> Iterator[str]:
    """Success of each rewriter by family of the held-out detectors, and what is flagged before and after."""
    if not record["families"]:
        yield "No held-out detector has the power on these texts that a mean over families asks for."
        yield ""
        return
    yield prose(
        "Held out, by family, of the detectors that count in the means:",
        "; ".join(
            f"{family}: {', '.join(f'{n} (white box)' if n in white else n for n in names)}"
            for family, names in record["families"].items()
        )
        + ".",
        "Success of each rewriter, and what is still flagged:",
    )
    yield ""
    families = list(record["families"])
    before = record["flagged_before_by_family"]
    rows = [["original texts", *("" for _ in families), *(_share(before.get(f)) for f in families)]]
    rows += [
        [
            m["name"],
            *(
                _share(m[what].get(f))
                for what in ("success_by_family", "flagged_by_family")
                for f in families
            ),
        ]
        for m in record["methods"]
    ]
    yield from _table(
        ["rewriter", *(f"success, {f}" for f in families), *(f"flagged, {f}" for f in families)], rows
    )
    yield ""


def _policies(title: str, policies: Sequence[Plain], strongest: str | None) -> Iterator[str]:
    if not policies:
        return
    yield title
    yield ""
    rows = [
        [
            s["label"],
            _spent(s),
            _share(s["flagged"].get(COMBINED)),
            *([] if strongest is None else [_share(s["flagged"].get(strongest))]),
            _share(s["success_held_out"]),
            *(
                _number(s["quality"].get(name))
                for name in ("semantic_similarity", "numbers_kept", "names_kept", "format")
            ),
        ]
        for s in policies
    ]
    heads = [
        "policy",
        "rollouts",
        "flagged by the ensemble",
        *([] if strongest is None else [f"by {strongest}"]),
        "success, held out",
        "similarity",
        "numbers kept",
        "names kept",
        "valid",
    ]
    yield from _table(heads, rows)
    yield ""


def _front_title(record: Plain) -> str:
    more = any(EVADING in row["label"] for row in record["front"])
    return prose(
        "Warm-up and GRPO along its front, of the first seed: after fewer steps, with colder samples, and the best of",
        f"{record['size']['candidates']} rewrites; the same with more of the reward for evasion but for colder samples."
        if more
        else f"{record['size']['candidates']} rewrites.",
    )


def _rewards(record: Plain) -> Iterator[str]:
    if not record["rewards"]:
        return
    yield "## Reward by rollouts"
    yield ""
    first, prompts = record["rewards"][0]["run"], record["rewards"][0]["prompts"]
    others = [run["run"] for run in record["rewards"] if run["prompts"] != prompts]
    yield prose(
        "The rewrites of the held-out prompts at each evaluation of a run, rated by two rewards whatever the run was",
        "trained on: that of this recipe, and the design of StealthRL (`tests/evidence/stealthrl.py`), scaled to",
        "[0, 1]. Its bound of similarity was set for another encoder, with higher cosines, so that it pays less for",
        "meaning here than it would there. Per 1,000 rollouts: the gain from the first to the last evaluation over the",
        "rollouts between them.",
        f"Held-out prompts of {', '.join(others)} are others than those of {first}, so only gains compare."
        if others
        else "",
    )
    yield ""
    rows = []
    for run in record["rewards"]:
        points = [p for p in run["points"] if p["recipe"]["value"] is not None]
        if not points:
            continue
        first, last = points[0], points[-1]
        spent = (last["rollouts"] - first["rollouts"]) / 1000
        for p in points:
            at = p["after"] or f"step {p['step']}"
            rows.append(
                [run["run"], at, str(p["rollouts"]), _number(p["recipe"]), _number(p["stealthrl"]), "", ""]
            )
        gain = [
            NOTHING if not spent else minus(f"{(last[name]['value'] - first[name]['value']) / spent:+.2f}")
            for name in ("recipe", "stealthrl")
        ]
        rows[-1][-2:] = gain
    heads = [
        "run",
        "evaluation",
        "rollouts",
        "this recipe's reward",
        "StealthRL's",
        "gain per 1,000",
        "gain per 1,000, StealthRL's",
    ]
    yield from _table(heads, rows, words=2)
    yield ""


def _defences(record: Plain) -> Iterator[str]:
    if not record["defences"]:
        return
    yield "## What stops it"
    yield ""
    yield prose(
        "The rewrites of policies of seed 0, scored by detectors that know rewrites of other policies, or what the",
        "generator wrote; and by the same detectors without. All at a",
        "false positive rate of 5 % on human calibration texts. The price is in the last columns: human test texts",
        "flagged. Retrieval compares with all AI texts of the data, the originals",
        "of these rewrites among them, as whoever runs the generator could, with the sentence encoder that the policy",
        "was rewarded by. Hardened detectors are trained on the train texts with rewrites of them (`prl harden`); the",
        "best of n is chosen there by the detector that is hardened, and not by the ensemble.",
    )
    yield ""
    caught = list(record["defences"][0]["after"])
    rows = []
    for d in record["defences"]:
        rewritten = "; ".join(
            f"by {name}: {_share(found)}" for name, found in d.get("human_rewritten", {}).items()
        )
        on = ", ".join(f"{n} of {name}" for name, n in d.get("trained_on", {}).items())
        flagged = (
            _share(found) for found in (d["before"], *(d["after"][name] for name in caught), d["human"])
        )
        rows.append([d["name"], on, *flagged, rewritten])
    heads = [
        "detector",
        "hardened on",
        "flagged: originals",
        *caught,
        "human",
        "human, rewritten",
    ]
    yield from _table(heads, rows, words=2)
    yield ""
    yield from _pooled(record)


def _pooled(record: Plain) -> Iterator[str]:
    if not record["pooled"]:
        return
    yield prose(
        "Several texts of one author: their mean P(AI) decides, at a threshold set on groups of as many human texts.",
        "Shares flagged, of groups of texts as written by a human, or by the language model, or rewritten. The data",
        "names no authors, so a group is drawn from all texts of a kind. That flatters pooling: texts of one author",
        "are more alike, so that the threshold for authors would be higher.",
    )
    yield ""
    sizes = sorted({row["texts"] for row in record["pooled"]})
    by = {(row["detector"], row["texts"]): row for row in record["pooled"]}
    whose = [key for key in record["pooled"][0] if key not in ("detector", "texts")]
    rows = [
        [name, of, *(_share(by[name, k].get(of)) for k in sizes)]
        for name in dict.fromkeys(row["detector"] for row in record["pooled"])
        for of in whose
    ]
    heads = [f"{k} together" if k > 1 else "1 text" for k in sizes]
    yield from _table(["detector", "texts", *heads], rows, words=2)
    yield ""


def _made(record: Plain) -> Iterator[str]:
    size = record["size"]
    machine = record["machine"]
    yield "## How it was made"
    yield ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    yield prose(
        f"`{record['command']}`, on {machine['processor']} ({machine['bf16']}), {machine['device']},",
        f"scores in {machine['precision']}, with {packages}.",
    )
    yield ""
    rows = [
        [
            r["run"],
            r["status"],
            str(r["steps"]),
            f"{r['warmup_pairs']} of {r['warmup_texts']}, {r['warmup_method']}" if r["warmup_texts"] else "",
            str(r["rollouts"] or NOTHING),
            r["precision"],
            NOTHING if r["kl_sample_train"] is None else f"{r['kl_sample_train']:.4f}",
            shown_minutes(r["minutes"]),
        ]
        for r in record["runs"]
    ]
    yield from _table(
        [
            "run",
            "status",
            "steps",
            "pairs of the warm-up",
            "rollouts",
            "precision",
            "largest kl_sample_train",
            "wall minutes",
        ],
        rows,
        words=2,
    )
    yield ""
    stages = ", ".join(f"{s['stage']} {s['cpu_minutes']:g}" for s in record["stages"])
    if stages:
        yield prose(
            f"CPU minutes of the stages: {stages}; {sum(s['cpu_minutes'] for s in record['stages']):.0f} in all. A run",
            "that was there already is in the table alone.",
        )
        yield ""
    yield prose(
        "Documents are split first, pairs together: detectors and policies are trained on the train split, thresholds",
        "set on the calibration split. A policy is evaluated after its last step. What the best of n has to keep was",
        "chosen by rollouts of the training, and how much more evasion is before such a policy was trained; numbers of",
        "the recipe by rewards of the training, or by the probe and its own split.",
        f"Detectors are hardened on rewrites of {size['hardened_on']} AI and as many human texts.",
        "Detectors fitted on the train split have seen the human texts that the warm-up learns from.",
    )
    yield ""
    for note in record["notes"]:
        yield f"- {note}"
