"""The picture of the report in README.md: ``python docs/images/make.py RUN`` writes docs/images/report.png.

RUN is a run with an evaluation. Needs Debian's chromium and the development dependencies.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1280, 1500
MOST_BYTES = 300_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]


def picture(page_file: Path, out: Path) -> None:
    """The top of a report as a desktop shows it."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=out)
        browser.close()


def main() -> None:
    """Make the page with ``prl report`` and take its picture."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        page_file, out = Path(folder) / "report.html", HERE / "report.png"
        subprocess.run(
            [sys.executable, "-m", "paraphrase_rl", "report", sys.argv[1], "--out", str(page_file)],
            check=True,
        )
        picture(page_file, out)
    size = out.stat().st_size
    print(f"{out}: {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES / 1000:.0f} kB: show less of the page")


if __name__ == "__main__":
    main()
