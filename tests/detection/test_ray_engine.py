"""Ray Data, two replicas on this machine: the rows of one process, and errors as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import paraphrase_rl as prl
from paraphrase_rl.errors import ModelError, RunError
from tests.tiny_model import save_tiny_model

ray = pytest.importorskip("ray", reason="Ray is the extra `ray`")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, object]]]:
    """A trained detector and a language model, and Ray with two CPUs."""
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRL_HOME", str(folder / "home"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]))  # noqa: PTH109
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        prl.fit("tfidf", data="starter", options={"word_features": 500, "char_features": 500})
        yield {"tfidf": {}, "log-likelihood": {"model": str(save_tiny_model(folder / "model"))}}
        ray.shutdown()


def test_two_replicas_give_the_rows_of_one_process(
    detectors: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    texts = [f"The council voted {i} times on the bridge" + " and the harbour" * (i % 9) for i in range(100)]
    expected = list(prl.score_stream(texts, detectors=detectors))
    with prl.score_stream(iter(texts), detectors=detectors, engine="ray", workers=2) as rows:
        assert list(rows) == expected
    prl.score_file(texts, tmp_path / "one.jsonl", detectors=detectors)
    prl.score_file(texts[:50], tmp_path / "ray.jsonl", detectors=detectors)
    done = prl.score_file(texts, tmp_path / "ray.jsonl", detectors=detectors, engine="ray", workers=2)
    assert done.n_before == 50
    one, two = ((tmp_path / name).read_text().splitlines() for name in ("one.jsonl", "ray.jsonl"))
    assert [line for line in one if "tfidf" in line] == [line for line in two if "tfidf" in line]


def test_errors_come_back_as_they_are(detectors: dict[str, dict[str, object]]) -> None:
    lost = {"tfidf": {"folder": "/nowhere"}}
    with pytest.raises(ModelError, match=r"the tfidf detector is not trained") as raised:
        list(prl.score_stream(["A text."], detectors=lost, engine="ray", workers=2))
    assert "prl fit tfidf" in raised.value.hint
    with pytest.raises(RunError, match=r"200 replicas are asked for, and the cluster has 2 CPUs"):
        prl.score_stream(["A text."], detectors=detectors, engine="ray", workers=200)
