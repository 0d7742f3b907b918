"""Options of a judge, a language model that marks the quality of rewrites."""

from __future__ import annotations

from paraphrase_rl.errors import UsageError


def judge_of(url: str | None, model: str | None, key_env: str | None) -> dict[str, str | None] | None:
    """Return the settings of a judge; ``None`` if no option asks for one.

    Raises:
        UsageError: one option needs another.
    """
    if url is None and model is None and key_env is None:
        return None
    if url is None or model is None:
        raise UsageError(
            "a judge needs --judge-url and --judge-model",
            "give both, such as --judge-url http://localhost:8000/v1 --judge-model NAME",
        )
    return {"base_url": url, "model": model, "key_env": key_env}
