"""Training on Tinker, a service: no GPU of your own. Everything goes through the official ``tinker`` SDK."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from paraphrase_rl.plugin import (
    BackendSpec,
    Context,
    Options,
    Policy,
    RecipeError,
    RunError,
    TrainingResult,
    Treatment,
    hookimpl,
    new_folder,
)

if TYPE_CHECKING:
    from paraphrase_rl.plugin import Lora, Recipe, Session
    from paraphrase_rl_plugins.backends._tinker_policy import ServedChat, TinkerPolicy
    from paraphrase_rl_plugins.backends._tinker_service import Service

PARTS = {
    "train_attn": frozenset({"q_proj", "k_proj", "v_proj", "o_proj"}),
    "train_mlp": frozenset({"gate_proj", "up_proj", "down_proj"}),
    "train_unembed": frozenset({"lm_head"}),
}
"""The service's three switches, and the layers that each switches on."""


ON_POLICY = (
    "batches are sampled from the weights that they update, so that importance ratios are 1 but for rounding: none is"
    " truncated"
)


class TinkerOptions(Options):
    """Options of the ``tinker`` backend."""

    base_url: str | None = Field(
        None, description="address of the service; null = TINKER_BASE_URL, else the hosted one"
    )
    timeout_s: float = Field(
        600.0,
        gt=0,
        description="seconds any one answer may take before the run stops, resumable; samples and log-probabilities "
        "are asked for twice",
    )
    max_steps_off_policy: int = Field(
        0,
        ge=0,
        description="batches sampled ahead of the update they would wait for; 0 = on-policy, and only then does a "
        "resumed run repeat the numbers of an unbroken one",
    )
    ttl_days: float | None = Field(
        30.0, ge=1 / 24, description="how long the service keeps periodic checkpoints; null = for ever"
    )


def check(recipe: Recipe, options: TinkerOptions, device: str) -> Treatment:  # noqa: ARG001
    """Describe what the service does with recipe keys that it ignores, or supports only in part.

    Raises:
        RecipeError: the service cannot do what a recipe key asks for, or the API key is not set.
    """
    kept = "for ever" if options.ttl_days is None else f"for {options.ttl_days:g} days"
    switches = switches_of(recipe)
    return Treatment(
        ignored={
            "lora.alpha": "the service scales every adapter itself, as with alpha 32 whatever the rank",
            **({} if options.max_steps_off_policy else {"training.ratio_cap": ON_POLICY}),
            "checkpoints.keep": f"the service keeps every periodic checkpoint {kept} (option ttl_days of the backend),"
            " and the final one until it is deleted",
        },
        partly={
            "lora.target_modules": ", ".join(f"{name} {str(on).lower()}" for name, on in switches.items())
        },
    )


def switches_of(recipe: Recipe) -> dict[str, bool]:
    """Return the service's switches for the layers of a recipe that it can train.

    Raises:
        RecipeError: the service cannot do what a recipe key asks for, or the API key is not set.
    """
    from paraphrase_rl_plugins.backends._tinker_key import require_key

    require_key()
    if recipe.sampling.temperature != 1.0:
        raise RecipeError(
            f"sampling.temperature {recipe.sampling.temperature:g}: the service's log-probabilities are those of"
            " temperature 1, so every importance ratio would be wrong",
            "set sampling.temperature: 1.0, or train with --backend trl",
        )
    switches, info = adapted_parts(recipe.lora), _info(recipe.model)
    if switches["train_unembed"] and info is not None and info.shape is not None and info.shape.tied:
        raise RecipeError(
            f"lora.target_modules: lm_head is the unembedding of {recipe.model} and by the same weights its embedding,"
            " so that merged the adapter would be another policy",
            "leave lm_head out; or null, which adapts every other linear layer",
        )
    return switches


def served(options: TinkerOptions) -> Mapping[str, int | None] | None:
    """Ask the service for the models it trains: name -> context length in tokens, ``None`` = not told.

    Returns:
        ``None`` if it is a service of one's own, which the price table says nothing about, and it cannot be asked.

    Raises:
        RecipeError: the API key is not set.
        RunError: the hosted service does not answer.
    """
    from paraphrase_rl_plugins.backends._tinker_key import require_key

    own = options.base_url or os.environ.get("TINKER_BASE_URL")
    try:
        require_key()
        from paraphrase_rl_plugins.backends._tinker_served import ask

        return ask(own)
    except (RecipeError, RunError):
        if own:
            return None
        raise


def adapted_parts(lora: Lora) -> dict[str, bool]:
    """Return the service's switches for a recipe's layers.

    Raises:
        RecipeError: the layers are not whole parts of the model.
    """
    if lora.target_modules is None:
        return {"train_attn": True, "train_mlp": True, "train_unembed": False}
    wanted = set(lora.target_modules)
    switches = {switch: layers <= wanted for switch, layers in PARTS.items()}
    covered = {layer for switch, on in switches.items() if on for layer in PARTS[switch]}
    if not wanted or wanted != covered:
        parts = "; ".join(", ".join(sorted(layers)) for layers in PARTS.values())
        raise RecipeError(
            f"lora.target_modules: the service adapts only whole parts, not {', '.join(sorted(wanted - covered))}",
            f"choose from: {parts}; or null, which adapts the first two",
        )
    return switches


@hookimpl
def register_backends() -> Iterable[BackendSpec]:
    """Return the spec of the ``tinker`` backend."""
    return [
        BackendSpec(
            name="tinker",
            summary="Training on Tinker, a service, through its SDK: no GPU of your own",
            factory=TinkerBackend,
            options=TinkerOptions,
            extra="tinker",
            modules=("tinker", "transformers"),
            paper="Shao et al. 2024, DeepSeekMath (GRPO); Hu et al. 2021, LoRA",
            licence="Apache-2.0 (SDK); the service has terms of its own",
            cost="per token, by the service's price list",
            check=check,
            served=served,
            recipe="recipe-served",
            remote=True,
            starts_from=True,
            warmup=True,
            prices=Path(__file__).with_name("tinker_prices.yaml"),
        )
    ]


class TinkerBackend:
    """Samples, computes log-probabilities and updates weights at the service."""

    def __init__(self, options: TinkerOptions, context: Context) -> None:  # noqa: ARG002
        self.options = options

    def train(self, session: Session) -> TrainingResult:
        """Train to the end of the run or to the first interrupt; continue from ``session.resume_from``.

        Raises:
            RecipeError: the API key is not set, or the service cannot run the recipe.
            DataError: a prompt leaves no room for its answer.
            RunError: the service failed or did not answer; the checkpoints in the ledger are complete.
        """
        from paraphrase_rl_plugins.backends._prompt_room import longest_prompt
        from paraphrase_rl_plugins.backends._tinker_policy import ServedChat, TinkerPolicy
        from paraphrase_rl_plugins.backends._tinker_trainer import TinkerTrainer
        from paraphrase_rl_plugins.backends._tinker_warmup import warm_up

        recipe, days = session.recipe, self.options.ttl_days
        switches_of(recipe)  # refuses before anything is charged
        with self._service(f"continue with: prl train --resume {session.folder}") as service:
            chat = ServedChat(recipe.model, thinking=recipe.prompt.thinking)
            base = service.ask(
                service.connected.create_sampling_client(base_model=recipe.model), "the base model"
            )
            longest_prompt(session, chat, _context(service, recipe.model))
            training = self._training(service, session)
            policy, ttl = TinkerPolicy(service, base, chat), None if days is None else round(days * 86_400)
            training = warm_up(session, service, training, policy, ttl)
            if training is None:
                return TrainingResult(status="interrupted", step=0)
            trainer = TinkerTrainer(
                session,
                service,
                training,
                policy,
                rate=_rate(recipe),
                ttl=ttl,
                ahead=self.options.max_steps_off_policy,
                warmed_up=self._warmed_up(service, session, chat),
            )
            return trainer.train()

    def policy(self, model: str, adapter: Path | str | None, *, thinking: bool = False) -> Policy:
        """Load the model at the service, with the sampler weights of a ``tinker://`` reference or without.

        The session ends with the process.
        """
        from paraphrase_rl_plugins.backends._tinker_policy import ServedChat, TinkerPolicy

        if isinstance(adapter, Path):
            raise RecipeError(
                f"the service cannot load the folder {adapter}",
                "give a tinker:// reference, or use --backend trl",
            )
        service = self._service("try again")
        source = {"base_model": model} if adapter is None else {"model_path": adapter}
        sampler = service.ask(service.connected.create_sampling_client(**source), "the model")
        return TinkerPolicy(service, sampler, ServedChat(model, thinking=thinking))

    def export(self, run: Path, checkpoint: Mapping[str, Any], out: Path) -> None:  # noqa: ARG002
        """Download the adapter of a checkpoint to a new folder, whole or not at all.

        Raises:
            RunError: the service no longer has the checkpoint, or the download fails.
        """
        from paraphrase_rl_plugins.backends._tinker_export import download

        with new_folder(out) as unfinished:
            with self._service("try again") as service:
                download(service, str(checkpoint["reference"]), unfinished)
            _complete(unfinished)

    def _service(self, remedy: str) -> Service:
        from paraphrase_rl_plugins.backends._tinker_service import Service

        return Service(self.options.base_url, self.options.timeout_s, remedy)

    def _warmed_up(self, service: Service, session: Session, chat: ServedChat) -> TinkerPolicy | None:
        """The policy after the warm-up, whose distance is measured; ``None`` without one."""
        from paraphrase_rl_plugins.backends._tinker_policy import TinkerPolicy

        if session.warmup is None or session.warmup.reference is None:
            return None
        sampler = service.connected.create_sampling_client(model_path=session.warmup.reference)
        return TinkerPolicy(service, service.ask(sampler, "the warmed-up policy"), chat)

    def _training(self, service: Service, session: Session) -> Any:
        if session.resume_from is not None:
            restored = service.connected.create_training_client_from_state_with_optimizer(
                session.resume_from[1]
            )
            return service.ask(restored, f"checkpoint {session.resume_from[1]}")
        if session.warmup is not None and session.warmup.resume_from is not None:
            place = session.warmup.resume_from[1]
            restored = service.connected.create_training_client_from_state_with_optimizer(place)
            return service.ask(restored, f"checkpoint {place}")
        if isinstance(session.start_from, Path):
            raise RecipeError(
                f"the service cannot load the folder {session.start_from}", "start from a run trained there"
            )
        if session.start_from is not None:
            loaded = service.connected.create_training_client_from_state(session.start_from)
            return service.ask(loaded, f"checkpoint {session.start_from}")
        recipe = session.recipe
        created = service.connected.create_lora_training_client(
            recipe.model, rank=recipe.lora.rank, seed=recipe.training.seed, **adapted_parts(recipe.lora)
        )
        return service.ask(created, f"an adapter for {recipe.model}")


def _context(service: Service, model: str) -> int | None:
    """Tokens that a prompt and its answer may have together, by the service or else the model; ``None`` = not known."""
    from paraphrase_rl_plugins.backends._tinker_served import contexts

    try:
        told = contexts(service).get(model)
    except RunError:  # it need not be able to tell; if it is down, the next request says so
        told = None
    info = _info(model)
    return told or (None if info is None else info.context)


def _info(model: str) -> Any:
    """Facts about a model by its ``config.json``, as :func:`find_model` gives them; ``None`` if it is not here."""
    from paraphrase_rl.plugin import find_model

    return find_model(model, weights=False).info


def _rate(recipe: Recipe) -> float:
    rate = recipe.training.learning_rate
    if rate != "auto":
        return rate
    from paraphrase_rl.plugin import auto_learning_rate, find_model

    info = find_model(recipe.model).info
    if info is None:
        raise RecipeError(
            "training.learning_rate: auto needs the model's config.json, which is not on this machine",
            f"write the rate as a number, or run `hf download {recipe.model} config.json`",
        )
    return auto_learning_rate(info.hidden_size, info.model_type)


def _complete(folder: Path) -> None:
    """See that an adapter names its layers: peft takes a missing list for its own default, without a word."""
    from safetensors import safe_open

    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        with safe_open(folder / "adapter_model.safetensors", framework="numpy") as weights:
            layers = {key.split(".lora_")[0].rpartition(".")[2] for key in weights.keys() if ".lora_" in key}  # noqa: SIM118
    except (OSError, ValueError) as error:
        raise RunError(f"the service did not send a PEFT adapter: {error}", "try again") from error
    if not config.get("target_modules"):
        config["target_modules"] = sorted(layers)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
