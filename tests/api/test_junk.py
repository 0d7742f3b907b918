"""Whatever is given to a verb, it answers or raises a PrlError: nothing else reaches the caller."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import paraphrase_rl as prl
from paraphrase_rl.errors import PrlError
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.types import Document

LONE = "half a pair \ud800 and more"
SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.05, -1.0, 2.0, float("nan"), float("inf"), 1 + 2j]),
    st.sampled_from(["", " ", "a text", "essays", "shout", "echo", "\0", LONE, "x" * 300, "text", "../..", "~"]),
    st.sampled_from([b"bytes", Path(), Path("nowhere"), Path("a\0b"), object(), print, prl, datetime.date(2024, 1, 1)]),
    st.sampled_from([np.float64(1.0), np.array(3), np.array([["a"]]), pd.NA, pd.Series(["a"]), pd.DataFrame()]),
    st.sampled_from([Document(id="i", text="t"), Document(id=3, text=None), Document(id="", text=LONE, label="x")]),  # type: ignore[arg-type]
    st.sampled_from([pd.DataFrame({"text": ["a", None]}), pd.DataFrame([["a", "b"]], columns=["text", "text"])]),
)  # fmt: skip
JUNK = st.one_of(
    SIMPLE,
    st.lists(SIMPLE, max_size=3),
    st.dictionaries(
        st.sampled_from(["shout", "text", "data.source", "training.epochs", 3]), SIMPLE, max_size=2
    ),
    st.dictionaries(st.just("shout"), st.dictionaries(st.sampled_from(["sign", "x", 3]), SIMPLE, max_size=2)),
)
PARAMETERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "score": (
        {"texts": "a text", "detectors": "shout"},
        ["texts", "detectors", "calibration", "fpr", "column", "device"],
    ),
    "calibrate": (
        {"detectors": "shout", "data": "essays"},
        ["detectors", "data", "target_fpr", "weights", "combine", "device"],
    ),
    "fit": ({"detector": "shout", "data": "essays"}, ["detector", "data", "options"]),
    "rewrite": (
        {"rewriter": "echo", "texts": "a text"},
        ["rewriter", "texts", "n", "seed", "options", "run", "calibration", "column", "device"],
    ),
    "load_data": (
        {"source": "essays"},
        ["source", "options", "test_fraction", "calibration_fraction", "split_seed", "excerpt_words"],
    ),
    "load_calibration": ({}, ["path"]),
    "load_recipe": ({}, ["recipe", "set"]),
}
CASES = [(verb, name) for verb, (_, names) in PARAMETERS.items() for name in names]


@pytest.mark.parametrize(("verb", "name"), CASES)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(junk=JUNK)
def test_junk_is_answered_or_refused(verb: str, name: str, junk: Any, registry: Registry) -> None:
    given_too = {} if verb in ("load_recipe", "load_calibration") else {"registry": registry}
    arguments = {**PARAMETERS[verb][0], **given_too, name: junk}
    with contextlib.suppress(PrlError):
        repr(getattr(prl, verb)(**arguments))


@pytest.mark.parametrize("value", [float("nan"), {"sign": float("inf")}])
def test_an_option_that_is_no_number_is_refused_in_the_words_of_the_product(value: object) -> None:
    with pytest.raises(PrlError, match="data set starter: unknown option 'shout'"):
        prl.load_data("starter", options={"shout": value})
