"""Pytest plug-in, loaded wherever paraphrase-rl is installed; imports next to nothing until a fixture is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from paraphrase_rl.plugin.registry import Registry


@pytest.fixture
def prl_registry() -> Callable[..., Registry]:
    """Function that builds a registry of the given plug-ins and no others: ``prl_registry(vowels=module)``.

    A plug-in that breaks a rule raises PluginError at once.
    """
    from paraphrase_rl.plugin.discovery import Plugins
    from paraphrase_rl.plugin.registry import Registry

    return lambda **modules: Registry(Plugins.of(**modules))
