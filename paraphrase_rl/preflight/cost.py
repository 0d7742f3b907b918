"""Cost: tokens, hours and money of the run, each with what it is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paraphrase_rl.names import suggestion
from paraphrase_rl.preflight.case import Case
from paraphrase_rl.preflight.findings import Finding, Rule
from paraphrase_rl.recipe.arithmetic import Workload
from paraphrase_rl.recipe.cost import TOKENS_PER_WORD, Bill, Passes, Prices, bill

LOGGED_SECONDS = (30.0, 250.0)
"""Seconds per step, lowest and highest, in logs of published runs of the recipe; used if nothing was measured."""

TOKENS = Rule(
    "PRL100",
    "ok",
    "tokens",
    "The tokens that the run reads, samples and trains on, counted from the texts.",
)
HOURS = Rule(
    "PRL101",
    "ok",
    "hours",
    "How long the run takes, from measured seconds per step if there are any. A warm-up counts as the steps that "
    "sample and train on as many tokens. The published recipe says 2 to 3 hours for 3,468 steps; logged steps took 30 "
    "to 250 seconds, which makes 29 to 241 hours.",
)
PRICE = Rule(
    "PRL102",
    "ok",
    "price",
    "The price of the model's tokens, with its date and source.",
)
DOUBTFUL_PRICE = Rule(
    "PRL103",
    "warning",
    "price",
    "There is doubt about the price of the model, or about whether the service still serves it.",
    "read the price at the service and give a table with --prices FILE",
)
NO_PRICE = Rule(
    "PRL104",
    "warning",
    "price",
    "The price table lacks the model, so that no cost can be computed.",
    "name another model, or give a table with --prices FILE",
)
COST = Rule(
    "PRL105",
    "ok",
    "cost",
    "What the run costs: expected, and at most.",
)
ASSUMPTIONS = Rule(
    "PRL106",
    "note",
    "assumptions",
    "What the cost is computed from.",
)
WITHIN = Rule(
    "PRL107",
    "ok",
    "max cost",
    "The run cannot cost more than the limit.",
)
TOO_DEAR = Rule(
    "PRL108",
    "error",
    "max cost",
    "The run could cost more than the limit.",
    "lower training.max_steps, training.epochs or sampling.max_tokens, or raise the limit",
)
UNKNOWN_COST = Rule(
    "PRL109",
    "error",
    "max cost",
    "Whether the run stays within the limit cannot be known: its data or the price of its model is missing.",
    "give what is missing: the data, or a price table with --prices FILE",
)
LIMIT = (WITHIN.code, TOO_DEAR.code, UNKNOWN_COST.code)
"""Codes of the findings about the cost limit."""


def check(case: Case) -> Iterator[Finding]:
    """Count tokens, hours and money if the texts are known, and compare with the limit if there is one."""
    if case.corpus is not None:
        yield from _effort(case) if case.prices is None else _bill(case, case.prices)
    if case.max_cost is not None:
        yield _within(case, case.max_cost)


def _effort(case: Case) -> Iterator[Finding]:
    """Tokens, hours and money of a run on a machine of one's own."""
    work = case.work
    if not work.steps:
        return
    rollouts = work.rollouts + work.evaluation_rollouts + case.warmup_rollouts
    tokens = rollouts * case.recipe.sampling.max_tokens
    yield TOKENS.found(f"at most {tokens / 1e6:,.1f} million tokens sampled")
    yield HOURS.found(_hours(case))
    if case.hourly is not None:
        low, high = (hours * case.hourly for hours in _range_of_hours(case))
        told = f"{low:,.2f}" if low == high else f"{low:,.2f} to {high:,.2f}"
        yield COST.found(f"{told} at {case.hourly:g} an hour, for those hours")


def _range_of_hours(case: Case) -> tuple[float, float]:
    """Hours of the run, from the best that is known about the seconds of a step."""
    if case.seconds_per_step is not None:
        seconds = (case.seconds_per_step, case.seconds_per_step)
    elif case.estimate is not None and case.estimate.seconds is not None:
        seconds = case.estimate.seconds
    else:
        seconds = LOGGED_SECONDS
    low, high = (hours_at(case, second) for second in seconds)
    return low, high


def hours_at(case: Case, seconds: float) -> float:
    """Compute the hours of a run, with its warm-up, whose steps take so many seconds each."""
    return (case.work.steps + _warmup_in_steps(case)) * seconds / 3600


def _warmup_in_steps(case: Case) -> float:
    """Number of steps that sample and train on as many tokens as the warm-up; 0 if there is none, or no AI text.

    Of a run of configs/evidence.yaml (619 texts, 85 s a step) this says 48, as if every text made a pair. By its clocks
    the warm-up took the time of 34 steps with the 249 pairs that passed the filters, and 46 if all had.
    """
    training, train = case.recipe.training, case.prompts("train")
    if not train or not case.warmup_texts:
        return 0.0

    def tokens(rollouts: int, warmup: Sequence[str]) -> float:
        work = Workload(steps=0, rollouts=rollouts, evaluations=0, evaluation_rollouts=0)
        counted = bill(case.recipe, work, Passes(prefill=0, train=1), train, (), warmup).expected
        return counted.sample + counted.train

    return tokens(0, case.warmup_texts) / tokens(training.batch_size * training.group_size, ())


def _hours(case: Case) -> str:
    """Hours of the run, with what they are computed from."""
    low, high = _range_of_hours(case)
    if case.seconds_per_step is not None:
        return f"{low:.1f} at {case.seconds_per_step:g} s per step{_with_warmup(case)}"
    shown = f"{_short(low)} to {_short(high)}"
    if case.estimate is not None and case.estimate.seconds is not None:
        seconds = " to ".join(map(_short, case.estimate.seconds))
        basis = f"{seconds} s per step, {case.estimate.basis}"
    else:
        basis = f"the {LOGGED_SECONDS[0]:g} to {LOGGED_SECONDS[1]:g} s per step of published runs"
    return f"{shown}, at {basis}{_with_warmup(case)}; measure a few steps and give --seconds-per-step"


def _with_warmup(case: Case) -> str:
    if case.recipe.warmup.method is None:
        return ""
    steps = _warmup_in_steps(case)
    return f"; the warm-up counts as {steps:,.1f} steps, by its tokens" if steps else "; without the warm-up"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def _billed(case: Case, prices: Prices) -> Bill:
    return bill(
        case.recipe, case.work, prices.passes, case.prompts("train"), case.evaluated, case.warmup_texts
    )


def _bill(case: Case, prices: Prices) -> Iterator[Finding]:
    """Tokens, hours and cost, each with the assumptions behind it."""
    counted, model = _billed(case, prices), case.recipe.model
    for name, of_kind in (("in", "prefill"), ("out", "sample"), ("trained", "train")):
        expected, most = getattr(counted.expected, of_kind) / 1e6, getattr(counted.most, of_kind) / 1e6
        yield TOKENS.found(f"{name}: {expected:,.1f} million expected, at most {most:,.1f} ({of_kind})")
    yield HOURS.found(_hours(case))
    price = prices.models.get(model)
    if price is None:
        yield NO_PRICE.found(
            f"no price is known for {model}; {suggestion(model, prices.models)}", key="model"
        )
        return
    rule = DOUBTFUL_PRICE if price.note else PRICE
    yield rule.found(
        f"{price.prefill:g} in, {price.sample:g} out, {price.train:g} trained, {prices.currency} per million tokens of "
        f"{model} on {price.date} ({price.source})" + (f"; {price.note}" if price.note else ""),
        key="model",
    )
    expected, most = counted.expected.cost(price), counted.most.cost(price)
    yield COST.found(f"{expected:,.2f} {prices.currency} expected, at most {most:,.2f}")
    yield ASSUMPTIONS.found(
        f"a rewrite is expected to be as long as its source, and is at most {case.recipe.sampling.max_tokens} tokens; "
        f"{TOKENS_PER_WORD} tokens per word; {prices.assumptions}"
    )


def _within(case: Case, limit: float) -> Finding:
    """Check the highest possible cost of a run against the limit."""
    prices, model = case.prices, case.recipe.model
    price = prices.models.get(model) if prices is not None else None
    if prices is None or price is None or case.corpus is None:
        why = "its data" if case.corpus is None else f"a price of {model} (give one with --prices FILE)"
        said = f"cannot check the cost limit of {limit:g}: that needs {why}"
        return UNKNOWN_COST.found(said, remedy="")
    most = _billed(case, prices).most.cost(price)
    said = f"at most {most:,.2f} {prices.currency}, {limit:,.2f} allowed"
    return (WITHIN if most <= limit else TOO_DEAR).found(said)
