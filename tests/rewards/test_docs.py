"""docs/rewards.md says what the specs, checks and options say."""

from __future__ import annotations

from pathlib import Path

from paraphrase_rl_plugins.rewards.fluency import FluencyOptions
from paraphrase_rl_plugins.rewards.output_format import FormatOptions, OutputFormat

from paraphrase_rl.plugin.registry import default_registry
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.training.reward import WeightedReward
from tests.rewards.samples import make_batch

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")


def row(name: str) -> str:
    """A reward's row of the first table, from its spec."""
    spec = default_registry().spec("rewards", name)
    term = WeightedReward(
        name=name, reward=lambda batch: NotImplemented, weight=1.0, role=spec.role, stem=spec.metric
    )
    gate = "yes" if spec.gate else ""
    return f"| `{name}` | {spec.summary} | {spec.default_weight} | {gate} | `{term.metric}` |"


def test_every_bundled_reward_has_its_row() -> None:
    bundled = [e.spec.name for e in default_registry().entries("rewards") if e.plugin.bundled]
    default = [entry.name for entry in Recipe().rewards]
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 6]
    assert rows == [row(name) for name in (*default, *sorted(set(bundled) - set(default)))]


def test_every_check_has_its_row_with_the_thresholds_in_force() -> None:
    rows = {
        line.split("`")[1]: line
        for line in PAGE.splitlines()
        if line.startswith("| `") and line.count("|") == 4
    }
    assert list(rows) == list(OutputFormat(FormatOptions())(make_batch(["x"])).details)
    options = FormatOptions()
    assert f"under {options.min_length} or over {options.max_length:g} times" in rows["length"]
    assert f"more than {options.max_copied} of" in rows["no_copy"]
    assert f"over {options.max_repetition} more" in rows["no_loop"]
    assert all(f"`{option}`" in PAGE for option in FormatOptions.model_fields)


def test_the_band_is_the_one_in_force() -> None:
    options = FluencyOptions()
    assert f"[{options.low:g}, {options.high:g}]" in PAGE
    assert f"({options.max_tokens}) tokens" in PAGE
