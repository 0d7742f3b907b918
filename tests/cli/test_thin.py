"""A command parses, calls a verb and shows the result: its file is short."""

from __future__ import annotations

from pathlib import Path

import paraphrase_rl.cli


def test_no_file_of_the_command_line_is_above_150_lines() -> None:
    folder = Path(paraphrase_rl.cli.__file__).parent
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in folder.glob("*.py")}
    assert len(lengths) > 10
    assert {name: length for name, length in lengths.items() if length > 150} == {}
