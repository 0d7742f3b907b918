"""Model card of an exported adapter or model: what it is, what it was trained on, what was measured, what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from paraphrase_rl import __version__
from paraphrase_rl.errors import PrlError
from paraphrase_rl.files import home
from paraphrase_rl.models.published import PublishedModel, published
from paraphrase_rl.recipe.loading import LoadedRecipe, dump_recipe, plain
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.reporting import formatting
from paraphrase_rl.reporting.inputs import ReportInputs, read_inputs
from paraphrase_rl.reporting.markdown import escaped, table, verdict_lines
from paraphrase_rl.reporting.word_changes import printable
from paraphrase_rl.runs.reader import read_history
from paraphrase_rl.runs.summary import summarise

SHOWN = (
    "lora.rank",
    "lora.alpha",
    "lora.target_modules",
    "training.learning_rate",
    "training.batch_size",
    "training.group_size",
    "training.seed",
    "sampling.temperature",
    "sampling.top_p",
    "sampling.max_tokens",
    "kl.penalty_coef",
)
_ADAPTER_CODE = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained({base!r})
model = PeftModel.from_pretrained(base, "FOLDER OR REPOSITORY OF THIS ADAPTER")
tokenizer = AutoTokenizer.from_pretrained({base!r})"""
_MODEL_CODE = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER OR REPOSITORY OF THIS MODEL")
tokenizer = AutoTokenizer.from_pretrained("FOLDER OR REPOSITORY OF THIS MODEL")"""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An adapter or a merged model that a card is written for.

    Attributes:
        run: directory of the run.
        step: step of the checkpoint.
        merged: True for a complete model.
        data_licence: licence of the training texts, as the data set's spec gives it; empty if it gives none.
    """

    run: Path
    step: int
    merged: bool
    data_licence: str


def model_card(exported: Exported) -> str:
    """Write the card in Markdown, with the metadata that the Hugging Face hub reads; no path of this machine is in it.

    Raises:
        RunError: there is no run, or one of its files is damaged.
        RecipeError: this version cannot read the recipe.
    """
    history, inputs = read_history(exported.run), read_inputs(exported.run)
    recipe, manifest = history.recipe, inputs.manifest
    base = published(recipe.model)
    template = _environment().get_template("card.md.j2")
    code = _MODEL_CODE if exported.merged else _ADAPTER_CODE
    text = template.render(
        metadata=_metadata(base, exported.merged),
        title=escaped(f"{exported.run.resolve().name}, step {exported.step}"),
        what="The weights, with a LoRA adapter merged into them," if exported.merged else "A LoRA adapter",
        base=_code(base.name),
        step=exported.step,
        steps=history.steps,
        version=escaped(str(manifest.get("paraphrase_rl", __version__))),
        backend=_code(manifest.get("backend", "?")),
        code=code.format(base=base.name),
        recipe=[(key, escaped(value)) for key, value in _shown(recipe)],
        whole_recipe=_whole(recipe).rstrip(),
        data=_data(manifest, recipe, exported.data_licence),
        metrics=_metrics(exported.run),
        acceptance=_acceptance(inputs, exported),
        licence=_licence(base),
        provenance=[(escaped(name), escaped(value)) for name, value in _provenance(manifest)],
    )
    return _without_places(text, exported.run)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("paraphrase_rl.reporting"),
        autoescape=False,  # Markdown: each text is escaped for it where it is put in
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )


def _metadata(base: PublishedModel, merged: bool) -> str:
    import yaml

    card: dict[str, Any] = {
        "library_name": "transformers" if merged else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["paraphrase-rl", "grpo", "ai-text-detection", "red-teaming", *([] if merged else ["lora"])],
    }
    if base.on_hub:  # the hub refuses a card whose base model is no repository
        card |= {"base_model": base.name, "base_model_relation": "finetune" if merged else "adapter"}
    if base.licence:
        card["license"] = base.licence
    return yaml.safe_dump(card, sort_keys=True).rstrip()


def _shown(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield "model", published(recipe.model).name
    for key in SHOWN:
        section, _, name = key.partition(".")
        value = getattr(getattr(recipe, section), name)
        yield key, "every linear layer but the unembedding" if value is None else str(value)
    for kind in ("rewards", "detectors", "held_out"):
        parts = getattr(recipe, kind)
        yield kind, "all that are installed" if parts is None else ", ".join(p.name for p in parts) or "none"


def _whole(recipe: Recipe) -> str:
    portable = Recipe.model_validate(_named(plain(recipe)))
    text = dump_recipe(LoadedRecipe(portable, _NoOrigins()))
    return "\n".join(line.removesuffix("  # ") for line in text.splitlines())


class _NoOrigins(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def _named(value: Any) -> Any:
    """The same recipe with the names alone of files and folders, which are places on one machine."""
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith(("~", ".."))):
        return Path(value).name
    return value


def _data(manifest: dict[str, Any] | Any, recipe: Recipe, licence: str) -> str:
    data = manifest.get("data", {})
    source = Path(str(data.get("source", recipe.data.source.name))).name
    words = recipe.data.excerpt_words
    cut = f", cut to excerpts of at most {words} words" if words else ""
    return (
        f"{escaped(str(data.get('documents', '?')))} documents of {escaped(source)} "
        f"(data set `{_code(recipe.data.source.name)}`){cut}; the AI texts of the train split were rewritten, "
        f"thresholds come from held-out human texts. Digest of the texts: `{_code(data.get('digest', '?'))}`. "
        f"Licence of the texts: {escaped(licence) or 'not stated by the data set, so to be found before sharing'}."
    )


def _metrics(run: Path) -> str:
    try:
        summary = summarise(run)
    except PrlError:
        return "Nothing was measured on held-out prompts."
    rows = [
        (row.term.replace("_", " "), *(formatting.number(v) for v in (row.before, row.after, row.change)))
        for row in summary
    ]
    heads = (
        "held-out prompts",
        f"before (step {summary.first_step})",
        f"after (step {summary.last_step})",
        "change",
    )
    said = f"Reward terms in [0, 1], higher is better, on {summary.prompts} held-out prompts."
    return "\n".join([said, "", *table(heads, rows)])


def _acceptance(inputs: ReportInputs, exported: Exported) -> str:
    if inputs.verdict is None:
        return "No verdict was made: `prl validate` makes one."
    lines = verdict_lines(inputs, "RUN")
    if inputs.verdict.checkpoint != exported.step:
        lines = [f"The verdict is on step {inputs.verdict.checkpoint}, not on this checkpoint.", "", *lines]
    return "\n".join(lines)


def _licence(base: PublishedModel) -> str:
    if base.licence:
        return f"As the model it was trained on, `{_code(base.name)}`: {base.licence}."
    return (
        f"That of the model it was trained on, `{_code(base.name)}`, which is not known on the machine that wrote this"
        " card: look it up, and add it to the metadata above, before this is shared."
    )


def _provenance(manifest: Any) -> Iterator[tuple[str, str]]:
    for reference, revision in manifest.get("models", {}).items():
        yield f"model {published(reference).name}", str(revision or "at the service")
    for package, version in manifest.get("packages", {}).items():
        yield package, str(version)
    yield "seeds", ", ".join(f"{name} {seed}" for name, seed in manifest.get("seeds", {}).items()) or "?"
    commit = (manifest.get("git") or {}).get("commit")
    if commit:
        yield "commit", str(commit)


def _code(value: object) -> str:
    """A text for a code span, which has no escapes."""
    return " ".join(printable(str(value)).replace("`", "'").split())


def _without_places(text: str, run: Path) -> str:
    """Replace the folders of this machine, wherever a message has one."""
    for place in sorted(
        {run.resolve(), home().resolve(), Path.home(), Path.cwd()}, key=lambda p: -len(str(p))
    ):
        if len(place.parts) > 1:
            text = text.replace(str(place), place.name)
    return text
