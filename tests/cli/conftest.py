"""The real command line on two toy plug-ins, with a cache of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from paraphrase_rl_plugins.datasets import files

from paraphrase_rl.cli.main import cli
from paraphrase_rl.errors import ModelError
from paraphrase_rl.plugin import hookimpl
from paraphrase_rl.plugin.discovery import Plugins
from paraphrase_rl.plugin.registry import Registry
from paraphrase_rl.plugin.specs import Context, DatasetSpec, DetectorSpec, NoOptions, Options
from paraphrase_rl.types import Document, Failure, Scores


class ShoutOptions(Options):
    folder: str | None = None
    revision: str = "r1"
    sign: float = 1.0


class Shout:
    """Share of capitals among the letters; no letters is a failure, CRASH crashes."""

    def __init__(self, options: ShoutOptions, context: Context) -> None:
        self.options = options

    def score(self, texts: list[str]) -> Scores:
        if any("CRASH" in text for text in texts):
            raise RuntimeError("boom")
        letters = [[c for c in text if c.isalpha()] for text in texts]
        values = np.array(
            [sum(c.isupper() for c in found) / len(found) if found else np.nan for found in letters]
        )
        return Scores(
            self.options.sign * values.astype(np.float64),
            tuple(
                Failure(index=i, owner="shout", kind="no-letters", message="the text has no letters")
                for i, found in enumerate(letters)
                if not found
            ),
        )

    def provenance(self) -> dict[str, str]:
        return {"shout": self.options.revision}


def capitals(n: int) -> str:
    """A text of which n of 100 letters are capitals, five letters a word."""
    letters = "A" * n + "a" * (100 - n)
    return " ".join(letters[i : i + 5] for i in range(0, 100, 5))


class Essays:
    """In each split 20 human texts with 0 to 19 % capitals and 20 AI texts with 15 to 34 %; none is `capitals(n)`."""

    def __init__(self, options: NoOptions, context: Context) -> None:
        pass

    def documents(self) -> list[Document]:
        return [
            Document(
                id=f"{split}-{label}-{i}", text=capitals(first + i) + "." * (s + 1), label=label, split=split
            )
            for s, split in enumerate(("calibration", "train", "test"))
            for label, first in (("human", 0), ("ai", 15))
            for i in range(20)
        ]

    def description(self) -> str:
        return "Capitals."


def _fit(options: ShoutOptions, documents: Iterable[Document], folder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    counts = [d.split for d in documents]
    (folder / "fitted.json").write_text(json.dumps({"splits": sorted(set(counts)), "n": len(counts)}))


def _missing(options: NoOptions, context: Context) -> None:
    raise ModelError("no model at /nowhere", "bring it")


@hookimpl
def register_detectors() -> list[DetectorSpec]:
    return [
        DetectorSpec(
            name="shout",
            summary="Share of capitals",
            family="toy",
            factory=Shout,
            options=ShoutOptions,
            fit=_fit,
        ),
        DetectorSpec(
            name="whisper",
            summary="Share of capitals, doubled",
            family="toy",
            factory=lambda options, context: Shout(ShoutOptions(sign=2.0), context),
        ),
        DetectorSpec(name="missing", summary="Its model is not there", family="toy", factory=_missing),
    ]


@hookimpl
def register_datasets() -> list[DatasetSpec]:
    return [DatasetSpec(name="essays", summary="Capitals", factory=Essays)]


Prl = Callable[..., Result]


@pytest.fixture
def prl(monkeypatch, tmp_path) -> Prl:
    """Runs `prl ARGUMENTS` with the toy plug-ins and files, in an empty cache and folder."""
    toys = SimpleNamespace(register_detectors=register_detectors, register_datasets=register_datasets)
    toys = type("Toys", (), {k: staticmethod(v) for k, v in vars(toys).items()})
    registry = Registry(Plugins.of(toys=toys, files=files))
    monkeypatch.setattr("paraphrase_rl.plugin.registry.default_registry", lambda: registry)
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, [str(a) for a in arguments], input=stdin)
        assert "Traceback" not in result.output
        assert "internal error" not in result.output
        return result

    return run


@pytest.fixture
def payload(prl) -> Callable[..., dict]:
    """Runs `prl ARGUMENTS --format json` and returns what stands on stdout."""

    def run(*arguments: object, code: int = 0, stdin: bytes | None = None) -> dict:
        result = prl(*arguments, "--format", "json", stdin=stdin)
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout)

    return run


@pytest.fixture
def calibrated(prl):
    """The toy detectors calibrated at 10 %, in the default place."""
    result = prl(
        "calibrate", "--data", "essays", "--detector", "shout", "--detector", "whisper", "--target-fpr", "0.1"
    )
    assert result.exit_code == 0, result.stderr
    return prl
