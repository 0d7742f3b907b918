"""Recipes: merging, provenance, and what is refused."""

from __future__ import annotations

import math
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paraphrase_rl.errors import RecipeError
from paraphrase_rl.recipe import defaults, loading
from paraphrase_rl.recipe.loading import dump_recipe, load_recipe, packaged_recipes
from paraphrase_rl.recipe.monitors import PUBLISHED
from paraphrase_rl.recipe.problems import known_keys
from paraphrase_rl.recipe.schema import Recipe
from paraphrase_rl.recipe.yaml_positions import parse_strings


def refused(*overrides: str, file: Path | None = None) -> RecipeError:
    with pytest.raises(RecipeError) as raised:
        load_recipe(file, overrides)
    return raised.value


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# ---- merging and provenance


def test_without_a_file_every_key_is_a_default() -> None:
    loaded = load_recipe(None)
    assert loaded.recipe == Recipe()
    assert set(loaded.origins.values()) == {"default"}
    assert "rewards.fluency.weight" in loaded.origins
    assert "monitors.mode-collapse.action" in loaded.origins
    assert set(known_keys()) - {"rewards", "detectors", "rewriters", "data.source", "monitors"} <= {
        *loaded.origins,
        "data.source.name",
    } | {"data.source.options"}


def test_defaults_file_and_set_in_this_order(tmp_path: Path) -> None:
    file = write(tmp_path / "r.yaml", "training:\n  epochs: 2\n\n  batch_size: 6\n")
    loaded = load_recipe(file, ["training.epochs=5", "training.epochs=7"])
    training = loaded.recipe.training
    assert (training.epochs, training.batch_size, training.group_size) == (7, 6, 8)
    assert loaded.origins["training.epochs"] == "--set"
    assert loaded.origins["training.batch_size"] == f"file {file}:4"
    assert loaded.origins["training.group_size"] == "default"


def test_components_are_addressed_by_name(tmp_path: Path) -> None:
    file = write(tmp_path / "r.yaml", "rewards:\n- name: fluency\n- name: format\n  weight: 2\n")
    loaded = load_recipe(file, ["rewards.format.options.max_length=3", "detectors.fast-detectgpt.weight=2"])
    assert [(r.name, r.weight, r.options) for r in loaded.recipe.rewards] == [
        ("fluency", None, {}),
        ("format", 2, {"max_length": 3}),
    ]
    assert loaded.origins["rewards.format.weight"] == f"file {file}:4"
    assert loaded.origins["rewards.format.options.max_length"] == "--set"
    assert loaded.origins["detectors.fast-detectgpt.weight"] == "--set"
    assert loaded.origins["detectors.log-likelihood.weight"] == "default"
    assert [d.name for d in loaded.recipe.detectors] == ["log-likelihood", "fast-detectgpt"]


def test_a_component_is_completed_not_replaced() -> None:
    source = load_recipe(None, ["data.source.options.path=x.jsonl"]).recipe.data.source
    assert (source.name, source.options) == ("starter", {"path": "x.jsonl"})


@pytest.mark.parametrize(
    "path", ["*.jsonl", "[draft].jsonl", "#1.jsonl", "@home.csv", "%done.csv", "a: b: c.csv"]
)
def test_an_option_that_is_no_yaml_is_text(path: str) -> None:
    source = load_recipe(None, [f"data.source.options.path={path}"]).recipe.data.source
    assert source.options == {"path": path}


def test_a_key_of_the_recipe_that_is_no_yaml_is_refused() -> None:
    assert "--set training.max_steps=*x" in str(refused("training.max_steps=*x"))


def test_setting_a_whole_list_replaces_what_the_file_had(tmp_path: Path) -> None:
    file = write(tmp_path / "r.yaml", "rewards:\n- name: fluency\n  weight: 2\n")
    loaded = load_recipe(file, ["rewards=[{name: format}]"])
    assert loaded.origins["rewards.format.name"] == "--set"
    assert loaded.origins["rewards.format.weight"] == "default"


@pytest.mark.parametrize(
    ("written", "value"), [("1e-5", 1e-5), ("2.8e-4", 2.8e-4), ("1E-3", 1e-3), (".5", 0.5), ("auto", "auto")]
)
def test_numbers_as_people_write_them(written: str, value: object) -> None:
    assert load_recipe(None, [f"training.learning_rate={written}"]).recipe.training.learning_rate == value


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path / "r.yaml", "# nothing\n")).recipe == Recipe()


# ---- writing it down


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=3),
    st.floats(1e-9, 0.9),
)
@example("a\u2028b", ["\x85", "\u2028"], 0.5)
@example("1e5", ["1e5", "-1.5E-3", "yes", "010"], 0.5)
def test_what_is_dumped_loads_equal(
    tmp_path_factory: pytest.TempPathFactory, text: str, names: list[str], rate: float
) -> None:
    recipe = Recipe.model_validate(
        {
            "prompt": {"system": text},
            "lora": {"target_modules": names or None},
            "training": {"learning_rate": rate},
            "rewards": [
                {"name": "a", "options": {"k": {"deep": text}, "l": names, "none": None, "yes": True}}
            ],
        }
    )
    whole = loading.plain(recipe)
    origins = {loading.dotted(keys, whole): "default" for keys, _ in loading._leaves(whole)}
    file = write(tmp_path_factory.mktemp("r") / "r.yaml", dump_recipe(loading.LoadedRecipe(recipe, origins)))
    assert load_recipe(file).recipe == recipe


def test_the_dump_says_where_each_key_came_from(tmp_path: Path) -> None:
    file = write(tmp_path / "r.yaml", "training: {epochs: 2}\n")
    loaded = load_recipe(file, ["kl.penalty_coef=0.02"])
    text = dump_recipe(loaded)
    assert f"  epochs: 2  # file {file}:1\n" in text
    assert "  penalty_coef: 0.02  # --set\n" in text
    assert "  batch_size: 4  # default\n" in text
    again = load_recipe(write(tmp_path / "again.yaml", text))
    assert again.recipe == loaded.recipe
    assert set(again.origins) == set(loaded.origins)


# ---- what is refused


@pytest.mark.parametrize(
    ("override", "said", "hint"),
    [
        ("training.epcohs=3", "--set: unknown key training.epcohs", "did you mean training.epochs?"),
        ("trainin.epochs=3", "unknown key trainin", "did you mean training?"),
        (
            "learning_rate=1e-4",
            "unknown key learning_rate",
            "did you mean training.learning_rate or warmup.learning_rate?",
        ),
        ("grpo.penalty_coef=1", "unknown key grpo.penalty_coef", "did you mean kl.penalty_coef?"),
        ("rewards.fluncy.weight=2", "there is no fluncy in rewards", "did you mean fluency?"),
        ("rewards.weight=2", "rewards is not a section", "by its name"),
        (
            "rewards.fluency.wieght=2",
            "unknown key rewards.fluency.wieght",
            "did you mean rewards.fluency.weight?",
        ),
        ("model.name=x", "model: input should be a valid string, got {'name': 'x'}", ""),
        ("epochs", "expected section.key=value", "for example"),
        ("training..epochs=1", "a part of the key", ""),
        ("training.epochs=[1", "not valid YAML", ""),
        ("training.epochs=two", "training.epochs: input should be a valid integer, got 'two'", ""),
        ("training.epochs=true", "training.epochs: input should be a valid integer, got True", ""),
        ("training.epochs='3'", "got '3'", ""),
        ("training.epochs=0", "training.epochs: input should be greater than or equal to 1", ""),
        ("training.learning_rate=fast", "a valid number or input should be 'auto', got 'fast'", ""),
        ("training.learning_rate=3", "learning_rate must be between 0 and 1", ""),
        ("training=3", "training: ", ""),
        ("loss=ppo", "loss: input should be 'importance_sampling'", ""),
        ("rewards=[]", "rewards: ", ""),
        ("rewards=[{weight: 1}]", "rewards.0.name is missing", "name"),
        ("detectors=[{name: a}, {name: a}]", "detectors: a listed twice", ""),
        ("data.test_fraction=0.9", "add up to more than 1", ""),
    ],
)
def test_wrong_overrides(override: str, said: str, hint: str) -> None:
    error = refused(override)
    assert "--set" in error.message
    assert said in error.message
    assert hint in error.hint
    assert "\n" not in error.message


def test_mistakes_in_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    file = write(
        tmp_path / "r.yaml",
        "training:\n  epochs: two\n  epoch: 1\nrewards:\n  - name: fluency\n    weight: -1\n",
    )
    lines = refused(file=file).message.splitlines()
    assert lines[0] == "the recipe has 3 errors:"
    assert sorted(line.split(": ")[0].strip() for line in lines[1:]) == [f"{file}:{n}" for n in (2, 3, 6)]
    assert any("did you mean training.epochs?" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"training:\n  epochs: 1\n  epochs: 2\n",
            "r.yaml:3: the key epochs occurs twice, first in line 2",
        ),
        (b"model: a\nmodel: b\n", "r.yaml:2: the key model occurs twice"),
        (b"training: [1\n", "not valid YAML"),
        (b"a: 1\n\tb: 2\n", "r.yaml:2: not valid YAML"),
        (b"- a\n", "a recipe must be a mapping"),
        (
            b"model: !!python/object/apply:os.system [ls]\n",
            "r.yaml:1: the YAML tag tag:yaml.org,2002:python/object/apply:os.system is not supported",
        ),
        (b"model: !!python/name:os.system\n", "not valid YAML: could not determine a constructor"),
        (b"data: &a {source: *a}\n", "this alias contains itself"),
        (b"model: caf\xe9\n", "not UTF-8 at byte 10"),
        (b"model: a\x00b\n", "not valid YAML"),
        (b"? [a]\n: 1\n", "r.yaml:1: a key must be a plain word"),
        (b"model: 2024-01-01\n", "r.yaml:1: model: input should be a valid string"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(content)
    assert said in refused(file=file).message


BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (ord("a") + i, ord("a") + i, b", ".join([b"*%c" % (ord("a") + i - 1)] * 9))
    for i in range(1, 7)
)
LIMITS = {
    "aliases of aliases": (BOMB, r"r.yaml:\d: more than 20,000 values, by aliases"),
    "an integer of 5,000 digits": (
        b"training:\n  seed: " + b"9" * 5000,
        r"r.yaml:2: the integer is too large",
    ),
    "an integer of 40 digits": (b"training: {seed: %s}" % (b"9" * 40), r"r.yaml:1: the integer is too large"),
    "a hexadecimal integer": (b"training: {seed: 0x%s}" % (b"f" * 99), r"r.yaml:1: the integer is too large"),
    "a date": (
        b"model: a\nlora:\n  rank: 2024-13-45",
        r"r.yaml:3: 2024-13-45: month must be in 1..12; write a",
    ),
    "a time": (b"model: 2024-01-01 25:00:00", r"r.yaml:1: 2024-01-01 25:00:00: hour must be in 0..23"),
    "lists": (b"[" * 3000, r"r.yaml:1: not valid YAML: more than 50 collections inside one another"),
    "mappings": (b"{a: " * 3000, r"r.yaml:1: not valid YAML: more than 50 collections"),
    "mappings by lines": (
        b"".join(b" " * i + b"a:\n" for i in range(300)),
        r"r.yaml:5\d: not valid YAML: more than 50 collections",
    ),
    "infinity": (b"kl:\n  penalty_coef: .inf", r"r.yaml:2: kl.penalty_coef: input should be a finite"),
    "no number": (b"kl:\n\n  penalty_coef: .NaN", r"r.yaml:3: kl.penalty_coef: input should be a finite"),
    "too large a number": (
        b"kl: {penalty_coef: 1e999}",
        r"r.yaml:1: kl.penalty_coef: input should be a finite",
    ),
    "infinity in an option": (
        b"held_out:\n- name: a\n  options: {x: [.inf]}",
        r"r.yaml:\d: held_out.a.options: every number must be finite",
    ),
    "two megabytes": (b"model: " + b"x" * 2**21, r"characters are no recipe"),
}


@pytest.mark.parametrize(("content", "said"), LIMITS.values(), ids=LIMITS)
def test_a_recipe_of_somebody_else_costs_a_line(tmp_path: Path, content: bytes, said: str) -> None:
    tracemalloc.start()
    error = refused(file=write_bytes(tmp_path / "r.yaml", content))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert re.search(said, error.message), error.message
    assert "\n" not in error.message
    assert error.hint
    assert peak < 50 * 2**20


@pytest.mark.parametrize(
    "change",
    [
        "kl.penalty_coef=.inf",
        f"training.seed={'9' * 5000}",
        "model=2024-13-45",
        f"model={'[' * 3000}",
        ("kl.penalty_coef", math.inf),
        ("training.learning_rate", math.nan),
    ],
    ids=range(6),
)
def test_limits_hold_for_changes_too(change: str | tuple[str, float]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [change])
    assert "\n" not in caught.value.message


def test_an_option_is_read_within_the_limits() -> None:
    deep = "[" * 3000
    assert parse_strings(deep) == deep
    assert parse_strings("{label: yes, n: 1}") == {"label": "yes", "n": "1"}


def test_what_is_within_the_limits_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "r.yaml", "detectors: [&d {name: a, options: {x: [1, 2]}}]\nheld_out: [*d]\n")
    held_out = load_recipe(file).recipe.held_out
    assert held_out is not None
    assert held_out[0].options == {"x": [1, 2]}


def test_bad_paths(tmp_path: Path) -> None:
    assert "no recipe at" in refused(file=tmp_path / "none.yaml").message
    assert "quickstart" in refused(file=tmp_path / "none.yaml").hint
    assert "cannot read" in refused(file=tmp_path).message


# ---- packaged recipes


def test_packaged_recipes_go_by_name() -> None:
    assert {"recipe", "quickstart"} <= set(packaged_recipes())
    assert load_recipe("recipe").recipe.model == "Qwen/Qwen3-4B-Instruct-2507"


def test_a_wheel_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paraphrase_rl" / "_configs").mkdir(parents=True)
    inside = write(tmp_path / "paraphrase_rl" / "_configs" / "recipe.yaml", "{}")
    monkeypatch.setattr(defaults, "_PACKAGE", tmp_path / "paraphrase_rl")
    assert packaged_recipes() == {"recipe": inside}


def test_a_file_wins_over_a_packaged_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "recipe", "model: mine\n")
    assert load_recipe("recipe").recipe.model == "mine"


# ---- monitors


def test_a_published_rule_is_changed_in_part_switched_off_or_joined_by_others(tmp_path: Path) -> None:
    changes = [
        "monitors.mode-collapse.action=stop",
        "monitors.no-signal=null",
        "monitors.mine={metric: kl_reference, high: 0.3, action: raise-kl}",
    ]
    loaded = load_recipe(None, changes)
    rules = loaded.recipe.monitors
    assert list(rules) == [*PUBLISHED, "mine"]
    assert rules["mode-collapse"] == PUBLISHED["mode-collapse"].model_copy(update={"action": "stop"})
    assert rules["no-signal"] is None
    assert rules["mine"] is not None
    assert (rules["mine"].multiplier, rules["mine"].limit) == (2.0, 3)
    assert loaded.origins["monitors.mode-collapse.action"] == "--set"
    assert loaded.origins["monitors.mode-collapse.low"] == "default"
    written = load_recipe(write(tmp_path / "r.yaml", dump_recipe(loaded)))
    assert written.recipe == loaded.recipe, "what is off stays off"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("monitors.mode-colapse.action=stop", "mode-colapse is a new rule, and needs a metric; did you mean mode-"),
        ("monitors.mode-collapse.action=halt", "monitors.mode-collapse.action: input should be 'note'"),
        ("monitors.mode-collapse.actoin=stop", "unknown key monitors.mode-collapse.actoin"),
        ("monitors.mode-collapse.low=null", "give the band: low, high or both"),
        ("monitors.mode-collapse.high=0.01", "low 0.05 must be below high 0.01"),
        ("monitors.mode-collapse.low=.nan", "monitors.mode-collapse.low: input should be a finite number"),
        ("monitors.mode-collapse.low=-.inf", "monitors.mode-collapse.low: input should be a finite number"),
        ("monitors.mode-collapse.patience=0", "monitors.mode-collapse.patience: input should be greater"),
        ("monitors.mode-collapse.factor=2", "factor is only for raise-kl and lower-rate, not for warn"),
        ("monitors.x={metric: y, low: 0, action: raise-kl, factor: 0.5}", "the factor of raise-kl must be above 1"),
        ("monitors.x={metric: y, low: 0, action: lower-rate, factor: 2}", "the factor of lower-rate must be below 1"),
        ("monitors.x={metric: seconds_total, high: 9, action: stop}", "seconds_total measures time"),
        ("monitors.mode-collapse=3", "monitors.mode-collapse: input should be a valid dictionary"),
        ("monitors=[]", "monitors: input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_a_wrong_monitor_is_refused_by_its_key(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe(None, [change])
    assert message in raised.value.message


def test_a_misspelt_key_of_a_monitor_gets_the_nearest() -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe(None, ["monitors.mode-collapse.patiense=3"])
    assert raised.value.hint == "did you mean monitors.mode-collapse.patience?"


def test_raising_a_coefficient_of_0_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"raise-kl multiplies kl\.penalty_coef, which is 0"):
        load_recipe(None, ["kl.penalty_coef=0", "monitors.far-from-base.action=raise-kl"])


def test_nothing_need_be_left_to_train_on() -> None:
    """Fractions of .1 add up to a little more than 1 in floating point."""
    data = load_recipe(None, ["data.test_fraction=0.9", "data.calibration_fraction=0.1"]).recipe.data
    assert data.test_fraction + data.calibration_fraction == pytest.approx(1.0)
