"""The parts of documentation pages that benchmarks write."""

from __future__ import annotations

from pathlib import Path


def write_part(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` on a page."""
    mark, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = page.read_text(encoding="utf-8").split(mark)
    _, after = rest.split(end)
    page.write_text(f"{before}{mark}\n{text}\n{end}{after}", encoding="utf-8")
