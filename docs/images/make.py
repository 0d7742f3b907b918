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
WIDTH = 1280
SCALE = 0.67
"""Wide enough for a README, and small enough to come with every clone."""
MOST_BYTES = 300_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]


def picture(page_file: Path, out: Path) -> None:
    """A report from its top to the end of its heat map, as a desktop shows it."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 1000}, color_scheme="light", device_scale_factor=SCALE
        )
        page.goto(page_file.as_uri())
        heat = page.locator("table.heat").bounding_box()
        if heat is None:
            sys.exit("the run has no evaluation: prl evaluate RUN")
        bottom = heat["y"] + heat["height"] + 8
        page.screenshot(path=out, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom})
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
