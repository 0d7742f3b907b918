"""docs/python.md and the notebook run, and what they show is what they give.

``PRL_WRITE_DOCS=1 pytest tests/docs/test_python_docs.py`` writes what they show.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from paraphrase_rl.recipe import loading
from tests.docs.execution import Output, run
from tests.tiny_model import write_tiny_quickstart

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "python.md"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
WRITE = bool(os.environ.get("PRL_WRITE_DOCS"))
AGAIN = "PRL_WRITE_DOCS=1 pytest tests/docs/test_python_docs.py writes it"


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A fresh folder, and a cache that holds converted models alone."""
    models = Path(os.environ["PRL_HOME"]) / "models"
    models.mkdir(parents=True, exist_ok=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(models)
    monkeypatch.setenv("PRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return {"__name__": "__main__"}


@pytest.fixture
def tiny_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quickstart on a tiny model; the notebook runs the real one."""
    tiny = write_tiny_quickstart(tmp_path / "tiny")
    monkeypatch.setattr(loading, "packaged_recipes", lambda: {"quickstart": tiny})


@pytest.mark.usefixtures("tiny_quickstart")
def test_the_page_shows_what_its_blocks_give(namespace: dict[str, Any]) -> None:
    text = PAGE.read_text(encoding="utf-8")

    def block(match: re.Match[str]) -> str:
        given = run(match[1], namespace).text
        return f"```python\n{match[1]}```\n" + ("" if match[2] is None else f"\n```text\n{given}```\n")

    wanted = BLOCK.sub(block, text)
    if WRITE:
        PAGE.write_text(wanted, encoding="utf-8")
        return
    assert text == wanted, AGAIN


def test_lines_of_the_page_fit() -> None:
    assert max(map(len, PAGE.read_text(encoding="utf-8").splitlines())) <= 120


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_stores_what_its_cells_give(notebook: Path, namespace: dict[str, Any]) -> None:
    stored = json.loads(notebook.read_text(encoding="utf-8"))
    cells = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert cells
    for number, cell in enumerate(cells, start=1):
        found = run("".join(cell["source"]), namespace)
        cell["execution_count"], outputs = number, _outputs(found, number)
        if not WRITE:
            assert cell["outputs"] == outputs, AGAIN
        cell["outputs"] = outputs
    if WRITE:
        notebook.write_text(json.dumps(stored, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _outputs(found: Output, number: int) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = []
    if found.printed:
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(found.printed)})
    if found.value is not None:
        data = {"text/plain": _lines(repr(found.value))}
        if html := getattr(found.value, "_repr_html_", lambda: None)():
            data["text/html"] = _lines(html)
        outputs.append(
            {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
