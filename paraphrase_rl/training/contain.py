"""A reward's crash costs the rewrites it crashed on; a reward that breaks its contract stops the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paraphrase_rl.errors import PluginError, PrlError
from paraphrase_rl.plugin.discovery import one_line
from paraphrase_rl.plugin.protocols import Reward
from paraphrase_rl.plugin.rated import joined
from paraphrase_rl.types import ContractError, Failure, RewardBatch, Terms


def judge_contained(name: str, reward: Reward, batch: RewardBatch) -> Terms:
    """A reward's terms; where the call crashes, each rewrite is judged alone and those that crash fail.

    Rewards judge each item on its own, so judging it alone changes no number.

    Args:
        name: as in the recipe; owner of the failures of crashes.
        reward: the component.
        batch: at least one rewrite.

    Raises:
        PluginError: the reward breaks its contract (type, shape, range), or crashes on each of several rewrites.
        PrlError: what the reward itself has to say about the whole call.
    """
    try:
        return _called(name, reward, batch)
    except PrlError:
        raise
    except Exception:
        return _item_by_item(name, reward, batch)


def _item_by_item(name: str, reward: Reward, batch: RewardBatch) -> Terms:
    """Each item on its own, those that crash as Failures.

    Raises:
        PluginError: all of several items crash: it is the plug-in, not an item.
    """
    parts: list[Terms] = []
    crashes: list[Exception] = []
    for i in range(len(batch)):
        try:
            parts.append(_called(name, reward, batch.subset([i])))
        except PrlError:
            raise
        except Exception as error:
            crashes.append(error)
            failure = Failure(index=0, owner=name, kind="crashed", message=one_line(error))
            parts.append(Terms(np.array([np.nan]), (failure,)))
    if len(crashes) == len(batch) > 1:
        raise PluginError(
            f"reward {name!r} crashes on every rewrite: {one_line(crashes[0])}",
            "take it out of the recipe, or report it to its author",
        ) from crashes[0]
    return Terms(
        np.concatenate([part.values for part in parts]),
        tuple(replace(failure, index=i) for i, part in enumerate(parts) for failure in part.failures),
        joined([part.details for part in parts], [1] * len(parts)),
    )


def _called(name: str, reward: Reward, batch: RewardBatch) -> Terms:
    """One call, its answer checked.

    Raises:
        PluginError: the answer is not what the contract says.
    """
    try:
        terms = reward(batch)
    except ContractError as error:
        raise _broken(name, str(error)) from error
    if not isinstance(terms, Terms):
        raise _broken(name, f"returned {type(terms).__name__}, not Terms")
    shapes = {"values": terms.values, **terms.details}
    for what, values in shapes.items():
        if np.shape(values) != (len(batch),):
            raise _broken(name, f"{what} have shape {np.shape(values)} for {len(batch)} rewrites")
    return terms


def _broken(name: str, what: str) -> PluginError:
    return PluginError(
        f"reward {name!r} breaks its contract: {what}",
        "it must return Terms of shape (N,) in [0, 1], NaN only with a Failure; report it to its author",
    )
