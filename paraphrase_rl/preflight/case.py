"""Everything that the checks of a recipe look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from paraphrase_rl.data.spread import spread
from paraphrase_rl.errors import PrlError
from paraphrase_rl.files import expanded
from paraphrase_rl.plugin.estimates import Estimate, Load
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import BackendSpec
from paraphrase_rl.preflight.machine import DeviceMemory, device_memory
from paraphrase_rl.preflight.tokens import PromptLengths, prompt_lengths
from paraphrase_rl.recipe.arithmetic import Workload, total_steps
from paraphrase_rl.recipe.cost import Prices
from paraphrase_rl.recipe.loading import DEFAULT, LoadedRecipe
from paraphrase_rl.recipe.model_info import ModelInfo, find_model
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.types import Document, Split

if TYPE_CHECKING:
    from paraphrase_rl.data.documents import Corpus


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recipe with what is known about it.

    Attributes:
        loaded: the recipe, with the origin of each key.
        registry: where components come from.
        corpus: the recipe's texts; ``None`` if they are not known.
        backend: the backend it will run on; ``None`` if none is chosen.
        backend_options: options of the backend, as they were given.
        model_info: facts about the policy's model, if they are not to be read from its ``config.json``.
        device: torch device of the detectors and of a local policy.
        seconds_per_step: measured seconds per step; ``None`` if nothing was measured.
        hourly: what an hour of the machine costs; ``None`` if it is not known.
        prices: price table of the backend; ``None`` if nothing is charged.
        max_cost: the most that the run may cost, in the currency of the prices; ``None`` = any sum.
    """

    loaded: LoadedRecipe
    registry: Registry
    corpus: Corpus | None = None
    backend: str | None = None
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    model_info: ModelInfo | None = None
    device: str = "cpu"
    seconds_per_step: float | None = None
    hourly: float | None = None
    prices: Prices | None = None
    max_cost: float | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe itself."""
        return self.loaded.recipe

    @cached_property
    def model(self) -> ModelInfo | None:
        """Facts about the policy's model; ``None`` if its ``config.json`` is not on this machine."""
        return self.model_info or find_model(self.recipe.model).info

    @cached_property
    def backend_spec(self) -> BackendSpec | None:
        """Spec of the backend; ``None`` if none is chosen or there is no such backend."""
        try:
            return None if self.backend is None else self.registry.spec("backends", self.backend)
        except PrlError:
            return None  # reported by the check of the components

    @cached_property
    def options(self) -> Any:
        """Options of the backend, validated; ``None`` if there is no backend, or it does not know one of them."""
        if self.backend_spec is None:
            return None
        try:
            return self.registry.options("backends", self.backend_spec.name, self.backend_options)
        except PrlError:
            return None  # reported by the check of the components

    @cached_property
    def model_users(self) -> Mapping[str, list[str]]:
        """Models that components load, with the names of those that do; a component that is not there has none."""
        users: dict[str, list[str]] = {}
        for kind, component in self.recipe.components():
            try:
                models = self.registry.models(kind, component.name, component.options)
            except PrlError:
                continue  # reported by the check of the components
            for model in models:
                users.setdefault(model, []).append(component.name)
        return users

    @cached_property
    def live(self) -> Mapping[str, int | None] | PrlError | None:
        """Models that a service trains now, with their context length in tokens where it tells.

        The error if it cannot be asked; ``None`` if there is no service, or it does not tell.
        """
        spec = self.backend_spec
        if spec is None or spec.served is None or self.options is None:
            return None
        try:
            self.registry.require("backends", spec.name)
            return spec.served(self.options)
        except PrlError as error:
            return error

    @property
    def context(self) -> int | None:
        """Tokens of a prompt and its answer together at most, by the service or else the model; ``None`` = unknown."""
        served = self.live.get(self.recipe.model) if isinstance(self.live, Mapping) else None
        return served or (self.model.context if self.model is not None else None)

    @property
    def remote(self) -> bool:
        """True if the policy's weights are on another machine."""
        return self.backend_spec is not None and self.backend_spec.remote

    def prompts(self, split: Split) -> list[Document]:
        """Return the AI texts of a split, which are what is rewritten; none if the texts are not known."""
        return list(self.corpus.select(split=split, label="ai")) if self.corpus is not None else []

    @cached_property
    def evaluated(self) -> list[Document]:
        """Held-out texts that each evaluation of the run rewrites; none if the texts are not known."""
        return spread(self.prompts("test"), self.recipe.evaluation.prompts)

    @cached_property
    def warmup_texts(self) -> tuple[str, ...]:
        """Texts that the warm-up may make pairs of, near duplicates of held-out texts included; () without one."""
        settings = self.recipe.warmup
        if self.corpus is None or settings.method is None:
            return ()
        if settings.method == "best-of-n":
            texts = [document.text for document in self.prompts("train")]
        elif settings.method == "pairs":
            texts = _given_sources(settings.path or "")
        else:
            from paraphrase_rl.data.human_excerpts import human_excerpts

            longest = settings.max_words or self.recipe.data.excerpt_words
            found = human_excerpts(self.corpus, settings.min_words, longest)
            texts = [document.text for document in found]
        return tuple(spread(texts, settings.texts))

    @property
    def warmup_rollouts(self) -> int:
        """Number of completions sampled at most for the pairs of the warm-up; given ones need none."""
        settings = self.recipe.warmup
        return 0 if settings.method == "pairs" else len(self.warmup_texts) * settings.candidates

    @cached_property
    def work(self) -> Workload:
        """Steps, rollouts and evaluations of the run; of a warm-up the evaluation after it alone."""
        recipe = self.recipe
        steps = total_steps(len(self.prompts("train")), recipe.training)
        return Workload.of(
            steps,
            recipe.training,
            recipe.evaluation,
            len(self.prompts("test")),
            warmed_up=recipe.warmup.method is not None,
        )

    @cached_property
    def memory(self) -> DeviceMemory | None:
        """Memory of the device; ``None`` if this machine has no such device, or it does not tell."""
        return device_memory(self.device)

    @cached_property
    def lengths(self) -> PromptLengths | None:
        """Lengths of the prompts in tokens; ``None`` if the texts are not known."""
        folder = find_model(self.recipe.model, weights=not self.remote).folder
        return prompt_lengths(self.recipe, [*self.prompts("train"), *self.evaluated], folder)

    @cached_property
    def estimate(self) -> Estimate | None:
        """Memory and seconds of a step on this machine; ``None`` if the backend or the model does not tell."""
        spec, model = self.backend_spec, self.model
        if (
            spec is None
            or spec.estimate is None
            or model is None
            or model.shape is None
            or self.backend is None
            or self.options is None
        ):
            return None
        lengths = self.lengths or prompt_lengths(self.recipe, [Document(id="", text="word " * 200)], None)
        assert lengths is not None
        load = Load(
            device=self.device,
            device_bytes=self.memory.bytes if self.memory is not None else None,
            options=self.options,
            longest_prompt=lengths.longest,
            prompt=lengths.prompt,
            completion=lengths.completion,
        )
        origin = self.registry.get("backends", self.backend).origin(self.backend)
        with origin.blamed("while it estimates a step"):
            return spec.estimate(self.recipe, model.shape, load)

    def deviates(self, key: str) -> bool:
        """Return whether the recipe gives a key, or a part of it, a value that is not the default."""
        ours, default = _value_of(self.recipe, key), _value_of(Recipe(), key)
        return self.is_chosen(key) and ours != default

    def is_chosen(self, key: str) -> bool:
        """Return whether somebody wrote a key, or a part of it, and did not leave it to the default."""
        return any(
            origin != DEFAULT
            for known, origin in self.loaded.origins.items()
            if f"{known}.".startswith(f"{key}.")
        )


def _value_of(recipe: Recipe, key: str) -> object:
    """Value of a dotted key that is not inside a list; ``None`` if there is no such key."""
    value: object = recipe
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


def _given_sources(path: str) -> list[str]:
    """Sources of given pairs; none where the file cannot be read, which the run says by itself."""
    from paraphrase_rl.data.rows import file_rows

    try:
        return [str(row.get("source", "")) for _, row in file_rows(expanded(path)) if not row.get("why")]
    except PrlError:
        return []
