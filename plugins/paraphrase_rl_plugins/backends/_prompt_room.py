"""Room for prompts in the context of the policy, counted by its tokenizer before the first step."""

from __future__ import annotations

from paraphrase_rl.plugin import Chat, DataError, Session


def longest_prompt(session: Session, chat: Chat, limit: int | None) -> int:
    """Count the tokens of the longest prompt of a run; nothing cuts a prompt that leaves no room for its answer.

    Args:
        limit: tokens that a prompt and its answer may have together; ``None`` = not known.

    Raises:
        DataError: a prompt and its answer may have more.
    """
    recipe, longest = session.recipe, 0
    for document in (*session.train, *session.test):
        length = len(chat.prompt(session.conversation(document)))
        if limit is not None and length + recipe.sampling.max_tokens > limit:
            raise DataError(
                f"text {document.id} makes a prompt of {length} tokens: with sampling.max_tokens "
                f"{recipe.sampling.max_tokens} that is beyond the {limit} of {recipe.model}",
                "leave out this text, cut all texts with data.excerpt_words, or lower sampling.max_tokens",
            )
        longest = max(longest, length)
    return longest
