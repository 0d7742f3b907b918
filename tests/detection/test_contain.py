"""A detector's crash costs only the text it crashed on."""

import numpy as np
import pytest

from paraphrase_rl.errors import ModelError, PluginError
from paraphrase_rl.plugin.isolation import score_contained
from paraphrase_rl.types import Scores


def test_others_keep_their_scores(numbers):
    found = score_contained("numbers", numbers(), ["1", "crash", "word", "2.5"])
    assert found.values[[0, 3]].tolist() == [1.0, 2.5]
    assert [(f.index, f.kind) for f in found.failures] == [(1, "crashed"), (2, "not-a-number")]
    assert found.failures[0].message == "RuntimeError: out of luck"
    assert found.failures[0].owner == "numbers"


def test_no_texts_need_no_detector():
    assert score_contained("none", None, []).values.shape == (0,)


@pytest.mark.parametrize("answer", [None, [1.0, 2.0], Scores(np.zeros(3))])
def test_an_answer_of_the_wrong_kind_is_the_plugins_fault(answer):
    class Wrong:
        def score(self, texts):
            return answer

    with pytest.raises(PluginError, match="detector wrong returned"):
        score_contained("wrong", Wrong(), ["a", "b"])


def test_what_the_detector_has_to_say_passes():
    class Missing:
        def score(self, texts):
            raise ModelError("no model")

    with pytest.raises(ModelError, match="no model"):
        score_contained("missing", Missing(), ["a"])
