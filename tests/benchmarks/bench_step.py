"""One training step of the quickstart: ours against TRL's stock GRPOTrainer on the same prompts.

    GOMP_SPINCOUNT=1000 .venv/bin/python tests/benchmarks/bench_step.py

Batch, group, tokens, excerpts, prompt, sampling and adapter are those of configs/quickstart.yaml, the same in both.
Ours end where the model ends them, and stock's are made to have as many tokens: by chance alone the two would differ by
a tenth. `--full` lets no end token be drawn (`--tokens 48` for a shorter step). Both read one group at a time for the
update: stock with the whole batch at once takes 15 GiB at 48 tokens already. No gradient checkpointing, reference
log-probabilities in both; both in the precision that `auto` takes on this machine, or in the given one (stock:
`bf16=True`, its autocast). Each trainer runs in a process of its own; the first step warms up, the
others count. The reward is a count of vowels in both. Ours includes what stock does not do: the log-probabilities of
two rollouts of each group after the update.
ONEDNN_MAX_CPU_ISA=AVX2 makes a processor with AMX one without.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from paraphrase_rl.models.precision import Precision, decide

if TYPE_CHECKING:
    from paraphrase_rl.recipe.schema import Recipe


def vowels(texts: list[str]) -> list[float]:
    return [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in texts]


def clock(steps: list[dict[str, float]], finish: Callable[[], object] = lambda: None) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.at = time.perf_counter(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            finish()
            steps.append({"wall": time.perf_counter() - self.at[0], "cpu": time.process_time() - self.at[1]})

    return Clock()


def quickstart(count: int, tokens: int | None) -> Recipe:
    """The quickstart's recipe for so many steps, without checkpoints; ``tokens`` replaces its own limit."""
    from paraphrase_rl.recipe.loading import load_recipe

    changes = {"training.max_steps": count, "training.epochs": 99, "checkpoints.every": 10_000}
    return load_recipe("quickstart", changes | ({"sampling.max_tokens": tokens} if tokens else {})).recipe


def our_run(folder: Path, recipe: Recipe) -> Any:
    from paraphrase_rl.data.documents import load_documents
    from paraphrase_rl.plugin.registry import default_registry
    from tests.training.runs import training_run

    run = training_run(folder, recipe)
    corpus = load_documents(recipe.data.source, recipe.data, default_registry())
    prompts = recipe.training.batch_size * recipe.training.max_steps
    run.train = corpus.select(split="train", label="ai")[:prompts]
    run.__post_init__()
    return run


def ours(
    recipe: Recipe, steps: list[dict[str, float]], precision: Precision, lengths: list[list[int]], full: bool
) -> None:
    """Train ours; append the numbers of tokens of each step's completions to ``lengths``."""
    from tests.training.runs import backend

    with tempfile.TemporaryDirectory() as folder:
        trainer = backend(precision).trainer(our_run(Path(folder) / "run", recipe))
        if full:
            trainer.sampler.end_ids = []

        def finish() -> None:
            trainer.step_metrics()
            lengths.append([len(one.completion_ids) for one in trainer.current.rollouts])

        trainer.add_callback(clock(steps, finish))
        trainer.train()


def ending_at(generate: Callable[..., Any], lengths: Iterator[list[int]]) -> Callable[..., Any]:
    """Make a model's ``generate`` end completions at given numbers of tokens and nowhere else, a list at each call."""
    import torch

    def generate_so(*arguments: Any, input_ids: Any, generation_config: Any, **named: Any) -> Any:
        last = torch.tensor(next(lengths))[:, None] + input_ids.shape[1] - 1

        def only_there(ids: Any, scores: Any) -> Any:
            ends = torch.zeros(scores.shape[1], dtype=torch.bool)
            ends[generation_config.eos_token_id] = True
            return scores.masked_fill(ends != (ids.shape[1] >= last), -torch.inf)

        return generate(
            *arguments,
            input_ids=input_ids,
            generation_config=generation_config,
            logits_processor=[only_there],
            **named,
        )

    return generate_so


def stock(
    recipe: Recipe, steps: list[dict[str, float]], precision: Precision, lengths: list[list[int]]
) -> None:
    """Train stock with completions of so many tokens, a list for each step."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    from paraphrase_rl.models.references import load_causal_lm, load_tokenizer

    training, sampling, lora = recipe.training, recipe.sampling, recipe.lora
    model = load_causal_lm(recipe.model)
    model.generate = ending_at(model.generate, iter(lengths))
    drawn: list[list[int]] = []

    def reward(completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
        drawn.append([len(ids) for ids in completion_ids])
        return vowels([c[0]["content"] for c in completions])

    with tempfile.TemporaryDirectory() as folder:
        run = our_run(Path(folder) / "run", recipe)
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=[reward],
            args=GRPOConfig(
                output_dir=str(Path(folder) / "out"),
                max_steps=training.max_steps,
                per_device_train_batch_size=training.group_size,
                gradient_accumulation_steps=training.batch_size,
                num_generations=training.group_size,
                max_completion_length=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                beta=recipe.kl.penalty_coef,
                learning_rate=training.learning_rate,
                use_cpu=True,
                bf16=precision == "bf16",
                gradient_checkpointing=False,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"prompt": run.conversation(d)} for d in run.train]),
            processing_class=load_tokenizer(recipe.model),
            peft_config=LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clock(steps))
        trainer.train()
    if drawn != lengths:
        raise SystemExit("stock did not draw completions of the given numbers of tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="?", choices=["ours", "stock"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--tokens", type=int, help="of each completion; by default the quickstart's limit")
    parser.add_argument("--full", action="store_true", help="every completion has all tokens")
    parser.add_argument(
        "--lengths", type=json.loads, help="tokens of the completions of each step, for stock"
    )
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    arguments = parser.parse_args()
    precision, recipe = decide(arguments.precision, "cpu"), quickstart(arguments.steps, arguments.tokens)
    if arguments.which:
        steps: list[dict[str, float]] = []
        if (arguments.which == "stock") != bool(arguments.lengths):
            parser.error("--lengths is for stock, which needs it")
        lengths = arguments.lengths or []
        if arguments.which == "ours":
            ours(recipe, steps, precision, lengths, arguments.full)
        else:
            stock(recipe, steps, precision, lengths)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"steps": steps[1:], "lengths": lengths, "peak_gib": peak}))
        return
    training, limit = recipe.training, recipe.sampling.max_tokens
    print(
        f"precision {precision}; {training.batch_size} prompts of {recipe.data.excerpt_words} words x "
        f"{training.group_size} rollouts of {'' if arguments.full else 'up to '}{limit} tokens"
    )
    found: dict[str, dict[str, float]] = {}
    lengths = []
    for which in ("ours", "stock"):
        command = [sys.executable, "-W", "ignore", __file__, which, "--steps", str(arguments.steps)]
        command += ["--precision", precision, "--tokens", str(limit), *(["--full"] if arguments.full else [])]
        command += ["--lengths", json.dumps(lengths)] if which == "stock" else []
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        result = json.loads(out.splitlines()[-1])
        lengths = result["lengths"]
        found[which] = {figure: mean(step[figure] for step in result["steps"]) for figure in ("wall", "cpu")}
        print(
            f"{which:6} {found[which]['wall']:6.1f} s wall  {found[which]['cpu']:6.1f} s CPU a step  "
            f"peak {result['peak_gib']:.1f} GiB  {mean(map(mean, lengths[1:])):.0f} tokens a completion"
        )
    for clock_ in ("wall", "cpu"):
        print(f"ratio of {clock_}: {found['ours'][clock_] / found['stock'][clock_]:.2f} (at most 0.3)")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
