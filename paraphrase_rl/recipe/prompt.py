"""Prompt of the policy: system message, instruction, thinking."""

from __future__ import annotations

from pydantic import Field

from paraphrase_rl.recipe.section import Section


class Prompt(Section):
    """Prompt of the policy."""

    system: str = Field(
        "You rewrite texts. You answer with the rewritten text and nothing else.",
        description="system message",
    )
    instruction: str = Field(
        "Paraphrase the following text. Keep its meaning, and make it read naturally.",
        description="the user message is the instruction, an empty line, and the source",
    )
    thinking: bool = Field(
        False,
        description="whether the model thinks before it rewrites; false = it is told not to, and refused if it cannot "
        "be; true = the thought is trained like the rest of the completion, but removed before the rewrite is rated",
    )

    def messages(self, text: str) -> list[dict[str, str]]:
        """Build the conversation that asks for one rewrite."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": f"{self.instruction}\n\n{text}"},
        ]
