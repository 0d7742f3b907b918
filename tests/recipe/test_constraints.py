"""The two files of pinned versions: complete for what pyproject.toml asks, and alike but where vLLM demands else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VLLM_DEMANDS = {
    "transformers": ">=5.10.4,<5.18",
    "numpy": "<2.4",
    "torch": "==2.13.0",
    "huggingface-hub": ">=1.31",
}
"""From the metadata of vLLM 0.31, and of mistral-common, which it requires."""


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    rows = [line.split("==") for line in lines if line and not line.startswith("#")]
    found = {canonicalize_name(package): version for package, version in rows}
    assert len(found) == len(rows), "a package is pinned twice"
    return found


def required(extras: tuple[str, ...]) -> Iterator[Requirement]:
    for extra in ("", *extras):
        listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
        for text in listed:
            one = Requirement(text)
            if canonicalize_name(one.name) == PROJECT["name"]:
                yield from required(tuple(one.extras))
            else:
                yield one


@pytest.mark.parametrize(
    ("file", "extras"),
    [("constraints.txt", ("all", "dev")), ("constraints-gpu.txt", ("all", "dev", "vllm"))],
)
def test_everything_required_is_pinned_to_what_is_allowed(file: str, extras: tuple[str, ...]) -> None:
    pinned = pins(file)
    for one in required(extras):
        version = pinned.get(canonicalize_name(one.name))
        assert version is not None, f"{one.name} is not pinned in {file}"
        assert one.specifier.contains(version), f"{one} against {version} in {file}"


def test_the_environment_with_vllm_differs_where_vllm_demands_it_alone() -> None:
    usual, gpu = pins("constraints.txt"), pins("constraints-gpu.txt")
    differ = {name for name in usual.keys() & gpu.keys() if usual[name] != gpu[name]}
    assert differ == {"transformers", "huggingface-hub", "numpy"}
    for name, demanded in VLLM_DEMANDS.items():
        assert Requirement(f"{name}{demanded}").specifier.contains(gpu[name])
    assert not Requirement(f"transformers{VLLM_DEMANDS['transformers']}").specifier.contains(
        usual["transformers"]
    ), "one file would do"
