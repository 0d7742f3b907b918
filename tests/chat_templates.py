"""Chat templates of llama.cpp's sources, of which the sdist of llama-cpp-python has a copy.

python -m tests.chat_templates FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "llama-cpp-python==0.3.36"
PLACE = "vendor/llama.cpp/models/templates"


def extract(archive: Path, folder: Path) -> int:
    """Write the templates of an sdist to a folder; returns how many there are."""
    found = 0
    with tarfile.open(archive) as sdist:
        for member in sdist:
            inside = member.name.partition("/")[2]
            if (
                not member.isfile()
                or Path(inside).parent.as_posix() != PLACE
                or not inside.endswith(".jinja")
            ):
                continue
            stream = sdist.extractfile(member)
            assert stream is not None
            (folder / Path(inside).name).write_bytes(stream.read())
            found += 1
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as downloads:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", downloads, PACKAGE], check=True)
        [archive] = Path(downloads).glob("*.tar.gz")
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{extract(archive, folder)} chat templates of llama.cpp in {folder}")


if __name__ == "__main__":
    main()
